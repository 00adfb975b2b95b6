//! Taking ready jobs: within the limits, the most urgent first, fair between keys.

use std::collections::HashMap;
use std::ops::ControlFlow;

use loomwork_core::Time;
use loomwork_store::{Id, Result, Row, Tx};

use crate::aside::occupied;
use crate::builder::PoolOptions;
use crate::operate::paused_keys;
use crate::options::Priority;
use crate::slots::SlotPlan;
use crate::tables::{JobRow, PausedKey, Served, State, TurnRow, WorkerRow};

/// The most jobs that one claim takes.
pub const CLAIM_STEP: usize = 64;

/// One of so many starts goes to the less urgent jobs.
pub const PATIENT_SHARE: u64 = 8;

/// A pool as one process runs it.
#[derive(Clone, Debug)]
pub(crate) struct PoolPlan {
    pub(crate) pool: &'static str,
    pub(crate) options: PoolOptions,
    pub(crate) slots: SlotPlan,
    /// The jobs that the process has handlers for.
    pub(crate) names: std::sync::Arc<[&'static str]>,
}

/// Whether a claim would find a ready job and a slot for it.
///
/// It looks for a job first: while there is none, only an enqueuing wakes whoever watches this; and then
/// for a slot: while there is none, only the end of a job does.
pub(crate) fn is_claimable(tx: &Tx, plan: &PoolPlan) -> Result<bool> {
    if ready_names(tx, plan)?.is_empty() || plan.slots.free(tx)?.count() == 0 {
        return Ok(false);
    }
    // The first jobs may be of keys that are paused or have no room. Then any other job that comes is
    // news, and so is the end of one, and a key that goes on.
    for name in plan.names.iter() {
        tx.depend_on(JobRow::ready.eq(plan.pool).eq(*name))?;
    }
    tx.depend_on(JobRow::running.eq(plan.pool))?;
    tx.depend_on(PausedKey::by_key.eq(plan.pool))?;
    Ok(true)
}

/// Takes ready jobs for a worker.
pub(crate) fn claim(tx: &mut Tx, plan: &PoolPlan, worker: Id<WorkerRow>) -> Result<Vec<Row<JobRow>>> {
    let slots = plan.slots.free(tx)?;
    let ready = ready_names(tx, plan)?;
    if slots.count() == 0 || ready.is_empty() {
        return Ok(Vec::new());
    }
    let row = tx.first(TurnRow::by_pool.eq(plan.pool))?;
    let turn = match &row {
        Some(row) => row.record.clone(),
        None => TurnRow { pool: plan.pool.to_owned(), ..TurnRow::default() },
    };
    let mut claim =
        Claim { plan, ready, worker, now: tx.now(), turn, room: HashMap::new(), taken: Vec::new() };
    for key in paused_keys(tx, plan.pool)? {
        claim.room.insert(key, 0);
    }
    claim.take_up_to(tx, slots.count())?;
    let Claim { mut turn, taken, .. } = claim;
    if taken.is_empty() {
        return Ok(taken);
    }
    turn.starts += taken.len() as u64;
    match row {
        Some(row) => tx.replace(row.id, turn)?,
        None => tx.insert(turn)?,
    };
    if let Some(lender) = slots.lender_of(taken.len()) {
        note_loan(tx, lender)?;
    }
    Ok(taken)
}

/// Writes the turn of the pool that lends, so that its own claims count the slot as taken.
fn note_loan(tx: &mut Tx, lender: &str) -> Result<()> {
    match tx.first(TurnRow::by_pool.eq(lender))? {
        Some(row) => tx.update(row.id, |turn| turn.lent += 1)?,
        None => tx.insert(TurnRow { pool: lender.to_owned(), lent: 1, ..TurnRow::default() })?,
    };
    Ok(())
}

/// The names among the plan's that have a ready job.
fn ready_names(tx: &Tx, plan: &PoolPlan) -> Result<Vec<&'static str>> {
    let mut ready = Vec::new();
    for name in plan.names.iter() {
        if tx.first(JobRow::ready.eq(plan.pool).eq(*name).readable())?.is_some() {
            ready.push(*name);
        }
    }
    Ok(ready)
}

/// How many of the next `slots` starts belong to the less urgent.
fn patient_starts(starts: u64, slots: usize) -> usize {
    ((starts + slots as u64) / PATIENT_SHARE - starts / PATIENT_SHARE) as usize
}

type Key = Option<String>;

/// A claim under way.
struct Claim<'a> {
    plan: &'a PoolPlan,
    ready: Vec<&'static str>,
    worker: Id<WorkerRow>,
    now: Time,
    turn: TurnRow,
    /// How many more jobs of a key may run, as far as it was asked.
    room: HashMap<String, usize>,
    taken: Vec<Row<JobRow>>,
}

