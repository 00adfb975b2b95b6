//! What time does to approvals: those that nobody has answered are denied, and old ones are forgotten.

use loomwork_core::Time;
use loomwork_store::{Next, Result, Tx, Upkeep};

use super::{ApprovalRow, deny_by_time};
use crate::journal::{FORGET_EVERY, FORGET_STEP, KEEP};

/// The upkeep that denies what has expired, and forgets what is old.
pub(crate) fn upkeep() -> Upkeep {
    Upkeep::new("approvals", |tx| {
        let due = tx.first(ApprovalRow::due.all().readable())?;
        match due {
            Some(row) if row.expires <= tx.now() => {
                deny_by_time(tx, &row)?;
                Ok(Next::More)
            }
            due => forget(tx, due.map(|row| row.expires)),
        }
    })
}

fn forget(tx: &mut Tx, due: Option<Time>) -> Result<Next> {
    let before = tx.now() - KEEP;
    let old = tx.scan(ApprovalRow::old.lt(before).readable().take(FORGET_STEP))?;
    let is_more = old.len() == FORGET_STEP;
    for row in old {
        tx.delete(row.id)?;
    }
    let next = tx.now() + FORGET_EVERY;
    Ok(if is_more { Next::More } else { Next::At(due.map_or(next, |due| due.min(next))) })
}
