//! What loomwork-messages promises, through its public API: one module per concept.
#![expect(clippy::duplicate_mod, reason = "the behaviour of threads is tested over each engine")]

/// The behaviour of threads and messages, over the engine of the module that says so.
macro_rules! behaviour {
    () => {
        #[path = "attaching.rs"]
        mod attaching;
        #[path = "changing.rs"]
        mod changing;
        #[path = "deletion.rs"]
        mod deletion;
        #[path = "edits.rs"]
        mod edits;
        #[path = "finding.rs"]
        mod finding;
        #[path = "fork.rs"]
        mod fork;
        #[path = "house.rs"]
        pub(crate) mod house;
        #[path = "listing.rs"]
        mod listing;
        #[path = "members.rs"]
        mod members;
        #[path = "resting.rs"]
        mod resting;
        #[path = "running.rs"]
        mod running;
        #[path = "saving.rs"]
        mod saving;
        #[path = "streaming.rs"]
        mod streaming;
        #[path = "summaries.rs"]
        mod summaries;
        #[path = "threads.rs"]
        mod threads;
        #[path = "viewing.rs"]
        mod viewing;
        #[path = "writing.rs"]
        mod writing;
    };
}

mod damage;
mod large;
mod memory;
mod project;
mod reduce;
mod sqlite;
mod translate;
mod ui;
