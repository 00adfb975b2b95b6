//! What loomwork-agent promises, through its public API: one module per concept.
#![expect(clippy::duplicate_mod, reason = "what people are asked is tested over each engine")]

/// What people are asked and answer, over the engine of the module that says so.
macro_rules! behaviour {
    () => {
        #[path = "approved.rs"]
        mod approved;
        #[path = "approving.rs"]
        mod approving;
        #[path = "asking.rs"]
        mod asking;
        #[path = "office.rs"]
        mod office;
        #[path = "rewinding.rs"]
        mod rewinding;
    };
}

mod answering;
mod attaching;
mod chaos;
mod compacting;
mod context;
mod costs;
mod delegating;
mod denying;
mod desk;
mod dry_run;
mod durable;
mod editing;
mod ending;
mod hooks;
mod images;
mod ledger;
mod levels;
mod logs;
mod memory;
mod moody;
mod objects;
mod outside;
mod reporting;
mod resuming;
mod sizes;
mod spans;
mod sqlite;
mod stopping;
mod streams;
mod teams;
mod telling;
mod tools;
