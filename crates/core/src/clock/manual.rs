//! A clock that is turned by hand.

use std::{
    collections::BTreeMap,
    fmt,
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
        let state = State { now: start, elapsed: Duration::ZERO, tickets: 0, waiting: BTreeMap::new() };
        Self { timers: Arc::new(Timers { state: Mutex::new(state), added: Notify::new() }) }
    }

    /// Returns a clock that shows what this hand sets.
    pub fn clock(&self) -> Clock {
        Clock { source: Source::Manual(self.timers.clone()) }
    }

    /// Lets time pass, and wakes the sleeps that are due.
    ///
    /// All of them find the clock at its new time; [`advance_to_next_timer`](Self::advance_to_next_timer)
    /// shows each its own.
    pub fn advance(&self, duration: Duration) {
        self.timers.turn(|state| {
            state.pass(duration);
            Some(())
        });
    }

    /// Sets the clock, forwards or backwards, and wakes the sleeps that are due. No time passes: a
    /// [`Clock::sleep`] that the clock is set back before lasts no longer than it would have.
    pub fn set(&self, now: Time) {
        self.timers.turn(|state| {
            state.now = now;
            Some(())
        });
    }

    /// Lets time pass until the next timer, wakes it, and returns the new time; `None` if nothing waits.
    pub fn advance_to_next_timer(&self) -> Option<Time> {
        self.timers.turn(|state| {
            let next = state.next_timer()?;
            state.pass(next.since(state.now));
            Some(state.now)
        })
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
    /// How much time has passed, however the clock was set.
    elapsed: Duration,
    tickets: u64,
    /// The sleeps, by the order in which they came.
    waiting: BTreeMap<u64, Waiting>,
}

struct Waiting {
    limits: Limits,
    waker: Waker,
}

/// What ends a sleep, whichever comes first.
#[derive(Clone, Copy)]
struct Limits {
    deadline: Time,
    /// When so much time has passed.
    latest: Option<Duration>,
}

impl Timers {
    pub(super) fn now(&self) -> Time {
        self.lock().now
    }

    fn turn<T>(&self, turn: impl FnOnce(&mut State) -> Option<T>) -> Option<T> {
        let mut state = self.lock();
        let turned = turn(&mut state)?;
        let due = state.take_due();
        drop(state);
        due.into_values().for_each(Waker::wake);
        Some(turned)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the timers")
    }
}

impl State {
    fn pass(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.elapsed = self.elapsed.saturating_add(duration);
    }

    /// When a sleep ends, if the clock is not set before.
    fn end(&self, limits: Limits) -> Time {
        let latest = limits.latest.map(|latest| self.now + latest.saturating_sub(self.elapsed));
        latest.map_or(limits.deadline, |latest| latest.min(limits.deadline))
    }

    fn next_timer(&self) -> Option<Time> {
        self.waiting.values().map(|waiting| self.end(waiting.limits)).min()
    }

    /// Takes the wakers of what is due, in the order of their times.
    fn take_due(&mut self) -> BTreeMap<(Time, u64), Waker> {
        let is_due = |waiting: &Waiting| self.end(waiting.limits) <= self.now;
        let due = self.waiting.iter().filter(|(_, waiting)| is_due(waiting));
        let due: Vec<_> = due.map(|(ticket, waiting)| (waiting.limits.deadline, *ticket)).collect();
        let wakers = due.into_iter().filter_map(|key| Some((key, self.waiting.remove(&key.1)?.waker)));
        wakers.collect()
    }
}

/// One sleep on a manual clock.
pub(super) struct Timer {
    timers: Arc<Timers>,
    limits: Limits,
    ticket: Option<u64>,
}

impl Timer {
    /// A sleep until `deadline`, and for as long as `longest` at most.
    pub(super) fn new(timers: Arc<Timers>, deadline: Time, longest: Option<Duration>) -> Self {
        let latest = longest.map(|longest| timers.lock().elapsed.saturating_add(longest));
        Self { timers, limits: Limits { deadline, latest }, ticket: None }
    }

    pub(super) fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.timers.lock();
        let ticket = match self.ticket {
            Some(ticket) if !state.waiting.contains_key(&ticket) => return Poll::Ready(()),
            Some(ticket) => ticket,
            None if state.end(self.limits) <= state.now => return Poll::Ready(()),
            None => {
                state.tickets += 1;
                state.tickets
            }
        };
        let waiting = Waiting { limits: self.limits, waker: context.waker().clone() };
        let replaced = state.waiting.insert(ticket, waiting);
        drop(state);
        self.ticket = Some(ticket);
        if replaced.is_none() {
            self.timers.added.notify_waiters();
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let removed = self.timers.lock().waiting.remove(&ticket);
            drop(removed);
        }
    }
}
