//! Credit notes: what is taken back of an invoice that no longer changes.

use loomwork_core::Time;
use loomwork_store::{Id, Result, Row, Table, Tx};
use serde::{Deserialize, Serialize};

use crate::account::account;
use crate::close::number;
use crate::error::UsageError;
use crate::event::{MAX_NAME_BYTES, fits};
use crate::invoice::InvoiceState;
use crate::money::Money;
use crate::tables::InvoiceRow;

/// What is put behind an invoice's series to name that of its credit notes.
const SERIES_OF_NOTES: &str = "-CN";

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

/// Takes back a part of an open, failed or paid invoice, under a key that makes it safe to repeat.
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
    let left = row.total.minus(row.credited).map_err(UsageError::from)?;
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
    let left = row.total.minus(row.credited).map_err(UsageError::from)?;
    if amount > left || amount <= Money::ZERO {
        return Err(UsageError::TooMuchCredit { invoice: row.id, left, wanted: amount }.into());
    }
    let credited = row.credited.plus(amount).map_err(UsageError::from)?;
    let series = account(tx, &row.payer)?.series;
    tx.nested(|tx| {
        tx.update(row.id, |row| row.credited = credited)?;
        let number = number(tx, &format!("{series}{SERIES_OF_NOTES}"))?;
        let (key, reason) = (key.to_owned(), reason.to_owned());
        tx.insert(CreditNoteRow { number, invoice: row.id, key, amount, reason, at: tx.now() })
    })
}
