//! Settling ended attempts: many in one mutation, each judged on its own.

#[cfg(test)]
mod tests;

use loomwork_store::{Result, Tx};
use serde_json::value::RawValue;

use crate::conclude::{Completions, Settled, conclude};
use crate::context::has_job;
use crate::failure::{Again, AttemptEnd};
use crate::run::{Attempt, Handler};

/// The most attempts that one mutation settles.
pub const SETTLE_STEP: usize = 64;

/// An attempt that is over, or that is a mutation and runs while it is settled.
#[derive(Clone, Debug)]
pub(crate) struct ToSettle {
    pub(crate) attempt: Attempt,
    pub(crate) work: Work,
}

#[derive(Clone, Debug)]
pub(crate) enum Work {
    Ended(AttemptEnd),
    Mutation { handler: Handler, args: Box<RawValue> },
}

/// Settles attempts; `None` for one that no longer had its job, and changed nothing.
pub(crate) fn settle_all(
    tx: &mut Tx,
    completions: &Completions,
    batch: &[ToSettle],
) -> Result<Vec<Option<Settled>>> {
    batch.iter().map(|item| settle(tx, completions, item)).collect()
}

fn settle(tx: &mut Tx, completions: &Completions, item: &ToSettle) -> Result<Option<Settled>> {
    let settled = tx.nested(|tx| try_settle(tx, completions, item, None));
    let Err(error) = settled else { return settled };
    // Whatever it was about this outcome, the job must not stay running for ever.
    let end = AttemptEnd::of_error(&error, |_| Again::Never);
    tracing::error!(job = %item.attempt.job, %error, "an outcome could not be recorded; the job fails");
    tx.nested(|tx| try_settle(tx, completions, item, Some(end)))
}

fn try_settle(
    tx: &mut Tx,
    completions: &Completions,
    item: &ToSettle,
    instead: Option<AttemptEnd>,
) -> Result<Option<Settled>> {
    let Attempt { job, .. } = item.attempt;
    let Some(row) = tx.get(job)?.filter(|row| has_job(row, item.attempt.fence())) else {
        // The call from outside may come before its handler has returned.
        let is_external = matches!(item.work, Work::Ended(AttemptEnd::External));
        return Ok(is_external.then_some(Settled::HandedOver));
    };
    let end = match instead {
        Some(end) => end,
        None => end_of(tx, &item.work),
    };
    conclude(tx, completions, row, end).map(Some)
}

/// A mutation that fails takes its own writes back, and nothing else.
fn end_of(tx: &mut Tx, work: &Work) -> AttemptEnd {
    match work {
        Work::Ended(end) => end.clone(),
        Work::Mutation { handler: Handler::Mutation(handler), args } => {
            match tx.nested(|tx| handler(tx, args)) {
                Ok(result) => AttemptEnd::Success(result),
                Err(error) => AttemptEnd::of_error(&error, Again::of_mutation),
            }
        }
        Work::Mutation { handler: Handler::Action(_), .. } => {
            AttemptEnd::failed("an action was to be settled as a mutation", Again::Never)
        }
    }
}
