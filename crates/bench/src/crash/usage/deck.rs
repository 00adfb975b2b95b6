//! The rounds: when a process is killed.

use std::time::Duration;

use loomwork_core::Random;
use loomwork_testkit::crash::{Mode, Moment, Point, Sign};

use super::word::{OPENING, READY};

/// One kind of round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Card {
    /// At some moment while usage comes and is billed.
    Working,
    /// While the file is opened.
    Opening,
    /// At a crash point of closing or of the store below.
    Point(&'static str),
}

/// Every file sees each of these once, in an order of its own.
pub(super) const DECK: [Card; 10] = [
    Card::Working,
    Card::Working,
    Card::Working,
    Card::Opening,
    Card::Point("usage.checked"),
    Card::Point("usage.checked"),
    Card::Point("usage.closed"),
    Card::Point("usage.closed"),
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
const WORKING: Duration = Duration::from_millis(700);
const OPENED: Duration = Duration::from_millis(60);
const GONE_ON: Duration = Duration::from_millis(20);

/// A point is awaited up to this many times.
const TIMES: u64 = 12;

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
