//! What loomwork-workpool promises, through its public API: one module per concept.
#![expect(clippy::duplicate_mod, reason = "the behaviour of jobs is tested over each engine")]

/// The behaviour of jobs, over the engine of the module that says so.
macro_rules! behaviour {
    () => {
        #[path = "cancelling.rs"]
        mod cancelling;
        #[path = "completing.rs"]
        mod completing;
        #[path = "crons.rs"]
        mod crons;
        #[path = "enqueuing.rs"]
        mod enqueuing;
        #[path = "external.rs"]
        mod external;
        #[path = "fairness.rs"]
        mod fairness;
        #[path = "idling.rs"]
        mod idling;
        #[path = "lending.rs"]
        mod lending;
        #[path = "observing.rs"]
        mod observing;
        #[path = "retrying.rs"]
        mod retrying;
        #[path = "running.rs"]
        mod running;
        #[path = "sharing.rs"]
        mod sharing;
        #[path = "steering.rs"]
        mod steering;
        #[path = "yard.rs"]
        pub(crate) mod yard;
    };
}

mod damage;
mod memory;
mod model;
mod moments;
mod schedule;
mod schedule_cron;
mod schedule_errors;
mod schedule_far;
mod schedule_properties;
mod schedule_stored;
mod schedule_zones;
mod sqlite;
