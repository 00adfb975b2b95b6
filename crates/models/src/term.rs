//! How long a call may take, and whether anybody still wants it.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use loomwork_core::{Clock, Time};
use tokio_util::sync::CancellationToken;

use crate::{Error, ErrorKind, ModelName, Result, Settings};

/// How long a call may take to end when its term is over.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// The term of one call, which may take several attempts and waits.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    model: ModelName,
    clock: Clock,
    /// When the whole call must be over, and how long it was given.
    limit: Option<(Time, Duration)>,
    cancel: CancellationToken,
}

impl Term {
    /// Begins the term; a call's time runs from here.
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
                Either::Right(((), _)) => return Err(self.over(timeout)),
            },
        };
        outcome.ok_or_else(|| self.error(ErrorKind::Cancelled, "the caller called the request off"))
    }

    /// Waits for a call within this one, which knows its term itself and says what it used when that is
    /// over. Only one that does not mind its term is ended here.
    pub(crate) async fn wait_for_call<T>(&self, call: impl Future<Output = T>) -> Result<T> {
        let over = async {
            let over = self.wait(std::future::pending::<Infallible>()).await;
            self.clock.sleep(LAST_WORDS).await;
            over
        };
        match select(pin!(call), pin!(over)).await {
            Either::Left((outcome, _)) => Ok(outcome),
            Either::Right((over, _)) => over.map(|never| match never {}),
        }
    }

    /// Fails if the call's time is over, so that nothing more is begun.
    pub(crate) fn check(&self) -> Result<()> {
        match self.limit {
            Some((deadline, timeout)) if deadline <= self.clock.now() => Err(self.over(timeout)),
            _ => Ok(()),
        }
    }

    fn over(&self, timeout: Duration) -> Error {
        let text = format!("the call took longer than {timeout:?}, the time that it was given");
        self.error(ErrorKind::Timeout, text).with_retryable(false)
    }

    pub(crate) fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::new(kind, &self.model.provider, &self.model.model, message)
    }
}
