//! Credit notes: what is taken back of an invoice that no longer changes.

use loomwork_core::Time;
use loomwork_store::{Id, Result, Row, Table, Tx};
use serde::{Deserialize, Serialize};

use crate::account::account;
use crate::close::number;
use crate::error::UsageError;
use crate::event::{MAX_NAME_BYTES, fits};
use crate::invoice::InvoiceState;
use crate::line::lines;
use crate::money::{Money, Rounding};
use crate::tables::{EventRow, InvoiceRow};

/// What is put behind an invoice's series to name that of its credit notes.
pub(crate) const SERIES_OF_NOTES: &str = "-CN";

/// How the keys begin of the notes that end an invoice; nobody else's begin so.
const OWN_KEYS: &str = "ended:";

/// A credit note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[table(name = "usage_credit_notes", id = "creditnote")]
#[index(unique by_key(invoice, key))]
#[index(unique by_number(number))]
pub struct CreditNoteRow {
    /// Its number, without gaps in its series.
    pub number: String,
    /// The invoice.
    pub invoice: Id<InvoiceRow>,
    /// Under which it was asked for once.
    pub key: String,
    /// How much is taken back.
    pub amount: Money,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Time,
}

/// Takes back a part of an open, failed or paid invoice, under a key that makes it safe to repeat. One that waits
/// for its payment and is credited in full is void.
///
/// # Errors
/// [`UsageError::TooMuchCredit`] beyond what is left, and for nothing or less; [`UsageError::KeyReused`] for a
/// key that another amount was credited under; [`UsageError::IllegalMove`] for another state;
/// [`UsageError::Money`] for an amount finer than the currency's coin.
pub fn credit_note(
    tx: &mut Tx,
    invoice: Id<InvoiceRow>,
    key: &str,
    amount: Money,
    reason: &str,
) -> Result<Row<CreditNoteRow>> {
    fits("key of a credit note", key, 1, MAX_NAME_BYTES)?;
    fits("reason", reason, 1, MAX_NAME_BYTES)?;
    if key.starts_with(OWN_KEYS) {
        return Err(UsageError::KeyReused { invoice, key: key.to_owned() }.into());
    }
    let row = tx.require(invoice)?;
    if let Some(found) = tx.first(CreditNoteRow::by_key.eq(invoice).eq(key))? {
        return if found.amount == amount {
            Ok(found)
        } else {
            Err(UsageError::KeyReused { invoice, key: key.to_owned() }.into())
        };
    }
    if !matches!(row.state, InvoiceState::Open | InvoiceState::Failed | InvoiceState::Paid) {
        return Err(InvoiceState::refuse(&row, InvoiceState::Paid));
    }
    let coin = amount.rounded(row.currency.decimals(), row.rounding).map_err(UsageError::from)?;
    if coin != amount {
        let what = format!("{amount} {}", row.currency);
        return Err(UsageError::FinerThanCoin { what, decimals: row.currency.decimals() }.into());
    }
    enter(tx, &row, key, amount, reason)
}

/// Returns the credit notes of an invoice.
///
/// # Errors
/// When the store cannot be read.
pub fn credit_notes(tx: &Tx, invoice: Id<InvoiceRow>) -> Result<Vec<Row<CreditNoteRow>>> {
    tx.scan(CreditNoteRow::by_key.eq(invoice))
}

/// Takes back all that is left of an invoice.
pub(crate) fn credit_rest(tx: &mut Tx, row: &Row<InvoiceRow>, key: &str, reason: &str) -> Result<()> {
    let left = row.left()?;
    if left.is_zero() {
        return Ok(());
    }
    enter(tx, row, &format!("{OWN_KEYS}{key}"), left, reason).map(drop)
}

fn enter(
    tx: &mut Tx,
    row: &Row<InvoiceRow>,
    key: &str,
    amount: Money,
    reason: &str,
) -> Result<Row<CreditNoteRow>> {
    let left = row.left()?;
    if amount > left || amount <= Money::ZERO {
        return Err(UsageError::TooMuchCredit { invoice: row.id, left, wanted: amount }.into());
    }
    let credited = row.credited.plus(amount).map_err(UsageError::from)?;
    let series = account(tx, &row.payer)?.series;
    tx.nested(|tx| {
        tx.update(row.id, |row| {
            row.credited = credited;
            if credited == row.total && matches!(row.state, InvoiceState::Open | InvoiceState::Failed) {
                (row.state, row.reason) = (InvoiceState::Void, Some(reason.to_owned()));
            }
        })?;
        let number = number(tx, &format!("{series}{SERIES_OF_NOTES}"))?;
        let (key, reason) = (key.to_owned(), reason.to_owned());
        tx.insert(CreditNoteRow { number, invoice: row.id, key, amount, reason, at: tx.now() })
    })
}

impl InvoiceRow {
    /// What may still be credited, in coins: what neither credit notes nor adjustments have taken back.
    pub(crate) fn left(&self) -> Result<Money, UsageError> {
        let left = self.total.minus(self.credited)?.minus(self.adjusted)?;
        let left = left.rounded(self.currency.decimals(), Rounding::Down)?;
        Ok(left.max(Money::ZERO))
    }

    fn taxed(&self, amount: Money) -> Result<Money, UsageError> {
        let tax = self.tax.as_ref().map_or(Ok(Money::ZERO), |tax| amount.share(tax.share))?;
        Ok(amount.plus(tax)?)
    }
}

/// Books on the invoice of an event that the event is taken back, and says whether that is an adjustment of a
/// later invoice. It is none where that was voided or given up, draft or not, and where it was credited so far
/// that the event would be given back twice.
pub(crate) fn take_off(tx: &mut Tx, event: Id<EventRow>) -> Result<bool> {
    let event = tx.require(event)?;
    let (Some(period), Some(charge)) = (event.period, &event.charge) else { return Ok(true) };
    let own = tx.require(period)?;
    let billed = own.carried_into.map_or(Ok(own), |into| tx.require(into))?;
    if !billed.closed || charge.amount.is_zero() {
        return Ok(true);
    }
    let Some(invoice) = tx.first(InvoiceRow::by_period.eq(billed.id))? else { return Ok(true) };
    let is_taken_back = matches!(invoice.state, InvoiceState::Void | InvoiceState::Uncollectible);
    if is_taken_back || invoice.number.is_none() {
        return Ok(false);
    }
    let adjusted = invoice.adjusted.plus(invoice.taxed(charge.amount)?).map_err(UsageError::from)?;
    let taken = adjusted.plus(invoice.credited).map_err(UsageError::from)?;
    if invoice.credited.is_zero() || taken <= charged(tx, &invoice)? {
        tx.update(invoice.id, |row| row.adjusted = adjusted)?;
        return Ok(true);
    }
    if matches!(invoice.state, InvoiceState::Open | InvoiceState::Failed | InvoiceState::Paid) {
        credit_rest(tx, &invoice, &format!("event {}", event.id), "usage was taken back")?;
    }
    Ok(false)
}

/// What an invoice charges, without what it gives back itself.
fn charged(tx: &Tx, invoice: &InvoiceRow) -> Result<Money> {
    let mut sum = Money::ZERO;
    for line in lines(tx, invoice.period, invoice.rounding)?.iter().filter(|line| !line.amount.is_negative())
    {
        sum = sum.plus(line.amount).map_err(UsageError::from)?;
    }
    Ok(invoice.taxed(sum)?)
}
