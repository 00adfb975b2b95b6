//! From messages to those of a request.

use std::collections::BTreeSet;

use data_encoding::BASE64;
use serde_json::{Map, Value, json};

use super::{EXTRA_CONTENT, REASONING_DETAILS};
use crate::history::{DataForm, MADE_BY, Readable};
use crate::openai::dialect::thinks;
use crate::openai::{Dialect, InstructionRole};
use crate::{
    Data, Extras, Message, ModelName, OutputItem, Part, ProviderData, Role, ToolCall, ToolOutput, ToolResult,
};

/// What a file is called that has no name; the protocol wants one.
const UNNAMED: &str = "file";

/// What a model may have made: its sound goes back by an id, and nothing else does.
pub(super) const ASSISTANT_FILES: &[Readable] =
    &[Readable { media_type: "*", forms: &[DataForm::Bytes, DataForm::Url, DataForm::Reference] }];

/// Writes the messages of a conversation.
pub(super) struct Writer<'a> {
    pub(super) name: &'a ModelName,
    pub(super) dialect: &'a Dialect,
    /// The tools that take a text instead of JSON.
    pub(super) custom_tools: &'a BTreeSet<&'a str>,
}

impl Writer<'_> {
    pub(super) fn write(&self, messages: &[Message]) -> Vec<Value> {
        let mut written = Vec::new();
        for message in messages {
            let first = written.len();
            match message.role {
                Role::System => {
                    written.push(json!({ "role": self.instruction_role(), "content": message.text() }));
                }
                Role::User => {
                    written.push(json!({ "role": "user", "content": self.content(&message.parts) }));
                }
                Role::Assistant => written.push(self.assistant(message)),
                Role::Tool => self.results(message, &mut written),
            }
            for fields in &mut written[first..] {
                self.add_options(fields, &message.provider_options);
            }
        }
        written
    }

    fn instruction_role(&self) -> &'static str {
        match self.dialect.instruction_role {
            InstructionRole::Developer => "developer",
            InstructionRole::ByModel if thinks(&self.name.model) => "developer",
            InstructionRole::ByModel | InstructionRole::System => "system",
        }
    }

    /// Writes a user's parts; a lone text is a string.
    fn content(&self, parts: &[Part]) -> Value {
        if let [Part::Text(text)] = parts
            && !text.extras.provider_options.contains_key(&self.name.provider)
        {
            return text.text.as_str().into();
        }
        parts.iter().filter_map(|part| self.part(part)).collect()
    }

    fn part(&self, part: &Part) -> Option<Value> {
        let written = match part {
            Part::Text(text) => json!({ "type": "text", "text": text.text }),
            Part::Image(image) => {
                self.file(&image.data, image.media_type.as_deref().unwrap_or("image/*"), None, &image.extras)?
            }
            Part::File(file) => {
                self.file(&file.data, &file.media_type, file.filename.as_deref(), &file.extras)?
            }
            _ => return None,
        };
        Some(self.with_options(written, part.extras()))
    }

    fn file(&self, data: &Data, media_type: &str, name: Option<&str>, extras: &Extras) -> Option<Value> {
        if let Some(id) = data.reference(&self.name.provider) {
            return Some(json!({ "type": "file", "file": { "file_id": id } }));
        }
        let kind = media_type.split('/').next().unwrap_or_default();
        let name = name.unwrap_or(UNNAMED);
        Some(match (kind, data.bytes()) {
            ("image", _) => {
                let mut image = json!({ "url": data.to_url(media_type)? });
                if let Some(detail) = extras.of(&self.name.provider, "detail") {
                    image["detail"] = detail.clone();
                }
                json!({ "type": "image_url", "image_url": image })
            }
            ("audio", Some(bytes)) => {
                let format = if media_type == "audio/wav" { "wav" } else { "mp3" };
                json!({ "type": "input_audio", "input_audio": { "data": BASE64.encode(&bytes), "format": format } })
            }
            ("text", Some(bytes)) => {
                json!({ "type": "text", "text": format!("{name}:\n{}", String::from_utf8_lossy(&bytes)) })
            }
            _ => {
                json!({ "type": "file", "file": { "filename": name, "file_data": data.to_url(media_type)? } })
            }
        })
    }

    fn assistant(&self, message: &Message) -> Value {
        let text = message.text();
        let mut fields = Map::from_iter([("role".to_owned(), json!("assistant"))]);
        let calls: Vec<Value> =
            message.tool_calls().filter(|call| !call.provider_executed).map(|call| self.call(call)).collect();
        let sound = message.parts.iter().find_map(|part| match part {
            Part::File(file) => file.extras.of(&self.name.provider, "id"),
            _ => None,
        });
        let has_text = !text.is_empty() || calls.is_empty() && sound.is_none();
        fields.insert("content".to_owned(), if has_text { text.into() } else { Value::Null });
        if let Some(id) = sound {
            fields.insert("audio".to_owned(), json!({ "id": id }));
        }
        self.thoughts(message, &mut fields);
        if !calls.is_empty() {
            fields.insert("tool_calls".to_owned(), calls.into());
        }
        fields.into()
    }

    fn thoughts(&self, message: &Message, fields: &mut Map<String, Value>) {
        let Some(field) = self.dialect.reasoning_field else { return };
        let mut text = String::new();
        let mut details = Vec::new();
        for part in &message.parts {
            let Part::Reasoning(reasoning) = part else { continue };
            text.push_str(&reasoning.text);
            if let Some(Value::Array(items)) = reasoning.extras.of(&self.name.provider, REASONING_DETAILS) {
                details.extend(items.iter().cloned());
            }
        }
        if !text.is_empty() {
            fields.insert(field.to_owned(), text.into());
        }
        if !details.is_empty() {
            fields.insert(REASONING_DETAILS.to_owned(), details.into());
        }
    }

    fn call(&self, call: &ToolCall) -> Value {
        let mut written = if self.custom_tools.contains(call.name.as_str()) {
            let input = call.input.as_str().map_or_else(|| call.input.to_string(), str::to_owned);
            json!({ "id": call.id, "type": "custom", "custom": { "name": call.name, "input": input } })
        } else {
            // Servers read the arguments of old calls too, and some fail on what is no object.
            let arguments = match &call.input {
                Value::Object(_) => call.input.to_string(),
                Value::Null => "{}".to_owned(),
                other => json!({ "arguments": other }).to_string(),
            };
            json!({ "id": call.id, "type": "function", "function": { "name": call.name, "arguments": arguments } })
        };
        if let Some(extra) = call.extras.of(&self.name.provider, EXTRA_CONTENT) {
            written[EXTRA_CONTENT] = extra.clone();
        }
        self.with_options(written, Some(&call.extras))
    }

    /// Writes the results of calls. They are texts; files follow them in a message of the user.
    fn results(&self, message: &Message, written: &mut Vec<Value>) {
        let mut files = Vec::new();
        for result in message.tool_results() {
            let content = match &result.output {
                ToolOutput::Content(items) => {
                    let shown = self.result_files(result, items);
                    files.extend(shown);
                    result.output.to_text()
                }
                output => output.to_text(),
            };
            let fields = json!({ "role": "tool", "tool_call_id": result.call, "content": content });
            written.push(self.with_options(fields, Some(&result.extras)));
        }
        if !files.is_empty() {
            written.push(json!({ "role": "user", "content": files }));
        }
    }

    fn result_files(&self, result: &ToolResult, items: &[OutputItem]) -> Vec<Value> {
        let files = items.iter().filter_map(|item| match item {
            OutputItem::File { data, media_type, filename, extras } => {
                let file = self.file(data, media_type, filename.as_deref(), extras)?;
                Some(self.with_options(file, Some(extras)))
            }
            _ => None,
        });
        let mut files: Vec<Value> = files.collect();
        if !files.is_empty() {
            let text = format!("Files that the tool {} returned to the call {}:", result.name, result.call);
            files.insert(0, json!({ "type": "text", "text": text }));
        }
        files
    }

    fn with_options(&self, mut fields: Value, extras: Option<&Extras>) -> Value {
        if let Some(extras) = extras {
            self.add_options(&mut fields, &extras.provider_options);
        }
        fields
    }

    /// Adds what the provider shall do with a message or a part: fields of its own.
    fn add_options(&self, fields: &mut Value, options: &ProviderData) {
        let (Value::Object(fields), Some(Value::Object(options))) =
            (fields, options.get(&self.name.provider))
        else {
            return;
        };
        let own = [MADE_BY, "detail", "id", REASONING_DETAILS, EXTRA_CONTENT];
        let more = options.iter().filter(|(name, _)| !own.contains(&name.as_str()));
        fields.extend(more.map(|(name, value)| (name.clone(), value.clone())));
    }
}
