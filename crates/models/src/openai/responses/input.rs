//! From messages to input items.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::item::{ANNOTATIONS, ITEM, Item, REFUSAL, THOUGHT, text};
use super::{media, result};
use crate::{
    ApprovalResponse, Data, Error, ErrorKind, Extras, Message, ModelName, Part, Reasoning, Result, Role,
    Text, ToolCall, ToolResult, Warning,
};

/// Input items, and what could not become one.
#[derive(Debug)]
pub(super) struct Input<'a> {
    name: &'a ModelName,
    /// Whether the provider keeps the items of earlier answers.
    is_stored: bool,
    /// The types of the calls' items, by the ids of the calls.
    calls: HashMap<&'a str, &'a str>,
    pub(super) items: Vec<Value>,
    pub(super) warnings: Vec<Warning>,
}

impl<'a> Input<'a> {
    /// Returns no items yet. All messages are looked through for calls, whose results may follow.
    pub(super) fn new(name: &'a ModelName, messages: &'a [Message], is_stored: bool) -> Self {
        let calls = messages.iter().flat_map(Message::tool_calls).filter_map(|call| {
            let kind = memory(&name.provider, &call.extras)?.get("type")?.as_str()?;
            Some((call.id.as_str(), kind))
        });
        Self { name, is_stored, calls: calls.collect(), items: Vec::new(), warnings: Vec::new() }
    }

    /// Adds the items of a message.
    pub(super) fn add(&mut self, message: &Message) -> Result<()> {
        match message.role {
            Role::System => self.push(json!({ "role": "developer", "content": message.text() })),
            Role::User => self.user(message)?,
            Role::Assistant => self.assistant(message)?,
            Role::Tool => self.tool(message)?,
        }
        Ok(())
    }

    fn push(&mut self, item: impl Into<Value>) {
        self.items.push(item.into());
    }

    fn skip(&mut self, part: &Part, why: &str) {
        let what = format!("{} part", part.type_name());
        self.warnings.push(Warning { what, why: format!("{why}, so it was left out") });
    }

    fn bad_part(&self, part: &Part, problem: &str) -> Error {
        let text = format!("a part of type `{}` cannot be sent: {problem}", part.type_name());
        Error::new(ErrorKind::BadRequest, &self.name.provider, &self.name.model, text)
    }

    fn user(&mut self, message: &Message) -> Result<()> {
        let provider = &self.name.provider;
        let mut content = Vec::new();
        for part in &message.parts {
            let made = match part {
                Part::Text(text) => Ok(json!({ "type": "input_text", "text": text.text })),
                Part::Image(image) => media::image(provider, image),
                Part::File(file) => media::file(provider, file),
                part => {
                    self.skip(part, "a user's message has none of its type here");
                    continue;
                }
            };
            content.push(made.map_err(|problem| self.bad_part(part, &problem))?);
        }
        if !content.is_empty() {
            self.push(json!({ "role": "user", "content": content }));
        }
        Ok(())
    }

    fn assistant(&mut self, message: &Message) -> Result<()> {
        let provider = self.name.provider.as_str();
        let mut open = Open::None;
        let begin = self.items.len();
        for part in &message.parts {
            match part {
                Part::Text(text) => self.text(text, &mut open),
                Part::Reasoning(reasoning) => self.reasoning(part, reasoning, &mut open),
                // Where a text comes from stands in its annotations.
                Part::Source(_) => continue,
                Part::ToolCall(call) => {
                    open = Open::None;
                    self.call(part, call);
                }
                Part::ToolResult(result) if result.provider_executed => {
                    open = Open::None;
                    self.server_result(part, result, message);
                }
                Part::ToolResult(result) => self.result(part, result)?,
                Part::ApprovalRequest(request) => {
                    open = Open::None;
                    // A request without an item is the program's own, and no matter of the model.
                    self.items.extend(memory(provider, &request.extras).cloned().map(Value::from));
                }
                Part::Custom(custom) => {
                    open = Open::None;
                    match memory(provider, &custom.extras) {
                        Some(item) => self.push(item.clone()),
                        None => self.skip(part, "it is of another provider"),
                    }
                }
                Part::File(file) if memory(provider, &file.extras).is_some() => continue,
                part => self.skip(part, "a model's message has none of its type here"),
            }
        }
        self.drop_unreadable_reasoning(begin);
        Ok(())
    }

