//! Closing a period: its invoice is drafted, checked, numbered, and never changes again.

use loomwork_core::Time;
use loomwork_store::{Id, Result, Row, Tx};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::account::{Account, Tax, Unpriced, ZeroTotal, account};
use crate::check::Checked;
use crate::error::UsageError;
use crate::invoice::InvoiceState;
use crate::line::{Line, lines};
use crate::money::{Money, Rounding};
use crate::period::open_from;
use crate::tables::{InvoiceRow, PeriodRow, SeriesRow};

/// What became of a period that was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It has an invoice.
    Invoiced(Id<InvoiceRow>),
    /// Its lines are those of a later period too: it was below the account's minimum, or less than nothing.
    Carried(Id<PeriodRow>),
    /// There was nothing to pay.
    Skipped,
}

/// Writes a draft of a period's invoice, or brings it up to date. Where nothing has changed, nothing is
/// written.
///
/// # Errors
/// [`UsageError::IllegalMove`] for a period whose invoice is finalised; when the store cannot be read or
/// written.
pub fn draft(tx: &mut Tx, period: Id<PeriodRow>) -> Result<Row<InvoiceRow>> {
    let of = tx.require(period)?;
    let account = account(tx, &of.payer)?;
    let (row, _) = compose(tx, &of, &account)?;
    let Some(found) = tx.first(InvoiceRow::by_period.eq(period))? else { return tx.insert(row) };
    if found.state != InvoiceState::Draft {
        return Err(InvoiceState::refuse(&found, InvoiceState::Draft));
    }
    if found.hash == row.hash {
        return Ok(found);
    }
    tx.replace(found.id, InvoiceRow { drafted: found.drafted, ..row })
}

/// Closes a period that has ended: compares its lines with its events, numbers its invoice and opens it for
/// payment. A period that is closed already stays as it is, so it is safe to repeat.
///
/// The check may have been made before, in [steps](Checked::step); then only what has come since is read.
///
/// # Errors
/// [`UsageError::NotOver`]; [`UsageError::Unpriced`] where the account waits for prices;
/// [`UsageError::Mismatch`]; [`UsageError::Stale`] where events were changed since the check began.
pub fn finalise(tx: &mut Tx, period: Id<PeriodRow>, checked: Option<Checked>) -> Result<Closed> {
    let of = tx.require(period)?;
    if of.closed {
        return closed(tx, &of);
    }
    let now = tx.now();
    if now < of.end {
        let PeriodRow { payer, label, end, .. } = of.record;
        return Err(UsageError::NotOver { payer, label, end, now }.into());
    }
    let account = account(tx, &of.payer)?;
    let checked = checked.map_or_else(|| Checked::begin(tx, period), Ok)?;
    checked.agrees(tx, &of)?;
    let (row, lines) = compose(tx, &of, &account)?;
    if account.unpriced == Unpriced::Block
        && let Some(line) = lines.iter().find(|line| line.price.is_none())
    {
        let (book, provider, model) = (account.book, line.provider.clone(), line.model.clone());
        return Err(UsageError::Unpriced { book, provider, model }.into());
    }
    tx.nested(|tx| shut(tx, &of, &account, row))
}

fn closed(tx: &Tx, of: &Row<PeriodRow>) -> Result<Closed> {
    if let Some(into) = of.carried_into {
        return Ok(Closed::Carried(into));
    }
    let invoice = tx.first(InvoiceRow::by_period.eq(of.id))?;
    Ok(invoice.map_or(Closed::Skipped, |invoice| Closed::Invoiced(invoice.id)))
}

fn shut(tx: &mut Tx, of: &Row<PeriodRow>, account: &Account, row: InvoiceRow) -> Result<Closed> {
    let before = tx.first(InvoiceRow::by_period.eq(of.id))?;
    tx.update(of.id, |of| of.closed = true)?;
    let is_small = row.subtotal.is_negative() || row.subtotal < account.minimum;
    let is_nothing = row.subtotal.is_zero() && account.zero == ZeroTotal::Skip;
    if is_small || is_nothing {
        if let Some(before) = before {
            tx.delete(before.id)?;
        }
        if is_nothing && !is_small {
            return Ok(Closed::Skipped);
        }
        return carry(tx, of, account);
    }
    let number = number(tx, &account.series)?;
    let is_paid = row.total.is_zero();
    let row = InvoiceRow {
        number: Some(number),
        state: if is_paid { InvoiceState::Paid } else { InvoiceState::Open },
        finalised: Some(tx.now()),
        drafted: before.as_ref().map_or(row.drafted, |before| before.drafted),
        ..row
    };
    let row = match before {
        Some(before) => tx.replace(before.id, row)?,
        None => tx.insert(row)?,
    };
    Ok(Closed::Invoiced(row.id))
}

