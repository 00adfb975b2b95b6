//! Forgetting runs that have ended, some rows at a time.

#[cfg(test)]
mod tests;

use loomwork_core::Kind;
use loomwork_store::{Id, Next, Result, Table, Tx, Upkeep};

use crate::cutting::{Budget, call_off, cancel_run, cut_some};
use crate::mail::release_held;
use crate::payload;
use crate::tables::{Left, LeftoverRow, MailRow, StepId, StepRow, WorkflowId, WorkflowRow};

/// How many rows one step of the clean-up deletes.
pub const CLEAN_UP_STEP: usize = 256;

/// Forgets a workflow that has ended, its steps, its events and its children; says whether it did. One that
/// runs, one whose end is still to be told, and an unknown one, stay as they are.
///
/// # Errors
/// When the store cannot be read or written.
pub fn clean_up(tx: &mut Tx, workflow: WorkflowId) -> Result<bool> {
    if !tx.get(workflow)?.is_some_and(|row| row.has_ended() && !row.is_untold()) {
        return Ok(false);
    }
    delete(tx, workflow)?;
    Ok(true)
}

/// Forgets a run that has ended, which others do not need any more. One whose end is still to be told goes when it
/// is, and gives its key back now; one that is dead stays until somebody has seen to it.
pub(crate) fn leave(tx: &mut Tx, run: WorkflowId) -> Result<()> {
    let Some(row) = tx.get(run)?.filter(|row| row.has_ended()) else { return Ok(()) };
    if row.is_untold() || row.is_dead() {
        let now = tx.now();
        return tx
            .update(run, |row| {
                row.retained = Some(now);
                (row.key, row.parent) = (None, None);
            })
            .map(drop);
    }
    delete(tx, run)
}

/// Deletes a run, and has what is left of it swept away.
fn delete(tx: &mut Tx, run: WorkflowId) -> Result<()> {
    tx.delete(run)?;
    payload::drop_all(tx, run)?;
    tx.insert(LeftoverRow { run, left: Left::Whole }).map(drop)
}

/// Sweeps away what runs have left behind, and cuts them off from what they had waited for.
pub(crate) fn sweeping() -> Upkeep {
    Upkeep::new("workflow clean-up", sweep)
}

pub(crate) fn sweep(tx: &mut Tx) -> Result<Next> {
    let Some(left) = tx.first(LeftoverRow::all().readable())? else { return Ok(Next::Idle) };
    if !sweep_some(tx, &left)? {
        tx.delete(left.id)?;
    }
    Ok(Next::More)
}

/// Does a part of it; says whether there may be more.
fn sweep_some(tx: &mut Tx, left: &LeftoverRow) -> Result<bool> {
    let run = left.run;
    match left.left {
        Left::Waiting(chapter) => {
            let waits_again =
                tx.get_readable(run)?.is_some_and(|row| row.chapter == chapter && !row.has_ended());
            Ok(!waits_again && cut_some(tx, run, chapter, &mut Budget::default())?)
        }
        Left::Held(chapter) => release_held(tx, run, chapter),
        Left::Below(chapter) => {
            // The children of a chapter that is over are forgotten with the run.
            let settled = tx.ids(StepRow::settled.eq(run).lt(chapter).take(CLEAN_UP_STEP))?;
            let cut = tx.ids(StepRow::cut_off.eq(run).lt(chapter).take(CLEAN_UP_STEP))?;
            Ok(delete_all(tx, &settled)? || delete_all(tx, &cut)?)
        }
        Left::Whole => {
            let settled = tx.ids(StepRow::settled.eq(run).take(CLEAN_UP_STEP))?;
            let cut = tx.ids(StepRow::cut_off.eq(run).take(CLEAN_UP_STEP))?;
            let pending = tx.ids(StepRow::pending.eq(run).take(CLEAN_UP_STEP))?;
            for steps in [settled, cut, pending] {
                if forget_all(tx, &steps)? {
                    return Ok(true);
                }
            }
            if forget_children(tx, run)? {
                return Ok(true);
            }
            let mail = tx.ids(MailRow::by_name.eq(run).take(CLEAN_UP_STEP))?;
            delete_all(tx, &mail)
        }
    }
}

/// Deletes steps with what they have begun; says whether there was one that could be.
fn forget_all(tx: &mut Tx, steps: &[StepId]) -> Result<bool> {
    let budget = &mut Budget::default();
    for step in steps {
        let Some(step) = tx.get_readable(*step)? else { continue };
        let forgotten = tx.nested(|tx| {
            if step.is_pending() {
                call_off(tx, &step, budget)?;
            }
            step.child.map_or(Ok(()), |child| leave(tx, child))
        });
        passing_on(step.run, forgotten)?;
    }
    delete_all(tx, steps)
}

/// Forgets the children that no step knows any more, those of chapters that were over; says whether there was one
/// that could be.
fn forget_children(tx: &mut Tx, run: WorkflowId) -> Result<bool> {
    let (mut any, budget) = (false, &mut Budget::default());
    for child in tx.scan(WorkflowRow::children.eq(run).readable().take(CLEAN_UP_STEP))? {
        let id = child.id;
        let forgotten = tx.nested(|tx| {
            if !child.has_ended() {
                cancel_run(tx, child, budget)?;
            }
            leave(tx, id)
        });
        any |= passing_on(id, forgotten)?;
    }
    Ok(any)
}

/// Deletes rows; says whether there was one that could be.
fn delete_all<T: Table>(tx: &mut Tx, ids: &[Id<T>]) -> Result<bool> {
    let mut any = false;
    for id in ids {
        any |= passing_on(id, tx.delete(*id).map(drop))?;
    }
    Ok(any)
}

/// What cannot be read holds up nothing else; says whether it could be.
pub(crate) fn passing_on(what: impl std::fmt::Display, done: Result<()>) -> Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == Kind::Corrupt => {
            tracing::error!(%what, %error, "what is left of a workflow cannot be read, and stays");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Forgets ended runs when their retention is over.
pub(crate) fn retention() -> Upkeep {
    Upkeep::new("workflow retention", |tx| {
        let over = tx.scan(WorkflowRow::retained.le(tx.now()).readable().take(CLEAN_UP_STEP))?;
        let more = over.len() == CLEAN_UP_STEP;
        for row in over {
            if !passing_on(row.id, tx.nested(|tx| leave(tx, row.id)))? {
                tx.update(row.id, |row| row.retained = None)?;
            }
        }
        if more {
            return Ok(Next::More);
        }
        let next = tx.first(WorkflowRow::retained.all().readable())?.and_then(|row| row.retained);
        Ok(next.map_or(Next::Idle, Next::At))
    })
}