impl Claim<'_> {
    fn take_up_to(&mut self, tx: &mut Tx, slots: usize) -> Result<()> {
        let ranks = u64::from(Priority::RANKS);
        let first = self.turn.starts / PATIENT_SHARE;
        let patient = patient_starts(self.turn.starts, slots);
        for offset in 0..ranks {
            // Turning the rank that begins gives each its share, however many jobs the others have.
            self.deal(tx, ((first + offset) % ranks) as u8, patient)?;
        }
        (0..Priority::RANKS).try_for_each(|rank| self.deal(tx, rank, slots))
    }

    /// Takes jobs of a rank until `goal` are taken in all: one of each key in turn, behind the key
    /// served last; then, since every key was served, equal parts of what is left.
    fn deal(&mut self, tx: &mut Tx, rank: u8, goal: usize) -> Result<()> {
        let mut served = Vec::new();
        let last = self.turn.last[usize::from(rank)].take().map(|served| served.key);
        let mut at = last.clone();
        let mut wrapped = last.is_none();
        while self.taken.len() < goal {
            match self.next_key(tx, rank, at.as_ref())? {
                Some(key) if wrapped && last.as_ref().is_some_and(|last| key > *last) => break,
                Some(key) => {
                    if self.take_of(tx, rank, &key, 1)? == 1 {
                        served.push(key.clone());
                    }
                    at = Some(key);
                }
                None if wrapped => break,
                None => {
                    wrapped = true;
                    at = None;
                }
            }
        }
        while self.taken.len() < goal && !served.is_empty() {
            let part = (goal - self.taken.len()).div_ceil(served.len());
            let mut left = Vec::with_capacity(served.len());
            for key in served {
                let wanted = part.min(goal - self.taken.len());
                if wanted > 0 && self.take_of(tx, rank, &key, wanted)? == wanted {
                    left.push(key);
                }
            }
            served = left;
        }
        self.turn.last[usize::from(rank)] = at.or(last).map(|key| Served { key });
        Ok(())
    }

    /// The first key behind `after` that has a ready job of this rank.
    fn next_key(&self, tx: &Tx, rank: u8, after: Option<&Key>) -> Result<Option<Key>> {
        let mut next: Option<Key> = None;
        for name in &self.ready {
            let span = JobRow::ready.eq(self.plan.pool).eq(*name).eq(rank).readable();
            let head = match after {
                Some(after) => tx.first(span.gt(after))?,
                None => tx.first(span)?,
            };
            let key = head.map(|head| head.record.key);
            next = match (next, key) {
                (Some(next), Some(key)) => Some(next.min(key)),
                (next, key) => next.or(key),
            };
        }
        Ok(next)
    }

    /// Takes up to `count` jobs of a key, the one due first first; returns how many.
    fn take_of(&mut self, tx: &mut Tx, rank: u8, key: &Key, count: usize) -> Result<usize> {
        let count = count.min(self.room(tx, key)?);
        if count == 0 {
            return Ok(0);
        }
        let mut oldest = Vec::new();
        for name in &self.ready {
            let span = JobRow::ready.eq(self.plan.pool).eq(*name).eq(rank).eq(key).readable();
            tx.each_unclaimed(span.take(count), |job| {
                oldest.push(job);
                Ok(ControlFlow::Continue(()))
            })?;
        }
        oldest.sort_by_key(|job| (job.due, job.id));
        oldest.truncate(count);
        let count = oldest.len();
        for mut job in oldest {
            job.state = State::Running;
            job.worker = Some(self.worker);
            job.started = Some(self.now);
            self.taken.push(tx.replace(job.id, job.record)?);
        }
        if let Some(room) = key.as_ref().and_then(|key| self.room.get_mut(key)) {
            *room -= count;
        }
        Ok(count)
    }

    /// How many more jobs of a key may run.
    fn room(&mut self, tx: &Tx, key: &Key) -> Result<usize> {
        let Some(key) = key else { return Ok(usize::MAX) };
        if let Some(room) = self.room.get(key) {
            return Ok(*room);
        }
        let Some(limit) = self.plan.options.per_key else { return Ok(usize::MAX) };
        let limit = limit as usize;
        let pool = self.plan.pool;
        let running = occupied(tx, pool, JobRow::running.eq(pool).eq(key.as_str()), limit)?;
        let room = limit - running;
        self.room.insert(key.clone(), room);
        Ok(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_less_urgent_get_one_of_eight_starts() {
        let given = |slots: usize, rounds: u64| -> usize {
            (0..rounds).map(|round| patient_starts(round * slots as u64, slots)).sum()
        };
        for slots in [1, 3, 8, 64] {
            assert_eq!(given(slots, 800), 100 * slots, "{slots} slots at a time");
        }
    }
}
