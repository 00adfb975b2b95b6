//! Limits: the constants that say how much may be taken.

use std::borrow::Cow;
use std::time::Duration;

use loomwork_core::{RawId, Time};
use loomwork_store::{Id, Table};

use crate::ask::Ask;
use crate::error::LimitError;
use crate::rules::{Algorithm, MAX_PERIOD, Rules, RulesError};

/// A second, as the period of a limit.
pub const SECOND: Duration = Duration::from_secs(1);
/// A minute.
pub const MINUTE: Duration = Duration::from_secs(60);
/// An hour.
pub const HOUR: Duration = Duration::from_secs(60 * 60);
/// A day of 24 hours.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A week of seven days.
pub const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The most bytes that the name of a limit, a key or an account may take.
pub const MAX_TEXT_BYTES: usize = 200;

/// A limit by its name: a constant, so that any module can take from it and no name is spelt twice.
///
/// Each key has a balance of its own, which starts full. What is left is kept by name and key, and the
/// rules come from here: change the constant, and the next request goes by it. For a plan or a tenant
/// with other numbers, pass a changed copy; a limit that is only known at run time is made where it is used.
///
/// A limit that cannot work (no name, a period of zero, numbers beyond the bounds) is refused with a
/// [`LimitError`] by [`rules`](Self::rules) and by every call that gets it.
///
/// ```
/// use loomwork_rate_limiter::{Limit, MINUTE, SECOND};
///
/// pub const SEND_MESSAGE: Limit = Limit::fixed_window("send-message", 1, SECOND).capacity(2);
/// pub const TOKENS: Limit = Limit::token_bucket("tokens", 2_000, MINUTE).capacity(10_000);
///
/// let of_a_large_plan = TOKENS.capacity(50_000);
/// # assert!(of_a_large_plan.rules("ada").is_ok() && SEND_MESSAGE.rules(&()).is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit<'a> {
    name: &'a str,
    algorithm: Algorithm,
    rate: u64,
    period: Duration,
    capacity: Option<u64>,
    max_debt: Option<u64>,
    start: Option<Time>,
}

impl<'a> Limit<'a> {
    /// A bucket that gains `rate` tokens in each `period`, evenly, and holds `rate` at most.
    pub const fn token_bucket(name: &'a str, rate: u64, period: Duration) -> Self {
        Self::new(name, Algorithm::TokenBucket, rate, period)
    }

    /// A window that gains `rate` tokens at the begin of each `period`, and holds `rate` at most.
    ///
    /// Windows begin at a moment of the period that follows from name and key, so that not all keys
    /// are filled at once; [`starting_at`](Self::starting_at) sets it.
    pub const fn fixed_window(name: &'a str, rate: u64, period: Duration) -> Self {
        Self::new(name, Algorithm::FixedWindow, rate, period)
    }

    const fn new(name: &'a str, algorithm: Algorithm, rate: u64, period: Duration) -> Self {
        Self { name, algorithm, rate, period, capacity: None, max_debt: None, start: None }
    }

    /// Lets it hold so many tokens instead of `rate`: for bursts, or what is left over from before.
    #[must_use]
    pub const fn capacity(mut self, tokens: u64) -> Self {
        self.capacity = Some(tokens);
        self
    }

    /// Limits how many tokens may be owed by [`reserve`](crate::reserve()); zero forbids it. Without this,
    /// [`MAX_AMOUNT`](crate::MAX_AMOUNT) may.
    #[must_use]
    pub const fn max_debt(mut self, tokens: u64) -> Self {
        self.max_debt = Some(tokens);
        self
    }

    /// Begins a window at this time and at each multiple of the period before and after it. A bucket has
    /// no windows, so it refuses this.
    #[must_use]
    pub const fn starting_at(mut self, time: Time) -> Self {
        self.start = Some(time);
        self
    }

