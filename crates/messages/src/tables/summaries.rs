//! The records of summaries.

use loomwork_core::Time;
use loomwork_store::{Id, Table};
use serde::{Deserialize, Serialize};

use super::ThreadId;

/// The id of a summary.
pub type SummaryId = Id<Summary>;

/// What the oldest turns of a thread come to, in short. It is there as long as none of them changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "summaries", id = "summary")]
#[index(unique by_end(thread, to))]
#[non_exhaustive]
pub struct Summary {
    /// The thread.
    pub thread: ThreadId,
    /// The first turn that it covers: the thread's first one.
    pub from: u64,
    /// The last turn that it covers.
    pub to: u64,
    /// What they come to.
    pub text: String,
    /// Who wrote it: the name of a model, or of whatever stands in for one.
    pub author: String,
    /// When it was written.
    pub created: Time,
}
