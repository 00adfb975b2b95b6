//! What loomwork-agent promises, through its public API: one module per concept.

mod answering;
mod context;
mod desk;
mod ledger;
mod reporting;
mod resuming;
mod tools;
