//! Ends a wait that takes too long, or that nobody wants any more.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use loomwork_core::Clock;

use super::{Call, HttpOptions};
use crate::term::Term;
use crate::{Error, ErrorKind, Result};

/// Watches one call: its term, and the provider's silence.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub(super) clock: Clock,
    term: Term,
    idle: Duration,
}

impl Watch {
    /// Starts to watch.
    pub(super) fn new(options: &HttpOptions, call: &Call<'_>) -> Self {
        Self { clock: options.clock.clone(), term: call.term.clone(), idle: options.idle_timeout }
    }

    /// Waits for what the provider does. The provider must not be silent for longer than the idle time.
    pub(super) async fn provider<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        let silence = self.clock.sleep(self.idle);
        match select(pin!(self.caller(work)), silence).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(((), _)) => {
                let text = format!("nothing came for {:?}, the idle time-out", self.idle);
                Err(self.error(ErrorKind::Timeout, text))
            }
        }
    }

    /// Waits for anything, within the call's time and until it is cancelled.
    pub(super) async fn caller<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        self.term.wait(work).await
    }

    /// Whether the call may wait so long and still have time left.
    pub(super) fn has_time_for(&self, wait: Duration) -> bool {
        self.term.has_time_for(wait)
    }

    pub(super) fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        self.term.error(kind, message)
    }
}
