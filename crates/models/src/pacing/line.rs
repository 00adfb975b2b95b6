//! Waiting for a turn, in the order of arrival.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as Plain, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use loomwork_core::{Clock, Time};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::PacingOptions;
use super::bucket::Bucket;
use super::limit::{Held, Limit};

/// What calls wait for, and those that wait.
#[derive(Debug)]
pub(super) struct Line {
    clock: Clock,
    max_waiting: usize,
    pub(super) requests: Option<Bucket>,
    pub(super) tokens: Option<Bucket>,
    concurrent: Option<(NonZeroU32, Arc<Semaphore>)>,
    /// Who holds it is at the front; it wakes up those behind in their order.
    front: Mutex<()>,
    waiting: AtomicUsize,
    /// What holds the front up.
    held_by: Plain<Option<Limit>>,
    paused_until: Plain<Time>,
}

/// Why there is no turn.
pub(super) enum NoTurn {
    /// Too many wait already.
    Full,
    /// It would come too late, or did not come in time.
    TooLate {
        by: Option<Limit>,
        /// How long it would still take, where that is known.
        wait: Option<Duration>,
    },
}

/// The right to one of the calls that may run at once.
pub(super) type Running = Option<OwnedSemaphorePermit>;

impl Line {
    pub(super) fn new(options: &PacingOptions) -> Self {
        let bucket = |limit: Option<NonZeroU32>| limit.map(|limit| Bucket::new(limit, &options.clock));
        let concurrent = options.max_concurrent.map(|limit| {
            let permits = (limit.get() as usize).min(Semaphore::MAX_PERMITS);
            (limit, Arc::new(Semaphore::new(permits)))
        });
        Self {
            clock: options.clock.clone(),
            max_waiting: options.max_waiting,
            requests: bucket(options.requests_per_minute),
            tokens: bucket(options.tokens_per_minute),
            concurrent,
            front: Mutex::new(()),
            waiting: AtomicUsize::new(0),
            held_by: Plain::new(None),
            paused_until: Plain::new(Time::MIN),
        }
    }

    /// Waits for a turn for this many tokens, for no longer than `patience`.
    ///
    /// Cancel safety: who leaves the line has taken nothing.
    pub(super) async fn turn(&self, tokens: u64, patience: Duration) -> Result<Running, NoTurn> {
        if let Some(running) = self.at_once(tokens) {
            return Ok(running);
        }
        let place = self.line_up()?;
        let last_moment = self.clock.now() + patience;
        let turn = std::pin::pin!(self.wait(tokens, last_moment));
        let turn = match select(turn, self.clock.sleep_until(last_moment)).await {
            Either::Left((turn, _)) => turn,
            Either::Right(((), _)) => Err(NoTurn::TooLate { by: *locked(&self.held_by), wait: None }),
        };
        drop(place);
        turn
    }

    /// Lets nobody pass for a while.
    pub(super) fn pause(&self, wait: Duration) {
        let mut paused_until = locked(&self.paused_until);
        *paused_until = (*paused_until).max(self.clock.now() + wait);
    }

    /// Takes a turn if nobody waits and nothing holds it up.
    fn at_once(&self, tokens: u64) -> Option<Running> {
        if self.waiting.load(Ordering::Acquire) > 0 {
            return None;
        }
        let running = match &self.concurrent {
            Some((_, permits)) => Some(permits.clone().try_acquire_owned().ok()?),
            None => None,
        };
        let _front = self.front.try_lock().ok()?;
        self.take(tokens).is_ok().then_some(running)
    }

    fn line_up(&self) -> Result<Place<'_>, NoTurn> {
        let place = Place::take(&self.waiting);
        if place.ahead < self.max_waiting { Ok(place) } else { Err(NoTurn::Full) }
    }

    async fn wait(&self, tokens: u64, last_moment: Time) -> Result<Running, NoTurn> {
        let running = match &self.concurrent {
            Some((limit, permits)) => {
                if permits.available_permits() == 0 {
                    *locked(&self.held_by) = Some(Limit::Concurrent(*limit));
                }
                // Nobody closes the permits; if somebody did, the limit would be gone.
                permits.clone().acquire_owned().await.ok()
            }
            None => None,
        };
        let _front = self.front.lock().await;
        while let Err(Held { by, wait }) = self.take(tokens) {
            if self.clock.now() + wait > last_moment {
                return Err(NoTurn::TooLate { by: Some(by), wait: Some(wait) });
            }
            *locked(&self.held_by) = Some(by);
            self.clock.sleep(wait).await;
        }
        Ok(running)
    }

    /// Takes all that a call needs, or nothing.
    fn take(&self, tokens: u64) -> Result<(), Held> {
        let pause = locked(&self.paused_until).since(self.clock.now());
        if !pause.is_zero() {
            return Err(Held { by: Limit::Provider, wait: pause });
        }
        if let Some(requests) = &self.requests {
            requests.take(1).map_err(|wait| Held { by: Limit::Requests(requests.size()), wait })?;
        }
        let Some(bucket) = &self.tokens else { return Ok(()) };
        bucket.take(tokens).map_err(|wait| {
            if let Some(requests) = &self.requests {
                requests.give_back(1);
            }
            Held { by: Limit::Tokens(bucket.size()), wait }
        })
    }
}

/// A place in the line. It is free again when this is dropped.
struct Place<'a> {
    waiting: &'a AtomicUsize,
    ahead: usize,
}

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Self {
        Self { waiting, ahead: waiting.fetch_add(1, Ordering::AcqRel) }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What it guards is whole even if a thread panicked beside it.
fn locked<T>(mutex: &Plain<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
