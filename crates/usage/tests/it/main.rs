//! The tests of usage, in one binary. Modules of behaviour run over the in-memory engine and over SQLite.

/// All modules that hold over any engine.
macro_rules! behaviour {
    () => {
        #[path = "assigning.rs"]
        mod assigning;
        #[path = "budgeting.rs"]
        mod budgeting;
        #[path = "closing.rs"]
        mod closing;
        #[path = "correcting.rs"]
        mod correcting;
        #[path = "defects.rs"]
        mod defects;
        #[path = "desk.rs"]
        mod desk;
        #[path = "exporting.rs"]
        mod exporting;
        #[path = "generating.rs"]
        mod generating;
        #[path = "paying.rs"]
        mod paying;
        #[path = "pricing.rs"]
        mod pricing;
        #[path = "recording.rs"]
        mod recording;
        #[path = "totalling.rs"]
        mod totalling;
    };
}

mod calendars;
mod histories;
mod importing;
mod memory;
mod moneys;
mod sqlite;
mod units;
