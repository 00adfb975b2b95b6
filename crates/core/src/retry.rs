//! Trying again.

use std::{future::Future, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Clock, Fault, Kind, Random};

/// How often to try, and how long to wait in between.
///
/// The wait after the k-th attempt is `initial × base^(k−1)`, times a random factor between one
/// half and one and a half, and never above `ceiling`. New fields may come; `..RetryPolicy::default()`
/// and the `with_` setters are ready for them.
///
/// As JSON: `{"attempts":5,"initialMs":250,"base":2.0,"jitter":true,"ceilingMs":60000}`, where a missing
/// field has its default. Durations are cut to whole milliseconds.
///
/// ```
/// use std::time::Duration;
/// use loomwork_core::RetryPolicy;
///
/// let patient = RetryPolicy::default().with_attempts(10).with_ceiling(Duration::from_secs(3600));
/// assert!(patient.validate().is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryPolicy {
    /// How many attempts there are, the first one included. Default: 5.
    pub attempts: u32,
    /// The wait after the first attempt. Default: 250 ms.
    #[serde(rename = "initialMs", with = "millis")]
    pub initial: Duration,
    /// By how much each wait is longer than the one before. Default: 2.
    pub base: f64,
    /// Whether waits are spread at random, so that many callers don't return all at once. Default: yes.
    pub jitter: bool,
    /// The longest wait. Default: 1 minute.
    #[serde(rename = "ceilingMs", with = "millis")]
    pub ceiling: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            initial: Duration::from_millis(250),
            base: 2.0,
            jitter: true,
            ceiling: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    /// Returns the policy of a single attempt.
    pub fn none() -> Self {
        Self::default().with_attempts(1)
    }

    /// Sets how many attempts there are, the first one included.
    #[must_use]
    pub fn with_attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// Sets the wait after the first attempt.
    #[must_use]
    pub fn with_initial(self, initial: Duration) -> Self {
        Self { initial, ..self }
    }

    /// Sets by how much each wait is longer than the one before.
    #[must_use]
    pub fn with_base(self, base: f64) -> Self {
        Self { base, ..self }
    }

    /// Sets whether waits are spread at random.
    #[must_use]
    pub fn with_jitter(self, jitter: bool) -> Self {
        Self { jitter, ..self }
    }

    /// Sets the longest wait.
    #[must_use]
    pub fn with_ceiling(self, ceiling: Duration) -> Self {
        Self { ceiling, ..self }
    }

    /// Checks the values against each other.
    ///
    /// The other functions take any values: they wait at most `ceiling` and try at least once.
    ///
    /// # Errors
    ///
    /// Names the first field that is wrong.
    pub fn validate(&self) -> Result<(), PolicyError> {
        if self.attempts == 0 {
            return Err(PolicyError::Attempts);
        }
        if !(self.base >= 1.0 && self.base.is_finite()) {
            return Err(PolicyError::Base { found: self.base });
        }
        if self.ceiling < self.initial {
            return Err(PolicyError::Ceiling { found: self.ceiling, initial: self.initial });
        }
        Ok(())
    }

    /// Returns the wait that follows the given number of finished attempts.
    pub fn delay(&self, finished: u32, random: &Random) -> Duration {
        if self.initial.is_zero() {
            return Duration::ZERO;
        }
        let growth = self.base.powf(finished.saturating_sub(1).into());
        let spread = if self.jitter { 0.5 + random.unit() } else { 1.0 };
        let seconds = self.initial.as_secs_f64() * growth * spread;
        // What is no duration (too long, NaN from a base that is none) is the ceiling.
        Duration::try_from_secs_f64(seconds).unwrap_or(self.ceiling).min(self.ceiling)
    }
}

/// Which field of a [`RetryPolicy`] is wrong.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// There would be no attempt at all.
    #[error("retry policy has `attempts` 0, it must be at least 1: the first attempt counts")]
    Attempts,
    /// Waits would shrink, or be no numbers.
    #[error("retry policy has `base` {found}, it must be a number and at least 1")]
    Base {
        /// The base.
        found: f64,
    },
    /// The first wait would already be too long.
    #[error("retry policy has `ceiling` {found:?}, it must be at least `initial`, which is {initial:?}")]
    Ceiling {
        /// The ceiling.
        found: Duration,
        /// The first wait.
        initial: Duration,
    },
}

impl Fault for PolicyError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// Calls `attempt` until it succeeds, fails for good, or was tried often enough.
///
/// `attempt` is given its number, from 1. `kind_of` says what an error means: only
/// [retryable](Kind::is_retryable) kinds are tried again, and after [`Kind::Limited`] not before its
/// `wait` is over, even if that is longer than the policy's ceiling. Retries live in memory: what must
/// survive a crash is a job or a workflow.
///
/// Cancel safety: dropping the future drops the attempt that is under way, and no other follows.
///
/// # Errors
///
/// Returns the error of the last attempt.
///
/// ```
/// # use loomwork_core::{Clock, Fault, Kind, Random, RetryPolicy, retry};
/// # #[derive(Debug, PartialEq, thiserror::Error)]
/// # #[error("busy")]
/// # struct Busy;
/// # impl Fault for Busy {
/// #     fn kind(&self) -> Kind {
/// #         Kind::Unavailable
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let policy = RetryPolicy::default().with_initial(std::time::Duration::from_millis(1));
/// let (clock, random) = (Clock::system(), Random::system());
/// let answer = retry(&policy, &clock, &random, Busy::kind, async |attempt| {
///     if attempt < 3 { Err(Busy) } else { Ok("done") }
/// });
/// assert_eq!(answer.await, Ok("done"));
/// # }
/// ```
pub async fn retry<T, E, F>(
    policy: &RetryPolicy,
    clock: &Clock,
    random: &Random,
    kind_of: impl Fn(&E) -> Kind,
    mut attempt: impl FnMut(u32) -> F,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut number = 1;
    loop {
        let error = match attempt(number).await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let kind = kind_of(&error);
        if number >= policy.attempts || !kind.is_retryable() {
            return Err(error);
        }
        let delay = policy.delay(number, random).max(demanded_wait(kind));
        tracing::debug!(attempt = number, %kind, ?delay, "attempt failed, trying again");
        clock.sleep(delay).await;
        number += 1;
    }
}

fn demanded_wait(kind: Kind) -> Duration {
    if let Kind::Limited { wait } = kind { wait } else { Duration::ZERO }
}

/// Durations as whole milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(duration.as_millis().try_into().unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
