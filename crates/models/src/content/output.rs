//! What a tool returns to the model.

use serde_json::{Map, Value, json};

use super::{Data, Extras};

/// The fields that outputs have; what concerns single providers is nothing that a model reads.
const FIELDS: [&str; 4] = ["type", "value", "reason", "providerOptions"];

/// The fields in which older items keep the id of a file.
const ID_FIELDS: [&str; 3] = ["fileId", "reference", "providerReference"];

/// What a tool returns to the model.
///
/// Any value becomes one: a string is text, a value that is an output's JSON is that output, and all else
/// is JSON, an object whose `type` is some other word too.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ToolOutput {
    /// Text.
    Text(String),
    /// Any value.
    Json(Value),
    /// What went wrong, in words.
    ErrorText(String),
    /// What went wrong, as a value.
    ErrorJson(Value),
    /// The call was not allowed.
    Denied {
        /// Why, if that was said.
        reason: Option<String>,
    },
    /// Texts and files.
    Content(Vec<OutputItem>),
}

/// An item of a tool's output.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum OutputItem {
    /// Text.
    Text {
        /// The text.
        text: String,
        /// What it carries besides.
        extras: Extras,
    },
    /// A file or an image.
    File {
        /// Its bytes, or where they are.
        data: Data,
        /// Its media type.
        media_type: String,
        /// Its name.
        filename: Option<String>,
        /// What it carries besides.
        extras: Extras,
    },
    /// An item that one provider has and others lack.
    Custom {
        /// What it carries.
        extras: Extras,
    },
}

impl ToolOutput {
    /// Returns what went wrong as an output.
    pub fn error(text: impl Into<String>) -> Self {
        Self::ErrorText(text.into())
    }

    /// Returns whether the tool failed or was not allowed to run.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::ErrorText(_) | Self::ErrorJson(_) | Self::Denied { .. })
    }

    /// Returns the output as text, for models that read nothing else; files are named, not shown.
    pub fn to_text(&self) -> String {
        match self {
            Self::Text(text) | Self::ErrorText(text) => text.clone(),
            Self::Json(value) | Self::ErrorJson(value) => value.to_string(),
            Self::Denied { reason: Some(reason) } => format!("The call was denied: {reason}"),
            Self::Denied { reason: None } => "The call was denied.".to_owned(),
            Self::Content(items) => items.iter().map(OutputItem::to_text).collect::<Vec<_>>().join("\n"),
        }
    }

    /// Returns what an arbitrary value is as an output.
    pub fn from_value(value: Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text),
            value => match Self::read(&value) {
                Some(output) => output,
                None => Self::Json(value),
            },
        }
    }

    /// Reads an output's JSON; `None` if the value is none.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        let fields = value.as_object()?;
        // What says more than an output does is a value that has such fields by chance.
        if fields.keys().any(|name| !FIELDS.contains(&name.as_str())) {
            return None;
        }
        let text = || fields.get("value").and_then(Value::as_str).map(str::to_owned);
        match fields.get("type")?.as_str()? {
            "text" => text().map(Self::Text),
            "json" => fields.get("value").cloned().map(Self::Json),
            "error-text" => text().map(Self::ErrorText),
            "error-json" => fields.get("value").cloned().map(Self::ErrorJson),
            "execution-denied" => match fields.get("reason") {
                None | Some(Value::Null) => Some(Self::Denied { reason: None }),
                Some(reason) => {
                    reason.as_str().map(|reason| Self::Denied { reason: Some(reason.to_owned()) })
                }
            },
            "content" => {
                let items = fields.get("value")?.as_array()?;
                items.iter().map(OutputItem::read).collect::<Option<_>>().map(Self::Content)
            }
            _ => None,
        }
    }

    /// Returns the output's JSON.
    pub(crate) fn write(&self) -> Value {
        match self {
            Self::Text(text) => json!({ "type": "text", "value": text }),
            Self::Json(value) => json!({ "type": "json", "value": value }),
            Self::ErrorText(text) => json!({ "type": "error-text", "value": text }),
            Self::ErrorJson(value) => json!({ "type": "error-json", "value": value }),
            Self::Denied { reason: None } => json!({ "type": "execution-denied" }),
            Self::Denied { reason: Some(reason) } => json!({ "type": "execution-denied", "reason": reason }),
            Self::Content(items) => {
                json!({ "type": "content", "value": items.iter().map(OutputItem::write).collect::<Vec<_>>() })
            }
        }
    }
}

