//! Closing a period: its invoice is drafted, checked, numbered, and never changes again.

use loomwork_core::Time;
use loomwork_store::{Id, Result, Row, Tx};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::account::{Account, Tax, Unpriced, ZeroTotal, account};
use crate::balance::{Adjustment, adjustments_for, adjustments_on, sum_of, take};
use crate::check::Checked;
use crate::currency::Currency;
use crate::error::UsageError;
use crate::fold::fold_all;
use crate::invoice::InvoiceState;
use crate::line::{Line, lines, lines_of};
use crate::money::{Money, Rounding};
use crate::period::{next_open, open_from};
use crate::tables::{InvoiceRow, PeriodRow, SeriesRow};

/// What became of a period that was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It has an invoice.
    Invoiced(Id<InvoiceRow>),
    /// Its lines are those of a later period too: it was below the account's minimum.
    Carried(Id<PeriodRow>),
    /// There was nothing to pay.
    Skipped,
}

/// Writes a draft of a period's invoice, or brings it up to date. Where nothing has changed, nothing is
/// written.
///
/// # Errors
/// [`UsageError::IllegalMove`] for a period whose invoice is finalised, and [`UsageError::NothingToDraft`] for one
/// that was closed without an invoice; when the store cannot be read or written.
pub fn draft(tx: &mut Tx, period: Id<PeriodRow>) -> Result<Row<InvoiceRow>> {
    let of = tx.require(period)?;
    let found = tx.first(InvoiceRow::by_period.eq(period))?;
    if let Some(found) = found.as_ref().filter(|found| found.state != InvoiceState::Draft) {
        return Err(InvoiceState::refuse(found, InvoiceState::Draft));
    }
    if of.closed {
        let (payer, label) = (of.record.payer, of.record.label);
        return Err(UsageError::NothingToDraft { payer, label }.into());
    }
    let account = account(tx, &of.payer)?;
    let row = compose(tx, &of, &account)?;
    let Some(found) = found else { return tx.insert(row) };
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
    tx.nested(|tx| {
        fold_all(tx)?;
        let checked = checked.map_or_else(|| Checked::begin(tx, period), Ok)?;
        checked.agrees(tx, &of)?;
        ensure_priced(tx, &of, &account)?;
        shut(tx, &of, &account)
    })
}

/// Refuses a period that has to wait for prices. Usage of one that is carried was left out when that was closed, and
/// is billed when it has a price.
pub(crate) fn ensure_priced(tx: &Tx, of: &Row<PeriodRow>, account: &Account) -> Result<()> {
    if account.unpriced != Unpriced::Block {
        return Ok(());
    }
    let Some(line) = lines_of(tx, of)?.into_iter().find(|line| line.version.is_none()) else { return Ok(()) };
    let (book, provider, model) = (account.book.clone(), line.provider, line.model);
    Err(UsageError::Unpriced { book, provider, model }.into())
}

fn closed(tx: &Tx, of: &Row<PeriodRow>) -> Result<Closed> {
    if let Some(into) = of.carried_into {
        return Ok(Closed::Carried(into));
    }
    let invoice = tx.first(InvoiceRow::by_period.eq(of.id))?;
    // A draft that was voided has no number.
    let invoice = invoice.filter(|invoice| invoice.number.is_some());
    Ok(invoice.map_or(Closed::Skipped, |invoice| Closed::Invoiced(invoice.id)))
}

fn shut(tx: &mut Tx, of: &Row<PeriodRow>, account: &Account) -> Result<Closed> {
    let has_lines = !lines_of(tx, of)?.is_empty();
    let row = compose(tx, of, account)?;
    let before = tx.first(InvoiceRow::by_period.eq(of.id))?;
    tx.update(of.id, |of| of.closed = true)?;
    let carried = tx.scan(PeriodRow::carried.eq(Some(of.id)))?;
    let carries = carried.iter().map(|row| row.carries).max().unwrap_or_default();
    let asked = row.subtotal.plus(row.adjustments).map_err(UsageError::from)?;
    // What is covered by the balance is settled with it, however small it is.
    let is_covered = row.total.is_zero() && !row.subtotal.is_zero();
    let is_small = !is_covered && asked < account.minimum && carries < account.carry;
    let is_nothing = row.subtotal.is_zero() && row.total.is_zero() && account.zero == ZeroTotal::Skip;
    if is_small || is_nothing {
        if let Some(before) = before {
            tx.delete(before.id)?;
        }
        let mut rows: Vec<_> = carried.iter().map(|row| row.id).collect();
        // A period without usage is carried too while the balance charges something, so that this is billed in the end.
        rows.extend((has_lines || !row.total.is_zero()).then_some(of.id));
        if rows.is_empty() || !is_small {
            return Ok(Closed::Skipped);
        }
        let into = match next_open(tx, of)? {
            None => open_from(tx, account, of.currency, of.end.max(tx.now()))?.id,
            Some(next) => next,
        };
        hand_on(tx, &rows, into)?;
        return Ok(Closed::Carried(into));
    }
    let number = number(tx, &account.series)?;
    let is_paid = row.total.is_zero();
    let usage = row.subtotal.plus(row.tax_amount).map_err(UsageError::from)?;
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
    take(tx, &row, usage)?;
    Ok(Closed::Invoiced(row.id))
}

