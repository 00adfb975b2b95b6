//! Time: sleeps and waits that are over, and starts that are due.

use loomwork_core::Time;
use loomwork_store::{Next, Result, Tx, Upkeep};

use crate::journal::{null, settle, take_mail};
use crate::tables::{State, StepKind, StepRow, StoredOutcome, WorkflowRow};

/// How many sleeps, waits or starts one step of the timers deals with.
pub const TIMER_STEP: usize = 256;

/// Ends sleeps and waits when they are due.
pub(crate) fn timers() -> Upkeep {
    Upkeep::new("workflow timers", ring)
}

pub(crate) fn ring(tx: &mut Tx) -> Result<Next> {
    let due = tx.scan(StepRow::due.le(tx.now()).readable().take(TIMER_STEP))?;
    let more = due.len() == TIMER_STEP;
    for step in due {
        let outcome = match step.kind {
            StepKind::Sleep => StoredOutcome::Success(null()),
            // An event that was there in time wins over the end of the wait.
            _ => take_mail(tx, step.run, &step.name)?.unwrap_or(StoredOutcome::TimedOut),
        };
        settle(tx, step.id, outcome)?;
    }
    if more {
        return Ok(Next::More);
    }
    let next: Option<Time> = tx.first(StepRow::due.all().readable())?.and_then(|step| step.due);
    Ok(next.map_or(Next::Idle, Next::At))
}

/// Makes workflows ready whose time has come.
pub(crate) fn starts() -> Upkeep {
    Upkeep::new("workflow starts", begin)
}

pub(crate) fn begin(tx: &mut Tx) -> Result<Next> {
    let due = tx.scan(WorkflowRow::scheduled.le(tx.now()).readable().take(TIMER_STEP))?;
    let more = due.len() == TIMER_STEP;
    for row in due {
        tx.update(row.id, |row| row.state = State::Ready)?;
    }
    if more {
        return Ok(Next::More);
    }
    let next = tx.first(WorkflowRow::scheduled.all().readable())?.map(|row| row.woken);
    Ok(next.map_or(Next::Idle, Next::At))
}
