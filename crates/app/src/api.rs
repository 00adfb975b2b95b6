//! What clients can ask for, whatever carries the request: each part is a list of operations over the components'
//! functions. HTTP serves them, live queries follow them, the command line calls them, OpenAPI describes them.

mod agents;
mod args;
mod keys;
mod limits;
mod members;
mod messages;
pub(crate) mod operation;
mod page;
mod runs;
mod shapes;
mod threads;

pub(crate) use args::Args;
pub(crate) use operation::{Method, Operation, Run};

use operation::Group;

/// Returns all operations of the app's own.
pub(crate) fn operations() -> Vec<Operation> {
    let groups = [
        agents::operations(),
        threads::operations(),
        members::operations(),
        messages::operations(),
        runs::operations(),
        limits::operations(),
        keys::operations(),
    ];
    groups.into_iter().flat_map(Group::into_operations).collect()
}
