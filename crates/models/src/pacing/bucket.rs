//! A limit of so many a minute.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter, clock};
use loomwork_core::{Clock, Time};

/// The deepest debt. However wrong an estimate or a provider's count is, it holds nobody up for longer.
const DEEPEST_DEBT: Duration = Duration::from_secs(600);

/// Where our ticks end: the limiter counts nanoseconds in 64 bits, and no program runs for a century.
const LAST_TICK: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A bucket that holds what may pass within a minute, and is filled evenly.
#[derive(Debug)]
pub(super) struct Bucket {
    limiter: RateLimiter<NotKeyed, Level, Ticks, NoOpMiddleware<Duration>>,
    level: Level,
    ticks: Ticks,
    size: NonZeroU32,
    /// How long it takes to fill in one.
    each: u64,
}

impl Bucket {
    /// Returns a full bucket.
    pub(super) fn new(size: NonZeroU32, clock: &Clock) -> Self {
        let (level, ticks, quota) = (Level::default(), Ticks::new(clock), Quota::per_minute(size));
        let limiter = RateLimiter::new(quota, level.clone(), ticks.clone());
        Self { limiter, level, ticks, size, each: nanos(quota.replenish_interval()) }
    }

    /// Takes so many at once, or says how long to wait until they are there. More than the bucket holds
    /// are taken when it is full, and the rest is owed.
    pub(super) fn take(&self, amount: u64) -> Result<(), Duration> {
        let amount_at_once = u32::try_from(amount).unwrap_or(u32::MAX).min(self.size.get());
        let Some(at_once) = NonZeroU32::new(amount_at_once) else { return Ok(()) };
        // A bucket cannot be asked for more than it holds.
        if let Ok(Err(not_until)) = self.limiter.check_n(at_once) {
            return Err(not_until.wait_time_from(clock::Clock::now(&self.ticks)));
        }
        self.owe(amount - u64::from(amount_at_once));
        Ok(())
    }

    /// Takes so many more, whether they are there or not.
    pub(super) fn owe(&self, amount: u64) {
        let now = self.now();
        let deepest = now.saturating_add(nanos(DEEPEST_DEBT));
        self.level.change(|level| level.max(now).saturating_add(self.span(amount)).min(deepest.max(level)));
    }

    /// Puts so many back.
    pub(super) fn give_back(&self, amount: u64) {
        self.level.change(|level| level.saturating_sub(self.span(amount)));
    }

    /// Lowers what is there to so many; what is less already stays.
    pub(super) fn leave(&self, amount: u64) {
        let missing = u64::from(self.size.get()).saturating_sub(amount);
        let now = self.now();
        self.level.change(|level| level.max(now.saturating_add(self.span(missing))));
    }

    pub(super) fn size(&self) -> NonZeroU32 {
        self.size
    }

    fn now(&self) -> u64 {
        nanos(clock::Clock::now(&self.ticks))
    }

    fn span(&self, amount: u64) -> u64 {
        self.each.saturating_mul(amount)
    }
}

/// How full a bucket is: when it will be full again, in nanoseconds from its beginning. The limiter keeps it
/// here, so that it can be put right once the true amount is known.
#[derive(Clone, Debug, Default)]
struct Level(Arc<Mutex<Option<Nanos>>>);

impl Level {
    fn change(&self, change: impl FnOnce(u64) -> u64) {
        let mut full_at = self.lock();
        *full_at = Some(change(full_at.map_or(0, Nanos::as_u64)).into());
    }

    /// A number is whole even if a thread panicked beside it.
    fn lock(&self) -> MutexGuard<'_, Option<Nanos>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for Level {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _key: &NotKeyed, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut full_at = self.lock();
        let (outcome, next) = measure(*full_at)?;
        *full_at = Some(next);
        Ok(outcome)
    }
}

/// Our clock as the limiter needs it: time that never runs backwards. A wall clock that is set back stands
/// still for a moment; one that is set forward fills the bucket.
#[derive(Clone, Debug)]
struct Ticks {
    clock: Clock,
    seen: Arc<Mutex<(Time, Duration)>>,
}

impl Ticks {
    fn new(clock: &Clock) -> Self {
        Self { clock: clock.clone(), seen: Arc::new(Mutex::new((clock.now(), Duration::ZERO))) }
    }
}

impl clock::Clock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, ticks) = *seen;
        let now = self.clock.now();
        *seen = (now, ticks.saturating_add(now.since(before)).min(LAST_TICK));
        seen.1
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
