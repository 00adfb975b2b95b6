//! What loomwork-core promises, through its public API: one module per concept.

mod api;
mod clock;
mod id;
mod kind;
mod random;
mod retry;
mod secret;
mod stopwatch;
mod tasks;
mod time;
