//! The floor that every Loomwork crate stands on, also for those who only want a clock that tests
//! can turn, ids that sort, or a retry that knows when to stop.
//!
//! It owns what a program must not reach for on its own: time, randomness, and tasks that run in
//! the background. Each comes as a cheap handle that is passed in, so a test or a simulation owns them
//! too. It also owns the words that all crates share: a moment, an id, and what an error means to the
//! caller. It knows nothing of stores, models or the network.
//!
//! # Example
//!
//! A call that fails twice is retried. The clock is turned by hand, so nobody really waits:
//!
//! ```
//! use loomwork_core::{Clock, Fault, Kind, Random, RetryPolicy, Time, retry};
//!
//! #[derive(Debug, thiserror::Error)]
//! #[error("the weather service does not answer")]
//! struct NoAnswer;
//!
//! impl Fault for NoAnswer {
//!     fn kind(&self) -> Kind {
//!         Kind::Unavailable
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), NoAnswer> {
//! let manual = Clock::manual(Time::EPOCH);
//! let (clock, random) = (manual.clock(), Random::seeded(1));
//! let policy = RetryPolicy::default().with_jitter(false);
//!
//! let weather = retry(&policy, &clock, &random, NoAnswer::kind, async |attempt| {
//!     if attempt < 3 { Err(NoAnswer) } else { Ok("sunny") }
//! });
//! let turn_clock = async {
//!     for _ in 0..2 {
//!         manual.timers_waiting(1).await;
//!         manual.advance_to_next_timer();
//!     }
//! };
//! let (weather, ()) = tokio::join!(weather, turn_clock);
//!
//! assert_eq!(weather?, "sunny");
//! assert_eq!(clock.now(), Time::from_millis(250 + 500));
//! # Ok(())
//! # }
//! ```
//!
//! # Tour
//!
//! - [`Time`] is a moment in milliseconds. A [`Clock`] says which it is and [sleeps](Clock::sleep);
//!   a [`ManualClock`] turns it by hand. A [`Stopwatch`] measures, and decides nothing.
//! - [`Random`] gives numbers, the same ones in each run if it was seeded.
//! - [`Ids`] makes [`RawId`]s, which sort by creation, as bytes and as text.
//! - [`Kind`] says what a caller can do about an error; a [`Fault`] is an error that has one.
//! - [`retry()`] calls something again under a [`RetryPolicy`].
//! - [`Secret`] is text that is never shown.
//! - [`Tasks`] owns background tasks: it names them, asks them to end, and says which did not.
//!
//! # Guarantees
//!
//! - All handles are cheap to clone, `Send` and `Sync`; clones share one state.
//! - Every future may be dropped at any await; each says in its docs what that leaves behind.
//! - Ids of one [`Ids`] strictly increase, even while the clock stands still or runs backwards.
//! - Nothing panics on values from outside; where a wrong call can panic, the docs say so.
//!
//! The system clock's sleeps and [`Tasks`] need a tokio runtime; all else works without one. The one
//! feature, `crash-points`, is for crash tests: see [`crash_point`].

mod clock;
mod crash_point;
mod id;
mod kind;
mod random;
mod retry;
mod secret;
mod stopwatch;
mod tasks;
mod time;

pub use clock::{Clock, ManualClock, Sleep};
pub use crash_point::crash_point;
pub use id::{Ids, ParseIdError, RawId};
pub use kind::{Fault, Kind};
pub use random::Random;
pub use retry::{PolicyError, RetryPolicy, retry};
pub use secret::Secret;
pub use stopwatch::Stopwatch;
pub use tasks::{Shutdown, StillRunning, Tasks};
pub use time::Time;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
