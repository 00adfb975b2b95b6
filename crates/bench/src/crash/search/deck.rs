//! The rounds: what a process finds, and when it is killed.

use std::time::Duration;

use loomwork_core::Random;
use loomwork_testkit::crash::{Moment, Sign};

use crate::crash::deck::{OPENING, READY, at_point};

/// One kind of round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Card {
    /// At some moment while rows are written, committed and searched.
    Working(Before),
    /// While the index is opened.
    Opening(Before),
    /// At a crash point of the index or of the store below.
    Point(Before, &'static str),
}

/// What a process finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// What the last one left.
    AsLeft,
    /// The index's folder is gone.
    NoIndex,
    /// The index is a copy from an earlier round.
    OlderIndex,
    /// The store is a copy from an earlier round, so that the index is ahead.
    OlderStore,
}

/// Every store sees each of these once, in an order of its own.
pub(super) const DECK: [Card; 18] = [
    Card::Working(Before::AsLeft),
    Card::Working(Before::AsLeft),
    Card::Working(Before::NoIndex),
    Card::Working(Before::OlderIndex),
    Card::Working(Before::OlderStore),
    Card::Opening(Before::AsLeft),
    Card::Opening(Before::NoIndex),
    Card::Opening(Before::OlderStore),
    Card::Point(Before::NoIndex, "search.filling"),
    Card::Point(Before::AsLeft, "search.text"),
    Card::Point(Before::OlderIndex, "search.text"),
    Card::Point(Before::AsLeft, "search.sealed"),
    Card::Point(Before::AsLeft, "search.listed"),
    Card::Point(Before::AsLeft, "search.merged"),
    Card::Point(Before::OlderIndex, "search.sealed"),
    Card::Point(Before::AsLeft, "search.committed"),
    Card::Point(Before::OlderStore, "search.committed"),
    Card::Point(Before::AsLeft, "commit.after"),
];

/// The longest pause behind the sign, at random.
const WORKING: Duration = Duration::from_millis(800);
const OPENED: Duration = Duration::from_millis(40);

impl Card {
    pub(super) fn before(self) -> Before {
        match self {
            Self::Working(before) | Self::Opening(before) | Self::Point(before, _) => before,
        }
    }

    /// Draws when the process of a round is killed.
    pub(super) fn moment(self, random: &Random) -> Moment {
        match self {
            Self::Working(_) => Moment::at(Sign::Said(READY)).pause(WORKING.mul_f64(random.unit())),
            Self::Opening(_) => Moment::at(Sign::Said(OPENING)).pause(OPENED.mul_f64(random.unit())),
            Self::Point(_, name) => at_point(name, times(name), random),
        }
    }
}

/// A point is awaited up to this many times: some are passed seldom.
fn times(name: &str) -> u64 {
    match name {
        "search.filling" | "search.merged" => 1,
        "commit.after" => 60,
        _ => 8,
    }
}
