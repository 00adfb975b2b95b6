//! What loomwork-messages promises, through its public API: one module per concept.
#![expect(clippy::duplicate_mod, reason = "the behaviour of threads is tested over each engine")]

/// The behaviour of threads and messages, over the engine of the module that says so.
macro_rules! behaviour {
    () => {
        #[path = "deletion.rs"]
        mod deletion;
        #[path = "edits.rs"]
        mod edits;
        #[path = "finding.rs"]
        mod finding;
        #[path = "fork.rs"]
        mod fork;
        #[path = "members.rs"]
        mod members;
        #[path = "threads.rs"]
        mod threads;
        #[path = "yard.rs"]
        mod yard;
    };
}

mod memory;
mod sqlite;
