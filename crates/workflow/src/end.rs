//! Ending a run, and waking whoever waits for it.

use std::time::Duration;

use loomwork_core::Kind;
use loomwork_store::{Result, Row, Tx};
use serde_json::value::RawValue;

use crate::completion::{Completions, Told, tell};
use crate::difference::Trouble;
use crate::error::with_sources;
use crate::flow::Continue;
use crate::journal::{Hold, cut_off, settle};
use crate::limits::{KEEP, RESULT, check};
use crate::payload;
use crate::tables::{
    Ended, LeftoverRow, MailRow, State, StepKind, StepRow, StoredFailure, StoredOutcome, WorkflowId,
    WorkflowRow,
};

/// How the code of a run came to its end.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    Success(Box<RawValue>),
    Failed(StoredFailure),
    /// It goes on anew, with the events that it had been given back and not taken, and those that have come
    /// from the position `unseen` on.
    Continue {
        input: Box<RawValue>,
        returned: Vec<(String, StoredOutcome)>,
        unseen: u64,
    },
    Blocked(String),
}

impl Ending {
    /// Judges what the code has returned.
    pub(crate) fn of(
        ended: Result<Box<RawValue>>,
        left: impl FnOnce() -> (Vec<(String, StoredOutcome)>, u64),
    ) -> Self {
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
            Ok(Continue { input }) => {
                let (returned, unseen) = left();
                Self::Continue { input, returned, unseen }
            }
            Err(error) => Self::Failed(StoredFailure::new(error.kind(), with_sources(&error))),
        }
    }

    /// What trouble does to a run.
    pub(crate) fn of_trouble(trouble: &Trouble) -> Self {
        match trouble {
            Trouble::Full { .. } => Self::Failed(StoredFailure::new(Kind::Invalid, trouble.to_string())),
            Trouble::Differs(_) | Trouble::Foreign => Self::Blocked(trouble.to_string()),
        }
    }
}

/// Records how a run's code came to its end; `false` when the hold is lost.
pub(crate) fn conclude(tx: &mut Tx, completions: &Completions, hold: Hold, ending: Ending) -> Result<bool> {
    let Some(row) = hold.check(tx)? else { return Ok(false) };
    match ending {
        Ending::Success(result) => {
            let held =
                payload::hold(tx, row.id, result.clone(), |payload, json| payload.result = Some(json))?;
            finish(tx, completions, row, Ended::Success(held), Some(result))?;
        }
        Ending::Failed(failure) => finish(tx, completions, row, Ended::Failed(failure), None)?,
        Ending::Continue { input, returned, unseen } => go_on_anew(tx, row, input, returned, unseen)?,
        Ending::Blocked(why) => {
            tracing::error!(workflow = %row.id, name = row.name, why, "a workflow is blocked");
            tx.update(row.id, |row| {
                row.state = State::Blocked;
                row.host = None;
                row.blocked = Some(why);
            })?;
        }
    }
    Ok(true)
}

/// Begins an empty journal.
fn go_on_anew(
    tx: &mut Tx,
    row: Row<WorkflowRow>,
    input: Box<RawValue>,
    mut returned: Vec<(String, StoredOutcome)>,
    unseen: u64,
) -> Result<()> {
    // The code has ended before these reached it.
    for step in tx.scan(StepRow::settled.eq(row.id).eq(row.chapter).ge(unseen))? {
        let StepRow { kind, name, outcome, .. } = step.record;
        if let (StepKind::Event, Some(value @ (StoredOutcome::Success(_) | StoredOutcome::Failed(_)))) =
            (kind, outcome)
        {
            returned.push((name, value));
        }
    }
    cut_off(tx, row.id)?;
    let sent = tx.now();
    for (name, value) in returned {
        tx.insert(MailRow { run: row.id, name, rank: 0, value, sent })?;
    }
    let input = payload::hold(tx, row.id, input, |payload, json| payload.input = Some(json))?;
    new_chapter(tx, row.id)?;
    tx.update(row.id, |row| {
        row.input = input;
        row.state = State::Ready;
        row.host = None;
        row.woken = sent;
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
    tx.insert(LeftoverRow { run, below: Some(row.chapter) }).map(drop)
}

/// Ends a run: cuts off what it waits for, tells its parent and whoever asked to know.
pub(crate) fn finish(
    tx: &mut Tx,
    completions: &Completions,
    run: Row<WorkflowRow>,
    ended: Ended,
    result: Option<Box<RawValue>>,
) -> Result<()> {
    cut_off(tx, run.id)?;
    let now = tx.now();
    let keep = run.keep_ms.map_or(KEEP, Duration::from_millis);
    let row = tx.update(run.id, |row| {
        row.state = State::Ended;
        row.fence += 1;
        row.host = None;
        row.blocked = None;
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
