//! Taking ready runs into memory, and putting them away again.

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::Arc;

use loomwork_core::Kind;
use loomwork_store::{Id, Result, Row, Tx};
use serde_json::value::RawValue;

use crate::blocked::{block, is_left_to_others, stumbles};
use crate::error::with_sources;
use crate::host::is_entitled;
use crate::journal::{Arrived, Hold, news};
use crate::payload;
use crate::tables::{HostRow, State, StepRow, Stumbles, WorkflowRow};

/// The most runs that one claim takes.
pub const CLAIM_STEP: usize = 256;

/// How many steps of journals one claim reads before it takes no further run.
pub const CLAIMED_STEPS: usize = 10_000;

/// How many bytes of inputs and results one claim reads before it takes no further run.
pub const CLAIMED_BYTES: u64 = 16_000_000;

/// A run that was taken, with what it takes to go on with it.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) hold: Hold,
    pub(crate) run: Row<WorkflowRow>,
    pub(crate) input: Box<RawValue>,
    pub(crate) journal: Vec<StepRow>,
}

/// Whether a claim would find something.
pub(crate) fn is_claimable(tx: &Tx, names: &[&'static str]) -> Result<bool> {
    for name in names {
        if tx.first(WorkflowRow::ready.eq(*name).readable())?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes up to `count` ready runs of the names; `None` when the host's lease is over.
pub(crate) fn claim(
    tx: &mut Tx,
    host: Id<HostRow>,
    names: &Arc<[&'static str]>,
    count: usize,
) -> Result<Option<Vec<Taken>>> {
    if !is_entitled(tx, host)? {
        return Ok(None);
    }
    let mut found = Vec::new();
    // Those of each name take turns by beginning with another one each time.
    let first = tx.random().below(names.len().max(1) as u64) as usize;
    for at in 0..names.len() {
        let name = names[(first + at) % names.len()];
        if found.len() == count {
            break;
        }
        tx.each_unclaimed(WorkflowRow::ready.eq(name).readable(), |row| {
            if is_left_to_others(&row, host, tx.now()) {
                return Ok(ControlFlow::Continue(()));
            }
            found.push(row);
            Ok(if found.len() == count { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
    }
    let mut taken: Vec<Taken> = Vec::new();
    let (mut steps, mut bytes) = (0, 0);
    for run in found {
        if steps >= CLAIMED_STEPS || bytes >= CLAIMED_BYTES {
            break;
        }
        match tx.nested(|tx| take(tx, host, &run)) {
            Ok(one) => {
                steps += one.journal.len();
                bytes += one.input.get().len() as u64;
                bytes += one.journal.iter().map(|step| step.total).max().unwrap_or(0);
                taken.push(one);
            }
            // What is damaged must not keep the other runs from being taken.
            Err(error) if error.kind() == Kind::Corrupt => {
                block(tx, &run, format!("it cannot be read: {}", with_sources(&error)))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Some(taken))
}

fn take(tx: &mut Tx, host: Id<HostRow>, run: &Row<WorkflowRow>) -> Result<Taken> {
    let run = tx.update(run.id, |row| {
        row.state = State::Running;
        row.host = Some(host);
        row.fence += 1;
    })?;
    let mut journal = tx.scan(StepRow::settled.eq(run.id).eq(run.chapter))?;
    journal.extend(tx.scan(StepRow::pending.eq(run.id).eq(run.chapter))?);
    let input = payload::read(tx, run.id, &run.input, |payload| payload.input)?;
    let hold = Hold { run: run.id, host, fence: run.fence, chapter: run.chapter };
    let journal = journal.into_iter().map(|row| row.record).collect();
    Ok(Taken { hold, run, input, journal })
}

/// What became of putting a run away.
#[derive(Debug)]
pub(crate) enum Put {
    /// It is in rows alone.
    Away,
    /// Something has come meanwhile.
    News(Vec<Arrived>),
    Lost,
}

/// Puts a run away that has nothing to do; whoever settles one of its steps has it taken again.
pub(crate) fn park(tx: &mut Tx, hold: Hold, known: u64) -> Result<Put> {
    let Some(arrived) = news(tx, &hold, known)? else { return Ok(Put::Lost) };
    if !arrived.is_empty() {
        return Ok(Put::News(arrived));
    }
    tx.update(hold.run, |row| {
        row.state = State::Parked;
        row.host = None;
        row.stumbles = Stumbles::default();
    })?;
    Ok(Put::Away)
}

/// How often the store may refuse what a run does at one place of its journal; then it is blocked.
pub const MAX_STUMBLES: u32 = 5;

/// Gives a run back, to be taken again at once; one that the store has refused too often is blocked.
pub(crate) fn release(tx: &mut Tx, hold: Hold, refused: Option<&str>) -> Result<()> {
    let Some(row) = hold.check(tx)? else { return Ok(()) };
    let now = tx.now();
    let mut stumbles = stumbles(tx, &row)?;
    stumbles.refusals = stumbles.refusals.saturating_add(u32::from(refused.is_some()));
    let row = tx.update(hold.run, |row| {
        row.state = State::Ready;
        row.host = None;
        row.stumbles = stumbles;
        row.woken = now;
    })?;
    match refused {
        Some(why) if stumbles.refusals >= MAX_STUMBLES => {
            block(tx, &row, format!("the store refuses what it does: {why}"))
        }
        _ => Ok(()),
    }
}
