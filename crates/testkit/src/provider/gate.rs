//! Letting a test decide when the next event goes out.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::soon;

/// A gate in front of each event of a [`Reply::gated`](super::Reply::gated) reply.
///
/// Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Events that may pass. Closed once the gate stays open.
    passes: Semaphore,
    arrivals: Semaphore,
}

impl Gate {
    /// Returns a closed gate.
    pub fn new() -> Self {
        Self(Arc::new(Shared { passes: Semaphore::new(0), arrivals: Semaphore::new(0) }))
    }

    /// Lets one more event through.
    pub fn step(&self) {
        self.0.passes.add_permits(1);
    }

    /// Lets everything through from now on.
    pub fn open(&self) {
        self.0.passes.close();
    }

    /// Waits until one more event stands at the gate; all before it have been sent.
    ///
    /// # Panics
    /// When none comes.
    pub async fn reached(&self) {
        soon(self.0.arrivals.acquire()).await.expect("nobody closes the arrivals").forget();
    }

    pub(super) async fn pass(self) {
        self.0.arrivals.add_permits(1);
        if let Ok(pass) = self.0.passes.acquire().await {
            pass.forget();
        }
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}
