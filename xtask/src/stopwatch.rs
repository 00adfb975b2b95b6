//! Real time, the only use of it here: how long steps take, and how long a program may run.

use std::{
    fmt,
    time::{Duration, Instant},
};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "xtask builds without the crates, so without their clock")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// A duration as people read it: `4.2 s`, `3 min 05 s`.
pub(crate) struct Spoken(pub(crate) Duration);

impl fmt::Display for Spoken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0.as_secs() {
            0..60 => format!("{:.1} s", self.0.as_secs_f64()),
            seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
        };
        formatter.pad(&text)
    }
}
