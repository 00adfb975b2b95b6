//! What a stream says, chunk by chunk: the vocabulary of live answers.
//!
//! It is the one that web clients of the field read (`UIMessageChunk`), so a stored chunk is handed on as
//! it is.

use loomwork_models::{ProviderData, ToolResult};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ui::Outcome;

/// How the type of an application's own chunks begins.
pub const DATA_PREFIX: &str = "data-";

/// The type of the chunk that tells readers to drop what came since the last `start-step`: the model call
/// was cut, and its text starts anew.
pub const RESTART_STEP: &str = "data-restart-step";

/// One step of a live answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of the parts that they become")]
#[non_exhaustive]
pub enum UiChunk {
    /// The answer begins.
    Start {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message_id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message_metadata: Option<Value>,
    },
    /// The answer is complete.
    Finish {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message_metadata: Option<Value>,
    },
    /// What is known of the message besides its parts grows.
    MessageMetadata { message_metadata: Value },
    /// A call of the model begins.
    StartStep,
    /// A call of the model has ended.
    FinishStep,
    /// The answer was called off.
    Abort {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The answer failed.
    Error { error_text: String },
    /// A text begins.
    TextStart {
        id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_metadata: Option<ProviderData>,
    },
    /// A text grows.
    TextDelta {
        id: String,
        delta: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_metadata: Option<ProviderData>,
    },
    /// A text is complete.
    TextEnd {
        id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_metadata: Option<ProviderData>,
    },
    /// Thoughts begin.
    ReasoningStart {
        id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_metadata: Option<ProviderData>,
    },
    /// Thoughts grow.
    ReasoningDelta {
        id: String,
        delta: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_metadata: Option<ProviderData>,
    },
    /// Thoughts are complete.
    ReasoningEnd {
        id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_metadata: Option<ProviderData>,
    },
    /// A file among the thoughts.
    ReasoningFile {
        url: String,
        media_type: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_metadata: Option<ProviderData>,
    },
    /// A part that one provider has and others lack.
    Custom {
        kind: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_metadata: Option<ProviderData>,
    },
    /// A file.
    File {
        url: String,
        media_type: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filename: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_metadata: Option<ProviderData>,
    },
    /// A page that the answer comes from.
    SourceUrl {
        source_id: String,
        url: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_metadata: Option<ProviderData>,
    },
    /// A document that the answer comes from.
    SourceDocument {
        source_id: String,
        media_type: String,
        title: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filename: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_metadata: Option<ProviderData>,
    },
    /// A tool call begins.
    ToolInputStart {
        tool_call_id: String,
        tool_name: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        dynamic: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        provider_executed: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tool_metadata: Option<Value>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_metadata: Option<ProviderData>,
    },
    /// The JSON text of a call's arguments grows.
    ToolInputDelta { tool_call_id: String, input_text_delta: String },
    /// The arguments of a call are complete.
    ToolInputAvailable {
        tool_call_id: String,
        tool_name: String,
        input: Value,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        dynamic: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        provider_executed: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tool_metadata: Option<Value>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_metadata: Option<ProviderData>,
    },
    /// The arguments of a call could not be read.
    ToolInputError {
        tool_call_id: String,
        tool_name: String,
        input: Value,
        error_text: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        dynamic: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        provider_executed: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tool_metadata: Option<Value>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_metadata: Option<ProviderData>,
    },
    /// A tool has returned something; a preliminary output is followed by another.
    ToolOutputAvailable {
        tool_call_id: String,
        output: Value,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        preliminary: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        dynamic: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        provider_executed: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_metadata: Option<ProviderData>,
    },
    /// A tool has failed.
    ToolOutputError {
        tool_call_id: String,
        error_text: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        dynamic: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        provider_executed: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_metadata: Option<ProviderData>,
    },
    /// A tool was not allowed to run.
    ToolOutputDenied { tool_call_id: String },
    /// The question whether a tool may run.
    ToolApprovalRequest {
        approval_id: String,
        tool_call_id: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_automatic: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_metadata: Option<ProviderData>,
    },
    /// The answer to that question.
    ToolApprovalResponse {
        approval_id: String,
        approved: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        provider_executed: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_metadata: Option<ProviderData>,
    },
    /// What an application says in a type of its own.
    #[serde(untagged)]
    Data(DataChunk),
    /// What this version cannot read, so that one such chunk spoils no other.
    #[serde(untagged)]
    Unread(UnreadChunk),
}

/// What an application says in a type of its own, which begins with [`DATA_PREFIX`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawDataChunk")]
pub struct DataChunk {
    #[serde(rename = "type")]
    kind: String,
    /// A later chunk of the same type and id takes the place of this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What is said.
    pub data: Value,
    /// It is for those who are there, and no part of the message.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub transient: bool,
}

impl DataChunk {
    /// Returns a chunk of type `data-<name>`.
    pub fn new(name: &str, data: Value) -> Self {
        Self { kind: format!("{DATA_PREFIX}{name}"), id: None, data, transient: false }
    }

    /// Returns the type, with its prefix.
    pub fn kind(&self) -> &str {
        &self.kind
    }
}

#[derive(Deserialize)]
struct RawDataChunk {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    id: Option<String>,
    data: Value,
    #[serde(default)]
    transient: bool,
}

impl TryFrom<RawDataChunk> for DataChunk {
    type Error = String;

