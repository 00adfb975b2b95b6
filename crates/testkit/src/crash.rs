//! A process that works is killed, and what it had said by then is handed back.
//!
//! The parent makes a [`Command`](std::process::Command), mostly of [`this_program`] with other
//! arguments, and a [`Moment`]: a [`Sign`] that the process gives, and a pause behind it. [`kill`]
//! starts the process, waits for the moment, kills it for good and returns what it had said, line by
//! line. Whether that was the truth is for the caller to check.
//!
//! ```no_run
//! use std::time::Duration;
//! use loomwork_testkit::crash::{Mode, Moment, Point, Sign, kill, this_program};
//!
//! # fn main() -> Result<(), loomwork_testkit::crash::Failure> {
//! let third_commit = Point { name: "commit.after", count: 3, mode: Mode::Park };
//! let moment = Moment::at(Sign::Point(third_commit)).pause(Duration::from_millis(5));
//! let said = kill(this_program().args(["work", "app.db"]), moment)?;
//! # Ok(()) }
//! ```

mod failure;
mod moment;
#[cfg(test)]
mod tests;
mod victim;

pub use failure::Failure;
pub use moment::{Mode, Moment, PATIENCE, Point, Sign};
pub use victim::{end_with_parent, kill, this_program};
