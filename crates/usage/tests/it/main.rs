//! What loomwork-usage promises, through its public API: one module per concept.
#![expect(clippy::duplicate_mod, reason = "the behaviour of usage is tested over each engine")]

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
        #[path = "making_up.rs"]
        mod making_up;
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
