//! Messages as pages have them, and as threads do.

use loomwork_core::Kind;
use loomwork_messages::{ToolState, UiChunk, UiMessage, UiPart, UiTool, file_of_url, file_url};
use loomwork_models::{Data, Extras, File, Image, Message, Part, Role};
use serde_json::{Map, Value, json};

use super::AiSdk;
use crate::error::{Error, Result};

/// Where pages find a stored file.
const FILES: &str = "/api/files/";
const CONTENT: &str = "/content";

/// Returns the address under which pages find what messages address otherwise.
pub(super) fn page_url(url: &str) -> String {
    match file_of_url(url) {
        Some(file) => format!("{FILES}{file}{CONTENT}"),
        None => url.to_owned(),
    }
}

/// Returns what a page's address means in a message.
fn stored_url(url: String) -> String {
    let file = url.split_once(FILES).and_then(|(_, rest)| rest.strip_suffix(CONTENT)?.parse().ok());
    file.map_or(url, file_url)
}

/// Returns what a user says on a page. What an application keeps beside it in parts of its own is no word to an agent.
pub(super) fn said(parts: Vec<UiPart>) -> Result<Message> {
    let parts: Vec<Part> = parts.into_iter().filter_map(said_part).collect();
    if parts.is_empty() {
        let message = "the message says nothing; send a part of the type `text` or `file`";
        return Err(Error::new(Kind::Invalid, message));
    }
    Ok(Message::new(Role::User, parts))
}

fn said_part(part: UiPart) -> Option<Part> {
    match part {
        UiPart::Text(text) if text.text.is_empty() => None,
        UiPart::Text(text) => Some(Part::text(text.text)),
        UiPart::File(file) => {
            let data = Data::Url(stored_url(file.url));
            let (media_type, extras) = (file.media_type, Extras::default());
            Some(if media_type.starts_with("image/") {
                Part::Image(Image { data, media_type: Some(media_type), extras })
            } else {
                Part::File(File { data, media_type, filename: file.filename, extras })
            })
        }
        _ => None,
    }
}

/// Returns a message as a page of this version shows it.
pub(super) fn shown(message: &UiMessage, version: AiSdk) -> Value {
    let parts: Vec<Value> = message.parts.iter().filter_map(|part| shown_part(part, version)).collect();
    json!({
        "id": message.id,
        "role": message.role,
        "parts": parts,
        "metadata": metadata(message),
    })
}

/// Returns what a page is told of a message besides its parts.
pub(super) fn metadata(message: &UiMessage) -> Value {
    let mut metadata = message.metadata.clone();
    let mut tell = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            metadata.entry(name).or_insert(value);
        }
    };
    tell("model", message.model.clone().map(Value::from));
    tell("agent", message.agent.clone().map(Value::from));
    let usage = message.usage.as_ref().map(|usage| {
        json!({
            "inputTokens": usage.input(),
            "outputTokens": usage.output(),
            "totalTokens": usage.total(),
        })
    });
    tell("usage", usage);
    tell("createdAt", Some(message.created.millis().into()));
    Value::Object(metadata)
}

fn shown_part(part: &UiPart, version: AiSdk) -> Option<Value> {
    let is_new = matches!(part, UiPart::ReasoningFile(_) | UiPart::Custom(_) | UiPart::Unknown(_));
    if is_new && version != AiSdk::Seven {
        return None;
    }
    let mut shown = serde_json::to_value(part).ok()?;
    let fields = shown.as_object_mut()?;
    if let Some(Value::String(url)) = fields.get_mut("url") {
        *url = page_url(url);
    }
    if let (UiPart::Tool(tool), AiSdk::Five) = (part, version) {
        without_approval(tool, fields);
    }
    Some(shown)
}

/// Shows a call to pages that know no approvals.
fn without_approval(tool: &UiTool, fields: &mut Map<String, Value>) {
    fields.remove("approval");
    match tool.state {
        ToolState::ApprovalRequested | ToolState::ApprovalResponded => {
            fields.insert("state".to_owned(), "input-available".into());
        }
        ToolState::OutputDenied => {
            fields.insert("state".to_owned(), "output-error".into());
            fields.insert("errorText".to_owned(), DENIED.into());
        }
        _ => {}
    }
}

/// What pages that know no denial are told of one.
pub(super) const DENIED: &str = "it was not allowed to run";

/// Returns the chunks that make a page show these parts: complete steps.
pub(super) fn chunks(parts: Vec<UiPart>) -> Vec<UiChunk> {
    let mut chunks = Vec::new();
    let mut is_in_step = false;
    for (number, part) in parts.into_iter().enumerate() {
        if part == UiPart::StepStart {
            if is_in_step {
                chunks.push(UiChunk::FinishStep);
            }
            is_in_step = true;
        }
        push_part(&mut chunks, format!("before-{number}"), part);
    }
    if is_in_step {
        chunks.push(UiChunk::FinishStep);
    }
    chunks
}

