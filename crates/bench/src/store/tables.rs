//! The group's records: a message of about 400 bytes under three indexes, its thread and its user.

use loomwork_store::{Table, TableDef};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "messages", id = "message")]
#[index(by_thread(thread, position))]
#[index(by_user(user, position))]
#[index(by_status(status, position))]
pub(crate) struct Message {
    pub(crate) thread: u64,
    pub(crate) position: u64,
    pub(crate) user: String,
    pub(crate) status: String,
    pub(crate) text: String,
}

impl Message {
    pub(crate) fn new(thread: u64, position: u64) -> Self {
        Self {
            thread,
            position,
            user: format!("user-{}", thread % 100),
            status: "success".to_owned(),
            text: "lorem ipsum dolor sit amet ".repeat(12),
        }
    }
}

/// The same record, in the order of its threads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "clustered", id = "clustered", clustered = by_thread)]
#[index(by_thread(thread, position))]
pub(crate) struct Clustered {
    pub(crate) thread: u64,
    pub(crate) position: u64,
    pub(crate) text: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "threads", id = "thread")]
#[index(unique by_number(number))]
pub(crate) struct Thread {
    pub(crate) number: u64,
    pub(crate) messages: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "jobs", id = "job")]
#[index(due(due))]
pub(crate) struct Job {
    pub(crate) due: u64,
    pub(crate) thread: u64,
}

pub(crate) fn all() -> [TableDef; 4] {
    [Message::table(), Clustered::table(), Thread::table(), Job::table()]
}
