//! The parts of a message.

use serde_json::{Map, Value};

use super::{Data, ProviderData, ToolOutput};

/// What any part may carry besides its own fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extras {
    /// What single providers shall do with the part.
    pub provider_options: ProviderData,
    /// What the provider that made the part said of it, such as a signature; it goes back to that
    /// provider only.
    pub provider_metadata: ProviderData,
    /// Fields that this version does not know.
    pub unknown: Map<String, Value>,
}

impl Extras {
    /// Returns what a provider said of the part or shall do with it; options go before metadata.
    pub fn of(&self, provider: &str, name: &str) -> Option<&Value> {
        let bags = [&self.provider_options, &self.provider_metadata];
        bags.into_iter().find_map(|bag| bag.get(provider)?.get(name))
    }
}

/// One part of a message.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Part {
    /// Text, by anybody.
    Text(Text),
    /// An image, by a user.
    Image(Image),
    /// A file, by a user or a model.
    File(File),
    /// A model's thoughts.
    Reasoning(Reasoning),
    /// A file among a model's thoughts.
    ReasoningFile(ReasoningFile),
    /// Thoughts that only their provider can read, in an older spelling.
    RedactedReasoning(RedactedReasoning),
    /// A part that one provider has and others lack.
    Custom(Custom),
    /// Where an answer comes from.
    Source(Source),
    /// A model's wish to have a tool run.
    ToolCall(ToolCall),
    /// What a tool returned.
    ToolResult(ToolResult),
    /// The question whether a tool may run.
    ApprovalRequest(ApprovalRequest),
    /// The answer to that question.
    ApprovalResponse(ApprovalResponse),
    /// A part of a type that this version does not know, as it was.
    Unknown(Map<String, Value>),
}

/// Text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Text {
    /// The text.
    pub text: String,
    /// What it carries besides.
    pub extras: Extras,
}

/// An image.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Its bytes, or where they are.
    pub data: Data,
    /// Its media type, such as `image/png`; guessed from the bytes where it is missing.
    pub media_type: Option<String>,
    /// What it carries besides.
    pub extras: Extras,
}

/// A file.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// Its bytes, or where they are.
    pub data: Data,
    /// Its media type, such as `application/pdf`.
    pub media_type: String,
    /// Its name.
    pub filename: Option<String>,
    /// What it carries besides.
    pub extras: Extras,
}

/// A model's thoughts, as far as its provider shows them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reasoning {
    /// The thoughts; empty where the provider hides them.
    pub text: String,
    /// What it carries besides, such as the provider's signature.
    pub extras: Extras,
}

/// A file among a model's thoughts.
#[derive(Clone, Debug, PartialEq)]
pub struct ReasoningFile {
    /// Its bytes, or where they are.
    pub data: Data,
    /// Its media type.
    pub media_type: String,
    /// What it carries besides.
    pub extras: Extras,
}

/// Thoughts that only their provider can read, in an older spelling.
#[derive(Clone, Debug, PartialEq)]
pub struct RedactedReasoning {
    /// The thoughts, sealed.
    pub data: String,
    /// What it carries besides.
    pub extras: Extras,
}

/// A part that one provider has and others lack.
#[derive(Clone, Debug, PartialEq)]
pub struct Custom {
    /// What it is: `openai.compaction`.
    pub kind: String,
    /// What it carries.
    pub extras: Extras,
}

/// Where an answer comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Its id, unique within the message.
    pub id: String,
    /// What it is.
    pub kind: SourceKind,
    /// Its title.
    pub title: Option<String>,
    /// What it carries besides.
    pub extras: Extras,
}

/// What a source is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SourceKind {
    /// A page of the web.
    Url {
        /// Its address.
        url: String,
    },
    /// A document.
    Document {
        /// Its media type.
        media_type: String,
        /// Its name as a file.
        filename: Option<String>,
    },
}

/// A model's wish to have a tool run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolCall {
    /// The id that the result names.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The arguments; the text as it came if they were no JSON.
    pub input: Value,
    /// Why the arguments could not be read; the tool must not run then.
    pub invalid: Option<String>,
    /// Whether the provider runs the tool itself.
    pub provider_executed: bool,
    /// A title for people; models don't see it.
    pub title: Option<String>,
    /// What the tool's owner attached; models don't see it.
    pub tool_metadata: Option<Value>,
    /// What it carries besides.
    pub extras: Extras,
}

/// What a tool returned.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolResult {
    /// The id of the call.
    pub call: String,
    /// The tool.
    pub name: String,
    /// What it returned.
    pub output: ToolOutput,
    /// Whether the provider ran the tool itself.
    pub provider_executed: bool,
    /// What it carries besides.
    pub extras: Extras,
}

