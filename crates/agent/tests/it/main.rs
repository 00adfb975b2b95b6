//! What loomwork-agent promises, through its public API: one module per concept.

mod answering;
mod attaching;
mod chaos;
mod context;
mod delegating;
mod denying;
mod desk;
mod dry_run;
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
mod sizes;
mod spans;
mod stopping;
mod streams;
mod telling;
mod tools;
