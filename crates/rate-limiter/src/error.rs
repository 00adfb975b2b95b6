//! What can go wrong: a request that comes too early, and one that makes no sense.

use std::fmt;
use std::time::Duration;

use loomwork_core::{Fault, Kind};
use loomwork_store::Error;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::limit::MAX_TEXT_BYTES;
use crate::rules::{MAX_AMOUNT, RulesError};
use crate::tables::HoldId;

/// A request that is refused for now: something that it asks for is not there yet. Nothing was taken, from
/// no limit.
///
/// As JSON it is what a client may see: `{"kind": "RateLimited", "name": …, "retryAfter": …}`, in milliseconds
/// and `null` for never, with all limits that refused in `refused`. Keys are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimited {
    /// Each limit that refused: at least one.
    pub refused: Vec<Refusal>,
}

/// One limit that refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The limit's name.
    pub limit: String,
    /// The key whose share was asked for.
    pub key: Option<String>,
    /// After how long this limit would grant the same request, if nobody else takes from it: not a
    /// millisecond earlier. `None` is never, as with a rate of zero.
    pub retry_after: Option<Duration>,
}

impl RateLimited {
    /// Takes the refusal out of an error that came from a transaction, if it is one.
    pub fn of(error: &Error) -> Option<&Self> {
        error.downcast_ref()
    }

    /// Returns after how long the same request will be granted by all limits, if nobody else takes from
    /// them, or `None` for never.
    pub fn retry_after(&self) -> Option<Duration> {
        self.refused
            .iter()
            .map(|refusal| refusal.retry_after)
            .try_fold(Duration::ZERO, |longest, wait| Some(longest.max(wait?)))
    }

    /// Returns the name of the limit that takes longest.
    pub fn limit(&self) -> &str {
        let waits = |refusal: &&Refusal| refusal.retry_after.unwrap_or(Duration::MAX);
        self.refused.iter().max_by_key(waits).map_or("", |refusal| &refusal.limit)
    }
}

impl fmt::Display for RateLimited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, refusal) in self.refused.iter().enumerate() {
            f.write_str(if at == 0 { "limit " } else { ", and limit " })?;
            write!(f, "{:?}", refusal.limit)?;
            if let Some(key) = &refusal.key {
                write!(f, " of {key:?}")?;
            }
        }
        f.write_str(" has too little left; ")?;
        match self.retry_after() {
            Some(wait) => write!(f, "ask again in {wait:?}"),
            None => f.write_str("waiting will not help, it is not refilled"),
        }
    }
}

impl std::error::Error for RateLimited {}

impl Fault for RateLimited {
    fn kind(&self) -> Kind {
        self.retry_after().map_or(Kind::Denied, |wait| Kind::Limited { wait })
    }
}

impl Serialize for RateLimited {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("kind", "RateLimited")?;
        map.serialize_entry("name", self.limit())?;
        map.serialize_entry("retryAfter", &millis(self.retry_after()))?;
        map.serialize_entry("refused", &self.refused)?;
        map.end()
    }
}

impl Serialize for Refusal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("name", &self.limit)?;
        map.serialize_entry("retryAfter", &millis(self.retry_after))?;
        map.end()
    }
}

fn millis(wait: Option<Duration>) -> Option<u64> {
    wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

/// A call that makes no sense, now or later. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// A limit without a name, or with too long a one.
    #[error("the name of a limit has {bytes} bytes; it must have 1 to {MAX_TEXT_BYTES}")]
    BadName {
        /// What it takes.
        bytes: usize,
    },
    /// A limit whose numbers cannot work.
    #[error("limit {limit:?} cannot work")]
    BadRules {
        /// The limit's name.
        limit: String,
        /// What is wrong.
        source: RulesError,
    },
    /// A key that is no key.
    #[error(
        "a key of limit {limit:?} has {bytes} bytes; it must have 1 to {MAX_TEXT_BYTES}, and `()` is none"
    )]
    BadKey {
        /// The limit's name.
        limit: String,
        /// What it takes.
        bytes: usize,
    },
    /// An account that is none.
    #[error("an account has {bytes} bytes; it must have 1 to {MAX_TEXT_BYTES}")]
    BadAccount {
        /// What it takes.
        bytes: usize,
    },
    /// More than the limit could ever grant; waiting does not help.
    #[error("limit {limit:?} can grant {max} at most, and {amount} were asked for; ask for less at once")]
    ExceedsCapacity {
        /// The limit's name.
        limit: String,
        /// What was asked for.
        amount: u64,
        /// The most that can be granted: the capacity, and the largest debt where owing is allowed.
        max: u64,
    },
    /// An amount beyond [`MAX_AMOUNT`].
    #[error("{amount} of {what:?} is beyond what is counted; the most is {MAX_AMOUNT}")]
    AmountTooLarge {
        /// The limit or account.
        what: String,
        /// The amount.
        amount: u64,
    },
    /// One call that asks for the same share in two ways.
    #[error(
        "one call asks for the same share of limit {limit:?} in two ways: by other rules, or only once with the \
         right to owe; ask once, for the sum"
    )]
    AskedTwice {
        /// The limit's name.
        limit: String,
    },
    /// A hold of nothing.
    #[error("a hold needs something to hold; give it at least one line")]
    EmptyHold,
    /// A hold that ends at once, or too late.
    #[error("a hold cannot last {term:?}; it must last a millisecond to {:?}", crate::MAX_TERM)]
    BadTerm {
        /// How long it was to last.
        term: Duration,
    },
    /// A settlement that does not fit its hold.
    #[error("{hold} has {lines} lines, and {amounts} amounts were given; give one for each, in order")]
    WrongLines {
        /// The hold.
        hold: HoldId,
        /// How many lines it has.
        lines: usize,
        /// How many amounts were given.
        amounts: usize,
    },
    /// A hold that is not there, or has been forgotten since it ended.
    #[error("there is no {hold}; it was never placed, or ended longer ago than {:?}", crate::KEEP_ENDED)]
    UnknownHold {
        /// The hold.
        hold: HoldId,
    },
    /// A hold that has ended, where an open one is needed.
    #[error("{hold} has ended; place a new one")]
    HoldEnded {
        /// The hold.
        hold: HoldId,
    },
    /// A limit whose numbers do not fit the guard of a process.
    #[error("limit {limit:?} cannot guard a process: {why}")]
    NoGuard {
        /// The limit's name.
        limit: String,
        /// What does not fit.
        why: &'static str,
    },
}

impl Fault for LimitError {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownHold { .. } | Self::HoldEnded { .. } => Kind::NotFound,
            _ => Kind::Invalid,
        }
    }
}