    fn try_from(raw: RawDataChunk) -> Result<Self, String> {
        let RawDataChunk { kind, id, data, transient } = raw;
        if !kind.starts_with(DATA_PREFIX) {
            return Err(format!("{kind:?} is no type of chunk; one of your own begins with {DATA_PREFIX:?}"));
        }
        Ok(Self { kind, id, data, transient })
    }
}

/// A chunk that this version cannot read, as it was: its type is unknown, or a field is missing or wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct UnreadChunk {
    kind: String,
    fields: Map<String, Value>,
}

impl UnreadChunk {
    /// Returns the type, as it was.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns the fields, the type among them.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// Returns whether the type is known, so that a field is what is wrong.
    pub fn has_known_type(&self) -> bool {
        TYPES.contains(&self.kind.as_str()) || self.kind.starts_with(DATA_PREFIX)
    }
}

impl TryFrom<Map<String, Value>> for UnreadChunk {
    type Error = &'static str;

    fn try_from(fields: Map<String, Value>) -> Result<Self, Self::Error> {
        match fields.get("type") {
            Some(Value::String(kind)) => Ok(Self { kind: kind.clone(), fields }),
            _ => Err("a chunk is an object whose `type` is a string"),
        }
    }
}

impl From<UnreadChunk> for Map<String, Value> {
    fn from(chunk: UnreadChunk) -> Self {
        chunk.fields
    }
}

/// The types that this version reads; those of applications come besides.
const TYPES: [&str; 27] = [
    "start",
    "finish",
    "message-metadata",
    "start-step",
    "finish-step",
    "abort",
    "error",
    "text-start",
    "text-delta",
    "text-end",
    "reasoning-start",
    "reasoning-delta",
    "reasoning-end",
    "reasoning-file",
    "custom",
    "file",
    "source-url",
    "source-document",
    "tool-input-start",
    "tool-input-delta",
    "tool-input-available",
    "tool-input-error",
    "tool-output-available",
    "tool-output-error",
    "tool-output-denied",
    "tool-approval-request",
    "tool-approval-response",
];

impl UiChunk {
    /// Returns the name of the chunk's type, as it is in JSON.
    pub fn kind(&self) -> &str {
        match self {
            Self::Data(chunk) => &chunk.kind,
            Self::Unread(chunk) => &chunk.kind,
            known => known.known_kind().unwrap_or_default(),
        }
    }

    /// Returns the name of the chunk's type, if it is one of [`TYPES`].
    pub(crate) fn known_kind(&self) -> Option<&'static str> {
        Some(match self {
            Self::Start { .. } => "start",
            Self::Finish { .. } => "finish",
            Self::MessageMetadata { .. } => "message-metadata",
            Self::StartStep => "start-step",
            Self::FinishStep => "finish-step",
            Self::Abort { .. } => "abort",
            Self::Error { .. } => "error",
            Self::TextStart { .. } => "text-start",
            Self::TextDelta { .. } => "text-delta",
            Self::TextEnd { .. } => "text-end",
            Self::ReasoningStart { .. } => "reasoning-start",
            Self::ReasoningDelta { .. } => "reasoning-delta",
            Self::ReasoningEnd { .. } => "reasoning-end",
            Self::ReasoningFile { .. } => "reasoning-file",
            Self::Custom { .. } => "custom",
            Self::File { .. } => "file",
            Self::SourceUrl { .. } => "source-url",
            Self::SourceDocument { .. } => "source-document",
            Self::ToolInputStart { .. } => "tool-input-start",
            Self::ToolInputDelta { .. } => "tool-input-delta",
            Self::ToolInputAvailable { .. } => "tool-input-available",
            Self::ToolInputError { .. } => "tool-input-error",
            Self::ToolOutputAvailable { .. } => "tool-output-available",
            Self::ToolOutputError { .. } => "tool-output-error",
            Self::ToolOutputDenied { .. } => "tool-output-denied",
            Self::ToolApprovalRequest { .. } => "tool-approval-request",
            Self::ToolApprovalResponse { .. } => "tool-approval-response",
            Self::Data(_) | Self::Unread(_) => return None,
        })
    }

    /// Returns the chunk that shows what a tool returned, as its saved result is shown later.
    pub fn tool_result(result: &ToolResult) -> Self {
        let tool_call_id = result.call.clone();
        let provider_executed = result.provider_executed;
        let metadata = &result.extras.provider_metadata;
        let provider_metadata = (!metadata.is_empty()).then(|| metadata.clone());
        match Outcome::of(&result.output) {
            Outcome::Returned(output) => Self::ToolOutputAvailable {
                tool_call_id,
                output,
                preliminary: false,
                dynamic: false,
                provider_executed,
                provider_metadata,
            },
            Outcome::Failed(error_text) => Self::ToolOutputError {
                tool_call_id,
                error_text,
                dynamic: false,
                provider_executed,
                provider_metadata,
            },
            Outcome::Denied(_) => Self::ToolOutputDenied { tool_call_id },
        }
    }

    /// Returns the chunk that tells readers that a step's text starts anew, as its `attempt`-th attempt.
    pub fn restart_step(attempt: u32) -> Self {
        let data = serde_json::json!({ "attempt": attempt });
        Self::Data(DataChunk { kind: RESTART_STEP.to_owned(), id: None, data, transient: true })
    }

    /// Returns whether the chunk says that the step's text starts anew.
    pub fn is_restart_step(&self) -> bool {
        matches!(self, Self::Data(data) if data.kind == RESTART_STEP)
    }
}
