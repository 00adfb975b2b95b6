//! The arithmetic of limits: pure, in whole numbers, without a store.
//!
//! A balance is counted in units of 1/period of a token, so that what a bucket gains in a millisecond is
//! a whole number of them: its rate. All bounds are chosen so that no step overflows an `i128`.

use std::time::Duration;

use loomwork_core::Time;
use serde::{Deserialize, Serialize};

/// The most tokens that a limit or a request may speak of: money in billionths of a dollar reaches a
/// billion dollars.
pub const MAX_AMOUNT: u64 = 1_000_000_000_000_000_000;

/// The longest period of a limit: a hundred years.
pub const MAX_PERIOD: Duration = Duration::from_secs(36_525 * 24 * 60 * 60);

const MAX_PERIOD_MS: u64 = MAX_PERIOD.as_millis() as u64;

/// How a balance grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Algorithm {
    /// Evenly, millisecond by millisecond.
    TokenBucket,
    /// By the whole rate where a period begins.
    FixedWindow,
}

/// Why numbers are no rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// A period of zero, or with a part of a millisecond.
    #[error("its period is {period:?}; it must be whole milliseconds, at least one")]
    NotWholeMillis {
        /// The period.
        period: Duration,
    },
    /// A period beyond [`MAX_PERIOD`].
    #[error("its period is {period:?}; the longest is {MAX_PERIOD:?}")]
    PeriodTooLong {
        /// The period.
        period: Duration,
    },
    /// A number beyond [`MAX_AMOUNT`].
    #[error("its {what} is {tokens}; the most is {MAX_AMOUNT}")]
    TooMany {
        /// Which number it is.
        what: &'static str,
        /// The number.
        tokens: u64,
    },
    /// A token bucket that begins at a time.
    #[error("it is a token bucket with a start; only fixed windows begin at a time")]
    BucketWithStart,
}

/// The rules by which a balance changes: a [`Limit`](crate::Limit) as it applies to one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "Written")]
pub struct Rules {
    algorithm: Algorithm,
    rate: u64,
    period_ms: u64,
    capacity: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_debt: Option<u64>,
    /// One of the moments at which a window begins; of no meaning to a bucket.
    start: Time,
}

/// Rules as they come from outside.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    algorithm: Algorithm,
    rate: u64,
    period_ms: u64,
    capacity: u64,
    #[serde(default)]
    max_debt: Option<u64>,
    start: Time,
}

impl TryFrom<Written> for Rules {
    type Error = RulesError;

    fn try_from(from: Written) -> Result<Self, RulesError> {
        Self::new(from.algorithm, from.rate, from.period_ms, from.capacity, from.max_debt, from.start)
    }
}

/// What a key had at a time. Plain data: any values are taken as they are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Level {
    /// The whole tokens, rounded down; negative while tokens are owed.
    pub value: i64,
    /// The part of a further token, in 1/period of it with the period in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub part: u64,
    /// When that was so; with fixed windows, when the window began.
    pub at: Time,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is granted, and may be used from `start` on.
    Granted { level: Level, start: Time },
    /// It is refused; the same request will be granted at `retry_at`, or never.
    Refused { retry_at: Option<Time> },
}

impl Rules {
    pub(crate) fn new(
        algorithm: Algorithm,
        rate: u64,
        period_ms: u64,
        capacity: u64,
        max_debt: Option<u64>,
        start: Time,
    ) -> Result<Self, RulesError> {
        if period_ms == 0 {
            return Err(RulesError::NotWholeMillis { period: Duration::ZERO });
        }
        if period_ms > MAX_PERIOD_MS {
            return Err(RulesError::PeriodTooLong { period: Duration::from_millis(period_ms) });
        }
        let numbers = [("rate", rate), ("capacity", capacity), ("largest debt", max_debt.unwrap_or(0))];
        match numbers.into_iter().find(|(_, tokens)| *tokens > MAX_AMOUNT) {
            Some((what, tokens)) => Err(RulesError::TooMany { what, tokens }),
            None => Ok(Self { algorithm, rate, period_ms, capacity, max_debt, start }),
        }
    }

    /// Returns how a balance grows.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns how many tokens come in each period.
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// Returns how long a period is.
    pub fn period(&self) -> Duration {
        Duration::from_millis(self.period_ms)
    }

    /// Returns how many tokens a balance holds at most.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Returns what a key has that has never taken anything.
    pub fn fresh(&self, now: Time) -> Level {
        self.level(self.full(), self.window_of(now))
    }

