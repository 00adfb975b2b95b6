//! When a process is killed.

use std::fmt;
use std::time::Duration;

/// How long a sign may take to come. A process that takes longer hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// When a process is killed: when it gives a sign, and a pause behind that.
#[derive(Debug)]
pub struct Moment {
    pub(super) sign: Sign,
    pub(super) pause: Duration,
    pub(super) patience: Duration,
}

impl Moment {
    /// The moment of the sign itself.
    pub fn at(sign: Sign) -> Self {
        Self { sign, pause: Duration::ZERO, patience: PATIENCE }
    }

    /// Lets the process go on for this long behind the sign.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Waits this long for the sign. Default: [`PATIENCE`].
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

/// What tells that a process has got somewhere.
pub enum Sign {
    /// It runs.
    Started,
    /// It said a line that begins so.
    Said(&'static str),
    /// It reached a crash point.
    Point(Point),
    /// What it does can be seen from outside. This is asked about every millisecond.
    Seen(&'static str, Box<dyn FnMut() -> bool>),
}

impl fmt::Debug for Sign {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Sign({self})")
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => write!(formatter, "its start"),
            Self::Said(line) => write!(formatter, "the line {line:?}"),
            Self::Point(point) => write!(formatter, "the crash point {point}"),
            Self::Seen(what, _) => formatter.write_str(what),
        }
    }
}

/// A place in the program that [`loomwork_core::crash_point`] marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its name.
    pub name: &'static str,
    /// Which time it is reached, from 1.
    pub count: u64,
    /// What the thread that gets there does.
    pub mode: Mode,
}

/// What a thread does at its crash point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It stops for ever: the kill finds it right there.
    Park,
    /// It goes on: the kill comes somewhere behind.
    Go,
}

/// As the crash point's variable wants it.
impl fmt::Display for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            Mode::Park => "park",
            Mode::Go => "go",
        };
        write!(formatter, "{}:{}:{mode}", self.name, self.count)
    }
}