    fn text(&mut self, text: &Text, open: &mut Open) {
        let provider = self.name.provider.as_str();
        let is_refusal = text.extras.of(provider, REFUSAL) == Some(&Value::Bool(true));
        let content = if is_refusal {
            json!({ "type": "refusal", "refusal": text.text })
        } else {
            let annotations = text.extras.of(provider, ANNOTATIONS).cloned().unwrap_or_else(|| json!([]));
            json!({ "type": "output_text", "text": text.text, "annotations": annotations })
        };
        let memory = memory(provider, &text.extras);
        let id = id_of(memory);
        match self.items.last_mut() {
            Some(message) if *open == Open::Message(id.clone()) => append(message, "content", content),
            _ => {
                let mut item = begin_item("message", memory);
                item.insert("role".to_owned(), "assistant".into());
                item.insert("content".to_owned(), json!([content]));
                self.push(item);
                *open = Open::Message(id);
            }
        }
    }

    fn reasoning(&mut self, part: &Part, reasoning: &Reasoning, open: &mut Open) {
        let provider = self.name.provider.as_str();
        let Some(memory) = memory(provider, &reasoning.extras) else {
            self.skip(part, "another provider thought it");
            return;
        };
        let id = id_of(Some(memory));
        let is_continued = *open == Open::Reasoning(id.clone());
        if let Some(Value::Object(item)) = self.items.last_mut().filter(|_| is_continued) {
            item.extend(memory.clone());
        } else {
            let mut item = begin_item("reasoning", Some(memory));
            item.insert("summary".to_owned(), json!([]));
            self.push(item);
            *open = Open::Reasoning(id);
        }
        let list = reasoning.extras.of(provider, THOUGHT).and_then(Value::as_str);
        if let (Some(list), Some(item)) = (list, self.items.last_mut()) {
            let kind = if list == "summary" { "summary_text" } else { "reasoning_text" };
            append(item, list, json!({ "type": kind, "text": reasoning.text }));
        }
    }

    /// Thoughts that were cut off have neither their sealed form nor open content; the provider would
    /// look for them in its store, and fail.
    fn drop_unreadable_reasoning(&mut self, begin: usize) {
        if self.is_stored {
            return;
        }
        let before = self.items.len();
        let mut index = 0;
        self.items.retain(|item| {
            index += 1;
            let is_reasoning = index > begin && item["type"] == "reasoning";
            !is_reasoning || item["encrypted_content"].is_string() || item["content"].is_array()
        });
        if self.items.len() < before {
            let why = "it came without the encrypted content that a provider who stores nothing needs, so it was left out";
            self.warnings.push(Warning { what: "reasoning part".to_owned(), why: why.to_owned() });
        }
    }

    fn call(&mut self, part: &Part, call: &ToolCall) {
        let memory = memory(&self.name.provider, &call.extras);
        let has_own_item = |memory: &Item| text(memory, "type") == "shell_call";
        if call.provider_executed && !memory.is_some_and(has_own_item) {
            // Its result holds its item.
            if memory.is_none() {
                self.skip(part, "another provider ran the tool");
            }
            return;
        }
        let mut item = begin_item("function_call", memory);
        item.insert("call_id".to_owned(), call.id.as_str().into());
        match (text(&item, "type"), &call.input) {
            ("function_call", input) => {
                item.insert("name".to_owned(), call.name.as_str().into());
                // Text is what came and was no JSON: the model sees what it wrote.
                let arguments = match (input, &call.invalid) {
                    (Value::String(text), Some(_)) => text.clone(),
                    (input, _) => input.to_string(),
                };
                item.insert("arguments".to_owned(), arguments.into());
            }
            ("custom_tool_call", input) => {
                item.insert("name".to_owned(), call.name.as_str().into());
                let input = input.as_str().map_or_else(|| input.to_string(), str::to_owned);
                item.insert("input".to_owned(), input.into());
            }
            (_, Value::Object(fields)) => item.extend(fields.clone()),
            _ => {}
        }
        self.push(item);
    }

