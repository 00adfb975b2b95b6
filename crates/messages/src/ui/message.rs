//! A message as a page shows it.

use loomwork_core::Time;
use loomwork_models::{FinishReason, Role, Usage};
use serde::{Deserialize, Serialize};

use super::UiPart;
use crate::{Failure, MessageStatus, Metadata, RunId, StreamRow, StreamStatus, ThreadId};

/// A message as a page shows it: one of a user or the system, or all that one run has answered.
///
/// Its JSON is that of the messages which web clients of the field read, with more fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UiMessage {
    /// The id of its first row, which it has from its first chunk on.
    pub id: String,
    /// `<thread>-<order>-<step>`, the place of its first row.
    pub key: String,
    /// Its thread.
    #[serde(rename = "threadId")]
    pub thread: ThreadId,
    /// Who says it; never a tool, whose results are with the calls.
    pub role: Role,
    /// Its parts.
    pub parts: Vec<UiPart>,
    /// What the application keeps with it.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// The number of its turn.
    pub order: u64,
    /// The place of its first row within the turn.
    #[serde(rename = "stepOrder")]
    pub step: u64,
    /// Where it stands: where its last row does.
    pub status: UiStatus,
    /// The agent that made it.
    #[serde(rename = "agentName", default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Whose it is.
    #[serde(rename = "userId", default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The run that made it.
    #[serde(rename = "runId", default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Its texts, joined by a space.
    pub text: String,
    /// When its first row was saved.
    #[serde(rename = "creationTime")]
    pub created: Time,
    /// The model that made it; the last one, if there were several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The provider of that model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// What its model calls used together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Why the model stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<FinishReason>,
    /// Why it failed or was called off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// Where a message stands for those who read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UiStatus {
    /// It grows before their eyes.
    Streaming,
    /// It is being made.
    Pending,
    /// It is complete.
    Success,
    /// It could not be made; what came is there.
    Failed,
    /// It was called off; what came is there.
    Aborted,
}

impl UiStatus {
    /// Returns whether more comes.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Streaming | Self::Pending)
    }
}

impl From<MessageStatus> for UiStatus {
    fn from(status: MessageStatus) -> Self {
        match status {
            MessageStatus::Pending => Self::Pending,
            MessageStatus::Success => Self::Success,
            MessageStatus::Failed => Self::Failed,
            MessageStatus::Aborted => Self::Aborted,
        }
    }
}

impl From<UiStatus> for MessageStatus {
    fn from(status: UiStatus) -> Self {
        match status {
            UiStatus::Streaming | UiStatus::Pending => Self::Pending,
            UiStatus::Success => Self::Success,
            UiStatus::Failed => Self::Failed,
            UiStatus::Aborted => Self::Aborted,
        }
    }
}

impl From<StreamStatus> for UiStatus {
    fn from(status: StreamStatus) -> Self {
        match status {
            StreamStatus::Streaming => Self::Streaming,
            StreamStatus::Finished => Self::Success,
            StreamStatus::Aborted => Self::Aborted,
        }
    }
}

impl UiMessage {
    /// Returns the message that a stream shows, whose chunks have made these parts and this metadata.
    pub fn from_stream(stream: &StreamRow, parts: Vec<UiPart>, metadata: Metadata) -> Self {
        Self {
            id: stream.message.to_string(),
            key: key(stream.thread, stream.order, stream.step),
            thread: stream.thread,
            role: Role::Assistant,
            text: text(&parts),
            parts,
            metadata,
            order: stream.order,
            step: stream.step,
            status: stream.status.into(),
            agent: stream.agent.clone(),
            user: stream.user.clone(),
            run: stream.run,
            created: stream.created,
            model: stream.model.clone(),
            provider: stream.provider.clone(),
            usage: None,
            finish_reason: None,
            error: stream.error.clone(),
        }
    }
}

/// Returns the key of a message, which is the same while it streams and when it is saved.
pub(super) fn key(thread: ThreadId, order: u64, step: u64) -> String {
    format!("{thread}-{order}-{step}")
}

/// Returns the texts of parts, joined by a space.
pub(super) fn text(parts: &[UiPart]) -> String {
    let texts = parts.iter().filter_map(UiPart::as_text).filter(|text| !text.is_empty());
    texts.collect::<Vec<_>>().join(" ")
}
