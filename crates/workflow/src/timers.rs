//! Time: sleeps and waits that are over, and starts that are due.

#[cfg(test)]
mod tests;

use loomwork_core::{Kind, Time};
use loomwork_store::{Next, Result, Row, Tx, Upkeep};

use crate::cutting::cut;
use crate::journal::{null, settle};
use crate::mail::serve;
use crate::tables::{Hears, State, StepKind, StepRow, StoredOutcome, WorkflowRow};

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
        let id = step.id;
        let Err(error) = tx.nested(|tx| end_wait(tx, &step)) else { continue };
        if error.kind() != Kind::Corrupt {
            return Err(error);
        }
        // A run with a damaged row must not keep the sleeps of all others from ending.
        tracing::error!(workflow = %step.run, step = %id, %error, "a sleep or wait cannot end");
        tx.update(id, |step| step.due = None)?;
    }
    if more {
        return Ok(Next::More);
    }
    let next: Option<Time> = tx.first(StepRow::due.all().readable())?.and_then(|step| step.due);
    Ok(next.map_or(Next::Idle, Next::At))
}

fn end_wait(tx: &mut Tx, step: &Row<StepRow>) -> Result<()> {
    if step.kind == StepKind::Sleep {
        return settle(tx, step.id, StoredOutcome::Success(null())).map(drop);
    }
    match tx.get(step.run)?.map_or(Hears::Never, |run| run.hears(step.chapter)) {
        Hears::Now => {
            // An event that was there in time wins over the end of the wait.
            serve(tx, step.run, step.chapter, step.awaited())?;
            settle(tx, step.id, StoredOutcome::TimedOut).map(drop)
        }
        Hears::Later => tx.update(step.id, |step| step.held = true).map(drop),
        // What came for its name is another one's.
        Hears::Never => cut(tx, step.id),
    }
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
