//! The part that a workpool has: a job that ends settles the step that waits for it, in the transaction that
//! records its outcome.

use loomwork_store::{Result, Tx};
use loomwork_workpool::{Builder, Completion, Done, Outcome};
use serde_json::value::RawValue;

use crate::journal::settle;
use crate::limits::{RESULT, check};
use crate::order::refusal;
use crate::tables::{StepId, StoredFailure, StoredOutcome};

/// The completion of all jobs that steps wait for.
pub(crate) const STEP_ENDED: &str = "loomwork workflow step";

/// Has a workpool tell workflows when the jobs that they wait for have ended. Each process that runs jobs of
/// workflows needs it: any other pool runs them and tells nobody, and their steps stay
/// [`Untold`](crate::StepState::Untold).
///
/// ```
/// # use loomwork_store::Store;
/// # use loomwork_workpool::Workpool;
/// # async fn start(store: &Store) -> loomwork_store::Result<()> {
/// let pool = loomwork_workflow::with_steps(Workpool::builder(store)).start().await?;
/// # drop(pool); Ok(()) }
/// ```
pub fn with_steps(pool: Builder) -> Builder {
    const ENDED: Completion<StepId, Box<RawValue>> = Completion::new(STEP_ENDED);
    pool.on_done(ENDED, |tx, done| step_ended(tx, done.context, done))
}

/// Settles the step of a job.
pub(crate) fn step_ended(tx: &mut Tx, step: StepId, done: Done<StepId, Box<RawValue>>) -> Result<()> {
    let outcome = match done.outcome {
        Outcome::Success(result) => match check("its result", &result, RESULT) {
            Ok(()) => StoredOutcome::Success(result),
            Err(message) => refusal(loomwork_core::Kind::Invalid, message),
        },
        // The pool has tried it as often as it was to: for the workflow there is no "later".
        Outcome::Failed(message) => {
            StoredOutcome::Failed(StoredFailure::new(loomwork_core::Kind::Internal, message))
        }
        Outcome::Cancelled => StoredOutcome::Cancelled,
        Outcome::Interrupted => StoredOutcome::Interrupted,
    };
    settle(tx, step, outcome).map(drop)
}
