//! What loomwork-workflow promises, through its public API: one module per concept.
#![expect(clippy::duplicate_mod, reason = "the behaviour of workflows is tested over each engine")]

/// The behaviour of workflows, over the engine of the module that says so.
macro_rules! behaviour {
    () => {
        #[path = "combining.rs"]
        mod combining;
        #[path = "completing.rs"]
        mod completing;
        #[path = "differing.rs"]
        mod differing;
        #[path = "ending.rs"]
        mod ending;
        #[path = "looking.rs"]
        mod looking;
        #[path = "mending.rs"]
        mod mending;
        #[path = "nesting.rs"]
        mod nesting;
        #[path = "owning.rs"]
        mod owning;
        #[path = "refusing.rs"]
        mod refusing;
        #[path = "replaying.rs"]
        mod replaying;
        #[path = "restarting.rs"]
        mod restarting;
        #[path = "reviving.rs"]
        mod reviving;
        #[path = "running.rs"]
        mod running;
        #[path = "starting.rs"]
        mod starting;
        #[path = "undoing.rs"]
        mod undoing;
        #[path = "waiting.rs"]
        mod waiting;
        #[path = "yard.rs"]
        pub(crate) mod yard;
    };
}

mod damage;
mod full;
mod memory;
mod sqlite;
