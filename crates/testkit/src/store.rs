//! The suites for storage engines.
//!
//! An engine's tests need one line: `engine_contract!(my_engine, MyPlace::new());`.

pub mod contract;
mod counted;
mod history;
mod model;
mod probe;
mod script;
mod tables;

use std::sync::Arc;

use loomwork_core::{Clock, ManualClock, Random, Time};
use loomwork_store::engine::Engine;
use loomwork_store::{Builder, Memory, Store};

pub use history::history;
pub use model::model_property;
pub use tables::{Account, Chapter, Note, Shelf};

/// A place where a store's rows are: every engine it gives out holds the same ones. One is open
/// at a time.
pub trait Place: Send + Sync {
    /// Gives out an engine over the place's rows.
    fn engine(&self) -> Arc<dyn Engine>;
}

impl Place for Memory {
    fn engine(&self) -> Arc<dyn Engine> {
        Arc::new(self.clone())
    }
}

/// When the suites' clocks start.
pub const START: Time = Time::from_millis(1_700_000_000_000);

/// A store over a place, with a clock that the test turns.
#[derive(Debug)]
pub struct Bench {
    /// The open store.
    pub store: Store,
    /// Its clock.
    pub clock: ManualClock,
}

impl Bench {
    /// Opens the suite's tables over a place.
    pub async fn open(place: &dyn Place) -> Self {
        Self::open_with(place, |builder| builder.tables(tables::all())).await
    }

    /// Opens a store as `build` says, under a clock of the bench.
    ///
    /// # Panics
    /// When the store does not open.
    pub async fn open_with(place: &dyn Place, build: impl FnOnce(Builder) -> Builder) -> Self {
        let clock = Clock::manual(START);
        let builder = Store::builder(place.engine()).clock(clock.clock()).random(Random::seeded(1));
        let store = build(builder).open().await.expect("the store opens");
        Self { store, clock }
    }
}
