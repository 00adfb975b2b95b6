//! The records of edits.

use loomwork_core::Time;
use loomwork_store::Table;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{MessageId, Metadata, ThreadId};

/// What was done to a document or canvas beside the conversation, as a point of reference for later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "edits", id = "edit", feed)]
#[index(unique by_target(thread, target, version))]
#[index(by_thread(thread))]
#[index(by_age(created))]
#[non_exhaustive]
pub struct Edit {
    /// Its thread.
    pub thread: ThreadId,
    /// What was edited: the name of a document, a cell, a node.
    pub target: String,
    /// What was done to it: `insert`, `replace`, `style`.
    pub kind: String,
    /// Counts the edits of the target, from 1; a number is given once.
    pub version: u64,
    /// What was changed.
    pub change: EditChange,
    /// The text that an agent reads, and by which the edit is found.
    pub snippet: String,
    /// Who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The message that asked for it or told of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageId>,
    /// What the application keeps with it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Metadata,
    /// When it was done.
    pub created: Time,
}

/// What an edit changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EditChange {
    /// That is not said.
    #[default]
    Unsaid,
    /// What was there before, and what is there now.
    Replaced {
        /// Before; `null` if there was nothing.
        before: Value,
        /// Now; `null` if nothing is left.
        after: Value,
    },
    /// A patch, in the form that the application uses.
    Patch(Value),
}

/// What has been edited, which outlives its edits: versions are counted on from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "edit_targets", id = "edittarget")]
#[index(unique by_target(thread, target))]
#[index(by_kept(kept))]
pub(crate) struct EditTarget {
    pub(crate) thread: ThreadId,
    pub(crate) target: String,
    /// The last version that was given.
    pub(crate) version: u64,
    /// How many of its edits there are.
    pub(crate) kept: u64,
}

/// How many edits a thread has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "edit_logs", id = "editlog")]
#[index(unique by_thread(thread))]
#[index(by_kept(kept))]
pub(crate) struct EditLog {
    pub(crate) thread: ThreadId,
    pub(crate) kept: u64,
}
