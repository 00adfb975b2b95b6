//! Usage without a price: it is kept, shown, and rated when it gets one.

use loomwork_store::{Cursor, Next, Page, Paged, Result, Row, Table, Tx, Upkeep};
use serde::{Deserialize, Serialize};

use crate::amend::is_written_off;
use crate::export::ChangeRow;
use crate::period::changed;
use crate::record::{apply, payer_of, price, put};
use crate::tables::EventRow;

/// How many events are looked at in one step of the upkeep.
pub const REPRICE_STEP: usize = 100;

/// Prices have changed: what has none is looked at once more.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "usage_reprices", id = "reprice")]
#[index(fresh(provider), when = RepriceRow::is_fresh)]
pub(crate) struct RepriceRow {
    /// Of which provider; all if absent.
    provider: Option<String>,
    /// How far it has come.
    after: Option<Cursor>,
}

impl RepriceRow {
    fn is_fresh(&self) -> bool {
        self.after.is_none()
    }
}

/// Asks that unpriced usage be looked at again: of a provider, or of all.
pub(crate) fn wanted(tx: &mut Tx, provider: Option<&str>) -> Result<()> {
    let provider = provider.map(str::to_owned);
    if tx.first(RepriceRow::fresh.eq(provider.clone()))?.is_none() {
        tx.insert(RepriceRow { provider, after: None })?;
    }
    Ok(())
}

/// Returns usage that has no price yet, by provider and model.
///
/// # Errors
/// When the store cannot be read, or the page's cursor is foreign.
pub fn unpriced(tx: &Tx, page: Page) -> Result<Paged<EventRow>> {
    tx.page(EventRow::unpriced.all(), page)
}

/// Rates what can be rated since prices changed.
pub(crate) fn upkeep() -> Upkeep {
    Upkeep::new("usage prices", |tx| {
        let Some(work) = tx.first(RepriceRow::all())? else { return Ok(Next::Idle) };
        let page = Page { size: REPRICE_STEP, after: work.after.clone() };
        let Paged { rows, next } = match &work.provider {
            Some(provider) => tx.page(EventRow::unpriced.eq(provider), page)?,
            None => tx.page(EventRow::unpriced.all(), page)?,
        };
        for row in rows {
            let id = row.id;
            // One event that cannot be rated must not hold up the others.
            if let Err(error) = tx.nested(|tx| rate_late(tx, row)) {
                tracing::error!(event = %id, %error, "usage that has a price now cannot be rated");
            }
        }
        match next {
            Some(next) => drop(tx.update(work.id, |work| work.after = Some(next))?),
            None => drop(tx.delete(work.id)?),
        }
        Ok(Next::More)
    })
}

/// Rates an event by the prices of when it occurred, if they are there now. Where its period is closed, it is
/// billed with the next one.
pub(crate) fn rate_late(tx: &mut Tx, row: Row<EventRow>) -> Result<()> {
    let mut rated = row.record.clone();
    let account = payer_of(tx, &rated)?;
    price(tx, &mut rated, account.as_ref())?;
    if rated == row.record {
        return Ok(());
    }
    replace(tx, row, rated)
}

/// Puts what is known of an event now in the place of what was.
pub(crate) fn replace(tx: &mut Tx, row: Row<EventRow>, mut rated: EventRow) -> Result<()> {
    let (id, mut before) = (row.id, row.record);
    let is_billed_anew = rated.charge != before.charge || rated.event.payer != before.event.payer;
    if is_billed_anew {
        // What was left out of a bill is billed later, unless that was voided with all its usage.
        if !is_written_off(tx, &before)? {
            (rated.period, rated.adjusts) = (None, None);
            let account = payer_of(tx, &rated)?;
            put(tx, &mut rated, account.as_ref())?;
        }
        for period in before.period.into_iter().chain(rated.period.filter(|now| Some(*now) != before.period))
        {
            changed(tx, period)?;
        }
        apply(tx, &before, -1)?;
        apply(tx, &rated, 1)?;
    } else {
        // Nothing but what the provider charges has changed: lines stay as they are.
        (before.period, before.adjusts) = (None, None);
        let placed = (rated.period.take(), rated.adjusts.take());
        apply(tx, &before, -1)?;
        apply(tx, &rated, 1)?;
        (rated.period, rated.adjusts) = placed;
    }
    tx.replace(id, rated)?;
    tx.insert(ChangeRow { event: id, at: tx.now() }).map(drop)
}
