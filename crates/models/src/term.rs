//! How long a call may take, and whether anybody still wants it.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use loomwork_core::{Clock, Time};
use tokio_util::sync::CancellationToken;

use crate::{Error, ErrorKind, ModelName, Result, Settings};

/// The term of one call that a model passes on to other models, perhaps several times.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    model: ModelName,
    clock: Clock,
    /// When the whole call must be over, and how long it was given.
    limit: Option<(Time, Duration)>,
    cancel: CancellationToken,
}

impl Term {
    /// Begins a call; its time runs from here.
    pub(crate) fn new(
        model: &ModelName,
        clock: &Clock,
        settings: &Settings,
        cancel: &CancellationToken,
    ) -> Self {
        let limit = settings.timeout.map(|timeout| (clock.now() + timeout, timeout));
        Self { model: model.clone(), clock: clock.clone(), limit, cancel: cancel.clone() }
    }

    /// Returns the time that is left, if it is limited.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.limit.map(|(deadline, _)| deadline.since(self.clock.now()))
    }

    /// Returns the settings for a call within this one, which has no more time than is left.
    pub(crate) fn settings(&self, settings: &Settings) -> Settings {
        Settings { timeout: self.left(), ..settings.clone() }
    }

    /// Whether the call may wait so long and still have time left.
    pub(crate) fn has_time_for(&self, wait: Duration) -> bool {
        self.left().is_none_or(|left| wait < left)
    }

    /// Waits for work, within the call's time and until the call is cancelled.
    pub(crate) async fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T> {
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

    pub(crate) fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::new(kind, &self.model.provider, &self.model.model, message)
    }
}
