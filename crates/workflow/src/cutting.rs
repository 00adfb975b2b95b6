//! Cutting a run off from what it still waits for, when it comes to its end: some at a time, so that no
//! transaction grows with the number of children.

use loomwork_core::Kind;
use loomwork_store::{Result, Row, Tx};

use crate::completion::Completions;
use crate::end::finish;
use crate::tables::{Ended, Left, LeftoverRow, StepId, StepRow, WorkflowId, WorkflowRow};

/// How many steps one transaction cuts off, with those of the children that end with them. What is more is cut
/// off right behind it.
pub const CUT_OFF_STEP: usize = 256;

/// How many steps a transaction may still cut off or forget.
#[derive(Debug)]
pub(crate) struct Budget(usize);

impl Budget {
    pub(crate) fn left(&self) -> usize {
        self.0
    }

    /// Takes one step's part; nothing where none is left.
    pub(crate) fn spend(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self(CUT_OFF_STEP)
    }
}

/// Ends a run as cancelled.
pub(crate) fn cancel_run(tx: &mut Tx, run: Row<WorkflowRow>, budget: &mut Budget) -> Result<()> {
    // The completion's handler is not at hand here: it is told by whoever has it.
    finish(tx, &Completions::default(), run, Ended::Cancelled, None, budget)
}

/// Cuts off what a run waits for: its jobs and its children are cancelled.
pub(crate) fn cut_off(tx: &mut Tx, run: WorkflowId, chapter: u32, budget: &mut Budget) -> Result<()> {
    if cut_some(tx, run, chapter, budget)? {
        tx.insert(LeftoverRow { run, left: Left::Waiting(chapter) })?;
    }
    Ok(())
}

/// Cuts off as much as the budget allows; says whether there may be more.
pub(crate) fn cut_some(tx: &mut Tx, run: WorkflowId, chapter: u32, budget: &mut Budget) -> Result<bool> {
    for row in tx.scan(StepRow::pending.eq(run).eq(chapter).readable().take(budget.0))? {
        if budget.0 == 0 {
            break;
        }
        budget.spend();
        cut(tx, row.id)?;
        call_off(tx, &row, budget)?;
    }
    Ok(budget.0 == 0 && tx.count(StepRow::pending.eq(run).eq(chapter).take(1))? > 0)
}

/// Cuts a step off that nobody is to hear of any more.
pub(crate) fn cut(tx: &mut Tx, step: StepId) -> Result<()> {
    let now = tx.now();
    tx.update(step, |row| {
        row.cut = true;
        row.due = None;
        row.finished = Some(now);
    })
    .map(drop)
}

/// Cancels what a step has waited for. A job or child whose row cannot be read is left as it is, and holds up
/// nobody.
pub(crate) fn call_off(tx: &mut Tx, step: &StepRow, budget: &mut Budget) -> Result<()> {
    let called_off = tx.nested(|tx| {
        if let Some(job) = step.job {
            loomwork_workpool::cancel(tx, job)?;
        }
        if let Some(child) = step.child
            && let Some(child) = tx.get(child)?.filter(|child| !child.has_ended())
        {
            cancel_run(tx, child, budget)?;
        }
        Ok(())
    });
    match called_off {
        Err(error) if error.kind() == Kind::Corrupt => {
            tracing::error!(workflow = %step.run, step = step.number, %error, "what a step waited for cannot be called off");
            Ok(())
        }
        called_off => called_off,
    }
}
