//! What a message that is shown is as messages that are stored.

use loomwork_models::{
    ApprovalRequest, ApprovalResponse, Custom, Data, Extras, File, FinishReason, Message, OutputItem, Part,
    ProviderData, Reasoning, ReasoningFile, Role, Source, SourceKind, Text, ToolCall, ToolOutput, ToolResult,
};
use serde_json::{Map, Value};

use crate::ui::{DYNAMIC, Outcome, ToolState, UiFile, UiPart, UiTool};

/// The messages of one step: what the model said, and what was answered to it.
#[derive(Clone, Debug, PartialEq)]
pub struct StepMessages {
    /// What the model said, with the results of tools that its provider ran.
    pub assistant: Message,
    /// Answers to questions and results of tools, if there are any.
    pub tool: Option<Message>,
}

impl StepMessages {
    /// Returns the steps that parts show, as a [`Reducer`](crate::Reducer) has made them or a client sends
    /// them.
    ///
    /// A step begins at each `step-start`, and one before the first if there is something; so the `n`-th
    /// call of the model is the `n`-th step, though it may have said nothing. A call counts as soon as its
    /// arguments are complete or it has failed, a result as soon as no other output follows.
    pub fn from_parts(parts: Vec<UiPart>) -> Vec<Self> {
        let mut steps = Vec::new();
        let mut step: Option<Step> = None;
        for part in parts {
            if part == UiPart::StepStart {
                steps.extend(step.replace(Step::default()).map(Step::into_messages));
            } else {
                step.get_or_insert_default().add(part);
            }
        }
        steps.extend(step.map(Step::into_messages));
        steps
    }

    /// Returns the messages that say something, in their order.
    pub fn into_messages(self) -> impl Iterator<Item = Message> {
        let assistant = Some(self.assistant).filter(|message| !message.parts.is_empty());
        assistant.into_iter().chain(self.tool)
    }

    /// Returns why the model stopped, as far as its parts tell: for tools that are to run, or because it
    /// had said all.
    pub fn finish_reason(&self) -> FinishReason {
        let calls = self.assistant.tool_calls().any(|call| !call.provider_executed);
        if calls { FinishReason::ToolCalls } else { FinishReason::Stop }
    }
}

/// Returns the addresses of the files that a message refers to, those in the results of tools too. Files
/// whose bytes it holds itself have none.
pub fn file_urls(message: &Message) -> Vec<&str> {
    let mut files = Vec::new();
    for part in &message.parts {
        match part {
            Part::Image(part) => files.push(&part.data),
            Part::File(part) => files.push(&part.data),
            Part::ReasoningFile(part) => files.push(&part.data),
            Part::ToolResult(ToolResult { output: ToolOutput::Content(items), .. }) => {
                files.extend(items.iter().filter_map(|item| match item {
                    OutputItem::File { data, .. } => Some(data),
                    _ => None,
                }));
            }
            _ => {}
        }
    }
    files.into_iter().filter_map(address).collect()
}

fn address(data: &Data) -> Option<&str> {
    match data {
        Data::Url(url) if !url.starts_with("data:") => Some(url),
        _ => None,
    }
}

#[derive(Default)]
struct Step {
    assistant: Vec<Part>,
    answers: Vec<Part>,
    results: Vec<Part>,
}

impl Step {
    fn add(&mut self, part: UiPart) {
        let part = match part {
            UiPart::Text(text) if text.says_something() => {
                Part::Text(Text { text: text.text, extras: extras(text.provider_metadata) })
            }
            UiPart::Reasoning(text) if text.says_something() => {
                Part::Reasoning(Reasoning { text: text.text, extras: extras(text.provider_metadata) })
            }
            UiPart::Text(_) | UiPart::Reasoning(_) | UiPart::StepStart => return,
            UiPart::SourceUrl(source) => Part::Source(Source {
                id: source.source_id,
                kind: SourceKind::Url { url: source.url },
                title: source.title,
                extras: extras(source.provider_metadata),
            }),
            UiPart::SourceDocument(source) => Part::Source(Source {
                id: source.source_id,
                kind: SourceKind::Document { media_type: source.media_type, filename: source.filename },
                title: Some(source.title).filter(|title| !title.is_empty()),
                extras: extras(source.provider_metadata),
            }),
            UiPart::File(file) => {
                let (data, media_type, filename, extras) = take_file(file);
                Part::File(File { data, media_type, filename, extras })
            }
            UiPart::ReasoningFile(file) => {
                let (data, media_type, _, extras) = take_file(file);
                Part::ReasoningFile(ReasoningFile { data, media_type, extras })
            }
            UiPart::Custom(custom) => {
                Part::Custom(Custom { kind: custom.kind, extras: extras(custom.provider_metadata) })
            }
            UiPart::Tool(tool) => return self.add_tool(*tool),
            UiPart::Data(data) => match serde_json::to_value(data) {
                Ok(Value::Object(fields)) => Part::Unknown(fields),
                _ => return,
            },
            UiPart::Unknown(fields) => read_unknown(fields),
        };
        self.assistant.push(part);
    }

