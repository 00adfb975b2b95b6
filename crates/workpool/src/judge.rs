//! What becomes of a job when an attempt has ended: the decision alone.

#[cfg(test)]
mod tests;

use loomwork_core::{Random, Time};
use serde_json::value::RawValue;

use crate::failure::{Again, AttemptEnd};
use crate::tables::JobRow;

/// What becomes of the job.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Success(Box<RawValue>),
    Failed(String),
    Cancelled,
    Interrupted,
    Retry {
        due: Time,
        error: String,
    },
    /// A call from outside will end the attempt.
    HandOver,
}

/// Judges an ended attempt. A cancellation that was asked for while the attempt ran wins over a
/// retry, and only over that: what the attempt has achieved stays true.
pub(crate) fn judge(job: &JobRow, end: AttemptEnd, now: Time, random: &Random) -> Verdict {
    let (message, again) = match end {
        AttemptEnd::Success(result) => return Verdict::Success(result),
        AttemptEnd::External if job.cancelled => return Verdict::Cancelled,
        AttemptEnd::External => return Verdict::HandOver,
        AttemptEnd::Aborted => return Verdict::Cancelled,
        AttemptEnd::Failure { yielded: true, .. } if job.cancelled => return Verdict::Cancelled,
        AttemptEnd::Lost if job.retry.is_none() => return Verdict::Interrupted,
        AttemptEnd::Lost => ("its worker died while it ran".to_owned(), Again::Soon),
        AttemptEnd::Failure { message, again, .. } => (message, again),
    };
    let failures = job.failures + 1;
    let wait = match (&job.retry, again) {
        (Some(policy), Again::Soon) if failures < policy.attempts => policy.delay(failures, random),
        (Some(policy), Again::After(wait)) if failures < policy.attempts => {
            policy.delay(failures, random).max(wait)
        }
        _ => return Verdict::Failed(message),
    };
    let due = now + wait;
    if job.deadline.is_some_and(|deadline| due >= deadline) {
        return Verdict::Failed(format!("{message}; its deadline leaves no time for another attempt"));
    }
    if job.cancelled {
        return Verdict::Cancelled;
    }
    Verdict::Retry { due, error: message }
}
