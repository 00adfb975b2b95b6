//! What loomwork-rate-limiter promises, through its public API: one module per concept.
#![expect(clippy::duplicate_mod, reason = "the behaviour of limits is tested over each engine")]

/// The behaviour of limits, over the engine of the module that says so.
macro_rules! behaviour {
    () => {
        #[path = "chatting.rs"]
        mod chatting;
        #[path = "desk.rs"]
        pub(crate) mod desk;
        #[path = "forgetting.rs"]
        mod forgetting;
        #[path = "holding.rs"]
        mod holding;
        #[path = "operating.rs"]
        mod operating;
        #[path = "racing.rs"]
        mod racing;
        #[path = "refusing.rs"]
        mod refusing;
        #[path = "reserving.rs"]
        mod reserving;
        #[path = "several.rs"]
        mod several;
        #[path = "taking.rs"]
        mod taking;
        #[path = "watching.rs"]
        mod watching;
    };
}

mod counting;
mod damage;
mod exact;
mod faults;
mod guarding;
mod histories;
mod memory;
mod predicting;
mod sqlite;
mod vectors;