    /// Returns its name.
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// Asks for an amount of a key's share, for [`limit_all`](crate::limit_all), [`check_all`](crate::check_all)
    /// and [`hold`](crate::hold).
    pub fn ask(&self, key: &'a (impl LimitKey + ?Sized), amount: u64) -> Ask<'a> {
        Ask::new(*self, key.key(), amount)
    }

    /// Returns the rules by which a key's balance changes.
    ///
    /// # Errors
    /// [`LimitError`] for a limit that cannot work, and for a key that is no key.
    pub fn rules(&self, key: &(impl LimitKey + ?Sized)) -> Result<Rules, LimitError> {
        self.rules_of(key.key().as_deref())
    }

    pub(crate) fn rules_of(&self, key: Option<&str>) -> Result<Rules, LimitError> {
        self.check_name()?;
        if let Some(key) = key
            && !fits(key)
        {
            return Err(LimitError::BadKey { limit: self.name.to_owned(), bytes: key.len() });
        }
        let capacity = self.capacity.unwrap_or(self.rate);
        let rules = whole_millis(self.period).and_then(|period| {
            let start = match (self.algorithm, self.start) {
                (Algorithm::TokenBucket, None) => Time::EPOCH,
                (Algorithm::TokenBucket, Some(_)) => return Err(RulesError::BucketWithStart),
                (Algorithm::FixedWindow, Some(start)) => start,
                (Algorithm::FixedWindow, None) => phase(self.name, key, period),
            };
            Rules::new(self.algorithm, self.rate, period, capacity, self.max_debt, start)
        });
        rules.map_err(|source| LimitError::BadRules { limit: self.name.to_owned(), source })
    }

    pub(crate) fn check_name(&self) -> Result<(), LimitError> {
        if fits(self.name) { Ok(()) } else { Err(LimitError::BadName { bytes: self.name.len() }) }
    }
}

/// Whether a text can be a name, a key or an account.
pub(crate) fn fits(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TEXT_BYTES
}

fn whole_millis(period: Duration) -> Result<u64, RulesError> {
    let millis = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
    if period > MAX_PERIOD {
        return Err(RulesError::PeriodTooLong { period });
    }
    if Duration::from_millis(millis) != period || millis == 0 {
        return Err(RulesError::NotWholeMillis { period });
    }
    Ok(millis)
}

/// Where in the period the windows of a key begin: FNV-1a of name and key, which every program and
/// every version of it must compute alike, or balances would be filled twice in a period.
fn phase(name: &str, key: Option<&str>, period: u64) -> Time {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let separator: &[u8] = if key.is_some() { &[0] } else { &[] };
    let bytes = name.bytes().chain(separator.iter().copied()).chain(key.unwrap_or_default().bytes());
    let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    // The low bits of this hash mix best; no period is beyond an i64.
    Time::from_millis((hash % period) as i64)
}

/// Whose share of a limit is meant: a user, a team, an address. `()` is the share that has no key, of
/// which each limit has one.
///
/// A key is a text: the number 7 is the key `"7"`, and of several parts you make one text. Implement this for
/// types of your own that stand for somebody.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no key of a limit",
    note = "give a text (`&str`, `String`), an id, an integer, an address, or `()` for the share without a key"
)]
pub trait LimitKey {
    /// Returns the key's text, or `None` for the share without a key.
    fn key(&self) -> Option<Cow<'_, str>>;
}

impl LimitKey for () {
    fn key(&self) -> Option<Cow<'_, str>> {
        None
    }
}

impl LimitKey for str {
    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self))
    }
}

impl LimitKey for String {
    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self))
    }
}

impl<T: LimitKey + ?Sized> LimitKey for &T {
    fn key(&self) -> Option<Cow<'_, str>> {
        (**self).key()
    }
}

impl<T: Table> LimitKey for Id<T> {
    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Owned(self.to_string()))
    }
}

macro_rules! displayed_keys {
    ($($type:ty),*) => {$(
        impl LimitKey for $type {
            fn key(&self) -> Option<Cow<'_, str>> {
                Some(Cow::Owned(self.to_string()))
            }
        }
    )*};
}

displayed_keys!(RawId, u32, u64, i64, std::net::IpAddr);
