//! How much memory vectors may hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes the codes and graphs of vectors may hold in memory, if nobody says.
pub const MEMORY: usize = 1 << 30;

/// What all indexes of a process may hold together.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    limit: usize,
    held: Arc<AtomicUsize>,
}

/// A part of the budget, which is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: usize,
    held: Arc<AtomicUsize>,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, held: Arc::default() }
    }

    /// Takes so many bytes; `None` if they are not left.
    pub(crate) fn take(&self, bytes: usize) -> Option<Held> {
        let more = |held: usize| held.checked_add(bytes).filter(|held| *held <= self.limit);
        self.held.try_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Held { bytes, held: self.held.clone() })
    }

    /// Returns whether so many bytes are left.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.take(bytes).is_some()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
