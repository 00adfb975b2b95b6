//! Beginning a run again: from the start, from a step, or where it stopped.

use loomwork_core::{Fault, Kind};
use loomwork_store::{Result, Row, Tx};

use crate::cutting::Budget;
use crate::forgetting::{forget_some, heard};
use crate::tables::{Forgets, State, StepRow, Stumbles, WorkflowId, WorkflowRow};

/// From where a run is begun again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestartFrom {
    /// From its start: its journal is left behind.
    Start,
    /// From the step of this number: it, all behind it, and whatever else the code began when it knew what came of
    /// those, are forgotten and done again.
    Step(u32),
    /// From the last step of this name.
    Name(String),
    /// Where it stopped: its whole journal stays, only what was cut off when it ended is done again. For code
    /// that was mended. An action that may start [once](crate::Action::once) and was cut off is interrupted.
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
    /// What an earlier restart forgets is not all gone yet: try again when it is.
    #[error("{workflow} is still being restarted; restart it when that is done")]
    Restarting {
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
            Self::Untold { .. } | Self::Restarting { .. } => Kind::Unavailable,
        }
    }
}

/// Begins a workflow again that has ended or is blocked. Whoever was told of its end is told of the next one too;
/// its events that its code has not heard of are still there. What it waited for and what is begun again are called
/// off. Beyond [`CUT_OFF_STEP`](crate::CUT_OFF_STEP) steps this takes a few transactions more, by an engine; the run
/// is taken when they are done.
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
    if row.is_forgetting() {
        return Err(RestartError::Restarting { workflow }.into());
    }
    let forgets = match from {
        RestartFrom::Start | RestartFrom::Step(0) => Forgets::whole(row.chapter, heard(tx, &row)?),
        RestartFrom::End => Forgets::cut_off(row.chapter),
        RestartFrom::Step(first) => {
            let steps = journal(tx, &row)?;
            if steps.last().is_none_or(|last| last.number < first) {
                return Err(RestartError::NoStep { workflow, step: first.to_string() }.into());
            }
            Forgets::from_step(row.chapter, &steps, first, heard(tx, &row)?)
        }
        RestartFrom::Name(name) => {
            let steps = journal(tx, &row)?;
            let Some(first) = steps.iter().rev().find(|step| step.name == name).map(|step| step.number)
            else {
                return Err(RestartError::NoStep { workflow, step: format!("{name:?}") }.into());
            };
            Forgets::from_step(row.chapter, &steps, first, heard(tx, &row)?)
        }
    };
    let now = tx.now();
    let row = tx.update(workflow, |row| {
        row.state = State::Ready;
        row.fence += 1;
        row.restarts += 1;
        row.blocked = None;
        row.stumbles = Stumbles::default();
        row.ended = None;
        row.telling = None;
        row.finished = None;
        row.retained = None;
        row.forgets = Some(forgets);
        if forgets.is_whole() {
            row.chapter += 1;
            row.begun = now;
        }
    })?;
    tracing::info!(%workflow, name = row.name, "a workflow is restarted");
    forget_some(tx, workflow, forgets, &mut Budget::default())
}

/// All steps of the journal that counts, in the order of their numbers.
pub(crate) fn journal(tx: &Tx, run: &Row<WorkflowRow>) -> Result<Vec<Row<StepRow>>> {
    let mut steps = tx.scan(StepRow::settled.eq(run.id).eq(run.chapter))?;
    steps.extend(tx.scan(StepRow::pending.eq(run.id).eq(run.chapter))?);
    steps.extend(tx.scan(StepRow::cut_off.eq(run.id).eq(run.chapter))?);
    steps.sort_by_key(|step| step.number);
    Ok(steps)
}
