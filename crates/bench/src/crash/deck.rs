//! What kinds of rounds a group has, and when a process is killed in each.

use std::time::Duration;

use loomwork_core::Random;
use loomwork_testkit::crash::{Mode, Moment, Point, Sign};

/// A process says this before it opens the store.
pub(super) const OPENING: &str = "opening";
/// A process says this when all that it does has begun.
pub(super) const READY: &str = "ready";

/// The longest pause behind a crash point, at random.
const GONE_ON: Duration = Duration::from_millis(20);

/// One kind of round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Card {
    /// At some moment while a process does its work.
    Working,
    /// While the store is opened, or what the process before has left is taken over.
    Opening,
    /// At a crash point.
    Point(&'static str),
}

/// The kinds of rounds of a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deck {
    /// Every place sees each of these once, in an order of its own.
    pub(super) cards: &'static [Card],
    /// The longest pause behind the sign while a process works, at random.
    pub(super) working: Duration,
    /// The same while it opens the store.
    pub(super) opening: Duration,
    /// A point is awaited up to this many times.
    pub(super) times: u64,
}

impl Deck {
    /// Draws when the process of a round is killed.
    pub(super) fn moment(&self, card: Card, random: &Random) -> Moment {
        match card {
            Card::Working => Moment::at(Sign::Said(READY)).pause(self.working.mul_f64(random.unit())),
            Card::Opening => Moment::at(Sign::Said(OPENING)).pause(self.opening.mul_f64(random.unit())),
            Card::Point(name) => at_point(name, self.times, random),
        }
    }
}

/// Draws a kill at a crash point, or shortly behind it; the point is awaited up to so many times.
pub(super) fn at_point(name: &'static str, times: u64, random: &Random) -> Moment {
    let mode = if random.below(2) == 0 { Mode::Park } else { Mode::Go };
    let point = Point { name, count: 1 + random.below(times), mode };
    Moment::at(Sign::Point(point)).pause(GONE_ON.mul_f64(random.unit()))
}

/// Returns the cards in the order in which a place sees them.
pub(super) fn shuffled<T: Clone>(cards: &[T], random: &Random) -> Vec<T> {
    let mut deck = cards.to_vec();
    for last in (1..deck.len()).rev() {
        deck.swap(last, random.below(last as u64 + 1) as usize);
    }
    deck
}
