//! Ending a run, and waking whoever waits for it.

use std::time::Duration;

use loomwork_core::{Kind, RetryPolicy};
use loomwork_store::{Result, Row, Tx};
use serde_json::value::RawValue;

use crate::completion::{Completions, Told, tell};
use crate::cutting::{Budget, cut_off};
use crate::difference::Trouble;
use crate::error::with_sources;
use crate::flow::Continue;
use crate::journal::{Hold, settle};
use crate::limits::{KEEP, RESULT, check};
use crate::mail::{give_back, serve_all};
use crate::payload;
use crate::tables::{Ended, Left, LeftoverRow, State, StoredFailure, StoredOutcome, WorkflowId, WorkflowRow};

/// How long a blocked run rests before its code is tried again, the first time; then longer and longer.
pub const BLOCKED_PAUSE: Duration = Duration::from_secs(10);

/// The longest that a blocked run rests before its code is tried again.
pub const BLOCKED_CEILING: Duration = Duration::from_secs(600);

/// How the code of a run came to its end.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    Success(Box<RawValue>),
    Failed(StoredFailure),
    /// It goes on anew. These waits of it may have got an event that the code has not seen.
    Continue {
        input: Box<RawValue>,
        unseen: Vec<u32>,
    },
    Blocked(String),
}

impl Ending {
    /// Judges what the code has returned.
    pub(crate) fn of(ended: Result<Box<RawValue>>, unseen: impl FnOnce() -> Vec<u32>) -> Self {
        let error = match ended {
            Ok(result) => match check("the workflow's result", &result, RESULT) {
                Ok(()) => return Self::Success(result),
                Err(message) => {
                    return Self::Failed(StoredFailure::new(Kind::Invalid, message));
                }
            },
            Err(error) => error,
        };
        match error.downcast::<Continue>() {
            Ok(Continue { input }) => Self::Continue { input, unseen: unseen() },
            Err(error) => Self::Failed(StoredFailure::new(error.kind(), with_sources(&error))),
        }
    }

    /// What trouble does to a run.
    pub(crate) fn of_trouble(trouble: &Trouble) -> Self {
        match trouble {
            Trouble::Full { .. } => Self::Failed(StoredFailure::new(Kind::Invalid, trouble.to_string())),
            Trouble::Differs(_) | Trouble::Foreign | Trouble::Outside(_) => {
                Self::Blocked(trouble.to_string())
            }
        }
    }
}

/// Records how a run's code came to its end; `false` when the hold is lost.
pub(crate) fn conclude(tx: &mut Tx, completions: &Completions, hold: Hold, ending: Ending) -> Result<bool> {
    let Some(row) = hold.check(tx)? else { return Ok(false) };
    let budget = &mut Budget::default();
    match ending {
        Ending::Success(result) => {
            let held = payload::hold(tx, row.id, result.clone(), |payload| &mut payload.result)?;
            finish(tx, completions, row, Ended::Success(held), Some(result), budget)?;
        }
        Ending::Failed(failure) => finish(tx, completions, row, Ended::Failed(failure), None, budget)?,
        Ending::Continue { input, unseen } => go_on_anew(tx, row, input, unseen)?,
        Ending::Blocked(why) => block(tx, &row, why)?,
    }
    Ok(true)
}

/// Has a run rest that cannot go on, until [`unblock`] has it tried again.
pub(crate) fn block(tx: &mut Tx, run: &Row<WorkflowRow>, why: String) -> Result<()> {
    if run.stumbles == 0 {
        tracing::error!(workflow = %run.id, name = run.name, why, "a workflow is blocked");
    } else {
        tracing::debug!(workflow = %run.id, name = run.name, why, "a workflow is still blocked");
    }
    let stumbles = run.stumbles.saturating_add(1);
    let pauses = RetryPolicy::default().with_initial(BLOCKED_PAUSE).with_ceiling(BLOCKED_CEILING);
    let again = tx.now() + pauses.delay(stumbles, tx.random());
    tx.update(run.id, |row| {
        row.state = State::Blocked;
        row.host = None;
        row.blocked = Some(why);
        row.stumbles = stumbles;
        row.woken = again;
    })
    .map(drop)
}

/// Has a blocked run tried again, with the events that came meanwhile.
pub(crate) fn unblock(tx: &mut Tx, run: &Row<WorkflowRow>) -> Result<()> {
    let now = tx.now();
    tx.update(run.id, |row| {
        row.state = State::Ready;
        row.blocked = None;
        row.woken = now;
    })?;
    match tx.nested(|tx| serve_all(tx, run.id, run.chapter)) {
        // Whoever takes it finds that too, and blocks it again with what it says.
        Err(error) if error.kind() == Kind::Corrupt => Ok(()),
        served => served,
    }
}

/// Begins an empty journal.
fn go_on_anew(tx: &mut Tx, row: Row<WorkflowRow>, input: Box<RawValue>, unseen: Vec<u32>) -> Result<()> {
    cut_off(tx, row.id, row.chapter, &mut Budget::default())?;
    for number in unseen {
        give_back(tx, row.id, row.chapter, number)?;
    }
    let input = payload::hold_instead(tx, row.id, &row.input, input, |payload| &mut payload.input)?;
    new_chapter(tx, row.id)?;
    let now = tx.now();
    tx.update(row.id, |row| {
        row.input = input;
        row.state = State::Ready;
        row.host = None;
        row.stumbles = 0;
        row.woken = now;
    })?;
    Ok(())
}

/// Leaves a run's journal behind, to be swept away.
pub(crate) fn new_chapter(tx: &mut Tx, run: WorkflowId) -> Result<()> {
    let now = tx.now();
    let row = tx.update(run, |row| {
        row.chapter += 1;
        row.begun = now;
    })?;
    tx.insert(LeftoverRow { run, left: Left::Below(row.chapter) }).map(drop)
}

/// Ends a run: cuts off what it waits for, tells its parent and whoever asked to know.
pub(crate) fn finish(
    tx: &mut Tx,
    completions: &Completions,
    run: Row<WorkflowRow>,
    ended: Ended,
    result: Option<Box<RawValue>>,
    budget: &mut Budget,
) -> Result<()> {
    cut_off(tx, run.id, run.chapter, budget)?;
    let now = tx.now();
    let keep = run.keep_ms.map_or(KEEP, Duration::from_millis);
    let row = tx.update(run.id, |row| {
        row.state = State::Ended;
        row.fence += 1;
        row.host = None;
        row.blocked = None;
        row.stumbles = 0;
        row.ended = Some(ended.clone());
        row.finished = Some(now);
        row.retained = Some(now + keep);
    })?;
    if let Some(step) = row.parent_step {
        let outcome = match (&ended, &result) {
            (Ended::Success(_), Some(result)) => StoredOutcome::Success(result.clone()),
            (Ended::Success(_), None) => StoredOutcome::Success(crate::journal::null()),
            (Ended::Failed(failure), _) => StoredOutcome::Failed(failure.clone()),
            (Ended::Cancelled, _) => StoredOutcome::Cancelled,
        };
        settle(tx, step, outcome)?;
    }
    let Some(callback) = &row.on_done else { return Ok(()) };
    let told =
        Told { workflow: row.id, name: row.name.clone(), context: callback.context.clone(), ended, result };
    tell(tx, completions, &row, told)
}
