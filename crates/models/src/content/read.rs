//! Messages and parts from their JSON, in today's spelling and in older ones.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{
    ApprovalRequest, ApprovalResponse, Custom, Data, Extras, File, Image, Message, Part, ProviderData,
    Reasoning, ReasoningFile, RedactedReasoning, Role, Source, SourceKind, Text, ToolCall, ToolOutput,
    ToolResult,
};

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_message(Map::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_part(Map::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for ToolOutput {
    /// Any value is an output, so this fails only where the JSON does.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self::read(&value).unwrap_or(Self::Json(value)))
    }
}

fn read_message(map: Map<String, Value>) -> Result<Message, String> {
    let mut fields = Fields { what: "message".to_owned(), map };
    let role = fields.string("role")?;
    let role = match role.as_str() {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        _ => return Err(format!("a message's `role` is system, user, assistant or tool, not `{role}`")),
    };
    fields.what = format!("{} message", role.as_str());
    let parts = match fields.map.remove("content") {
        Some(Value::String(text)) => vec![Part::text(text)],
        Some(Value::Array(parts)) => {
            let read = |(index, part)| match part {
                Value::Object(part) => read_part(part).map_err(|error| format!("part {index}: {error}")),
                _ => Err(format!("part {index} of a {} is no object", fields.what)),
            };
            parts.into_iter().enumerate().map(read).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(format!("the `content` of a {} is a string or a list of parts", fields.what)),
        None => return Err(format!("a {} lacks its `content`", fields.what)),
    };
    let provider_options = take_bag(&mut fields.map, "providerOptions");
    Ok(Message { role, parts, provider_options, unknown: fields.map })
}

fn read_part(map: Map<String, Value>) -> Result<Part, String> {
    let Some(kind) = map.get("type").and_then(Value::as_str).map(str::to_owned) else {
        return Err("a part lacks its `type`".to_owned());
    };
    let mut fields = Fields { what: format!("part of type `{kind}`"), map };
    let part = match kind.as_str() {
        "text" => Part::Text(Text { text: fields.string("text")?, extras: fields.extras() }),
        "image" => Part::Image(Image {
            data: fields.data(&["image", "data"])?,
            media_type: fields.media_type(),
            extras: fields.extras(),
        }),
        "file" => Part::File(File {
            data: fields.data(&["data", "file", "url"])?,
            media_type: fields.media_type().ok_or_else(|| fields.lacks("mediaType"))?,
            filename: fields.optional("filename"),
            extras: fields.extras(),
        }),
        "reasoning" => {
            let text = fields.string("text")?;
            let signature = fields.map.remove("signature");
            let mut extras = fields.extras();
            if let Some(signature) = signature {
                extras.unknown.insert("signature".to_owned(), signature);
            }
            Part::Reasoning(Reasoning { text, extras })
        }
        "reasoning-file" => Part::ReasoningFile(ReasoningFile {
            data: fields.data(&["data", "url"])?,
            media_type: fields.media_type().ok_or_else(|| fields.lacks("mediaType"))?,
            extras: fields.extras(),
        }),
        "redacted-reasoning" => Part::RedactedReasoning(RedactedReasoning {
            data: fields.string("data")?,
            extras: fields.extras(),
        }),
        "custom" => Part::Custom(Custom { kind: fields.string("kind")?, extras: fields.extras() }),
        "source" => read_source(fields)?,
        "tool-call" => Part::ToolCall(ToolCall {
            id: fields.string("toolCallId")?,
            name: fields.string("toolName")?,
            input: fields.any(&["input", "args"]).unwrap_or_else(|| Value::Object(Map::new())),
            invalid: fields.optional("invalid"),
            provider_executed: fields.flag("providerExecuted"),
            title: fields.optional("title"),
            tool_metadata: fields.any(&["toolMetadata"]),
            extras: fields.extras(),
        }),
        "tool-result" => Part::ToolResult(ToolResult {
            call: fields.string("toolCallId")?,
            name: fields.string("toolName")?,
            output: fields.output(),
            provider_executed: fields.flag("providerExecuted"),
            extras: fields.extras(),
        }),
        "tool-approval-request" => Part::ApprovalRequest(ApprovalRequest {
            id: fields.string("approvalId")?,
            call: fields.string("toolCallId")?,
            automatic: fields.flag("isAutomatic"),
            signature: fields.optional("signature"),
            extras: fields.extras(),
        }),
        "tool-approval-response" => Part::ApprovalResponse(ApprovalResponse {
            id: fields.string("approvalId")?,
            approved: match fields.map.remove("approved") {
                Some(Value::Bool(approved)) => approved,
                _ => return Err(fields.lacks("approved")),
            },
            reason: fields.optional("reason"),
            provider_executed: fields.flag("providerExecuted"),
            extras: fields.extras(),
        }),
        _ => Part::Unknown(fields.map),
    };
    Ok(part)
}

fn read_source(mut fields: Fields) -> Result<Part, String> {
    let id = fields.string("id")?;
    let kind = match fields.string("sourceType")?.as_str() {
        "url" => SourceKind::Url { url: fields.string("url")? },
        "document" => SourceKind::Document {
            media_type: fields.media_type().ok_or_else(|| fields.lacks("mediaType"))?,
            filename: fields.optional("filename"),
        },
        other => return Err(format!("a source's `sourceType` is url or document, not `{other}`")),
    };
    Ok(Part::Source(Source { id, kind, title: fields.optional("title"), extras: fields.extras() }))
}

/// The fields of a JSON object, taken one by one; what is left is unknown.
struct Fields {
    what: String,
    map: Map<String, Value>,
}

impl Fields {
    fn lacks(&self, name: &str) -> String {
        format!("a {} lacks its `{name}`", self.what)
    }

    fn string(&mut self, name: &str) -> Result<String, String> {
        match self.map.remove(name) {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(format!("the `{name}` of a {} is a string", self.what)),
            None => Err(self.lacks(name)),
        }
    }

    /// Takes a string that may be missing or null; another value stays among the unknown fields.
    fn optional(&mut self, name: &str) -> Option<String> {
        match self.map.get(name)? {
            Value::String(_) | Value::Null => self.map.remove(name)?.as_str().map(str::to_owned),
            _ => None,
        }
    }

    fn any(&mut self, names: &[&str]) -> Option<Value> {
        let found = names.iter().find(|name| self.map.contains_key(**name))?;
        let value = self.map.remove(*found);
        // The older spelling of the same field says nothing more.
        names.iter().for_each(|name| drop(self.map.remove(*name)));
        value
    }

    /// Takes a boolean that may be missing or null; another value stays among the unknown fields.
    fn flag(&mut self, name: &str) -> bool {
        match self.map.get(name) {
            Some(Value::Bool(_) | Value::Null) => self.map.remove(name) == Some(Value::Bool(true)),
            _ => false,
        }
    }

    fn media_type(&mut self) -> Option<String> {
        let today = self.optional("mediaType");
        let older = self.optional("mimeType");
        today.or(older)
    }

    fn data(&mut self, names: &[&str]) -> Result<Data, String> {
        let value = self.any(names).ok_or_else(|| self.lacks(names[0]))?;
        let wrong = || format!("the `{}` of a {} is an address, base64 or a reference", names[0], self.what);
        Data::read(value).ok_or_else(wrong)
    }

    /// Takes the output of a tool, which older messages spell `result`, `isError`, `experimental_content`.
    fn output(&mut self) -> ToolOutput {
        let failed = self.flag("isError");
        let items = self.map.remove("experimental_content");
        drop(self.map.remove("args"));
        let older = self.map.remove("result");
        if let Some(output) = self.map.remove("output") {
            return ToolOutput::read(&output).unwrap_or(ToolOutput::Json(output));
        }
        if let Some(items) = items {
            let content = serde_json::json!({ "type": "content", "value": items });
            if let Some(output) = ToolOutput::read(&content) {
                return output;
            }
        }
        match (older.unwrap_or(Value::Null), failed) {
            (Value::String(text), true) => ToolOutput::ErrorText(text),
            (value, true) => ToolOutput::ErrorJson(value),
            (Value::String(text), false) => ToolOutput::Text(text),
            (value, false) => ToolOutput::Json(value),
        }
    }

    fn extras(&mut self) -> Extras {
        self.map.remove("type");
        Extras::take(&mut self.map)
    }
}

impl Extras {
    /// Takes what is left of an object's fields.
    pub(super) fn take(fields: &mut Map<String, Value>) -> Self {
        let provider_options = take_bag(fields, "providerOptions");
        let provider_metadata = take_bag(fields, "providerMetadata");
        Self { provider_options, provider_metadata, unknown: std::mem::take(fields) }
    }
}

fn take_bag(fields: &mut Map<String, Value>, name: &str) -> ProviderData {
    match fields.get(name) {
        Some(Value::Object(_)) => match fields.remove(name) {
            Some(Value::Object(bag)) => bag,
            _ => ProviderData::new(),
        },
        _ => ProviderData::new(),
    }
}
