//! What each step of a run did, and when: its call of the model, and the calls of its tools.
//!
//! A row stands for each attempt at a step from its beginning on, and for each call of a tool from its end on. So
//! a timeline is drawn from [`steps`] and [`calls`], live under a watch. While a step is made they also hold what
//! it has: the answer of the model and the results of tools that have ended are committed as they come, and whoever
//! takes the run up goes on from there. When it is complete, its messages have that, and the rows hold no content
//! any more.

use std::time::Duration;

use loomwork_core::Time;
use loomwork_messages::{HostRow, RunId};
use loomwork_models::{FinishReason, Part, ProviderData, Reply, Usage};
use loomwork_store::{Id, Next, Result, Row, Tx, Upkeep};

use crate::tables::{CallRow, StepEnd, StepId, StepRow};
use crate::tool::CallEnd;
use crate::usage::UsageKind;

/// How long the rows of steps and calls are kept.
pub const KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How many rows one step of the clean-up takes.
pub const FORGET_STEP: usize = 256;

/// How often old rows are looked for.
pub(crate) const FORGET_EVERY: Duration = Duration::from_secs(60 * 60);

/// Returns the attempts at the steps of a run, in their order.
///
/// # Errors
/// When the store cannot be read.
pub fn steps(tx: &Tx, run: RunId) -> Result<Vec<Row<StepRow>>> {
    tx.scan(StepRow::by_attempt.eq(run))
}

/// Returns the calls of a run's tools that have ended, step by step.
///
/// # Errors
/// When the store cannot be read.
pub fn calls(tx: &Tx, run: RunId) -> Result<Vec<Row<CallRow>>> {
    tx.scan(CallRow::by_call.eq(run))
}

/// Returns the calls of one step that have ended.
pub(crate) fn calls_of(tx: &Tx, run: RunId, step: u32) -> Result<Vec<Row<CallRow>>> {
    tx.scan(CallRow::by_call.eq(run).eq(step))
}

/// Keeps what the model has said before its tools run: they are then known by their ids, whatever happens.
pub(crate) fn answered(tx: &mut Tx, step: StepId, reply: Reply, first: Option<Time>) -> Result<()> {
    let now = tx.now();
    tx.update(step, |row| {
        row.answered = Some(now);
        row.first = first;
        row.provider.clone_from(&reply.info.provider);
        row.model.clone_from(&reply.info.model);
        row.reply = Some(reply);
    })
    .map(drop)
}

/// Keeps the end of a call. One that is known stays as it is.
pub(crate) fn ended(tx: &mut Tx, run: RunId, step: u32, end: CallEnd) -> Result<()> {
    let CallEnd { call, outcome, result, tries, started, ended, .. } = end;
    if tx.first(CallRow::by_call.eq(run).eq(step).eq(call.id.as_str()))?.is_some() {
        return Ok(());
    }
    let (call, tool, result) = (call.id, call.name, result.map(Part::ToolResult));
    tx.insert(CallRow { run, step, call, tool, outcome, tries, started, ended, result }).map(drop)
}

/// What is known of a step when it ends.
#[derive(Clone, Debug)]
pub(crate) struct Closing {
    pub(crate) kind: UsageKind,
    pub(crate) end: StepEnd,
    pub(crate) provider: String,
    pub(crate) model: String,
    pub(crate) usage: Usage,
    pub(crate) provider_metadata: ProviderData,
    pub(crate) finish_reason: Option<FinishReason>,
    pub(crate) first: Option<Time>,
    pub(crate) answered: Option<Time>,
}

/// How the end of a step found its row. What it used is told once, by whoever finds it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// It was open, and of this process.
    Now,
    /// Others go on with it, or have ended it.
    Elsewhere,
    /// This process has ended it before.
    Before,
}

/// Ends a step, and lets go of what it held.
pub(crate) fn close(tx: &mut Tx, step: StepId, host: Id<HostRow>, closing: &Closing) -> Result<Closed> {
    let Some(row) = tx.get(step)?.filter(|row| row.host == host) else { return Ok(Closed::Elsewhere) };
    match row.end {
        None => {}
        Some(StepEnd::Cut) => return Ok(Closed::Elsewhere),
        Some(_) => return Ok(Closed::Before),
    }
    let_go(tx, row.run, row.step)?;
    let now = tx.now();
    tx.update(step, |row| {
        row.end = Some(closing.end);
        row.ended = Some(now);
        row.provider.clone_from(&closing.provider);
        row.model.clone_from(&closing.model);
        row.usage = Some(closing.usage.clone());
        row.finish_reason = closing.finish_reason;
        row.first = row.first.or(closing.first);
        row.answered = row.answered.or(closing.answered);
        row.reply = None;
    })?;
    Ok(Closed::Now)
}

/// Ends a step whose process has gone. Unless its run is over, its calls keep their results for whoever goes on.
pub(crate) fn cut(tx: &mut Tx, row: &Row<StepRow>, usage: &Usage, run_is_over: bool) -> Result<()> {
    if run_is_over {
        let_go(tx, row.run, row.step)?;
    }
    let (now, finish_reason) = (tx.now(), row.reply.as_ref().map(|reply| reply.finish.reason));
    tx.update(row.id, |row| {
        row.end = Some(StepEnd::Cut);
        row.ended = Some(now);
        row.usage = Some(usage.clone());
        row.finish_reason = finish_reason;
        row.reply = None;
    })
    .map(drop)
}

/// Drops the results of a step's calls: its messages have them.
pub(crate) fn let_go(tx: &mut Tx, run: RunId, step: u32) -> Result<()> {
    for call in calls_of(tx, run, step)? {
        if call.result.is_some() {
            tx.update(call.id, |call| call.result = None)?;
        }
    }
    Ok(())
}

/// Ends what this process has begun of a run besides one step, and never got as far as to ask a model.
pub(crate) fn drop_begun(tx: &mut Tx, run: RunId, besides: StepId, host: Id<HostRow>) -> Result<()> {
    let rows = steps(tx, run)?.into_iter();
    for row in rows.filter(|row| row.end.is_none() && row.id != besides && row.host == host) {
        let now = tx.now();
        tx.update(row.id, |row| (row.end, row.ended) = (Some(StepEnd::Aborted), Some(now)))?;
    }
    Ok(())
}

/// The upkeep that forgets rows that are [old](KEEP). It reads only those, so that no run wakes it.
pub(crate) fn upkeep() -> Upkeep {
    Upkeep::new("agent journal clean-up", |tx| {
        let before = tx.now() - KEEP;
        let steps = tx.scan(StepRow::old.lt(before).readable().take(FORGET_STEP))?;
        let calls = tx.scan(CallRow::old.lt(before).readable().take(FORGET_STEP))?;
        let more = steps.len() == FORGET_STEP || calls.len() == FORGET_STEP;
        for row in steps {
            tx.delete(row.id)?;
        }
        for row in calls {
            tx.delete(row.id)?;
        }
        Ok(if more { Next::More } else { Next::At(tx.now() + FORGET_EVERY) })
    })
}
