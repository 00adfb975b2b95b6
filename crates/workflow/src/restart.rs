//! Beginning a run again: from the start, from a step, or where it stopped.

use loomwork_core::{Fault, Kind};
use loomwork_store::{Result, Row, Tx};

use crate::clean::leave;
use crate::cutting::{Budget, call_off, cut_off};
use crate::end::new_chapter;
use crate::mail::serve_all;
use crate::tables::{State, StepRow, StoredOutcome, WorkflowId, WorkflowRow};

/// From where a run is begun again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestartFrom {
    /// From its start: its journal is left behind.
    Start,
    /// From the step of this number: it and all behind it are forgotten and done again.
    Step(u32),
    /// From the last step of this name.
    Name(String),
    /// Where it stopped: its whole journal stays, only what was cut off when it ended is done again. For code
    /// that was mended.
    End,
}

/// Why a run is not begun again. Nothing is written then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestartError {
    /// There is no such workflow.
    #[error("there is no {workflow} to restart")]
    Unknown {
        /// The workflow.
        workflow: WorkflowId,
    },
    /// It still runs.
    #[error("{workflow} is still running; cancel it before it is restarted")]
    StillRunning {
        /// The workflow.
        workflow: WorkflowId,
    },
    /// How it ended is still to be told, which must not be lost: try again when that is done. One that is dead
    /// is given up by a restart.
    #[error("the end of {workflow} is not told to its completion yet; restart it when that is done")]
    Untold {
        /// The workflow.
        workflow: WorkflowId,
    },
    /// It has no such step.
    #[error("{workflow} has no step {step} to restart from; `steps` lists those it has")]
    NoStep {
        /// The workflow.
        workflow: WorkflowId,
        /// The step's number, or its name in quotes.
        step: String,
    },
}

impl Fault for RestartError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unknown { .. } | Self::NoStep { .. } => Kind::NotFound,
            Self::StillRunning { .. } => Kind::Conflict,
            Self::Untold { .. } => Kind::Unavailable,
        }
    }
}

/// Begins a workflow again that has ended or is blocked. Whoever was told of its end is told of the next one too;
/// its events that nobody has taken are still there. What it waited for and what is begun again are called off.
///
/// The [key](crate::Flow::effect_keyed) of an effect that is done again is another one than before.
///
/// # Errors
/// [`RestartError`], and when the store cannot be read or written.
pub fn restart(tx: &mut Tx, workflow: WorkflowId, from: RestartFrom) -> Result<()> {
    let Some(row) = tx.get(workflow)? else { return Err(RestartError::Unknown { workflow }.into()) };
    if !matches!(row.state, State::Ended | State::Blocked) {
        return Err(RestartError::StillRunning { workflow }.into());
    }
    if row.is_untold() {
        return Err(RestartError::Untold { workflow }.into());
    }
    match from {
        RestartFrom::Start | RestartFrom::Step(0) => {
            cut_off(tx, workflow, row.chapter, &mut Budget::default())?;
            new_chapter(tx, workflow)?;
        }
        RestartFrom::End => forget(tx, journal(tx, &row)?, None)?,
        RestartFrom::Step(first) => {
            let steps = journal(tx, &row)?;
            if steps.last().is_none_or(|last| last.number < first) {
                return Err(RestartError::NoStep { workflow, step: first.to_string() }.into());
            }
            forget(tx, steps, Some(first))?;
        }
        RestartFrom::Name(name) => {
            let steps = journal(tx, &row)?;
            let Some(first) = steps.iter().rev().find(|step| step.name == name).map(|step| step.number)
            else {
                return Err(RestartError::NoStep { workflow, step: format!("{name:?}") }.into());
            };
            forget(tx, steps, Some(first))?;
        }
    }
    let now = tx.now();
    let row = tx.update(workflow, |row| {
        row.state = State::Ready;
        row.woken = now;
        row.fence += 1;
        row.restarts += 1;
        row.blocked = None;
        row.stumbles = 0;
        row.ended = None;
        row.telling = None;
        row.finished = None;
        row.retained = None;
    })?;
    tracing::info!(%workflow, name = row.name, "a workflow is restarted");
    serve_all(tx, workflow, row.chapter)
}

/// All steps of the journal that counts, in the order of their numbers.
pub(crate) fn journal(tx: &Tx, run: &Row<WorkflowRow>) -> Result<Vec<Row<StepRow>>> {
    let mut steps = tx.scan(StepRow::settled.eq(run.id).eq(run.chapter))?;
    steps.extend(tx.scan(StepRow::pending.eq(run.id).eq(run.chapter))?);
    steps.extend(tx.scan(StepRow::cut_off.eq(run.id).eq(run.chapter))?);
    steps.sort_by_key(|step| step.number);
    Ok(steps)
}

/// Forgets what was cut off, the steps from a number on, and those that the code had dropped: it may have done so
/// for what is forgotten, and else it drops them again.
fn forget(tx: &mut Tx, steps: Vec<Row<StepRow>>, first: Option<u32>) -> Result<()> {
    for step in steps {
        let behind = first.is_some_and(|first| step.number >= first);
        let dropped = step.given_back || matches!(step.outcome, Some(StoredOutcome::Withdrawn));
        if !(step.cut || behind || (first.is_some() && dropped)) {
            continue;
        }
        tx.delete(step.id)?;
        if step.is_pending() {
            call_off(tx, &step)?;
        }
        if let Some(child) = step.child {
            leave(tx, child)?;
        }
    }
    Ok(())
}
