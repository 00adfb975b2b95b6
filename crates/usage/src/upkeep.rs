//! The loops that keep totals and late prices going.

use loomwork_store::Upkeep;

use crate::{fold, reprice};

/// The upkeep of this crate: folds what was recorded into totals and lines, and rates what gets a price late. Start it
/// once in each process with [`Store::start_upkeep`](loomwork_store::Store::start_upkeep), and that of
/// `loomwork-rate-limiter`, which ends holds.
pub fn upkeep() -> [Upkeep; 2] {
    [fold::upkeep(), reprice::upkeep()]
}