/// The question whether a tool may run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApprovalRequest {
    /// The id that the response names.
    pub id: String,
    /// The id of the call in question.
    pub call: String,
    /// Whether a rule asked instead of a person being asked.
    pub automatic: bool,
    /// Proves that the request is ours when it comes back from a client.
    pub signature: Option<String>,
    /// What it carries besides.
    pub extras: Extras,
}

/// The answer to an approval request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApprovalResponse {
    /// The id of the request.
    pub id: String,
    /// Whether the tool may run.
    pub approved: bool,
    /// Why, in words that the model may read.
    pub reason: Option<String>,
    /// Whether the provider runs the tool itself.
    pub provider_executed: bool,
    /// What it carries besides.
    pub extras: Extras,
}

impl Part {
    /// Returns a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Text { text: text.into(), extras: Extras::default() })
    }

    /// Returns a model's thoughts.
    pub fn reasoning(text: impl Into<String>) -> Self {
        Self::Reasoning(Reasoning { text: text.into(), extras: Extras::default() })
    }

    /// Returns an image from its address.
    pub fn image_url(url: impl Into<String>) -> Self {
        Self::Image(Image { data: Data::Url(url.into()), media_type: None, extras: Extras::default() })
    }

    /// Returns an image from its bytes.
    pub fn image(data: impl Into<Data>) -> Self {
        Self::Image(Image { data: data.into(), media_type: None, extras: Extras::default() })
    }

    /// Returns a file.
    pub fn file(data: impl Into<Data>, media_type: impl Into<String>) -> Self {
        let (data, media_type) = (data.into(), media_type.into());
        Self::File(File { data, media_type, filename: None, extras: Extras::default() })
    }

    /// Returns a tool call.
    pub fn tool_call(id: impl Into<String>, name: impl Into<String>, input: Value) -> Self {
        Self::ToolCall(ToolCall { id: id.into(), name: name.into(), input, ..ToolCall::default() })
    }

    /// Returns the text, if the part is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(&text.text),
            _ => None,
        }
    }

    /// Returns the name of the part's type, as it is in JSON.
    pub fn type_name(&self) -> &str {
        match self {
            Self::Text(_) => "text",
            Self::Image(_) => "image",
            Self::File(_) => "file",
            Self::Reasoning(_) => "reasoning",
            Self::ReasoningFile(_) => "reasoning-file",
            Self::RedactedReasoning(_) => "redacted-reasoning",
            Self::Custom(_) => "custom",
            Self::Source(_) => "source",
            Self::ToolCall(_) => "tool-call",
            Self::ToolResult(_) => "tool-result",
            Self::ApprovalRequest(_) => "tool-approval-request",
            Self::ApprovalResponse(_) => "tool-approval-response",
            Self::Unknown(fields) => fields.get("type").and_then(Value::as_str).unwrap_or("unknown"),
        }
    }

    /// Returns what the part carries besides its own fields; a part of unknown type has none.
    pub fn extras(&self) -> Option<&Extras> {
        Some(match self {
            Self::Text(part) => &part.extras,
            Self::Image(part) => &part.extras,
            Self::File(part) => &part.extras,
            Self::Reasoning(part) => &part.extras,
            Self::ReasoningFile(part) => &part.extras,
            Self::RedactedReasoning(part) => &part.extras,
            Self::Custom(part) => &part.extras,
            Self::Source(part) => &part.extras,
            Self::ToolCall(part) => &part.extras,
            Self::ToolResult(part) => &part.extras,
            Self::ApprovalRequest(part) => &part.extras,
            Self::ApprovalResponse(part) => &part.extras,
            Self::Unknown(_) => return None,
        })
    }

    /// Returns what the part carries besides its own fields, to be changed.
    pub fn extras_mut(&mut self) -> Option<&mut Extras> {
        Some(match self {
            Self::Text(part) => &mut part.extras,
            Self::Image(part) => &mut part.extras,
            Self::File(part) => &mut part.extras,
            Self::Reasoning(part) => &mut part.extras,
            Self::ReasoningFile(part) => &mut part.extras,
            Self::RedactedReasoning(part) => &mut part.extras,
            Self::Custom(part) => &mut part.extras,
            Self::Source(part) => &mut part.extras,
            Self::ToolCall(part) => &mut part.extras,
            Self::ToolResult(part) => &mut part.extras,
            Self::ApprovalRequest(part) => &mut part.extras,
            Self::ApprovalResponse(part) => &mut part.extras,
            Self::Unknown(_) => return None,
        })
    }
}

impl ToolResult {
    /// Returns the result of a call.
    pub fn new(call: &ToolCall, output: impl Into<ToolOutput>) -> Self {
        let (call, name) = (call.id.clone(), call.name.clone());
        Self { call, name, output: output.into(), provider_executed: false, extras: Extras::default() }
    }
}
