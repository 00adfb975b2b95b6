//! The records of what takes more than one transaction.

use loomwork_core::Time;
use loomwork_store::{Cursor, Table};
use serde::{Deserialize, Serialize};

use super::{MessageStatus, Position, ThreadId};

/// A thread that is being deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "thread_deletions", id = "threaddeletion")]
#[index(unique by_thread(thread))]
#[index(by_due(due))]
pub(crate) struct Deletion {
    pub(crate) thread: ThreadId,
    pub(crate) asked: Time,
    /// When its next step is due: now, or after a step that failed.
    pub(crate) due: Time,
    /// How many rows are gone.
    pub(crate) rows: u64,
}

/// A user whose threads are being marked for deletion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "user_deletions", id = "userdeletion")]
#[index(unique by_user(user))]
#[index(by_due(due))]
pub(crate) struct UserDeletion {
    pub(crate) user: String,
    /// Threads that were made later stay.
    pub(crate) asked: Time,
    pub(crate) due: Time,
}

/// A copy that is being made of a thread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "thread_forks", id = "fork")]
#[index(unique by_thread(thread))]
#[index(by_source(source))]
#[index(by_due(due))]
pub(crate) struct Fork {
    pub(crate) source: ThreadId,
    /// The copy.
    pub(crate) thread: ThreadId,
    /// The last position that is copied.
    pub(crate) until: Position,
    pub(crate) statuses: Vec<MessageStatus>,
    /// Whether calls and results of tools are left out.
    pub(crate) exclude_tools: bool,
    /// What is added to the number of each turn.
    pub(crate) insert_at_order: u64,
    pub(crate) hidden: bool,
    pub(crate) edits: bool,
    /// Edits of no message that were made at this time or later are left out.
    pub(crate) edits_before: Time,
    /// How many rows one transaction reads.
    pub(crate) batch: usize,
    pub(crate) stage: Stage,
    pub(crate) asked: Time,
    pub(crate) due: Time,
    /// How many messages and edits are copied.
    pub(crate) rows: u64,
}

/// How far a copy is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Messages are copied, in order, behind a position.
    Messages(Option<Position>),
    /// Edits are, behind a cursor.
    Edits(Option<Cursor>),
}