/// Lets the next open period have the lines of this one, and of those that were carried into it.
fn carry(tx: &mut Tx, of: &Row<PeriodRow>, account: &Account) -> Result<Closed> {
    let into = open_from(tx, account, of.currency, of.end.max(tx.now()))?.id;
    let before = tx.scan(PeriodRow::carried.eq(Some(of.id)))?;
    for id in before.iter().map(|row| row.id).chain([of.id]) {
        tx.update(id, |row| row.carried_into = Some(into))?;
    }
    Ok(Closed::Carried(into))
}

/// Takes the next number of a series. It is taken in the transaction that uses it, so there is no gap.
pub(crate) fn number(tx: &mut Tx, series: &str) -> Result<String> {
    let last = match tx.first(SeriesRow::by_name.eq(series))? {
        Some(row) => tx.update(row.id, |row| row.last += 1)?.last,
        None => tx.insert(SeriesRow { name: series.to_owned(), last: 1 })?.last,
    };
    Ok(format!("{series}-{last:06}"))
}

/// What a hash is taken of.
#[derive(Serialize)]
struct Content<'a> {
    payer: &'a str,
    label: &'a str,
    start: Time,
    end: Time,
    currency: crate::Currency,
    rounding: Rounding,
    lines: &'a [Line],
    tax: &'a Option<Tax>,
    subtotal: Money,
    total: Money,
}

/// An invoice as it would be now, as a draft.
fn compose(tx: &Tx, of: &Row<PeriodRow>, account: &Account) -> Result<(InvoiceRow, Vec<Line>)> {
    compose_with(tx, of, account.rounding, account.tax.clone())
}

fn compose_with(
    tx: &Tx,
    of: &Row<PeriodRow>,
    rounding: Rounding,
    tax: Option<Tax>,
) -> Result<(InvoiceRow, Vec<Line>)> {
    let lines = lines(tx, of.id, rounding)?;
    let mut subtotal = Money::ZERO;
    for line in &lines {
        subtotal = subtotal.plus(line.amount).map_err(UsageError::from)?;
    }
    let decimals = of.currency.decimals();
    let tax_of = |tax: &Tax| subtotal.share(tax.share)?.rounded(decimals, rounding);
    let tax_amount = tax.as_ref().map_or(Ok(Money::ZERO), tax_of).map_err(UsageError::from)?;
    let total = subtotal.plus(tax_amount).map_err(UsageError::from)?;
    let PeriodRow { payer, currency, start, end, label, .. } = &of.record;
    let (currency, start, end) = (*currency, *start, *end);
    let content =
        Content { payer, label, start, end, currency, rounding, lines: &lines, tax: &tax, subtotal, total };
    let hash = hash(&content)?;
    let row = InvoiceRow {
        number: None,
        payer: payer.clone(),
        period: of.id,
        label: label.clone(),
        start,
        end,
        currency,
        rounding,
        state: InvoiceState::Draft,
        subtotal,
        tax,
        tax_amount,
        total,
        credited: Money::ZERO,
        hash,
        drafted: tx.now(),
        finalised: None,
        attempts: Vec::new(),
        reason: None,
    };
    Ok((row, lines))
}

fn hash(content: &Content<'_>) -> Result<String> {
    let json = serde_json::to_vec(content)
        .map_err(|error| loomwork_store::Error::message(loomwork_core::Kind::Internal, error.to_string()))?;
    Ok(Sha256::digest(json).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Says whether an invoice is what it was when its hash was taken: its lines, its sums, its payer and period.
///
/// # Errors
/// [`Problem::NotFound`](loomwork_store::Problem::NotFound); when the store cannot be read.
pub fn is_intact(tx: &Tx, invoice: Id<InvoiceRow>) -> Result<bool> {
    let invoice = tx.require(invoice)?;
    let of = tx.require(invoice.period)?;
    let (now, _) = compose_with(tx, &of, invoice.rounding, invoice.tax.clone())?;
    let sums = |row: &InvoiceRow| (row.subtotal, row.tax_amount, row.total, row.payer.clone());
    Ok(now.hash == invoice.hash && sums(&now) == sums(&invoice))
}
