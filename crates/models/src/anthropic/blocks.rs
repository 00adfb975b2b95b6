//! From parts to blocks.

use data_encoding::BASE64;
use serde_json::{Map, Value, json};

use super::cache;
use super::request::Document;
use crate::history::MADE_BY;
use crate::{Data, Extras, File, OutputItem, Part, Reasoning, ToolCall, ToolOutput, ToolResult};

/// Fields of our bags that are no fields of a block.
const OURS: [&str; 5] = [MADE_BY, "signature", "redactedData", "block", "citation"];

/// Turns the parts of one conversation into blocks.
#[derive(Debug)]
pub(super) struct Blocks<'a> {
    pub(super) provider: &'a str,
    /// The documents so far, which citations name by number.
    pub(super) documents: Vec<Document>,
}

impl Blocks<'_> {
    /// Returns the block of a part of a user's or a system's message.
    pub(super) fn user(&mut self, part: Part) -> Option<Value> {
        match part {
            Part::Text(text) => Some(self.text(text.text, &text.extras)),
            Part::Image(image) => {
                Some(self.image(&image.data, image.media_type.as_deref().unwrap_or_default(), &image.extras))
            }
            Part::File(file) => Some(self.file(&file)),
            Part::ToolResult(result) => Some(self.result(result)),
            Part::Custom(custom) => self.kept_block(&custom.extras),
            _ => None,
        }
    }

    /// Returns the block of a part of an assistant's message.
    pub(super) fn assistant(&mut self, part: Part) -> Option<Value> {
        match part {
            Part::Text(text) => {
                let citations = text.extras.of(self.provider, "citations").cloned();
                let mut block = self.text(text.text, &text.extras);
                if let Some(citations) = citations.filter(|citations| citations != &json!([])) {
                    block["citations"] = citations;
                }
                Some(block)
            }
            Part::Reasoning(reasoning) => self.reasoning(reasoning),
            Part::ToolCall(call) => Some(self.call(call)),
            Part::ToolResult(result) => Some(self.remote_result(result)),
            Part::Custom(custom) => self.kept_block(&custom.extras),
            Part::File(file) => Some(self.file(&file)),
            _ => None,
        }
    }

    fn options<'b>(&self, extras: &'b Extras) -> Option<&'b Value> {
        extras.provider_options.get(self.provider)
    }

    fn text(&self, text: String, extras: &Extras) -> Value {
        with_options(fields("text", [("text", text.into())]), self.options(extras))
    }

    fn image(&self, data: &Data, media_type: &str, extras: &Extras) -> Value {
        with_options(fields("image", [("source", self.source(data, media_type))]), self.options(extras))
    }

    fn file(&mut self, file: &File) -> Value {
        if file.media_type.starts_with("image/") {
            return self.image(&file.data, &file.media_type, &file.extras);
        }
        let options = self.options(&file.extras);
        let is_text = is_text(&file.media_type);
        if !is_text
            && file.media_type != "application/pdf"
            && let Some(id) = file.data.reference(self.provider)
        {
            // A file for tools that run at the provider; models read images, PDF and texts.
            return with_options(fields("container_upload", [("file_id", id.into())]), options);
        }
        let source = match &file.data {
            Data::Bytes(bytes) if is_text => {
                let text = String::from_utf8_lossy(bytes);
                json!({ "type": "text", "media_type": "text/plain", "data": text })
            }
            data => self.source(data, &file.media_type),
        };
        let mut block = fields("document", [("source", source)]);
        if let Some(name) = &file.filename {
            block.insert("title".to_owned(), name.as_str().into());
        }
        let block = with_options(block, options);
        self.documents.push(Document {
            media_type: file.media_type.clone(),
            filename: file.filename.clone(),
            title: block["title"].as_str().map(str::to_owned),
        });
        block
    }

    fn source(&self, data: &Data, media_type: &str) -> Value {
        match data {
            Data::Bytes(bytes) => {
                json!({ "type": "base64", "media_type": media_type, "data": BASE64.encode(bytes) })
            }
            Data::Url(url) => json!({ "type": "url", "url": url }),
            Data::Reference(_) => json!({ "type": "file", "file_id": data.reference(self.provider) }),
        }
    }

    /// Returns thoughts byte for byte as they came.
    fn reasoning(&self, reasoning: Reasoning) -> Option<Value> {
        if let Some(data) = reasoning.extras.of(self.provider, "redactedData") {
            return Some(json!({ "type": "redacted_thinking", "data": data }));
        }
        let signature = reasoning.extras.of(self.provider, "signature")?;
        Some(json!({ "type": "thinking", "thinking": reasoning.text, "signature": signature }))
    }

    fn call(&self, call: ToolCall) -> Value {
        let kind = if call.provider_executed { "server_tool_use" } else { "tool_use" };
        // The protocol has objects only. What was no JSON is shown to the model as it was.
        let input = if call.input.is_object() { call.input } else { json!({ "input": call.input }) };
        let mut block = fields(kind, [("id", call.id.into()), ("name", call.name.into()), ("input", input)]);
        block.extend(self.kept_fields(&call.extras));
        with_options(block, self.options(&call.extras))
    }

    /// Returns the result of a tool that the provider ran.
    fn remote_result(&self, result: ToolResult) -> Value {
        let kind = format!("{}_tool_result", result.name);
        let content = match result.output {
            ToolOutput::Json(value) | ToolOutput::ErrorJson(value) => value,
            output => output.to_text().into(),
        };
        let mut block = fields(&kind, [("tool_use_id", result.call.into()), ("content", content)]);
        block.extend(self.kept_fields(&result.extras));
        with_options(block, self.options(&result.extras))
    }

    /// Returns the result of a tool that the program ran.
    fn result(&mut self, result: ToolResult) -> Value {
        let is_error = result.output.is_error();
        let content = match result.output {
            ToolOutput::Content(items) => {
                items.into_iter().filter_map(|item| self.item(item)).collect::<Vec<_>>().into()
            }
            output => Value::String(output.to_text()),
        };
        let mut block = fields("tool_result", [("tool_use_id", result.call.into()), ("content", content)]);
        if is_error {
            block.insert("is_error".to_owned(), true.into());
        }
        with_options(block, self.options(&result.extras))
    }

    fn item(&mut self, item: OutputItem) -> Option<Value> {
        match item {
            OutputItem::Text { text, extras } => Some(self.text(text, &extras)),
            OutputItem::File { data, media_type, filename, extras } => {
                Some(self.file(&File { data, media_type, filename, extras }))
            }
            OutputItem::Custom { extras } => self.kept_block(&extras),
        }
    }

    /// Returns a block that this version knows nothing of, as it was.
    fn kept_block(&self, extras: &Extras) -> Option<Value> {
        let block = extras.of(self.provider, "block").filter(|block| block["type"].is_string());
        block.cloned().map(|block| match block {
            Value::Object(fields) => with_options(fields, self.options(extras)),
            block => block,
        })
    }

    /// Returns the fields of a block that have no place in our parts.
    fn kept_fields(&self, extras: &Extras) -> Map<String, Value> {
        extras.of(self.provider, "block").and_then(Value::as_object).cloned().unwrap_or_default()
    }
}

/// The texts that go as plain text, whatever they are written in.
pub(super) fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/") || ["application/json", "application/xml"].contains(&media_type)
}

/// Adds what the caller wants of a block, in the spelling of the protocol.
pub(super) fn with_options(mut block: Map<String, Value>, options: Option<&Value>) -> Value {
    for (name, value) in options.and_then(Value::as_object).into_iter().flatten() {
        if OURS.contains(&name.as_str()) {
            continue;
        }
        let name = if name == "cacheControl" { cache::FIELD } else { name };
        block.insert(name.to_owned(), value.clone());
    }
    Value::Object(block)
}

fn fields<const N: usize>(kind: &str, fields: [(&str, Value); N]) -> Map<String, Value> {
    let kind = [("type".to_owned(), Value::from(kind))];
    kind.into_iter().chain(fields.map(|(name, value)| (name.to_owned(), value))).collect()
}
