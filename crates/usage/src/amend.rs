//! Usage that is taken back, corrected or rated once its period is closed. What is billed never changes: the change is
//! kept beside it, and what it makes up goes to the payer's balance.

use loomwork_store::{Id, Result, Row, Tx};

use crate::balance::{adjust, sum_of};
use crate::close::worth;
use crate::currency::Currency;
use crate::error::UsageError;
use crate::fold::LineDelta;
use crate::invoice::InvoiceState;
use crate::line::{add_parts, amended_lines};
use crate::money::Money;
use crate::period::Place;
use crate::tables::{EventRow, InvoiceRow, PeriodRow};

/// How far the bill is of usage that has its place in a period.
pub(crate) enum Bill {
    /// Its period takes usage still.
    Open,
    /// Its period is closed, and a later one that is open will bill it.
    Carried,
    /// It came to nothing, and has no invoice.
    Skipped,
    /// Its draft was voided.
    Abandoned,
    /// It is on an invoice that is final.
    Final { invoice: Id<InvoiceRow>, state: InvoiceState },
}

/// Finds the bill of usage of a period, or of an earlier one that it adjusts.
pub(crate) fn bill_of(tx: &Tx, own: &Row<PeriodRow>, adjusts: Option<&str>) -> Result<Bill> {
    if !own.closed {
        return Ok(Bill::Open);
    }
    let is_dropped = own.abandoned && adjusts.is_none();
    let on = match own.carried_into {
        Some(into) if !is_dropped => {
            let into = tx.require(into)?;
            if !into.closed {
                return Ok(Bill::Carried);
            }
            into.id
        }
        _ => own.id,
    };
    Ok(match tx.first(InvoiceRow::by_period.eq(on))? {
        None => Bill::Skipped,
        Some(draft) if draft.number.is_none() => Bill::Abandoned,
        Some(row) => Bill::Final { invoice: row.id, state: row.state },
    })
}

/// Whether an event is of usage that nobody is billed for any more, as its draft or its invoice was voided.
pub(crate) fn is_written_off(tx: &Tx, row: &EventRow) -> Result<bool> {
    let Some(period) = row.period else { return Ok(false) };
    Ok(match bill_of(tx, &tx.require(period)?, row.adjusts.as_deref())? {
        Bill::Abandoned => true,
        Bill::Final { state, .. } => state == InvoiceState::Void,
        _ => false,
    })
}

/// Where what is recorded in the place of an event has its place: with that one, if its bill is final, so that only the
/// difference is made up for.
pub(crate) fn place_of_replaced(
    tx: &Tx,
    original: &EventRow,
    payer: &str,
    currency: Currency,
) -> Result<Option<Place>> {
    let Some(period) = original.period else { return Ok(None) };
    let own = tx.require(period)?;
    if (own.payer.as_str(), own.currency) != (payer, currency) {
        return Ok(None);
    }
    let bill = bill_of(tx, &own, original.adjusts.as_deref())?;
    let is_final = matches!(bill, Bill::Final { .. } | Bill::Abandoned);
    Ok(is_final.then(|| Place { period, adjusts: original.adjusts.clone() }))
}

/// Enters what is added to a line of a closed period; returns it where that is open, to be folded in.
pub(crate) fn enter(tx: &mut Tx, line: LineDelta) -> Result<Option<LineDelta>> {
    let own = tx.require(line.group.period)?;
    let bill = bill_of(tx, &own, line.group.adjusts.as_deref())?;
    if let Bill::Open = bill {
        return Ok(Some(line));
    }
    let amends = !matches!(bill, Bill::Carried);
    add_parts(tx, &line.group, amends, line.parts.into_iter().collect())?;
    if let Bill::Final { invoice, .. } = bill {
        make_up(tx, invoice)?;
    }
    Ok(None)
}

/// Lets the payer's next bill make up for what the usage of a final one is worth now.
pub(crate) fn make_up(tx: &mut Tx, invoice: Id<InvoiceRow>) -> Result<()> {
    let invoice = tx.require(invoice)?;
    let change = sum_of([due(tx, &invoice)?, invoice.asked()?.negated()])?;
    if change.is_zero() {
        return Ok(());
    }
    let adjusted = sum_of([invoice.adjusted, change.negated()])?;
    let invoice = tx.update(invoice.id, |row| row.adjusted = adjusted)?;
    adjust(tx, &invoice, change)
}

/// What a payer is to pay in all for the usage of a final invoice, as that usage is now: what it is worth less what
/// was credited, whichever way it was paid; and nothing if it was void.
fn due(tx: &Tx, invoice: &InvoiceRow) -> Result<Money> {
    if invoice.state == InvoiceState::Void {
        return Ok(Money::ZERO);
    }
    let lines = amended_lines(tx, invoice.period, invoice.rounding)?;
    let worth = worth(&lines, invoice.currency, invoice.rounding, invoice.tax.as_ref())?;
    let due = sum_of([worth.total, invoice.credited.negated()])?;
    // Credit may have paid for what it charged for earlier bills too.
    Ok(due.max(invoice.adjustments.max(Money::ZERO).negated()))
}

impl InvoiceRow {
    /// What the payer was asked for in all for its usage: on it, by what it took of the balance, and on later bills.
    fn asked(&self) -> Result<Money, UsageError> {
        let usage = self.subtotal.plus(self.tax_amount)?;
        Ok(usage.minus(self.credited)?.minus(self.adjusted)?)
    }

    /// What may still be credited: no more than is to be paid on it, and than its usage is worth.
    pub(crate) fn left(&self) -> Result<Money, UsageError> {
        let charged_before = self.adjustments.max(Money::ZERO);
        let left = self.asked()?.plus(charged_before)?.min(self.total.minus(self.credited)?);
        Ok(left.max(Money::ZERO))
    }
}
