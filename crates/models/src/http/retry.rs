//! Whether, and when, a call that failed is made again.

use std::time::Duration;

use loomwork_core::Random;

use super::watch::Watch;
use crate::{Error, Result};

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
}

impl<'a> Attempts<'a> {
    pub(super) fn new(watch: &'a Watch, random: &'a Random, retries: u32) -> Self {
        Self { watch, random, retries, failed: 0 }
    }

    /// Waits until the next attempt is due; returns the error instead if there shall be none.
    pub(super) async fn after(&mut self, error: Error) -> Result<()> {
        if self.failed >= self.retries || !error.is_retryable() {
            return Err(error);
        }
        let wait = match error.retry_after() {
            Some(asked) if asked > LONGEST_WAIT_ASKED => return Err(error),
            Some(asked) => asked,
            None => self.backoff(),
        };
        if !self.watch.has_time_for(wait) {
            return Err(error);
        }
        self.failed += 1;
        tracing::debug!(%error, retry = self.failed, ?wait, "call to a model failed, trying again");
        self.watch.caller(self.watch.clock.sleep(wait)).await
    }

    fn backoff(&self) -> Duration {
        let wait = FIRST_WAIT.saturating_mul(1 << self.failed.min(16)).min(LONGEST_WAIT);
        wait.mul_f64(1.0 - JITTER * self.random.unit())
    }
}
