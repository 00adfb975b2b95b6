//! How long something really took.

use std::time::{Duration, Instant};

/// Measures real elapsed time, for logs, metrics and benchmarks.
///
/// It does not follow a [`Clock`](crate::Clock) and cannot be turned by hand, so no decision may
/// depend on what it says.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    started: Instant,
}

impl Stopwatch {
    /// Starts measuring.
    #[expect(clippy::disallowed_methods, reason = "this is the monotonic clock that others are sent to")]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Returns the time since the start; it never goes backwards.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
