//! In which of a payer's periods usage is billed.

use std::ops::ControlFlow;

use loomwork_core::Time;
use loomwork_store::{Id, Result, Row, Tx};

use crate::account::{Account, account};
use crate::currency::Currency;
use crate::error::UsageError;
use crate::tables::PeriodRow;

/// Where an event is billed.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) period: Id<PeriodRow>,
    /// The label of the period in which it occurred, if that is closed.
    pub(crate) adjusts: Option<String>,
}

/// Finds the period of a moment, or the first open one from now on if that is closed.
pub(crate) fn place(tx: &mut Tx, account: &Account, currency: Currency, at: Time) -> Result<Place> {
    let own = enter(tx, account, currency, at)?;
    if !own.closed {
        return Ok(Place { period: own.id, adjusts: None });
    }
    let open = open_from(tx, account, currency, tx.now().max(own.end))?;
    Ok(Place { period: open.id, adjusts: Some(own.record.label) })
}

/// Returns the first open period that begins at a moment or later, if it is there already.
pub(crate) fn next_open(tx: &Tx, of: &PeriodRow) -> Result<Option<Id<PeriodRow>>> {
    let mut next = None;
    let later = PeriodRow::by_payer.eq(&of.payer).eq(of.currency).ge(of.end);
    tx.each(later, |row| {
        if row.closed {
            return Ok(ControlFlow::Continue(()));
        }
        next = Some(row.id);
        Ok(ControlFlow::Break(()))
    })?;
    Ok(next)
}

/// Returns the first open period that a moment or a later one is in.
pub(crate) fn open_from(
    tx: &mut Tx,
    account: &Account,
    currency: Currency,
    from: Time,
) -> Result<Row<PeriodRow>> {
    let mut period = enter(tx, account, currency, from)?;
    while period.closed {
        period = enter(tx, account, currency, period.end)?;
    }
    Ok(period)
}

fn enter(tx: &mut Tx, account: &Account, currency: Currency, at: Time) -> Result<Row<PeriodRow>> {
    let period = account.calendar.period_of(at).map_err(UsageError::from)?;
    let payer = account.payer.as_str();
    let found = tx.first(PeriodRow::by_payer.eq(payer).eq(currency).eq(period.start).eq(period.end))?;
    if let Some(found) = found {
        return Ok(found);
    }
    tx.insert(PeriodRow {
        payer: payer.to_owned(),
        currency,
        start: period.start,
        end: period.end,
        label: period.label,
        due: period.end + account.grace,
        closed: false,
        carried_into: None,
        carries: 0,
        abandoned: false,
        revision: 0,
    })
}

/// Returns a payer's periods in one currency, in their order.
///
/// # Errors
/// When the store cannot be read.
pub fn periods(tx: &Tx, payer: &str, currency: Currency) -> Result<Vec<Row<PeriodRow>>> {
    tx.scan(PeriodRow::by_payer.eq(payer).eq(currency))
}

/// Returns a payer's period of a moment, by its present account; `None` before its first usage.
///
/// # Errors
/// [`UsageError::Calendar`]; when the store cannot be read.
pub fn period_of(tx: &Tx, payer: &str, currency: Currency, at: Time) -> Result<Option<Row<PeriodRow>>> {
    let period = account(tx, payer)?.calendar.period_of(at).map_err(UsageError::from)?;
    tx.first(PeriodRow::by_payer.eq(payer).eq(currency).eq(period.start).eq(period.end))
}

/// Notes that events of a period were changed, so that a check that is under way begins anew.
pub(crate) fn changed(tx: &mut Tx, period: Id<PeriodRow>) -> Result<()> {
    tx.update(period, |period| period.revision += 1).map(drop)
}
