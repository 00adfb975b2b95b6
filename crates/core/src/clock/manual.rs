//! A clock that is turned by hand.

use std::{
    collections::BTreeMap,
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::sync::Notify;

use super::{Clock, Source};
use crate::Time;

/// The hand on a manual clock: it turns the time that all its [`Clock`]s show.
///
/// Clones turn the same clock. It needs no tokio runtime. A sleep counts as a timer from its first
/// poll until it is due or dropped; turning the clock wakes the due ones in the order of their times,
/// and a sleep that was due once stays so, even if the clock is set back before its task runs.
///
/// ```
/// use std::time::Duration;
/// use loomwork_core::{Clock, Time};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let manual = Clock::manual(Time::EPOCH);
/// let clock = manual.clock();
/// let test = async {
///     manual.timers_waiting(1).await;
///     assert_eq!(manual.advance_to_next_timer(), Some(Time::from_millis(3_600_000)));
/// };
/// tokio::join!(clock.sleep(Duration::from_secs(3600)), test);
/// # }
/// ```
#[derive(Clone)]
pub struct ManualClock {
    timers: Arc<Timers>,
}

impl ManualClock {
    pub(super) fn new(start: Time) -> Self {
        let state = State { now: start, tickets: 0, waiting: BTreeMap::new() };
        Self { timers: Arc::new(Timers { state: Mutex::new(state), added: Notify::new() }) }
    }

    /// Returns a clock that shows what this hand sets.
    pub fn clock(&self) -> Clock {
        Clock { source: Source::Manual(self.timers.clone()) }
    }

    /// Moves the clock forward and wakes the sleeps that are due.
    ///
    /// All of them find the clock at its new time; [`advance_to_next_timer`](Self::advance_to_next_timer)
    /// shows each its own.
    pub fn advance(&self, duration: Duration) {
        self.timers.turn(|state| Some(state.now + duration));
    }

    /// Sets the clock, forwards or backwards, and wakes the sleeps that are due.
    pub fn set(&self, now: Time) {
        self.timers.turn(|_| Some(now));
    }

    /// Moves the clock to its next timer, wakes it, and returns the new time; `None` if nothing waits.
    pub fn advance_to_next_timer(&self) -> Option<Time> {
        self.timers.turn(State::next_timer)
    }

    /// Returns the time of the next timer.
    pub fn next_timer(&self) -> Option<Time> {
        self.timers.lock().next_timer()
    }

    /// Waits until at least `count` timers are waiting, so that a test turns the clock when its
    /// subject has come to rest, not when luck would have it.
    ///
    /// Cancel safety: it changes nothing and may be dropped at any time.
    pub async fn timers_waiting(&self, count: usize) {
        loop {
            // Created before the look, so that a timer added after the look ends the wait.
            let added = self.timers.added.notified();
            if self.timers.lock().waiting.len() >= count {
                return;
            }
            added.await;
        }
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.timers.lock();
        let mut shown = formatter.debug_struct("ManualClock");
        shown.field("now", &state.now).field("timers", &state.waiting.len()).finish()
    }
}

/// What the clocks, the hand and the sleeps of one manual clock share.
///
/// Wakers are woken and dropped without the lock: either may drop a task, and with it a sleep that
/// needs the lock to remove its timer.
pub(super) struct Timers {
    state: Mutex<State>,
    added: Notify,
}

struct State {
    now: Time,
    tickets: u64,
    waiting: BTreeMap<Key, Waker>,
}

/// Time first, then a number that is never used again: timers of one time wake in the order they came.
type Key = (Time, u64);

impl Timers {
    pub(super) fn now(&self) -> Time {
        self.lock().now
    }

    fn turn(&self, to: impl FnOnce(&State) -> Option<Time>) -> Option<Time> {
        let mut state = self.lock();
        let now = to(&state)?;
        state.now = now;
        let due = state.take_due();
        drop(state);
        due.into_values().for_each(Waker::wake);
        Some(now)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the timers")
    }
}

impl State {
    fn next_timer(&self) -> Option<Time> {
        self.waiting.first_key_value().map(|((time, _), _)| *time)
    }

    fn take_due(&mut self) -> BTreeMap<Key, Waker> {
        let later = self.waiting.split_off(&(self.now, u64::MAX));
        mem::replace(&mut self.waiting, later)
    }

    fn new_key(&mut self, deadline: Time) -> Key {
        self.tickets += 1;
        (deadline, self.tickets)
    }
}

/// One sleep on a manual clock.
pub(super) struct Timer {
    timers: Arc<Timers>,
    deadline: Time,
    key: Option<Key>,
}

impl Timer {
    pub(super) fn new(timers: Arc<Timers>, deadline: Time) -> Self {
        Self { timers, deadline, key: None }
    }

    pub(super) fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.timers.lock();
        let key = match self.key {
            Some(key) if !state.waiting.contains_key(&key) => return Poll::Ready(()),
            Some(key) => key,
            None if self.deadline <= state.now => return Poll::Ready(()),
            None => state.new_key(self.deadline),
        };
        let replaced = state.waiting.insert(key, context.waker().clone());
        drop(state);
        self.key = Some(key);
        if replaced.is_none() {
            self.timers.added.notify_waiters();
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let removed = self.timers.lock().waiting.remove(&key);
            drop(removed);
        }
    }
}
