//! Forgetting what a restart does again: the steps from a number on, and whatever followed from them.
//!
//! Steps are numbered where they are made, and begin where they are first polled; several are under way at once. So
//! a step with a lower number may have begun because of one that is forgotten. What counts is how many outcomes the
//! code had been given when it did something: all that it did behind the first outcome that is forgotten goes too,
//! and what is left is a journal that a run of this code could have had.

use std::ops::ControlFlow;

use loomwork_store::{Next, Result, Row, Tx, Upkeep};

use crate::clean::{leave, passing_on};
use crate::cutting::{Budget, call_off};
use crate::mail::serve_all;
use crate::tables::{
    Ended, Forgets, Left, LeftoverRow, StepKind, StepRow, StoredOutcome, WorkflowId, WorkflowRow,
};

impl Forgets {
    /// Only what was cut off.
    pub(crate) fn cut_off(chapter: u32) -> Self {
        let (first, number) = (u32::MAX, u32::MAX);
        Self { chapter, first, behind: u64::MAX, heard: u64::MAX, number, position: u64::MAX }
    }

    /// The whole journal.
    pub(crate) fn whole(chapter: u32, heard: u64) -> Self {
        Self { chapter, first: 0, behind: 0, heard, number: 0, position: 0 }
    }

    /// The steps of a journal from a number on.
    pub(crate) fn from_step(chapter: u32, steps: &[Row<StepRow>], first: u32, heard: u64) -> Self {
        let mut forgets = Self { first, heard, number: 0, ..Self::cut_off(chapter) };
        // A step that goes may have been settled before the first one: then even more followed from it.
        loop {
            let gone = steps.iter().filter(|step| forgets.takes(step));
            let earliest = gone.filter_map(|step| step.position).min().unwrap_or(u64::MAX);
            if earliest >= forgets.behind {
                break;
            }
            forgets.behind = earliest;
        }
        // What is pending now may be settled before it is forgotten.
        let end = steps.iter().filter_map(|step| step.position).max().map_or(0, |last| last + 1);
        Self { position: forgets.behind.min(end), ..forgets }
    }

    /// Whether a step is forgotten. One that the code had dropped before it was given what is forgotten stays: it is
    /// dropped again.
    fn takes(&self, step: &StepRow) -> bool {
        let dropped = match step.outcome {
            Some(StoredOutcome::Withdrawn) => step.position,
            _ => step.given_back,
        };
        step.number >= self.first || step.behind > self.behind || dropped.is_some_and(|at| at > self.behind)
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.first == 0
    }
}

/// The position from which on nothing shows that the code has heard of an outcome: nothing that it did is behind it.
pub(crate) fn heard(tx: &Tx, run: &Row<WorkflowRow>) -> Result<u64> {
    if matches!(run.ended, Some(Ended::Success(_) | Ended::Failed(_))) {
        // What the code had not heard of went back when it came to its end.
        return Ok(u64::MAX);
    }
    let mut heard = 0;
    let mut began = |step: Row<StepRow>| {
        heard = heard.max(step.behind);
        Ok(ControlFlow::Continue(()))
    };
    tx.each(StepRow::pending.eq(run.id).eq(run.chapter).readable(), &mut began)?;
    tx.each(StepRow::cut_off.eq(run.id).eq(run.chapter).readable(), &mut began)?;
    // A step is settled behind all that the code knew when it did something to it.
    tx.each(StepRow::settled.eq(run.id).eq(run.chapter).desc().readable(), |step| {
        if step.position.is_some_and(|position| position < heard) {
            return Ok(ControlFlow::Break(()));
        }
        heard = heard.max(step.behind).max(step.given_back.unwrap_or(0));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(heard)
}

/// Goes on with what restarts have begun, one step at a time.
pub(crate) fn forgetting() -> Upkeep {
    Upkeep::new("workflow restarts", forget_next)
}

pub(crate) fn forget_next(tx: &mut Tx) -> Result<Next> {
    let Some(run) = tx.first(WorkflowRow::forgetting.all().readable())? else { return Ok(Next::Idle) };
    let Some(forgets) = run.forgets else { return Ok(Next::Idle) };
    forget_some(tx, run.id, forgets, &mut Budget::default())?;
    Ok(Next::More)
}

/// Forgets as much as the budget allows. Behind the last of it, the run may be taken.
pub(crate) fn forget_some(
    tx: &mut Tx,
    run: WorkflowId,
    mut forgets: Forgets,
    budget: &mut Budget,
) -> Result<()> {
    forget_cut(tx, run, &forgets, budget)?;
    forget_pending(tx, run, &mut forgets, budget)?;
    forget_settled(tx, run, &mut forgets, budget)?;
    let is_done = budget.left() > 0;
    let now = tx.now();
    let row = tx.update(run, |row| {
        row.forgets = (!is_done).then_some(forgets);
        row.woken = now;
    })?;
    if !is_done {
        return Ok(());
    }
    if forgets.is_whole() {
        // For what could not be read.
        tx.insert(LeftoverRow { run, left: Left::Below(row.chapter) })?;
    }
    if row.has_ended() {
        return Ok(());
    }
    passing_on(run, tx.nested(|tx| serve_all(tx, run, row.chapter))).map(drop)
}

/// What was cut off is done again, but for an action that may start once: it has started, so it is interrupted.
fn forget_cut(tx: &mut Tx, run: WorkflowId, forgets: &Forgets, budget: &mut Budget) -> Result<()> {
    for step in tx.scan(StepRow::cut_off.eq(run).eq(forgets.chapter).readable().take(budget.left()))? {
        budget.spend();
        if step.kind == StepKind::Effect && !forgets.takes(&step) {
            tx.update(step.id, |step| (step.cut, step.finished) = (false, None))?;
        } else {
            forget(tx, &step, forgets, budget)?;
        }
    }
    Ok(())
}

fn forget_pending(tx: &mut Tx, run: WorkflowId, forgets: &mut Forgets, budget: &mut Budget) -> Result<()> {
    let pending = StepRow::pending.eq(run).eq(forgets.chapter).ge(forgets.number);
    for step in tx.scan(pending.readable().take(budget.left()))? {
        if budget.left() == 0 {
            break;
        }
        budget.spend();
        forgets.number = step.number + 1;
        if forgets.takes(&step) {
            forget(tx, &step, forgets, budget)?;
        }
    }
    Ok(())
}

fn forget_settled(tx: &mut Tx, run: WorkflowId, forgets: &mut Forgets, budget: &mut Budget) -> Result<()> {
    let settled = StepRow::settled.eq(run).eq(forgets.chapter).ge(forgets.position);
    for step in tx.scan(settled.readable().take(budget.left()))? {
        budget.spend();
        forgets.position = step.position.map_or(forgets.position, |position| position + 1);
        if forgets.takes(&step) {
            forget(tx, &step, forgets, budget)?;
        }
    }
    Ok(())
}

/// Forgets a step with what it has begun. What cannot be read stays, and holds up nothing.
fn forget(tx: &mut Tx, step: &Row<StepRow>, forgets: &Forgets, budget: &mut Budget) -> Result<()> {
    tx.delete(step.id)?;
    if let Some((event, mail)) = step.mail()
        && step.position.is_some_and(|position| position >= forgets.heard)
    {
        tx.insert_at(event, mail)?;
    }
    if step.is_pending() {
        call_off(tx, step, budget)?;
    }
    let Some(child) = step.child else { return Ok(()) };
    passing_on(child, tx.nested(|tx| leave(tx, child))).map(drop)
}
