//! What loomwork-agent promises, through its public API: one module per concept.

mod answering;
mod chaos;
mod context;
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
mod moody;
mod objects;
mod outside;
mod reporting;
mod resuming;
mod spans;
mod telling;
mod tools;
