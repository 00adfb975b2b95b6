//! Forgetting runs that have ended, some rows at a time.

use loomwork_store::{Next, Result, Row, Table as _, Tx, Upkeep};

use crate::payload;
use crate::tables::{LeftoverRow, MailRow, StepRow, WorkflowId, WorkflowRow};

/// How many rows one step of the clean-up deletes.
pub const CLEAN_UP_STEP: usize = 256;

/// Forgets a workflow that has ended, its steps, its events and its children; says whether it did. One that
/// runs, and an unknown one, stay as they are.
///
/// # Errors
/// When the store cannot be read or written.
pub fn clean_up(tx: &mut Tx, workflow: WorkflowId) -> Result<bool> {
    if !tx.get(workflow)?.is_some_and(|row| row.has_ended()) {
        return Ok(false);
    }
    leave(tx, workflow)?;
    Ok(true)
}

/// Deletes a run if it has ended, and has what is left of it swept away.
pub(crate) fn leave(tx: &mut Tx, run: WorkflowId) -> Result<()> {
    if !tx.get(run)?.is_some_and(|row| row.has_ended()) {
        return Ok(());
    }
    tx.delete(run)?;
    payload::drop_all(tx, run)?;
    tx.insert(LeftoverRow { run, below: None }).map(drop)
}

/// Sweeps away what runs have left behind.
pub(crate) fn sweeping() -> Upkeep {
    Upkeep::new("workflow clean-up", |tx| {
        let Some(left) = tx.first(LeftoverRow::all().readable())? else { return Ok(Next::Idle) };
        sweep(tx, &left)?;
        Ok(Next::More)
    })
}

fn sweep(tx: &mut Tx, left: &Row<LeftoverRow>) -> Result<()> {
    let run = left.run;
    let mut steps = match left.below {
        Some(chapter) => tx.ids(StepRow::settled.eq(run).lt(chapter).take(CLEAN_UP_STEP))?,
        None => tx.ids(StepRow::settled.eq(run).take(CLEAN_UP_STEP))?,
    };
    if steps.is_empty() {
        steps = match left.below {
            Some(chapter) => tx.ids(StepRow::cut_off.eq(run).lt(chapter).take(CLEAN_UP_STEP))?,
            None => tx.ids(StepRow::cut_off.eq(run).take(CLEAN_UP_STEP))?,
        };
    }
    if left.below.is_none() && steps.is_empty() {
        steps = tx.ids(StepRow::pending.eq(run).take(CLEAN_UP_STEP))?;
    }
    for step in &steps {
        // The children of a chapter that is over have a retention of their own.
        let child = tx.get_readable(*step)?.and_then(|step| step.child).filter(|_| left.below.is_none());
        tx.delete(*step)?;
        if let Some(child) = child {
            leave(tx, child)?;
        }
    }
    if !steps.is_empty() {
        return Ok(());
    }
    if left.below.is_none() {
        let mail = tx.ids(MailRow::by_name.eq(run).take(CLEAN_UP_STEP))?;
        for mail in &mail {
            tx.delete(*mail)?;
        }
        if !mail.is_empty() {
            return Ok(());
        }
    }
    tx.delete(left.id).map(drop)
}

/// Forgets ended runs when their retention is over.
pub(crate) fn retention() -> Upkeep {
    Upkeep::new("workflow retention", |tx| {
        let over = tx.scan(WorkflowRow::retained.le(tx.now()).readable().take(CLEAN_UP_STEP))?;
        let more = over.len() == CLEAN_UP_STEP;
        for row in over {
            leave(tx, row.id)?;
        }
        if more {
            return Ok(Next::More);
        }
        let next = tx.first(WorkflowRow::retained.all().readable())?.and_then(|row| row.retained);
        Ok(next.map_or(Next::Idle, Next::At))
    })
}
