//! Completions: what is told when a workflow has ended, and those that could not be told at once.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use loomwork_core::{RetryPolicy, Time};
use loomwork_store::{Cursor, Next, Page, Paged, Result, Row, Tx, Upkeep};
use serde_json::value::RawValue;

use crate::error::with_sources;
use crate::outcome::result_of;
use crate::tables::{Ended, Telling, WorkflowId, WorkflowRow};

/// How often a completion handler is tried before it is left for a person to look at.
pub const COMPLETION_ATTEMPTS: u32 = 10;

/// What a completion handler is told, encoded.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) workflow: WorkflowId,
    pub(crate) name: String,
    pub(crate) context: Box<RawValue>,
    pub(crate) ended: Ended,
    pub(crate) result: Option<Box<RawValue>>,
}

type Teller = Arc<dyn Fn(&mut Tx, Told) -> Result<()> + Send + Sync>;

/// The completion handlers of a process, by name.
#[derive(Clone, Default)]
pub(crate) struct Completions(pub(crate) HashMap<&'static str, Teller>);

impl fmt::Debug for Completions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Tells how a run has ended, in this transaction: now, if its handler is at hand.
pub(crate) fn tell(tx: &mut Tx, completions: &Completions, run: &Row<WorkflowRow>, told: Told) -> Result<()> {
    let Some(callback) = &run.on_done else { return Ok(()) };
    if !completions.0.contains_key(callback.name.as_str()) {
        // Whoever has its handler is to tell it.
        let telling = Telling { due: tx.now(), tries: 0, last_error: None, dead: false };
        return tx.update(run.id, |row| row.telling = Some(telling)).map(drop);
    }
    attempt(tx, completions, run, &callback.name, |_| Ok(told))
}

/// Calls a handler. If that fails, only its own writes are undone, and it is tried again.
fn attempt(
    tx: &mut Tx,
    completions: &Completions,
    run: &Row<WorkflowRow>,
    name: &str,
    told: impl FnOnce(&Tx) -> Result<Told>,
) -> Result<()> {
    let Some(handler) = completions.0.get(name) else { return Ok(()) };
    let done = tx.nested(|tx| {
        let told = told(tx)?;
        // Before the handler, which may forget the workflow.
        if run.telling.is_some() {
            tx.update(run.id, |row| row.telling = None)?;
        }
        handler(tx, told)
    });
    let Err(error) = done else { return Ok(()) };
    let tries = run.telling.as_ref().map_or(0, |telling| telling.tries) + 1;
    let dead = tries >= COMPLETION_ATTEMPTS;
    let error = with_sources(&error);
    if dead {
        tracing::error!(workflow = %run.id, completion = name, error, "a completion failed too often and is dead");
    } else {
        tracing::warn!(workflow = %run.id, completion = name, error, tries, "a completion failed and will be tried again");
    }
    let pauses = RetryPolicy::default().with_initial(Duration::from_secs(1));
    let pause = pauses.with_ceiling(Duration::from_secs(3600)).delay(tries, tx.random());
    let telling = Telling { due: tx.now() + pause, tries, last_error: Some(error), dead };
    tx.update(run.id, |row| row.telling = Some(telling)).map(drop)
}

/// Tells what is due, again and again.
pub(crate) fn telling(completions: Arc<Completions>) -> Upkeep {
    Upkeep::new("workflow completions", move |tx| tell_due(tx, &completions))
}

/// Tells what is due, of the completions that this process has handlers for: one of each name in a step.
pub(crate) fn tell_due(tx: &mut Tx, completions: &Completions) -> Result<Next> {
    let mut next = None;
    let mut told = false;
    for name in completions.0.keys() {
        let due = WorkflowRow::untold.eq(*name);
        let Some(row) = tx.first(due.readable())? else { continue };
        let Some(due) = row.telling.as_ref().map(|telling| telling.due) else { continue };
        if due > tx.now() {
            next = Some(next.map_or(due, |next: Time| next.min(due)));
            continue;
        }
        tell_again(tx, completions, row)?;
        told = true;
    }
    if told {
        return Ok(Next::More);
    }
    Ok(next.map_or(Next::Idle, Next::At))
}

fn tell_again(tx: &mut Tx, completions: &Completions, run: Row<WorkflowRow>) -> Result<()> {
    let (Some(callback), Some(ended)) = (&run.on_done, &run.ended) else { return Ok(()) };
    attempt(tx, completions, &run, &callback.name, |tx| {
        let (context, ended) = (callback.context.clone(), ended.clone());
        let result = result_of(tx, run.id, &ended)?;
        Ok(Told { workflow: run.id, name: run.name.clone(), context, ended, result })
    })
}

/// A completion that was tried too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    /// The workflow that ended.
    pub workflow: WorkflowId,
    /// The completion's name.
    pub name: String,
    /// How often its handler has failed.
    pub tries: u32,
    /// What the handler said last.
    pub last_error: Option<String>,
}

/// Returns a page of the completions that were tried [too often](COMPLETION_ATTEMPTS): [`retry_completion`] gives
/// one another life.
///
/// # Errors
/// When the store cannot be read, or the page's cursor is another query's.
pub fn dead_completions(tx: &Tx, page: Page) -> Result<(Vec<Untold>, Option<Cursor>)> {
    let Paged { rows, next } = tx.page(WorkflowRow::dead.all().readable(), page)?;
    let untold = |row: Row<WorkflowRow>| {
        let Row { id, record: WorkflowRow { on_done, telling, .. } } = row;
        let (name, Telling { tries, last_error, .. }) = (on_done?.name, telling?);
        Some(Untold { workflow: id, name, tries, last_error })
    };
    Ok((rows.into_iter().filter_map(untold).collect(), next))
}

/// Has a dead completion tried again, as often as a new one; says whether the workflow has one.
///
/// # Errors
/// When the store cannot be read or written.
pub fn retry_completion(tx: &mut Tx, workflow: WorkflowId) -> Result<bool> {
    let now = tx.now();
    let is_dead = |row: &Row<WorkflowRow>| row.telling.as_ref().is_some_and(|telling| telling.dead);
    if !tx.get(workflow)?.as_ref().is_some_and(is_dead) {
        return Ok(false);
    }
    tx.update(workflow, |row| {
        row.telling = Some(Telling { due: now, tries: 0, last_error: None, dead: false });
    })?;
    Ok(true)
}
