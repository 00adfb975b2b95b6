//! The store's promises, through its public API, on the in-memory engine.

mod check;
mod contract;
mod depending;
mod faults;
mod history;
mod keys;
mod model;
mod others;
mod power;
mod records;
mod text;
