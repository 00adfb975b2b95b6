//! What operators do: balances are looked at, and begun anew.

use loomwork_core::Time;
use loomwork_store::{Page, Paged, Result, Table as _, Tx};

use crate::limit::{Limit, LimitKey};
use crate::tables::{BalanceRow, find};

/// How many balances one call of [`reset_all`] or [`clear_all`] deletes.
pub const RESET_STEP: usize = 256;

/// Gives a key all of its share again; `()` is the share without a key, not all keys. Holds stay open: when
/// one ends, what was not used of it is given back, up to the capacity.
///
/// # Errors
/// [`LimitError`](crate::LimitError) for a limit or key that makes no sense, and when the store cannot be
/// read or written, as for all functions here. A balance that cannot be read cannot be reset.
pub fn reset(tx: &mut Tx, limit: &Limit, key: &(impl LimitKey + ?Sized)) -> Result<()> {
    limit.rules(key)?;
    if let Some(row) = find(tx, limit.name(), key.key().as_deref())? {
        tx.delete(row.id)?;
    }
    Ok(())
}

/// Gives up to [`RESET_STEP`] keys of a limit all of their share again, and returns whether there are more: call
/// it until there are none, each time in a mutation of its own. Balances that cannot be read are left out, here
/// and in [`clear_all`] and [`list`].
///
/// # Errors
/// As [`reset`].
pub fn reset_all(tx: &mut Tx, limit: &Limit) -> Result<bool> {
    limit.check_name()?;
    let rows = tx.scan(BalanceRow::by_key.eq(limit.name()).readable().take(RESET_STEP))?;
    for row in &rows {
        tx.delete(row.id)?;
    }
    Ok(rows.len() == RESET_STEP)
}

/// Deletes up to [`RESET_STEP`] balances of all limits that began at this time or before, and returns whether
/// there are more, as [`reset_all`] does. Holds stay.
///
/// # Errors
/// As [`reset`].
pub fn clear_all(tx: &mut Tx, before: Time) -> Result<bool> {
    // Ids sort by creation, so the oldest come first.
    let mut rows = tx.scan(BalanceRow::all().readable().take(RESET_STEP))?;
    rows.retain(|row| row.id.time() <= before);
    for row in &rows {
        tx.delete(row.id)?;
    }
    Ok(rows.len() == RESET_STEP)
}

/// Lists the balances of a limit by key, the one without a key first. Keys that have all of their share may
/// be missing.
///
/// # Errors
/// As [`reset`], and for a page that makes no sense.
pub fn list(tx: &Tx, limit: &Limit, page: Page) -> Result<Paged<BalanceRow>> {
    limit.check_name()?;
    tx.page(BalanceRow::by_key.eq(limit.name()).readable(), page)
}