impl From<&str> for ToolOutput {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for ToolOutput {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Value> for ToolOutput {
    fn from(value: Value) -> Self {
        Self::from_value(value)
    }
}

impl OutputItem {
    /// Returns a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), extras: Extras::default() }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Text { text, .. } => text.clone(),
            Self::File { media_type, filename, .. } => {
                let name = filename.as_deref().unwrap_or("file");
                format!("[{name}, {media_type}]")
            }
            Self::Custom { .. } => String::new(),
        }
    }

    /// Reads an item's JSON, in today's spelling or an older one; `None` if the value is none.
    fn read(value: &Value) -> Option<Self> {
        let mut fields: Map<String, Value> = value.as_object()?.clone();
        let kind = fields.remove("type")?;
        let mut take = |name: &str| fields.remove(name);
        let string = |value: Value| value.as_str().map(str::to_owned);
        let (data, image) = match kind.as_str()? {
            "text" => {
                let text = take("text").and_then(string)?;
                return Some(Self::Text { text, extras: Extras::take(&mut fields) });
            }
            "custom" => return Some(Self::Custom { extras: Extras::take(&mut fields) }),
            "file" | "media" | "file-data" => (Data::read(take("data")?)?, false),
            "image-data" => (Data::read(take("data")?)?, true),
            "file-url" => (Data::Url(string(take("url")?)?), false),
            "image-url" => (Data::Url(string(take("url")?)?), true),
            "file-id" | "file-reference" => {
                (reference(ID_FIELDS.iter().find_map(|name| take(name))?)?, false)
            }
            "image-file-id" | "image-file-reference" => {
                (reference(ID_FIELDS.iter().find_map(|name| take(name))?)?, true)
            }
            _ => return None,
        };
        let media_type = take("mediaType").or_else(|| take("mimeType")).and_then(string);
        let guess = || match (&data, image) {
            (Data::Bytes(bytes), _) => super::guess_media_type(bytes).to_owned(),
            (_, true) => "image/*".to_owned(),
            (_, false) => "application/octet-stream".to_owned(),
        };
        let media_type = media_type.unwrap_or_else(guess);
        let filename = take("filename").and_then(string);
        Some(Self::File { data, media_type, filename, extras: Extras::take(&mut fields) })
    }

    fn write(&self) -> Value {
        let mut fields = Map::new();
        let extras = match self {
            Self::Text { text, extras } => {
                fields.insert("type".into(), "text".into());
                fields.insert("text".into(), text.as_str().into());
                extras
            }
            Self::File { data, media_type, filename, extras } => {
                fields.insert("type".into(), "file".into());
                fields.insert("data".into(), tagged(data));
                fields.insert("mediaType".into(), media_type.as_str().into());
                if let Some(filename) = filename {
                    fields.insert("filename".into(), filename.as_str().into());
                }
                extras
            }
            Self::Custom { extras } => {
                fields.insert("type".into(), "custom".into());
                extras
            }
        };
        extras.write(&mut fields);
        Value::Object(fields)
    }
}

/// The tagged form that files of tool outputs have.
fn tagged(data: &Data) -> Value {
    match data {
        Data::Url(url) => json!({ "type": "url", "url": url }),
        Data::Bytes(_) => json!({ "type": "data", "data": data.write() }),
        Data::Reference(_) => data.write(),
    }
}

/// Older items name a file by its id at some provider, or by an id for each.
fn reference(value: Value) -> Option<Data> {
    match value {
        Value::String(id) => {
            Some(Data::Reference(Map::from_iter([("openai".to_owned(), Value::String(id))])))
        }
        Value::Object(ids) => Some(Data::Reference(ids)),
        _ => None,
    }
}