    fn add_tool(&mut self, tool: UiTool) {
        let failed = tool.state == ToolState::OutputError;
        let invalid = tool.error_text.clone().filter(|_| failed && tool.raw_input.is_some());
        let input = match (&tool.input, &tool.raw_input) {
            (None, Some(raw)) => raw.clone(),
            (Some(input), _) => input.clone(),
            (None, None) if tool.has_ended() => Value::Object(Map::new()),
            (None, None) => return,
        };
        // Arguments that happen to be complete may still grow.
        if tool.state == ToolState::InputStreaming {
            return;
        }
        let is_dynamic = tool.name.is_dynamic();
        let extras = |metadata| {
            let mut extras = extras(metadata);
            if is_dynamic {
                extras.unknown.insert(DYNAMIC.to_owned(), Value::Bool(true));
            }
            extras
        };
        let name = tool.name.as_str().to_owned();
        self.assistant.push(Part::ToolCall(ToolCall {
            id: tool.call.clone(),
            name: name.clone(),
            input,
            invalid,
            provider_executed: tool.provider_executed,
            title: tool.title.clone(),
            tool_metadata: tool.tool_metadata.clone(),
            extras: extras(tool.call_provider_metadata.clone()),
        }));
        self.add_approval(&tool);
        let outcome = match tool.state {
            ToolState::OutputAvailable if !tool.preliminary => {
                Outcome::Returned(tool.output.unwrap_or_default())
            }
            ToolState::OutputError => Outcome::Failed(tool.error_text.unwrap_or_default()),
            ToolState::OutputDenied => Outcome::Denied(tool.approval.and_then(|approval| approval.reason)),
            _ => return,
        };
        let result = Part::ToolResult(ToolResult {
            call: tool.call,
            name,
            output: outcome.into_output(),
            provider_executed: tool.provider_executed,
            extras: extras(tool.result_provider_metadata),
        });
        if tool.provider_executed { self.assistant.push(result) } else { self.results.push(result) }
    }

    /// Adds question and answer. A refusal without a question has its result alone.
    fn add_approval(&mut self, tool: &UiTool) {
        let Some(approval) = tool.approval.as_ref().filter(|approval| !approval.id.is_empty()) else {
            return;
        };
        // The metadata is that of the later one.
        let (asked, answered) = match approval.approved {
            Some(_) => (ProviderData::new(), approval.provider_metadata.clone()),
            None => (approval.provider_metadata.clone(), ProviderData::new()),
        };
        self.assistant.push(Part::ApprovalRequest(ApprovalRequest {
            id: approval.id.clone(),
            call: tool.call.clone(),
            automatic: approval.is_automatic,
            signature: approval.signature.clone(),
            extras: extras(asked),
        }));
        if let Some(approved) = approval.approved {
            self.answers.push(Part::ApprovalResponse(ApprovalResponse {
                id: approval.id.clone(),
                approved,
                reason: approval.reason.clone(),
                provider_executed: tool.provider_executed,
                extras: extras(answered),
            }));
        }
    }

    fn into_messages(mut self) -> StepMessages {
        self.answers.append(&mut self.results);
        StepMessages {
            assistant: Message::new(Role::Assistant, self.assistant),
            tool: (!self.answers.is_empty()).then(|| Message::new(Role::Tool, self.answers)),
        }
    }
}

fn extras(provider_metadata: ProviderData) -> Extras {
    Extras { provider_metadata, ..Extras::default() }
}

fn take_file(file: UiFile) -> (Data, String, Option<String>, Extras) {
    let UiFile { url, media_type, filename, provider_reference, provider_metadata } = file;
    let data = if url.is_empty() && !provider_reference.is_empty() {
        Data::Reference(provider_reference)
    } else {
        Data::Url(url)
    };
    (data, media_type, filename, extras(provider_metadata))
}

/// Sealed thoughts are shown as they are stored, and so they come back.
fn read_unknown(fields: Map<String, Value>) -> Part {
    if fields.get("type").and_then(Value::as_str) == Some("redacted-reasoning")
        && let Ok(part) = serde_json::from_value(Value::Object(fields.clone()))
    {
        return part;
    }
    Part::Unknown(fields)
}