/// Lets a later period have the lines of closed ones.
fn hand_on(tx: &mut Tx, rows: &[Id<PeriodRow>], into: Id<PeriodRow>) -> Result<()> {
    for id in rows {
        tx.update(*id, |row| {
            row.carried_into = Some(into);
            row.carries += 1;
        })?;
    }
    Ok(())
}

/// Closes a period whose draft is voided: its own usage is not billed, and what it has of earlier periods goes on.
pub(crate) fn abandon(tx: &mut Tx, period: Id<PeriodRow>) -> Result<()> {
    fold_all(tx)?;
    let of = tx.require(period)?;
    let mut rows = tx.ids(PeriodRow::carried.eq(Some(period)))?;
    rows.extend(lines_of(tx, &of)?.iter().any(|line| line.adjusts.is_some()).then_some(period));
    if !rows.is_empty() {
        let account = account(tx, &of.payer)?;
        let into = open_from(tx, &account, of.currency, of.end.max(tx.now()))?.id;
        hand_on(tx, &rows, into)?;
    }
    tx.update(period, |period| period.abandoned = true)?;
    // What is voided is what the period has now.
    draft(tx, period)?;
    tx.update(period, |period| period.closed = true).map(drop)
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
    currency: Currency,
    rounding: Rounding,
    lines: &'a [Line],
    tax: &'a Option<Tax>,
    adjustments: &'a [Adjustment],
    subtotal: Money,
    total: Money,
}

/// What usage comes to on a bill.
pub(crate) struct Worth {
    pub(crate) subtotal: Money,
    pub(crate) tax: Money,
    pub(crate) total: Money,
}

/// What lines come to: rounded each, taxed together.
pub(crate) fn worth(
    lines: &[Line],
    currency: Currency,
    rounding: Rounding,
    tax: Option<&Tax>,
) -> Result<Worth> {
    let subtotal = sum_of(lines.iter().map(|line| line.amount))?;
    let tax_of = |tax: &Tax| subtotal.share(tax.share)?.rounded(currency.decimals(), rounding);
    let tax = tax.map_or(Ok(Money::ZERO), tax_of).map_err(UsageError::from)?;
    Ok(Worth { subtotal, tax, total: sum_of([subtotal, tax])? })
}

/// An invoice as it would be now, as a draft.
fn compose(tx: &Tx, of: &Row<PeriodRow>, account: &Account) -> Result<InvoiceRow> {
    compose_with(tx, of, account.rounding, account.tax.clone(), |usage| match of.abandoned {
        true => Ok(Vec::new()),
        false => adjustments_for(tx, &of.payer, of.currency, usage),
    })
}

fn compose_with(
    tx: &Tx,
    of: &Row<PeriodRow>,
    rounding: Rounding,
    tax: Option<Tax>,
    adjustments: impl FnOnce(Money) -> Result<Vec<Adjustment>>,
) -> Result<InvoiceRow> {
    let lines = lines(tx, of.id, rounding)?;
    let worth = worth(&lines, of.currency, rounding, tax.as_ref())?;
    let listed = adjustments(worth.total)?;
    let adjustments = sum_of(listed.iter().map(|adjustment| adjustment.amount))?;
    let (subtotal, total) = (worth.subtotal, sum_of([worth.total, adjustments])?);
    let PeriodRow { payer, currency, start, end, label, .. } = &of.record;
    let (currency, start, end) = (*currency, *start, *end);
    let content = Content {
        payer,
        label,
        start,
        end,
        currency,
        rounding,
        lines: &lines,
        tax: &tax,
        adjustments: &listed,
        subtotal,
        total,
    };
    let hash = hash(&content)?;
    Ok(InvoiceRow {
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
        tax_amount: worth.tax,
        adjustments,
        total,
        credited: Money::ZERO,
        adjusted: Money::ZERO,
        hash,
        drafted: tx.now(),
        finalised: None,
        attempts: Vec::new(),
        reason: None,
    })
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
    let taken = |_| adjustments_on(tx, invoice.id);
    let now = compose_with(tx, &of, invoice.rounding, invoice.tax.clone(), taken)?;
    let sums =
        |row: &InvoiceRow| (row.subtotal, row.tax_amount, row.adjustments, row.total, row.payer.clone());
    Ok(now.hash == invoice.hash && sums(&now) == sums(&invoice))
}