    /// Returns what a key has at a time, if it takes nothing before. A balance never goes back in time:
    /// where `now` is before it, it stays as it is.
    pub fn forward(&self, level: Level, now: Time) -> Level {
        let begin = self.window_of(level.at);
        let elapsed = i128::from(now.millis()) - i128::from(begin.millis());
        if elapsed <= 0 {
            return self.level(self.units(level).min(self.full()), begin);
        }
        let (gain, at) = match self.algorithm {
            Algorithm::TokenBucket => (elapsed * i128::from(self.rate), now),
            Algorithm::FixedWindow => {
                let windows = elapsed / self.millis();
                (windows * self.gain_of_a_window(), self.window_of(now))
            }
        };
        self.level((self.units(level) + gain).min(self.full()), at)
    }

    /// Decides about a request, without or with the right to owe.
    pub(crate) fn decide(&self, level: Level, now: Time, amount: u64, may_owe: bool) -> Decision {
        if self.excess(amount, may_owe).is_some() {
            return Decision::Refused { retry_at: None };
        }
        let level = self.forward(level, now);
        let left = self.left(level, amount);
        // What is owed and never paid back is never granted, so it must not be promised for later either.
        let Some(paid_at) = self.gained_at(level, -left) else { return Decision::Refused { retry_at: None } };
        let lowest = if may_owe { -self.of_tokens(self.debt()) } else { 0 };
        if left < lowest {
            return Decision::Refused { retry_at: self.gained_at(level, lowest - left) };
        }
        let start = if left < 0 { paid_at } else { now };
        Decision::Granted { level: self.level(left, level.at), start }
    }

    /// Returns the most that could ever be granted, if an amount is more.
    pub(crate) fn excess(&self, amount: u64, may_owe: bool) -> Option<u64> {
        let most = if may_owe { self.capacity + self.debt() } else { self.capacity };
        (amount > most).then_some(most)
    }

    /// Returns what is there after so many tokens were given back, and so many taken whether they are there
    /// or not.
    pub(crate) fn settle(&self, level: Level, now: Time, given: u64, taken: u64) -> Level {
        let level = self.forward(level, now);
        let units = self.units(level) + self.of_tokens(given) - self.of_tokens(taken);
        self.level(units.clamp(-self.of_tokens(MAX_AMOUNT), self.full()), level.at)
    }

    /// Returns how many tokens there would be after a request, rounded down, and when nothing would be owed
    /// any more.
    pub(crate) fn after(&self, level: Level, amount: u64) -> (i64, Option<Time>) {
        let left = self.left(level, amount);
        (self.level(left, level.at).value, self.gained_at(level, -left))
    }

    /// Returns when a balance will be full, or nothing if never.
    pub(crate) fn full_at(&self, level: Level) -> Option<Time> {
        self.gained_at(level, self.full() - self.units(level))
    }

    /// When a balance will have gained so many units: a time at which it has them, the earliest.
    fn gained_at(&self, level: Level, units: i128) -> Option<Time> {
        if units <= 0 {
            return Some(level.at);
        }
        let (gain, span) = match self.algorithm {
            Algorithm::TokenBucket => (i128::from(self.rate), 1),
            Algorithm::FixedWindow => (self.gain_of_a_window(), self.millis()),
        };
        if gain == 0 {
            return None;
        }
        let wait = (units + gain - 1) / gain * span;
        i64::try_from(i128::from(level.at.millis()) + wait).ok().map(Time::from_millis)
    }

    fn gain_of_a_window(&self) -> i128 {
        self.of_tokens(self.rate)
    }

    /// The begin of the window that a time is in; for a bucket, the time.
    fn window_of(&self, time: Time) -> Time {
        match self.algorithm {
            Algorithm::TokenBucket => time,
            Algorithm::FixedWindow => {
                let start = i128::from(self.start.millis());
                let windows = (i128::from(time.millis()) - start).div_euclid(self.millis());
                let begin = (start + windows * self.millis()).max(i64::MIN.into());
                // At `time` or before it, so only the lower bound had to be seen to.
                Time::from_millis(begin as i64)
            }
        }
    }

    fn millis(&self) -> i128 {
        self.period_ms.into()
    }

    fn debt(&self) -> u64 {
        self.max_debt.unwrap_or(MAX_AMOUNT)
    }

    fn full(&self) -> i128 {
        self.of_tokens(self.capacity)
    }

    fn of_tokens(&self, tokens: u64) -> i128 {
        i128::from(tokens) * self.millis()
    }

    fn units(&self, level: Level) -> i128 {
        i128::from(level.value) * self.millis() + i128::from(level.part.min(self.period_ms - 1))
    }

    fn left(&self, level: Level, amount: u64) -> i128 {
        self.units(level) - self.of_tokens(amount)
    }

    fn level(&self, units: i128, at: Time) -> Level {
        let value = units.div_euclid(self.millis()).clamp(i64::MIN.into(), i64::MAX.into());
        Level { value: value as i64, part: units.rem_euclid(self.millis()) as u64, at }
    }

    pub(crate) fn period_ms(&self) -> u64 {
        self.period_ms
    }
}
