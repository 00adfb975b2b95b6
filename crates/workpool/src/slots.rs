//! How many jobs a pool may start now: its own slots, and idle ones of a pool that it borrows from.

use std::collections::BTreeMap;
use std::sync::Arc;

use loomwork_store::{Result, Tx};

use crate::aside::occupied;
use crate::builder::PoolOptions;
use crate::claim::CLAIM_STEP;
use crate::tables::{JobRow, PoolRow};

/// A pool's limit as the code says it.
#[derive(Clone, Copy, Debug)]
struct Limit {
    pool: &'static str,
    parallel: Option<u32>,
}

/// Where a pool has its slots from, and who else has some of them.
#[derive(Clone, Debug)]
pub(crate) struct SlotPlan {
    own: Lending,
    lender: Option<Lending>,
}

/// A pool's limit, and the pools that may use what it leaves idle.
#[derive(Clone, Debug)]
struct Lending {
    limit: Limit,
    borrowers: Arc<[Limit]>,
}

/// The slots that are free, as one claim sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Free {
    own: usize,
    borrowed: usize,
    lender: Option<&'static str>,
}

impl Free {
    /// How many there are; no claim takes more at once than a step.
    pub(crate) fn count(self) -> usize {
        (self.own + self.borrowed).min(CLAIM_STEP)
    }

    /// Whose slots are among so many.
    pub(crate) fn lender_of(self, taken: usize) -> Option<&'static str> {
        self.lender.filter(|_| taken > self.own)
    }
}

impl SlotPlan {
    pub(crate) fn of(pool: &'static str, pools: &BTreeMap<&'static str, PoolOptions>) -> Self {
        let options = pools.get(pool).copied().unwrap_or_default();
        let lender = options.borrows_from.map(|lender| Lending::of(lender, pools));
        Self { own: Lending::of(pool, pools), lender }
    }

    /// Returns how many slots are free. A paused pool has none, and lends none.
    pub(crate) fn free(&self, tx: &Tx) -> Result<Free> {
        let none = Free { own: 0, borrowed: 0, lender: None };
        let Some(own) = self.own.idle(tx)? else { return Ok(none) };
        let Some(lender) = self.lender.as_ref().filter(|_| own < CLAIM_STEP) else {
            return Ok(Free { own, ..none });
        };
        let borrowed = lender.idle(tx)?.unwrap_or_default();
        Ok(Free { own, borrowed, lender: Some(lender.limit.pool) })
    }
}

impl Lending {
    fn of(pool: &'static str, pools: &BTreeMap<&'static str, PoolOptions>) -> Self {
        let limit =
            |(pool, options): (&&'static str, &PoolOptions)| Limit { pool, parallel: options.parallel };
        let borrowers = pools.iter().filter(|(_, options)| options.borrows_from == Some(pool)).map(limit);
        let parallel = pools.get(pool).copied().unwrap_or_default().parallel;
        Self { limit: Limit { pool, parallel }, borrowers: borrowers.collect() }
    }

    /// How many slots of the pool nobody uses; `None` while it is paused.
    fn idle(&self, tx: &Tx) -> Result<Option<usize>> {
        let set = tx.first(PoolRow::by_name.eq(self.limit.pool))?;
        if set.as_ref().is_some_and(|set| set.paused) {
            return Ok(None);
        }
        let limit = set.and_then(|set| set.parallel).or(self.limit.parallel);
        let Some(limit) = limit else { return Ok(Some(CLAIM_STEP)) };
        let limit = limit as usize;
        let running = JobRow::running.eq(self.limit.pool);
        let mut used = occupied(tx, self.limit.pool, running, limit)?;
        for borrower in self.borrowers.iter() {
            used += borrower.beyond_its_own(tx, limit)?;
        }
        Ok(Some(limit.saturating_sub(used)))
    }
}

impl Limit {
    /// How many jobs the pool runs beyond its own slots, as far as that matters: `most`.
    fn beyond_its_own(&self, tx: &Tx, most: usize) -> Result<usize> {
        let set = tx.first(PoolRow::by_name.eq(self.pool))?.and_then(|set| set.parallel);
        let Some(limit) = set.or(self.parallel) else { return Ok(0) };
        let limit = limit as usize;
        let running = occupied(tx, self.pool, JobRow::running.eq(self.pool), limit + most)?;
        Ok(running.saturating_sub(limit))
    }
}
