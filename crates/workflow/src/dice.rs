//! Random numbers of a run, the same whenever its code is run again.

use std::fmt;
use std::sync::Arc;

use crate::desk::Desk;

/// Random numbers that follow from a run's id; [`Flow::random`](crate::Flow::random) gives them. They are no secret.
///
/// Each draw belongs to the code, as a step does: one that happens elsewhere, as in the closure of an effect, blocks
/// the run, since a replay would not find it again. Clones draw from the same numbers.
#[derive(Clone)]
pub struct Dice {
    desk: Arc<Desk>,
}

/// Shows whose they are.
impl fmt::Debug for Dice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dice").field(&self.desk.about.id).finish()
    }
}

impl Dice {
    pub(crate) fn new(desk: Arc<Desk>) -> Self {
        Self { desk }
    }

    /// Returns any number.
    #[track_caller]
    pub fn u64(&self) -> u64 {
        self.desk.random().u64()
    }

    /// Returns a number from 0 up to, not including, `bound`; each is equally likely.
    ///
    /// # Panics
    /// If `bound` is 0, since no number is below it.
    #[track_caller]
    pub fn below(&self, bound: u64) -> u64 {
        self.desk.random().below(bound)
    }

    /// Returns a fraction from 0 up to, not including, 1.
    #[track_caller]
    pub fn unit(&self) -> f64 {
        self.desk.random().unit()
    }

    /// Fills `bytes` with random ones.
    #[track_caller]
    pub fn fill(&self, bytes: &mut [u8]) {
        self.desk.random().fill(bytes);
    }
}