    /// Adds the item of a tool that the provider ran; a picture that it made comes back into it.
    fn server_result(&mut self, part: &Part, result: &ToolResult, message: &Message) {
        let provider = self.name.provider.as_str();
        let item = match (memory(provider, &result.extras), result::value(&result.output)) {
            (Some(_), Some(Value::Object(item))) => item,
            _ => return self.skip(part, "another provider ran the tool"),
        };
        let mut item = item.clone();
        if text(&item, "type") == "image_generation_call" {
            let Some(picture) = picture_of(provider, text(&item, "id"), message) else {
                return self.skip(part, "the picture that it made is not at hand");
            };
            item.insert("result".to_owned(), picture.into());
        }
        self.push(item);
    }

    fn tool(&mut self, message: &Message) -> Result<()> {
        for part in &message.parts {
            match part {
                Part::ToolResult(result) => self.result(part, result)?,
                Part::ApprovalResponse(response) => self.approval(response),
                part => self.skip(part, "a tool's message has none of its type"),
            }
        }
        Ok(())
    }

    fn result(&mut self, part: &Part, result: &ToolResult) -> Result<()> {
        let call_type = self.calls.get(result.call.as_str()).copied().unwrap_or("function_call");
        let item = result::item(&self.name.provider, call_type, result);
        self.push(item.map_err(|problem| self.bad_part(part, &problem))?);
        Ok(())
    }

    /// Adds the answer to a provider's question; answers to the program's own are no matter of the model.
    fn approval(&mut self, response: &ApprovalResponse) {
        if !response.provider_executed {
            return;
        }
        let mut item = json!({
            "type": "mcp_approval_response",
            "approval_request_id": response.id,
            "approve": response.approved,
        });
        if let Some(reason) = &response.reason {
            item["reason"] = reason.as_str().into();
        }
        self.push(item);
    }
}

/// The item that the next part may belong to as well; it is the last one.
#[derive(Debug, PartialEq, Eq)]
enum Open {
    None,
    Message(Option<String>),
    Reasoning(Option<String>),
}

/// Returns what a part remembers of the item that it was made of.
pub(super) fn memory<'a>(provider: &str, extras: &'a Extras) -> Option<&'a Item> {
    extras.of(provider, ITEM)?.as_object()
}

fn id_of(memory: Option<&Item>) -> Option<String> {
    memory.map(|memory| text(memory, "id").to_owned()).filter(|id| !id.is_empty())
}

fn begin_item(kind: &str, memory: Option<&Item>) -> Item {
    let mut item = Map::from_iter([("type".to_owned(), Value::from(kind))]);
    item.extend(memory.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
    item
}

fn append(item: &mut Value, list: &str, entry: Value) {
    if let Value::Object(item) = item
        && let Value::Array(list) = item.entry(list).or_insert_with(|| json!([]))
    {
        list.push(entry);
    }
}

fn picture_of(provider: &str, id: &str, message: &Message) -> Option<String> {
    let file = message.parts.iter().find_map(|part| match part {
        Part::File(file) if text(memory(provider, &file.extras)?, "id") == id => Some(file),
        _ => None,
    })?;
    file.data.bytes().map(|bytes| match Data::Bytes(bytes).write() {
        Value::String(base64) => base64,
        _ => String::new(),
    })
}
