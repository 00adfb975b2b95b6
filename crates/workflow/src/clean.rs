//! Forgetting runs that have ended, some rows at a time.

use loomwork_core::Kind;
use loomwork_store::{Id, Next, Result, Table, Tx, Upkeep};

use crate::cutting::{Budget, call_off, cut_some};
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
    leave(tx, workflow)?;
    Ok(true)
}

/// Deletes a run if it has ended, and has what is left of it swept away. One whose end is still to be told goes as
/// soon as it is.
pub(crate) fn leave(tx: &mut Tx, run: WorkflowId) -> Result<()> {
    let Some(row) = tx.get(run)?.filter(|row| row.has_ended()) else { return Ok(()) };
    if row.is_untold() {
        let now = tx.now();
        return tx.update(run, |row| row.retained = Some(now)).map(drop);
    }
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
        Left::Below(chapter) => {
            // The children of a chapter that is over have a retention of their own.
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
            let mail = tx.ids(MailRow::by_name.eq(run).take(CLEAN_UP_STEP))?;
            delete_all(tx, &mail)
        }
    }
}

/// Deletes steps with what they have begun; says whether there was one that could be.
fn forget_all(tx: &mut Tx, steps: &[StepId]) -> Result<bool> {
    for step in steps {
        let Some(step) = tx.get_readable(*step)? else { continue };
        let forgotten = tx.nested(|tx| {
            if step.is_pending() {
                call_off(tx, &step)?;
            }
            step.child.map_or(Ok(()), |child| leave(tx, child))
        });
        passing_on(step.run, forgotten)?;
    }
    delete_all(tx, steps)
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
fn passing_on(what: impl std::fmt::Display, done: Result<()>) -> Result<bool> {
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
