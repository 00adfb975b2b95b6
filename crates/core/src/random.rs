//! The one source of randomness.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use rand::{
    Rng, RngExt, SeedableRng,
    rngs::{StdRng, SysRng},
};

/// Where randomness comes from: a handle that is cloned into whatever needs it.
///
/// Clones draw from one stream of numbers. [`Random::system`] is unpredictable, and good enough
/// for tokens and keys; [`Random::seeded`] gives a test the same numbers in every run (of one version
/// of this crate). Where threads race for numbers, [`fork`](Self::fork) gives each its own stream.
///
/// ```
/// use loomwork_core::Random;
///
/// let die = Random::seeded(7);
/// assert!((1..=6).contains(&(1 + die.below(6))));
/// assert_eq!(Random::seeded(7).u64(), Random::seeded(7).u64());
/// ```
#[derive(Clone)]
pub struct Random {
    stream: Arc<Mutex<StdRng>>,
}

impl Random {
    /// Returns a source that is seeded by the operating system.
    ///
    /// # Panics
    ///
    /// If the operating system has no randomness to give.
    pub fn system() -> Self {
        let seeded = StdRng::try_from_rng(&mut SysRng);
        Self::from_stream(seeded.expect("the operating system gives randomness"))
    }

    /// Returns a source whose numbers follow from `seed`. They are no secret.
    pub fn seeded(seed: u64) -> Self {
        Self::from_stream(StdRng::seed_from_u64(seed))
    }

    /// Returns any number.
    pub fn u64(&self) -> u64 {
        self.lock().next_u64()
    }

    /// Returns a number from 0 up to, not including, `bound`; each is equally likely.
    ///
    /// # Panics
    ///
    /// If `bound` is 0, since no number is below it.
    pub fn below(&self, bound: u64) -> u64 {
        assert!(bound > 0, "no random number is below 0");
        self.lock().random_range(0..bound)
    }

    /// Returns a fraction from 0 up to, not including, 1.
    pub fn unit(&self) -> f64 {
        self.lock().random()
    }

    /// Fills `bytes` with random ones.
    pub fn fill(&self, bytes: &mut [u8]) {
        self.lock().fill_bytes(bytes);
    }

    /// Returns a source with a stream of its own, seeded from this one.
    pub fn fork(&self) -> Self {
        Self::from_stream(StdRng::from_rng(&mut *self.lock()))
    }

    fn from_stream(stream: StdRng) -> Self {
        Self { stream: Arc::new(Mutex::new(stream)) }
    }

    fn lock(&self) -> MutexGuard<'_, StdRng> {
        self.stream.lock().expect("nothing panics while it draws numbers")
    }
}

/// Shows nothing: whoever knows the stream knows the numbers to come.
impl fmt::Debug for Random {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Random").finish_non_exhaustive()
    }
}
