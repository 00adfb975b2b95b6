//! The engine's promises, through its public API, on files in folders of their own.

#![expect(clippy::unwrap_used, reason = "what the tests share may panic, as the tests may")]

mod backup;
mod checkpoints;
mod child;
mod contract;
mod damage;
mod full_disk;
mod gate;
mod history;
mod lanes;
mod layout;
mod logged;
mod ownership;
mod place;
mod raw;
mod reading;
mod schema;
mod slow;
mod tables;
mod unfit;
