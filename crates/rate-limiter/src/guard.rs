//! Limits of one process, in memory: for what is too hot for a transaction.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter, clock};
use loomwork_core::Clock;
use loomwork_store::Result;

use crate::error::{LimitError, RateLimited, Refusal};
use crate::limit::Limit;
use crate::rules::Algorithm;

/// The longest that a guard's bucket may take to fill, and where its ticks end: nanoseconds in 64 bits.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// How often the keys that are full again are forgotten, in milliseconds.
const SWEEP_EVERY: i64 = 1_000;

/// From how many keys on the room of those that were forgotten is given back.
const LARGE: usize = 65_536;

/// A limit of this process alone, per key: it stops a flood of requests in front of the store.
///
/// It is not durable: every process counts for itself, and a new one begins full. Nothing is written and
/// nothing rolled back. For what must hold, take from the store with [`limit`](crate::limit()); let the guard be
/// more generous than that.
///
/// Behind it is the token bucket of the `governor` crate, whose tokens come one by one: where the period is no
/// multiple of the rate, the time between two is rounded up to a nanosecond, so it never grants more than the
/// limit says. Keys that are full again are forgotten each second.
///
/// ```
/// use std::net::IpAddr;
/// use loomwork_core::Clock;
/// use loomwork_rate_limiter::{Guard, Limit, SECOND};
///
/// const PER_ADDRESS: Limit = Limit::token_bucket("per-address", 50, SECOND).capacity(100);
///
/// # fn main() -> loomwork_store::Result<()> {
/// let guard = Guard::<IpAddr>::new(&PER_ADDRESS, &Clock::system())?;
/// guard.take(&"192.0.2.7".parse().unwrap(), 1)?;
/// # Ok(())
/// # }
/// ```
pub struct Guard<K: Clone + Eq + Hash> {
    name: String,
    capacity: NonZeroU32,
    ticks: Ticks,
    limiter: RateLimiter<K, HashMapStateStore<K>, Ticks, NoOpMiddleware<Duration>>,
    /// When, in ticks, keys are forgotten next.
    sweep_at: AtomicI64,
}

impl<K: Clone + Eq + Hash> std::fmt::Debug for Guard<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("limit", &self.name).finish_non_exhaustive()
    }
}

impl<K: Clone + Eq + Hash> Guard<K> {
    /// Returns a guard of which nothing is used up.
    ///
    /// # Errors
    /// [`LimitError::NoGuard`] for a window, a rate or capacity of zero, and numbers that are too large;
    /// [`LimitError`] for a limit that cannot work.
    pub fn new(limit: &Limit, clock: &Clock) -> Result<Self, LimitError> {
        let name = limit.name().to_owned();
        let rules = limit.rules(&())?;
        let no_guard = |why| LimitError::NoGuard { limit: name.clone(), why };
        if rules.algorithm() == Algorithm::FixedWindow {
            return Err(no_guard("it is a fixed window; take a token bucket"));
        }
        if rules.rate() == 0 {
            return Err(no_guard("its rate is zero"));
        }
        let capacity = u32::try_from(rules.capacity()).ok().and_then(NonZeroU32::new);
        let capacity = capacity.ok_or_else(|| no_guard("its capacity must be 1 to 4,294,967,295"))?;
        let each = rules.period().as_nanos().div_ceil(rules.rate().into());
        if each * u128::from(capacity.get()) > LONGEST.as_nanos() {
            return Err(no_guard("its bucket takes longer than a hundred years to fill"));
        }
        let each = Duration::from_nanos(u64::try_from(each).unwrap_or(u64::MAX));
        let quota = Quota::with_period(each).ok_or_else(|| no_guard("its period is zero"))?;
        let ticks = Ticks::new(clock);
        let limiter = RateLimiter::hashmap_with_clock(quota.allow_burst(capacity), ticks.clone());
        Ok(Self { name, capacity, ticks, limiter, sweep_at: AtomicI64::new(SWEEP_EVERY) })
    }

