//! What loomwork-search promises, through its public API: one module per concept.
#![expect(clippy::duplicate_mod, reason = "the behaviour of searches is tested over each engine")]

/// The behaviour of searches, over the engine of the module that says so.
macro_rules! behaviour {
    () => {
        #[path = "embedding.rs"]
        mod embedding;
        #[path = "filtering.rs"]
        mod filtering;
        #[path = "finding.rs"]
        mod finding;
        #[path = "following.rs"]
        mod following;
        #[path = "history.rs"]
        mod history;
        #[path = "refusing.rs"]
        mod refusing;
        #[path = "vectors.rs"]
        mod vectors;
        #[path = "yard.rs"]
        mod yard;
    };
}

mod memory;
mod restoring;
mod sqlite;
