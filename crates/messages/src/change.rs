//! Changing and deleting messages.

use loomwork_core::{Fault, Kind};
use loomwork_files::FileId;
use loomwork_models::{FinishReason, Message, ProviderData};
use loomwork_search::vectors;
use loomwork_store::{Result, Row, Tx};

use crate::attachments::{file_of_url, own, release};
use crate::content::{is_of_tools, searchable_text};
use crate::project::file_urls;
use crate::save::{NewMessage, check};
use crate::summaries;
use crate::tables::{Failure, MessageId, MessageRow, MessageStatus, Metadata, Position, ThreadId};

/// How many messages one [`delete_range`] deletes at most.
pub const DELETE_STEP: usize = 64;

/// What is to be changed of a message; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct MessagePatch {
    /// Role and parts. The embedding of the old text goes, and the new one is embedded.
    pub message: Option<Message>,
    /// How a pending message ends.
    pub status: Option<MessageStatus>,
    /// Why it failed or was called off.
    pub error: Option<Failure>,
    /// The model that made it.
    pub model: Option<String>,
    /// The provider of that model.
    pub provider: Option<String>,
    /// What that provider said of the whole message.
    pub provider_metadata: Option<ProviderData>,
    /// Why the model stopped.
    pub finish_reason: Option<FinishReason>,
    /// The files that it refers to.
    pub files: Option<Vec<FileId>>,
    /// What the application keeps with it.
    pub metadata: Option<Metadata>,
}

impl MessageStatus {
    /// Returns whether a message may go from this status to another: only a pending one ends, once.
    pub fn may_become(self, next: Self) -> bool {
        self == next || self == Self::Pending
    }

    /// Returns the name of the status, as it is in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        }
    }
}

/// Changes a message, and returns it as it is now.
///
/// # Errors
/// [`ChangeError`] for a message that is not there or has ended otherwise; a
/// [`SaveError`](crate::SaveError) for parts that are too large.
pub fn update(tx: &mut Tx, id: MessageId, patch: MessagePatch) -> Result<Row<MessageRow>> {
    let row = tx.get(id)?.ok_or(ChangeError::NoMessage { message: id })?;
    if let Some(status) = patch.status.filter(|status| !row.status.may_become(*status)) {
        return Err(ChangeError::Ended { message: id, is: row.status, asked: status }.into());
    }
    let before = row.text.clone();
    let (before_message, owned, status) = (row.message.clone(), row.files.clone(), row.status);
    let mut record = row.record;
    if let Some(message) = patch.message {
        let new = NewMessage::new(message);
        check(0, &new)?;
        record.tool = is_of_tools(&new.message);
        record.text = searchable_text(&new.message);
        record.message = new.message;
    }
    record.status = patch.status.unwrap_or(record.status);
    record.error = patch.error.or(record.error);
    record.model = patch.model.or(record.model);
    record.provider = patch.provider.or(record.provider);
    record.provider_metadata = patch.provider_metadata.unwrap_or(record.provider_metadata);
    record.finish_reason = patch.finish_reason.or(record.finish_reason);
    let named = patch.files.unwrap_or_else(|| without_addressed(&record, &before_message));
    record.files = own(tx, id, &record.message, &named, &owned)?;
    record.metadata = patch.metadata.unwrap_or(record.metadata);
    record.updated = Some(tx.now());
    if record.text != before || has_failed(record.status) {
        // One written by hand too: it stands for what is no longer said.
        vectors::delete_for(tx, id)?;
    }
    if record.message != before_message || record.status != status {
        summaries::forget(tx, record.thread, record.order)?;
    }
    tx.replace(id, record)
}

/// Ends a pending message; one that has ended stays as it is, and is returned as it is.
///
/// # Errors
/// [`ChangeError::NoMessage`] when it is not there.
pub fn settle(
    tx: &mut Tx,
    id: MessageId,
    status: MessageStatus,
    error: Option<Failure>,
) -> Result<Row<MessageRow>> {
    let row = tx.get(id)?.ok_or(ChangeError::NoMessage { message: id })?;
    if row.status != MessageStatus::Pending {
        return Ok(row);
    }
    update(tx, id, MessagePatch { status: Some(status), error, ..MessagePatch::default() })
}

/// Deletes messages, with what hangs on them, and returns which ones were there.
///
/// # Errors
/// When the store cannot be read or written.
pub fn delete(tx: &mut Tx, ids: &[MessageId]) -> Result<Vec<MessageId>> {
    let mut deleted = Vec::new();
    for id in ids {
        if let Some(row) = tx.delete(*id)? {
            release(tx, *id, &row.files)?;
            vectors::delete_for(tx, *id)?;
            summaries::forget(tx, row.thread, row.order)?;
            deleted.push(*id);
        }
    }
    Ok(deleted)
}

/// What one step of a range's deletion has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeDeleted {
    /// Whether nothing is left in the range. If something is, call again with the same range.
    pub done: bool,
    /// The position of the last message that was deleted.
    pub last: Option<Position>,
}

/// Deletes messages from one position on, in front of another, [`DELETE_STEP`] at most.
///
/// # Errors
/// When the store cannot be read or written.
pub fn delete_range(tx: &mut Tx, thread: ThreadId, from: Position, before: Position) -> Result<RangeDeleted> {
    let range = MessageRow::by_position.eq(thread).ge(from).lt(before).take(DELETE_STEP);
    let rows = tx.scan(range)?;
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    delete(tx, &ids)?;
    Ok(RangeDeleted { done: rows.len() < DELETE_STEP, last: rows.last().map(|row| row.position()) })
}

/// Deletes the messages behind a position, [`DELETE_STEP`] at most: what is said again begins there.
///
/// # Errors
/// As [`delete_range`].
pub fn truncate(tx: &mut Tx, thread: ThreadId, behind: Position) -> Result<RangeDeleted> {
    delete_range(
        tx,
        thread,
        Position::new(behind.order, behind.step.saturating_add(1)),
        Position::end_of(u64::MAX),
    )
}

/// Returns the files that a message owns though its former content did not address them.
fn without_addressed(record: &MessageRow, before: &Message) -> Vec<FileId> {
    let addressed: Vec<_> = file_urls(before).into_iter().filter_map(file_of_url).collect();
    record.files.iter().copied().filter(|file| !addressed.contains(file)).collect()
}

fn has_failed(status: MessageStatus) -> bool {
    matches!(status, MessageStatus::Failed | MessageStatus::Aborted)
}

/// Why a message cannot be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// A message that is not there.
    #[error("there is no {message}; it was deleted, or never saved")]
    NoMessage {
        /// The message.
        message: MessageId,
    },
    /// A status that a message which has ended cannot get.
    #[error(
        "{message} is {}, which is final, and cannot become {}; only a pending message changes its status",
        is.as_str(),
        asked.as_str()
    )]
    Ended {
        /// The message.
        message: MessageId,
        /// Its status.
        is: MessageStatus,
        /// The status that was asked for.
        asked: MessageStatus,
    },
}

impl Fault for ChangeError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoMessage { .. } => Kind::NotFound,
            Self::Ended { .. } => Kind::Conflict,
        }
    }
}
