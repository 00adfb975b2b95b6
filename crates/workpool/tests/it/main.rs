//! What loomwork-workpool promises, through its public API: one module per concept.
#![expect(clippy::duplicate_mod, reason = "the behaviour of jobs is tested over each engine")]

mod model;
mod moments;
mod schedule;
mod schedule_cron;
mod schedule_errors;
mod schedule_far;
mod schedule_properties;
mod schedule_stored;
mod schedule_zones;

/// The behaviour of jobs, over each engine.
macro_rules! over {
    ($engine:ident, $bed:literal) => {
        #[path = "."]
        mod $engine {
            #[path = $bed]
            mod bed;
            mod cancelling;
            mod completing;
            mod crons;
            mod enqueuing;
            mod external;
            mod fairness;
            mod idling;
            mod lending;
            mod observing;
            mod retrying;
            mod running;
            mod sharing;
            mod steering;
            mod yard;
        }
    };
}

over!(memory, "memory.rs");
over!(sqlite, "sqlite.rs");
