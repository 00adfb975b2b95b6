//! What loomwork-agent promises, through its public API: one module per concept.

mod answering;
mod chaos;
mod context;
mod desk;
mod hooks;
mod ledger;
mod reporting;
mod resuming;
mod spans;
mod tools;
