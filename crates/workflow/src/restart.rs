//! Beginning a run again: from the start, from a step, or where it stopped.

use loomwork_core::{Fault, Kind};
use loomwork_store::{Result, Row, Tx};

use crate::clean::leave;
use crate::end::new_chapter;
use crate::tables::{State, StepRow, WorkflowId, WorkflowRow};

/// From where a run is begun again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
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
    /// It has no step of this name.
    #[error("{workflow} has no step named {name:?} to restart from; `steps` lists those it has")]
    NoStep {
        /// The workflow.
        workflow: WorkflowId,
        /// The name.
        name: String,
    },
}

impl Fault for RestartError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unknown { .. } | Self::NoStep { .. } => Kind::NotFound,
            Self::StillRunning { .. } => Kind::Conflict,
        }
    }
}

/// Begins a workflow again that has ended or is blocked. Whoever was told of its end is told of the next one too;
/// its events that nobody has taken are still there.
///
/// # Errors
/// [`RestartError`], and when the store cannot be read or written.
pub fn restart(tx: &mut Tx, workflow: WorkflowId, from: From) -> Result<()> {
    let Some(row) = tx.get(workflow)? else { return Err(RestartError::Unknown { workflow }.into()) };
    if !matches!(row.state, State::Ended | State::Blocked) {
        return Err(RestartError::StillRunning { workflow }.into());
    }
    let first = match from {
        From::Start => Some(0),
        From::Step(number) => Some(number),
        From::End => None,
        From::Name(name) => Some(last_of_name(tx, &row, name)?),
    };
    match first {
        Some(0) => new_chapter(tx, workflow)?,
        first => forget_from(tx, &row, first)?,
    }
    let now = tx.now();
    tx.update(workflow, |row| {
        row.state = State::Ready;
        row.woken = now;
        row.fence += 1;
        row.restarts += 1;
        row.blocked = None;
        row.ended = None;
        row.telling = None;
        row.finished = None;
        row.retained = None;
    })?;
    tracing::info!(%workflow, name = row.name, "a workflow is restarted");
    Ok(())
}

/// All steps of the journal that counts, in the order of their numbers.
pub(crate) fn journal(tx: &Tx, run: &Row<WorkflowRow>) -> Result<Vec<Row<StepRow>>> {
    let mut steps = tx.scan(StepRow::settled.eq(run.id).eq(run.chapter))?;
    steps
        .extend(tx.scan(StepRow::pending.eq(run.id))?.into_iter().filter(|step| step.chapter == run.chapter));
    steps.extend(tx.scan(StepRow::cut_off.eq(run.id).eq(run.chapter))?);
    steps.sort_by_key(|step| step.number);
    Ok(steps)
}

fn last_of_name(tx: &Tx, run: &Row<WorkflowRow>, name: String) -> Result<u32> {
    let steps = journal(tx, run)?;
    match steps.iter().rev().find(|step| step.name == name) {
        Some(step) => Ok(step.number),
        None => Err(RestartError::NoStep { workflow: run.id, name }.into()),
    }
}

/// Forgets what was cut off, and the steps from a number on.
fn forget_from(tx: &mut Tx, run: &Row<WorkflowRow>, first: Option<u32>) -> Result<()> {
    for step in journal(tx, run)? {
        if step.cut || first.is_some_and(|first| step.number >= first) {
            tx.delete(step.id)?;
            if let Some(child) = step.child {
                leave(tx, child)?;
            }
        }
    }
    Ok(())
}
