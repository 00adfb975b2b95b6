//! What loomwork-workpool promises, through its public API: one module per concept.

mod cancelling;
mod completing;
mod crons;
mod enqueuing;
mod fairness;
mod model;
mod moments;
mod retrying;
mod running;
mod schedule;
mod schedule_cron;
mod schedule_errors;
mod schedule_far;
mod schedule_properties;
mod schedule_stored;
mod schedule_zones;
mod sharing;
mod yard;
