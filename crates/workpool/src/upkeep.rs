//! Moving what is due: from scheduled to ready, from waiting to expired, and from ended to forgotten.

use std::sync::Arc;

use loomwork_store::{Next, Result, Tx, Upkeep};

use crate::conclude::{Completions, expire};
use crate::payload;
use crate::tables::{JobRow, State};

/// How many jobs one step makes ready, ends or forgets.
pub const UPKEEP_STEP: usize = 256;

/// Makes scheduled jobs ready when they are due.
pub(crate) fn promotion() -> Upkeep {
    Upkeep::new("workpool promotion", |tx| {
        let due = tx.scan(JobRow::scheduled.le(tx.now()).take(UPKEEP_STEP))?;
        let more = due.len() == UPKEEP_STEP;
        for row in due {
            tx.update(row.id, |job| job.state = State::Ready)?;
        }
        if more {
            return Ok(Next::More);
        }
        Ok(tx.first(JobRow::scheduled.all())?.map_or(Next::Idle, |row| Next::At(row.due)))
    })
}

/// Ends jobs that nobody runs when their time is over.
pub(crate) fn expiry(completions: Arc<Completions>) -> Upkeep {
    Upkeep::new("workpool expiry", move |tx| {
        let over = tx.scan(JobRow::expiring.le(tx.now()).take(UPKEEP_STEP))?;
        let more = over.len() == UPKEEP_STEP;
        for row in over {
            expire(tx, &completions, row)?;
        }
        if more {
            return Ok(Next::More);
        }
        let next = tx.first(JobRow::expiring.all())?.and_then(|row| row.expires);
        Ok(next.map_or(Next::Idle, Next::At))
    })
}

/// Forgets ended jobs when their retention is over.
pub(crate) fn retention() -> Upkeep {
    Upkeep::new("workpool retention", forget)
}

fn forget(tx: &mut Tx) -> Result<Next> {
    let over = tx.scan(JobRow::retained.le(tx.now()).take(UPKEEP_STEP))?;
    let more = over.len() == UPKEEP_STEP;
    for row in over {
        payload::drop_all(tx, row.id)?;
        tx.delete(row.id)?;
    }
    if more {
        return Ok(Next::More);
    }
    let next = tx.first(JobRow::retained.all())?.and_then(|row| row.retained);
    Ok(next.map_or(Next::Idle, Next::At))
}
