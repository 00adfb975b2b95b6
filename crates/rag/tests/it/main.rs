//! What loomwork-rag promises, through its public API: one module per concept.
#![expect(clippy::duplicate_mod, reason = "the behaviour of knowledge is tested over each engine")]

/// The behaviour of a knowledge base, over the engine of the module that says so.
macro_rules! behaviour {
    () => {
        #[path = "adding.rs"]
        mod adding;
        #[path = "deleting.rs"]
        mod deleting;
        #[path = "filtering.rs"]
        mod filtering;
        #[path = "finding.rs"]
        mod finding;
        #[path = "ingesting.rs"]
        mod ingesting;
        #[path = "migrating.rs"]
        mod migrating;
        #[path = "names.rs"]
        mod names;
        #[path = "publishing.rs"]
        mod publishing;
        #[path = "syncing.rs"]
        mod syncing;
        #[path = "yard.rs"]
        mod yard;
    };
}

mod cutting;
mod loading;
mod memory;
mod prompts;
mod quality;
mod sqlite;