    /// Takes an amount of a key's share, or refuses and takes nothing.
    ///
    /// # Errors
    /// [`RateLimited`] while too little is left; [`LimitError::ExceedsCapacity`].
    pub fn take(&self, key: &K, amount: u64) -> Result<()> {
        let Some(wanted) = NonZeroU32::new(u32::try_from(amount).unwrap_or(u32::MAX)) else { return Ok(()) };
        if amount > self.capacity.get().into() {
            return Err(self.exceeds(amount).into());
        }
        let checked = self.limiter.check_key_n(key, wanted);
        self.sweep_now_and_then();
        match checked {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => {
                let wait = not_until.wait_time_from(clock::Clock::now(&self.ticks));
                let millis = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
                let retry_after = Some(Duration::from_millis(millis));
                let refusal = Refusal { limit: self.name.clone(), key: None, retry_after };
                Err(RateLimited { refused: vec![refusal] }.into())
            }
            Err(_) => Err(self.exceeds(amount).into()),
        }
    }

    /// Returns how many keys it remembers.
    pub fn keys(&self) -> usize {
        self.limiter.len()
    }

    fn exceeds(&self, amount: u64) -> LimitError {
        LimitError::ExceedsCapacity { limit: self.name.clone(), amount, max: self.capacity.get().into() }
    }

    fn sweep_now_and_then(&self) {
        let (now, due) = (self.ticks.0.latest.load(Ordering::Relaxed), self.sweep_at.load(Ordering::Relaxed));
        let next = now.saturating_add(SWEEP_EVERY);
        // One thread does it.
        if now < due
            || self.sweep_at.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return;
        }
        let before = self.limiter.len();
        self.limiter.retain_recent();
        if before >= LARGE && self.limiter.len() < before / 4 {
            self.limiter.shrink_to_fit();
        }
    }
}

/// Our clock as `governor` needs it: time that never runs backwards. A wall clock that is set back stands
/// still for a moment.
#[derive(Clone, Debug)]
struct Ticks(Arc<Hand>);

#[derive(Debug)]
struct Hand {
    clock: Clock,
    /// The milliseconds between the clock and our time, which begins at zero: more with each time that the
    /// clock was set back.
    ahead: AtomicI64,
    /// Our latest time.
    latest: AtomicI64,
    setting: Mutex<()>,
}

impl Ticks {
    fn new(clock: &Clock) -> Self {
        let ahead = AtomicI64::new(0_i64.saturating_sub(clock.now().millis()));
        Self(Arc::new(Hand {
            clock: clock.clone(),
            ahead,
            latest: AtomicI64::new(0),
            setting: Mutex::new(()),
        }))
    }
}

impl Hand {
    /// Our latest time as it was before the clock was looked at, and what the clock says.
    ///
    /// The order matters. What was shown before the look cannot be behind it unless the clock was set back,
    /// however long this thread stood still in between; and what is added for that must not be added to what
    /// the clock had shown earlier.
    fn look(&self) -> (i64, i64) {
        let latest = self.latest.load(Ordering::Acquire);
        let ahead = self.ahead.load(Ordering::Acquire);
        (latest, self.clock.now().millis().saturating_add(ahead))
    }

    /// Goes on from our latest time, with a clock that was set back.
    fn set_back(&self) -> i64 {
        let _one_at_a_time = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
        let (latest, now) = self.look();
        if now < latest {
            let ahead = self.ahead.load(Ordering::Relaxed);
            self.ahead.store(ahead.saturating_add(latest.saturating_sub(now)), Ordering::Release);
        }
        latest.max(now)
    }
}

impl clock::Clock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        let (latest, now) = self.0.look();
        let now = if now < latest { self.0.set_back() } else { now };
        if now > latest {
            self.0.latest.fetch_max(now, Ordering::AcqRel);
        }
        Duration::from_millis(now.unsigned_abs()).min(LONGEST)
    }
}
