//! What loomwork-files promises, through its public API: one module per concept.
#![expect(clippy::duplicate_mod, reason = "the behaviour of files is tested over each engine")]

/// The behaviour of files, over the engine and the place for contents of the module that says so.
macro_rules! behaviour {
    () => {
        #[path = "checking.rs"]
        mod checking;
        #[path = "deleting.rs"]
        mod deleting;
        #[path = "desk.rs"]
        pub(crate) mod desk;
        #[path = "owning.rs"]
        mod owning;
        #[path = "reading.rs"]
        mod reading;
        #[path = "storing.rs"]
        mod storing;
        #[path = "uploading.rs"]
        mod uploading;
        #[path = "vacuuming.rs"]
        mod vacuuming;
    };
}

mod damage;
mod faulty;
mod leftovers;
mod links;
mod media;
mod memory;
mod model;
mod racing;
mod sqlite;
