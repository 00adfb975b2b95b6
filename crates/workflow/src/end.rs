//! Ending a run, and waking whoever waits for it.

use std::time::Duration;

use loomwork_core::Kind;
use loomwork_store::{Result, Row, Tx};
use serde_json::value::RawValue;

use crate::blocked::block;
use crate::completion::{Completions, Told, tell};
use crate::cutting::{Budget, cut_off};
use crate::difference::Trouble;
use crate::error::with_sources;
use crate::flow::Continue;
use crate::journal::{Hold, settle};
use crate::limits::{KEEP, RESULT, check};
use crate::mail::take_back;
use crate::payload;
use crate::tables::{Ended, Left, LeftoverRow, State, StoredFailure, StoredOutcome, Stumbles, WorkflowRow};

/// How the code of a run came to its end.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    Success(Box<RawValue>),
    Failed(StoredFailure),
    /// It goes on anew.
    Continue(Box<RawValue>),
    Blocked(String),
}

impl Ending {
    /// Judges what the code has returned.
    pub(crate) fn of(ended: Result<Box<RawValue>>) -> Self {
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
            Ok(Continue { input }) => Self::Continue(input),
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

/// Records how a run's code came to its end; `false` when the hold is lost. The waits `unseen` may have got an
/// event that the code has not seen: it is there for whoever goes on with the run.
pub(crate) fn conclude(
    tx: &mut Tx,
    completions: &Completions,
    hold: Hold,
    ending: Ending,
    unseen: &[u32],
) -> Result<bool> {
    let Some(row) = hold.check(tx)? else { return Ok(false) };
    // Whether blocked code has seen it is not known: that is found out when the run is restarted.
    if !matches!(ending, Ending::Blocked(_)) {
        unseen.iter().try_for_each(|number| take_back(tx, row.id, row.chapter, *number))?;
    }
    let budget = &mut Budget::default();
    match ending {
        Ending::Success(result) => {
            let held = payload::hold(tx, row.id, result.clone(), |payload| &mut payload.result)?;
            finish(tx, completions, row, Ended::Success(held), Some(result), budget)?;
        }
        Ending::Failed(failure) => finish(tx, completions, row, Ended::Failed(failure), None, budget)?,
        Ending::Continue(input) => go_on_anew(tx, row, input)?,
        Ending::Blocked(why) => block(tx, &row, why)?,
    }
    Ok(true)
}

/// Begins an empty journal.
fn go_on_anew(tx: &mut Tx, row: Row<WorkflowRow>, input: Box<RawValue>) -> Result<()> {
    cut_off(tx, row.id, row.chapter, &mut Budget::default())?;
    let input = payload::hold_instead(tx, row.id, &row.input, input, |payload| &mut payload.input)?;
    let now = tx.now();
    let row = tx.update(row.id, |row| {
        row.input = input;
        row.state = State::Ready;
        row.host = None;
        row.stumbles = Stumbles::default();
        row.woken = now;
        row.chapter += 1;
        row.begun = now;
    })?;
    tx.insert(LeftoverRow { run: row.id, left: Left::Below(row.chapter) }).map(drop)
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
        row.stumbles = Stumbles::default();
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
