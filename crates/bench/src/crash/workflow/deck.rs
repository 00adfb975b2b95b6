//! The rounds: when a process is killed.

use std::time::Duration;

use loomwork_core::Random;
use loomwork_testkit::crash::{Mode, Moment, Point, Sign};

use super::word::{OPENING, READY};

/// One kind of round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Card {
    /// At some moment while workflows are started and run.
    Working,
    /// While the file is opened, or the workflows of the process before are taken over.
    Opening,
    /// At a crash point of the engine, of the pool or of the store.
    Point(&'static str),
}

/// Every file sees each of these once, in an order of its own.
pub(super) const DECK: [Card; 14] = [
    Card::Working,
    Card::Working,
    Card::Working,
    Card::Opening,
    Card::Opening,
    Card::Point("workflow.taken"),
    Card::Point("workflow.step"),
    Card::Point("workflow.acted"),
    Card::Point("workflow.recorded"),
    Card::Point("workflow.returned"),
    Card::Point("workflow.ended"),
    Card::Point("workpool.settled"),
    Card::Point("commit.before"),
    Card::Point("commit.after"),
];

/// Returns the deck in the order in which a file sees it.
pub(super) fn shuffled(random: &Random) -> [Card; DECK.len()] {
    let mut deck = DECK;
    for last in (1..deck.len()).rev() {
        deck.swap(last, random.below(last as u64 + 1) as usize);
    }
    deck
}

/// The longest pause behind the sign, at random.
const WORKING: Duration = Duration::from_millis(500);
const OPENED: Duration = Duration::from_millis(80);
const GONE_ON: Duration = Duration::from_millis(20);

/// A point is awaited up to this many times.
const TIMES: u64 = 60;

impl Card {
    /// Draws when the process of a round is killed.
    pub(super) fn moment(self, random: &Random) -> Moment {
        match self {
            Self::Working => Moment::at(Sign::Said(READY)).pause(WORKING.mul_f64(random.unit())),
            Self::Opening => Moment::at(Sign::Said(OPENING)).pause(OPENED.mul_f64(random.unit())),
            Self::Point(name) => {
                let mode = if random.below(2) == 0 { Mode::Park } else { Mode::Go };
                let point = Point { name, count: 1 + random.below(TIMES), mode };
                Moment::at(Sign::Point(point)).pause(GONE_ON.mul_f64(random.unit()))
            }
        }
    }
}
