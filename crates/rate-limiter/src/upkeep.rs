//! Upkeep: holds end with their term, and rows that say nothing are forgotten.

use std::time::Duration;

use loomwork_core::Kind;
use loomwork_store::{Next, Result, Row, Tx, Upkeep};

use crate::hold::give_back;
use crate::tables::{BalanceRow, HoldRow, HoldState};

/// How many rows one step of an upkeep takes.
pub const UPKEEP_STEP: usize = 256;

/// How often full balances and ended holds are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(60 * 60);

/// How long a hold is put off that cannot be given back.
const PUT_OFF: Duration = Duration::from_secs(60 * 60);

/// The upkeep of this crate: start it once in each process of a store, with
/// [`Store::start_upkeep`](loomwork_store::Store::start_upkeep). Without it limits work as well; holds of the
/// dead then stay, and so do the rows of keys that came once.
pub fn upkeep() -> [Upkeep; 2] {
    [Upkeep::new("rate limiter expiry", expire), Upkeep::new("rate limiter clean-up", forget)]
}

fn expire(tx: &mut Tx) -> Result<Next> {
    let over = tx.scan(HoldRow::expiring.le(tx.now()).readable().take(UPKEEP_STEP))?;
    let more = over.len() == UPKEEP_STEP;
    for row in over {
        expire_one(tx, row)?;
    }
    if more {
        return Ok(Next::More);
    }
    let next = tx.first(HoldRow::expiring.all().readable())?;
    Ok(next.map_or(Next::Idle, |row| Next::At(row.expires)))
}

/// A hold whose balance cannot be read, since it is damaged or of a newer program, is put off, so that it
/// holds up no other.
fn expire_one(tx: &mut Tx, row: Row<HoldRow>) -> Result<()> {
    let id = row.id;
    match give_back(tx, row, HoldState::Expired) {
        Err(error) if matches!(error.kind(), Kind::Corrupt | Kind::Invalid) => {
            tracing::error!(hold = %id, %error, "an expired hold could not be given back and will be tried again");
            let later = tx.now() + PUT_OFF;
            tx.update(id, |row| row.expires = later).map(drop)
        }
        other => other,
    }
}

/// It reads only what is over, so the requests of the present do not wake it.
fn forget(tx: &mut Tx) -> Result<Next> {
    let full = tx.scan(BalanceRow::idle.le(tx.now()).readable().take(UPKEEP_STEP))?;
    let ended = tx.scan(HoldRow::ended.le(tx.now()).readable().take(UPKEEP_STEP))?;
    let more = full.len() == UPKEEP_STEP || ended.len() == UPKEEP_STEP;
    for row in full {
        tx.delete(row.id)?;
    }
    for row in ended {
        tx.delete(row.id)?;
    }
    Ok(if more { Next::More } else { Next::At(tx.now() + FORGET_EVERY) })
}
