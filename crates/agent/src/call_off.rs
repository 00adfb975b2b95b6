//! Calling an answer off, with the reason why.

use std::sync::{Arc, OnceLock};

use loomwork_messages::Failure;
use tokio_util::sync::CancellationToken;

/// Calls an answer off, and says why. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallOff {
    token: CancellationToken,
    why: Arc<OnceLock<Failure>>,
}

impl CallOff {
    /// Returns one that is called off with what is above it.
    pub(crate) fn below(above: &CancellationToken) -> Self {
        Self { token: above.child_token(), why: Arc::default() }
    }

    /// Calls the answer off. The first reason is the one that is told.
    pub(crate) fn call(&self, why: Failure) {
        let _ = self.why.set(why);
        self.token.cancel();
    }

    /// Calls the answer off as whoever asked for it does.
    pub(crate) fn abort(&self) {
        self.call(aborted());
    }

    /// Returns the token that is cancelled then.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Returns why it was called off, if it was.
    pub(crate) fn reason(&self) -> Option<Failure> {
        self.token.is_cancelled().then(|| self.why.get().cloned().unwrap_or_else(aborted))
    }

    /// Waits until it is called off, and returns why.
    pub(crate) async fn requested(&self) -> Failure {
        self.token.cancelled().await;
        self.why.get().cloned().unwrap_or_else(aborted)
    }

    /// Returns what calls the answer off when it is dropped, unless it was let go before.
    pub(crate) fn when_dropped(&self) -> WhenDropped {
        WhenDropped(Some(self.clone()))
    }
}

/// Calls an answer off when it is dropped.
#[derive(Debug)]
pub(crate) struct WhenDropped(Option<CallOff>);

impl WhenDropped {
    pub(crate) fn let_go(mut self) {
        self.0 = None;
    }
}

impl Drop for WhenDropped {
    fn drop(&mut self) {
        if let Some(call_off) = self.0.take() {
            call_off.call(dropped());
        }
    }
}

fn aborted() -> Failure {
    Failure::new("aborted", "the answer was called off")
}

/// Why an answer ends that nobody waits for any more.
pub(crate) fn dropped() -> Failure {
    Failure::new("dropped", "whoever waited for the answer has gone")
}

/// Why an answer ends whose process does.
pub(crate) fn shutdown() -> Failure {
    Failure::new("shutdown", "the process that made the answer ends")
}
