//! Whether, and when, a call that failed is made again.

use std::time::Duration;

use loomwork_core::Random;

use super::watch::Watch;
use crate::{Error, Result, Usage};

/// How often a call is made again where its settings don't say.
pub(super) const DEFAULT_RETRIES: u32 = 2;

/// The wait before the first retry; each next one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The longest wait of our own choice.
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// The longest wait that a provider may ask for; the call fails at once where it asks for more.
const LONGEST_WAIT_ASKED: Duration = Duration::from_secs(120);

/// The part of a wait that is left out at random, so that many callers don't return all at once.
const JITTER: f64 = 0.25;

/// The attempts of one call.
pub(super) struct Attempts<'a> {
    pub(super) watch: &'a Watch,
    pub(super) random: &'a Random,
    pub(super) retries: u32,
    failed: u32,
    /// What the attempts used that failed.
    spent: Usage,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(watch: &'a Watch, random: &'a Random, retries: u32) -> Self {
        Self { watch, random, retries, failed: 0, spent: Usage::default() }
    }

    /// Returns what all failed attempts used.
    pub(super) fn into_spent(self) -> Usage {
        self.spent
    }

    /// Waits until the next attempt is due; returns the error instead if there shall be none, with what
    /// all attempts used.
    pub(super) async fn after(&mut self, error: Error) -> Result<()> {
        let waited = self.wait_after(&error).await;
        self.spent.join(error.usage().unwrap_or(&Usage::default()));
        match waited {
            Ok(true) => Ok(()),
            Ok(false) => Err(error.with_all_usage(&self.spent)),
            Err(error) => Err(error.with_all_usage(&self.spent)),
        }
    }

    /// Waits until the next attempt is due; `false` if there shall be none.
    async fn wait_after(&mut self, error: &Error) -> Result<bool> {
        if self.failed >= self.retries || !error.is_retryable() {
            return Ok(false);
        }
        let wait = match error.retry_after() {
            Some(asked) if asked > LONGEST_WAIT_ASKED => return Ok(false),
            Some(asked) => asked,
            None => self.backoff(),
        };
        if !self.watch.has_time_for(wait) {
            return Ok(false);
        }
        self.failed += 1;
        tracing::debug!(%error, retry = self.failed, ?wait, "call to a model failed, trying again");
        self.watch.caller(self.watch.clock.sleep(wait)).await.map(|()| true)
    }

    fn backoff(&self) -> Duration {
        let wait = FIRST_WAIT.saturating_mul(1 << self.failed.min(16)).min(LONGEST_WAIT);
        wait.mul_f64(1.0 - JITTER * self.random.unit())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join;
    use loomwork_core::{Clock, Time};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::http::{Call, HttpOptions, Said};
    use crate::term::Term;
    use crate::{ErrorKind, ModelName, Settings};

    fn watch(clock: Clock) -> Watch {
        let options = HttpOptions { clock, ..HttpOptions::default() };
        let (settings, cancel) = (Settings::default(), CancellationToken::new());
        let read_error = |_, _: &_| Said::default();
        let term = Term::new(&ModelName::new("openai", "m"), &options.clock, &settings, &cancel);
        Watch::new(&options, &Call { term: &term, settings: &settings, read_error })
    }

    /// Returns how long each wait was until there is no other attempt.
    async fn waits(retries: u32, error: Error) -> Vec<Duration> {
        let manual = Clock::manual(Time::EPOCH);
        let watch = watch(manual.clock());
        let random = Random::seeded(1);
        let mut attempts = Attempts::new(&watch, &random, retries);
        let mut waits = Vec::new();
        loop {
            let before = watch.clock.now();
            let turn = async {
                manual.timers_waiting(1).await;
                manual.advance_to_next_timer();
            };
            let after = std::pin::pin!(attempts.after(error.clone()));
            let turn = std::pin::pin!(turn);
            match futures_util::future::select(after, turn).await {
                futures_util::future::Either::Left((Err(_), _)) => return waits,
                futures_util::future::Either::Left((Ok(()), _)) => {}
                futures_util::future::Either::Right(((), after)) => join(after, async {}).await.0.unwrap(),
            }
            waits.push(watch.clock.now().since(before));
        }
    }

    fn overloaded() -> Error {
        Error::new(ErrorKind::Overloaded, "openai", "m", "busy")
    }

    #[tokio::test]
    async fn waits_double_up_to_their_limit_less_some_jitter() {
        let waits = waits(7, overloaded()).await;
        assert_eq!(waits.len(), 7);
        for (wait, full) in waits.iter().zip([500, 1000, 2000, 4000, 8000, 8000, 8000]) {
            let share = wait.as_secs_f64() * 1000.0 / f64::from(full);
            assert!((0.75..=1.001).contains(&share), "{waits:?}");
        }
    }

    #[tokio::test]
    async fn the_wait_that_the_provider_asks_for_is_kept() {
        let asked = Duration::from_secs(100);
        assert_eq!(waits(2, overloaded().with_retry_after(asked)).await, [asked, asked]);
        assert_eq!(waits(2, overloaded().with_retry_after(Duration::from_secs(121))).await, []);
    }

    #[tokio::test]
    async fn what_no_retry_can_help_is_not_tried_again() {
        assert_eq!(waits(2, overloaded().with_retryable(false)).await, []);
        assert_eq!(waits(0, overloaded()).await, []);
    }
}
