//! What people, models and tools say to each other: messages and their parts.
//!
//! Their JSON is what is stored and what a web client reads: camelCase, roles and part types spelled as
//! the field spells them. Fields that this version does not know are kept, and so are whole parts.

mod data;
mod media;
mod output;
mod part;
mod read;
mod write;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use data::Data;
pub(crate) use data::from_base64;
pub use media::guess_media_type;
pub use output::{OutputItem, ToolOutput};
pub use part::{
    ApprovalRequest, ApprovalResponse, Custom, Extras, File, Image, Part, Reasoning, ReasoningFile,
    RedactedReasoning, Source, SourceKind, Text, ToolCall, ToolResult,
};

/// What concerns single providers: the provider's name, and what it wants or said.
pub type ProviderData = Map<String, Value>;

/// Returns whether a text has nothing to read in it.
pub(crate) fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Whoever runs the program; text only.
    System,
    /// The person who asks.
    User,
    /// The model.
    Assistant,
    /// The program, with the results of tools and the answers to approval requests.
    Tool,
}

impl Role {
    /// Returns the name of the role, as it is in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One message of a conversation.
///
/// Its JSON has a string as `content` where the message is one plain text, and a list of parts elsewhere.
///
/// ```
/// use loomwork_models::{Message, Part};
///
/// let message = Message::user("Hello");
/// let json = serde_json::to_string(&message)?;
/// assert_eq!(json, r#"{"role":"user","content":"Hello"}"#);
/// assert_eq!(serde_json::from_str::<Message>(&json)?, message);
/// assert_eq!(message.parts, [Part::text("Hello")]);
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub parts: Vec<Part>,
    /// What single providers shall do with the message.
    pub provider_options: ProviderData,
    /// Fields that this version does not know.
    pub unknown: Map<String, Value>,
}

impl Message {
    /// Returns a message of these parts.
    pub fn new(role: Role, parts: impl IntoIterator<Item = Part>) -> Self {
        let parts = parts.into_iter().collect();
        Self { role, parts, provider_options: ProviderData::new(), unknown: Map::new() }
    }

    /// Returns an instruction to the model.
    pub fn system(text: impl Into<String>) -> Self {
        Self::new(Role::System, [Part::text(text)])
    }

    /// Returns a person's text.
    pub fn user(text: impl Into<String>) -> Self {
        Self::new(Role::User, [Part::text(text)])
    }

    /// Returns a model's text.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new(Role::Assistant, [Part::text(text)])
    }

    /// Returns the results of tools.
    pub fn tool(results: impl IntoIterator<Item = ToolResult>) -> Self {
        Self::new(Role::Tool, results.into_iter().map(Part::ToolResult))
    }

    /// Returns the texts of the message, joined; reasoning is no part of them.
    pub fn text(&self) -> String {
        self.parts.iter().filter_map(Part::as_text).collect()
    }

    /// Returns the tool calls of the message, in their order.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.parts.iter().filter_map(|part| match part {
            Part::ToolCall(call) => Some(call),
            _ => None,
        })
    }

    /// Returns the tool results of the message, in their order.
    pub fn tool_results(&self) -> impl Iterator<Item = &ToolResult> {
        self.parts.iter().filter_map(|part| match part {
            Part::ToolResult(result) => Some(result),
            _ => None,
        })
    }
}
