//! The one source of time, and sleeping on it.

mod manual;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

pub use manual::ManualClock;
use manual::{Timer, Timers};

use crate::Time;

/// How long a sleep on the system clock trusts it: tokio's timers stand still while the machine is
/// suspended and don't see the wall clock being set, so a long sleep looks at the wall clock this often.
const RECHECK: Duration = Duration::from_secs(30);

/// Added before cutting to whole milliseconds, so that a sleep is never shorter than asked for.
const ALMOST_A_MILLISECOND: Duration = Duration::from_nanos(999_999);

/// Where time comes from: a cheap handle that is cloned into whatever needs to know the time.
///
/// A program uses [`Clock::system`]; a test or a simulation uses [`Clock::manual`] and turns time
/// by hand.
#[derive(Clone)]
pub struct Clock {
    source: Source,
}

#[derive(Clone)]
enum Source {
    System,
    Manual(Arc<Timers>),
}

impl Clock {
    /// Returns the wall clock of this machine.
    pub fn system() -> Self {
        Self { source: Source::System }
    }

    /// Returns a clock that shows `start` until it is turned by hand.
    ///
    /// ```
    /// use std::time::Duration;
    /// use loomwork_core::{Clock, Time};
    ///
    /// let manual = Clock::manual(Time::EPOCH);
    /// let clock = manual.clock();
    /// manual.advance(Duration::from_secs(1));
    /// assert_eq!(clock.now(), Time::from_millis(1000));
    /// ```
    pub fn manual(start: Time) -> ManualClock {
        ManualClock::new(start)
    }

    /// Returns the current time. It may go backwards, as wall clocks do.
    pub fn now(&self) -> Time {
        match &self.source {
            Source::System => system_now(),
            Source::Manual(timers) => timers.now(),
        }
    }

    /// Returns a future that ends once the clock shows `deadline` or later.
    ///
    /// On the system clock, a wall clock that was set, or a machine that was suspended, is noticed
    /// within 30 seconds.
    ///
    /// # Panics
    ///
    /// On the system clock, the future panics if it has to wait outside a tokio runtime with timers.
    pub fn sleep_until(&self, deadline: Time) -> Sleep {
        let wait = match &self.source {
            Source::System => Wait::System(Nap { longest: None, timer: None }),
            Source::Manual(timers) => Wait::Manual(Timer::new(timers.clone(), deadline, None)),
        };
        Sleep { deadline, wait }
    }

    /// Returns a future that ends `duration` after this call, rounded up to whole milliseconds.
    ///
    /// It is [`sleep_until`](Self::sleep_until) that time, and panics where that does; but once so much
    /// time has really passed it ends too, so that a clock that is set back makes no wait longer.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        let duration = duration.saturating_add(ALMOST_A_MILLISECOND);
        let deadline = self.now() + duration;
        let wait = match &self.source {
            Source::System => Wait::System(Nap { longest: Some(Longest::new(duration)), timer: None }),
            Source::Manual(timers) => Wait::Manual(Timer::new(timers.clone(), deadline, Some(duration))),
        };
        Sleep { deadline, wait }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::System => formatter.write_str("Clock::System"),
            Source::Manual(timers) => write!(formatter, "Clock::Manual({:?})", timers.now()),
        }
    }
}

/// Waits until a [`Clock`] shows a certain time.
///
/// The timer exists from the first poll on. Cancel safety: dropping the future removes the timer,
/// and a future that was polled and kept goes on waiting for the same time.
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct Sleep {
    deadline: Time,
    wait: Wait,
}

enum Wait {
    System(Nap),
    Manual(Timer),
}

/// A wait on the system clock.
struct Nap {
    longest: Option<Longest>,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

/// The most time that may really pass.
#[derive(Clone, Copy)]
struct Longest {
    since: Instant,
    duration: Duration,
}

impl Longest {
    #[expect(clippy::disallowed_methods, reason = "the wall clock may be set back, this one not")]
    fn new(duration: Duration) -> Self {
        Self { since: Instant::now(), duration }
    }

    fn left(self) -> Duration {
        self.duration.saturating_sub(self.since.elapsed())
    }
}

impl Sleep {
    /// Returns the time that this sleep waits for.
    pub fn deadline(&self) -> Time {
        self.deadline
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline;
        match &mut self.wait {
            Wait::System(nap) => nap.poll(context, || deadline.since(system_now())),
            Wait::Manual(timer) => timer.poll(context),
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sleep").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Nap {
    /// Naps until the wall clock has nothing left, looking at it after each nap, or the longest time is over.
    #[expect(clippy::disallowed_methods, reason = "this is the sleep that others are sent to")]
    fn poll(&mut self, context: &mut Context<'_>, left_by_wall: impl Fn() -> Duration) -> Poll<()> {
        loop {
            let left = self.longest.map_or(Duration::MAX, Longest::left).min(left_by_wall());
            if left.is_zero() {
                return Poll::Ready(());
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(left.min(RECHECK))));
            ready!(timer.as_mut().poll(context));
            self.timer = None;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the wall clock that others are sent to")]
fn system_now() -> Time {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Time::EPOCH + since,
        Err(error) => Time::EPOCH - error.duration(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wall_clock_that_is_set_back_makes_no_nap_longer() {
        let mut nap = Nap { longest: Some(Longest::new(Duration::from_millis(3))), timer: None };
        let set_back_again_and_again = || Duration::from_millis(1);
        std::future::poll_fn(|context| nap.poll(context, set_back_again_and_again)).await;
        assert!(nap.longest.is_some_and(|longest| longest.left().is_zero()));
    }
}
