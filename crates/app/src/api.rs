//! What clients can ask for, whatever carries the request: each part is a list of operations over the components'
//! functions. HTTP serves them, live queries follow them, the command line calls them, OpenAPI describes them.

mod agents;
pub(crate) mod answering;
pub(crate) mod approvals;
mod args;
pub(crate) mod files;
mod jobs;
mod keys;
#[cfg(feature = "rag")]
mod knowledge;
mod limits;
mod members;
pub(crate) mod messages;
pub(crate) mod operation;
mod page;
mod questions;
mod runs;
mod search;
mod shapes;
mod threads;
#[cfg(feature = "usage")]
mod usage;
#[cfg(feature = "workflow")]
mod workflows;

pub(crate) use args::{ArgTypes, Args};
pub(crate) use operation::{Method, Operation, Run};

use operation::Group;

/// Returns all operations of the app's own.
pub(crate) fn operations() -> Vec<Operation> {
    let groups = [
        agents::operations(),
        threads::operations(),
        members::operations(),
        messages::operations(),
        answering::operations(),
        runs::operations(),
        approvals::operations(),
        questions::operations(),
        files::operations(),
        search::operations(),
        #[cfg(feature = "rag")]
        knowledge::operations(),
        jobs::operations(),
        #[cfg(feature = "workflow")]
        workflows::operations(),
        limits::operations(),
        #[cfg(feature = "usage")]
        usage::operations(),
        keys::operations(),
    ];
    groups.into_iter().flat_map(Group::into_operations).collect()
}
