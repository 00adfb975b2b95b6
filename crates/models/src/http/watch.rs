//! Ends a wait that takes too long, or that nobody wants any more.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use loomwork_core::{Clock, Time};
use tokio_util::sync::CancellationToken;

use super::{Call, HttpOptions};
use crate::{Error, ErrorKind, Result};

/// Watches one call: its deadline, the provider's silence, and the caller's wish to end it.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub(super) provider: String,
    pub(super) model: String,
    pub(super) clock: Clock,
    idle: Duration,
    /// When the whole call must be over, and how long it was given.
    limit: Option<(Time, Duration)>,
    cancel: CancellationToken,
}

impl Watch {
    /// Starts to watch; a call's time runs from here.
    pub(super) fn new(provider: &str, options: &HttpOptions, call: &Call<'_>) -> Self {
        let clock = options.clock.clone();
        let limit = call.settings.timeout.map(|timeout| (clock.now() + timeout, timeout));
        let (provider, model) = (provider.to_owned(), call.model.to_owned());
        Self { provider, model, clock, idle: options.idle_timeout, limit, cancel: call.cancel.clone() }
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
        let work = self.cancel.run_until_cancelled(work);
        let outcome = match self.limit {
            None => work.await,
            Some((deadline, timeout)) => match select(pin!(work), self.clock.sleep_until(deadline)).await {
                Either::Left((outcome, _)) => outcome,
                Either::Right(((), _)) => {
                    let text = format!("the call took longer than {timeout:?}, the time that it was given");
                    return Err(self.error(ErrorKind::Timeout, text).with_retryable(false));
                }
            },
        };
        outcome.ok_or_else(|| self.error(ErrorKind::Cancelled, "the caller called the request off"))
    }

    /// Whether the call may wait so long and still have time left.
    pub(super) fn has_time_for(&self, wait: Duration) -> bool {
        self.limit.is_none_or(|(deadline, _)| self.clock.now() + wait < deadline)
    }

    pub(super) fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::new(kind, &self.provider, &self.model, message)
    }
}
