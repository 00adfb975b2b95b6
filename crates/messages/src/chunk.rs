//! What a stream says, chunk by chunk: the vocabulary of live answers.
//!
//! It is the one that web clients of the field read (`UIMessageChunk`), so a stored chunk is handed on as
//! it is.

use loomwork_models::ProviderData;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

impl UiChunk {
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