fn push_part(chunks: &mut Vec<UiChunk>, id: String, part: UiPart) {
    let some = |metadata: Map<String, Value>| (!metadata.is_empty()).then_some(metadata);
    match part {
        UiPart::StepStart => chunks.push(UiChunk::StartStep),
        UiPart::Text(text) => chunks.extend([
            UiChunk::TextStart { id: id.clone(), provider_metadata: None },
            UiChunk::TextDelta { id: id.clone(), delta: text.text, provider_metadata: None },
            UiChunk::TextEnd { id, provider_metadata: some(text.provider_metadata) },
        ]),
        UiPart::Reasoning(text) => chunks.extend([
            UiChunk::ReasoningStart { id: id.clone(), provider_metadata: None },
            UiChunk::ReasoningDelta { id: id.clone(), delta: text.text, provider_metadata: None },
            UiChunk::ReasoningEnd { id, provider_metadata: some(text.provider_metadata) },
        ]),
        UiPart::SourceUrl(source) => chunks.push(UiChunk::SourceUrl {
            source_id: source.source_id,
            url: source.url,
            title: source.title,
            provider_metadata: some(source.provider_metadata),
        }),
        UiPart::SourceDocument(source) => chunks.push(UiChunk::SourceDocument {
            source_id: source.source_id,
            media_type: source.media_type,
            title: source.title,
            filename: source.filename,
            provider_metadata: some(source.provider_metadata),
        }),
        UiPart::File(file) => chunks.push(UiChunk::File {
            url: file.url,
            media_type: file.media_type,
            filename: file.filename,
            provider_metadata: some(file.provider_metadata),
        }),
        UiPart::ReasoningFile(file) => chunks.push(UiChunk::ReasoningFile {
            url: file.url,
            media_type: file.media_type,
            provider_metadata: some(file.provider_metadata),
        }),
        UiPart::Custom(custom) => chunks
            .push(UiChunk::Custom { kind: custom.kind, provider_metadata: some(custom.provider_metadata) }),
        UiPart::Data(data) => chunks.push(UiChunk::Data(data)),
        UiPart::Tool(tool) => push_tool(chunks, *tool),
        _ => {}
    }
}

fn push_tool(chunks: &mut Vec<UiChunk>, tool: UiTool) {
    let dynamic = tool.name.is_dynamic();
    let (tool_call_id, tool_name) = (tool.call, tool.name.as_str().to_owned());
    let some = |metadata: Map<String, Value>| (!metadata.is_empty()).then_some(metadata);
    let (provider_executed, title, tool_metadata) = (tool.provider_executed, tool.title, tool.tool_metadata);
    let provider_metadata = some(tool.call_provider_metadata);
    if let Some(input) = tool.raw_input {
        let error_text = tool.error_text.unwrap_or_default();
        chunks.push(UiChunk::ToolInputError {
            tool_call_id,
            tool_name,
            input,
            error_text,
            dynamic,
            provider_executed,
            title,
            tool_metadata,
            provider_metadata,
        });
        return;
    }
    chunks.push(UiChunk::ToolInputAvailable {
        tool_call_id: tool_call_id.clone(),
        tool_name,
        input: tool.input.unwrap_or_default(),
        dynamic,
        provider_executed,
        title,
        tool_metadata,
        provider_metadata,
    });
    if let Some(approval) = tool.approval.filter(|approval| !approval.id.is_empty()) {
        chunks.push(UiChunk::ToolApprovalRequest {
            approval_id: approval.id,
            tool_call_id: tool_call_id.clone(),
            is_automatic: approval.is_automatic,
            signature: approval.signature,
            provider_metadata: some(approval.provider_metadata),
        });
    }
    let provider_metadata = some(tool.result_provider_metadata);
    match tool.state {
        ToolState::OutputAvailable => chunks.push(UiChunk::ToolOutputAvailable {
            tool_call_id,
            output: tool.output.unwrap_or_default(),
            preliminary: tool.preliminary,
            dynamic,
            provider_executed,
            provider_metadata,
        }),
        ToolState::OutputError => chunks.push(UiChunk::ToolOutputError {
            tool_call_id,
            error_text: tool.error_text.unwrap_or_default(),
            dynamic,
            provider_executed,
            provider_metadata,
        }),
        ToolState::OutputDenied => chunks.push(UiChunk::ToolOutputDenied { tool_call_id }),
        _ => {}
    }
}
