//! Ending a run, and telling whoever waits for it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use loomwork_core::RetryPolicy;
use loomwork_store::{Next, Result, Row, Tx, Upkeep};
use serde_json::value::RawValue;

use crate::difference::Trouble;
use crate::error::with_sources;
use crate::flow::Continue;
use crate::journal::{Hold, cut_off, settle};
use crate::limits::{KEEP, RESULT, check};
use crate::payload;
use crate::tables::{
    Ended, LeftoverRow, MailRow, State, StepKind, StepRow, StoredFailure, StoredOutcome, Telling, WorkflowId,
    WorkflowRow,
};

/// How often a completion handler is tried before it is left for a person to look at.
pub const COMPLETION_ATTEMPTS: u32 = 10;

/// What a completion handler is told, encoded.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) workflow: WorkflowId,
    pub(crate) name: String,
    pub(crate) context: Box<RawValue>,
    pub(crate) ended: Ended,
    pub(crate) result: Option<Box<RawValue>>,
}

type Teller = Arc<dyn Fn(&mut Tx, Told) -> Result<()> + Send + Sync>;

/// The completion handlers of a process, by name.
#[derive(Clone, Default)]
pub(crate) struct Completions(pub(crate) HashMap<&'static str, Teller>);

impl fmt::Debug for Completions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

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
                    return Self::Failed(StoredFailure::new(loomwork_core::Kind::Invalid, message));
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
            Trouble::Full { .. } => {
                Self::Failed(StoredFailure::new(loomwork_core::Kind::Invalid, trouble.to_string()))
            }
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

/// Runs a completion in this transaction. If that fails, only its own writes are undone, and it is tried again.
fn tell(tx: &mut Tx, completions: &Completions, run: &Row<WorkflowRow>, told: Told) -> Result<()> {
    let Some(callback) = &run.on_done else { return Ok(()) };
    let telling = match completions.0.get(callback.name.as_str()) {
        // Whoever has its handler is to tell it.
        None => Telling { due: tx.now(), tries: 0, last_error: None, dead: false },
        Some(handler) => {
            let Err(error) = tx.nested(|tx| handler(tx, told)) else {
                if run.telling.is_some() {
                    tx.update(run.id, |row| row.telling = None)?;
                }
                return Ok(());
            };
            let tries = run.telling.as_ref().map_or(0, |telling| telling.tries) + 1;
            let dead = tries >= COMPLETION_ATTEMPTS;
            let error = with_sources(&error);
            if dead {
                tracing::error!(workflow = %run.id, completion = callback.name, error, "a completion failed too often and is dead");
            } else {
                tracing::warn!(workflow = %run.id, completion = callback.name, error, tries, "a completion failed and will be tried again");
            }
            let pauses = RetryPolicy::default().with_initial(Duration::from_secs(1));
            let pause = pauses.with_ceiling(Duration::from_secs(3600)).delay(tries, tx.random());
            Telling { due: tx.now() + pause, tries, last_error: Some(error), dead }
        }
    };
    tx.update(run.id, |row| row.telling = Some(telling)).map(drop)
}

/// Tells what is due, of the completions that this process has handlers for: one of each name in a step.
pub(crate) fn telling(completions: Arc<Completions>) -> Upkeep {
    Upkeep::new("workflow completions", move |tx| {
        let mut next = None;
        let mut told = false;
        for name in completions.0.keys() {
            let due = WorkflowRow::untold.eq(*name);
            let Some(row) = tx.first(due.readable())? else { continue };
            let Some(due) = row.telling.as_ref().map(|telling| telling.due) else { continue };
            if due > tx.now() {
                next = Some(next.map_or(due, |next: loomwork_core::Time| next.min(due)));
                continue;
            }
            tell_again(tx, &completions, row)?;
            told = true;
        }
        if told {
            return Ok(Next::More);
        }
        Ok(next.map_or(Next::Idle, Next::At))
    })
}

fn tell_again(tx: &mut Tx, completions: &Completions, row: Row<WorkflowRow>) -> Result<()> {
    let (Some(callback), Some(ended)) = (&row.on_done, &row.ended) else { return Ok(()) };
    let result = match ended {
        Ended::Success(held) => payload::read(tx, row.id, held, |payload| payload.result)?,
        Ended::Failed(_) | Ended::Cancelled => None,
    };
    let (context, ended) = (callback.context.clone(), ended.clone());
    let told = Told { workflow: row.id, name: row.name.clone(), context, ended, result };
    tell(tx, completions, &row, told)
}
