//! What holds a call up.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// A limit that a call has to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Requests(NonZeroU32),
    Tokens(NonZeroU32),
    Concurrent(NonZeroU32),
    /// The provider has refused a call and wants to be left in peace.
    Provider,
}

impl Limit {
    /// Returns its name in errors of kind `rate_limited`.
    pub(super) const fn scope(self) -> &'static str {
        match self {
            Self::Requests(_) => "requests",
            Self::Tokens(_) => "tokens",
            Self::Concurrent(_) => "concurrent",
            Self::Provider => "provider",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requests(limit) => write!(formatter, "the limit of {limit} requests a minute"),
            Self::Tokens(limit) => write!(formatter, "the limit of {limit} tokens a minute"),
            Self::Concurrent(limit) => write!(formatter, "the limit of {limit} calls at once"),
            Self::Provider => formatter.write_str("the pause that the provider asked for"),
        }
    }
}

/// A limit that lets nothing pass at present, and for how long if that is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) by: Limit,
    pub(super) wait: Duration,
}
