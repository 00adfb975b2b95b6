//! Credit notes: what is taken back of an invoice that no longer changes.

use loomwork_core::Time;
use loomwork_store::{Id, Result, Row, Table, Tx};
use serde::{Deserialize, Serialize};

use crate::account::account;
use crate::balance::sum_of;
use crate::close::number;
use crate::error::UsageError;
use crate::event::{MAX_NAME_BYTES, fits};
use crate::invoice::InvoiceState;
use crate::money::Money;
use crate::tables::InvoiceRow;

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
/// for its payment and is credited in full is void; where the balance has paid for a part of it, it is paid.
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
    let left = row.left()?;
    if amount > left || amount <= Money::ZERO {
        return Err(UsageError::TooMuchCredit { invoice, left, wanted: amount }.into());
    }
    tx.nested(|tx| {
        let note = enter(tx, &row, key, amount, reason)?;
        let is_awaited = matches!(row.state, InvoiceState::Open | InvoiceState::Failed);
        if is_awaited && tx.require(invoice)?.to_be_paid().is_zero() {
            let reason = Some(reason.to_owned());
            tx.update(invoice, |row| (row.state, row.reason) = (settled(row), reason))?;
        }
        Ok(note)
    })
}

/// Returns the credit notes of an invoice.
///
/// # Errors
/// When the store cannot be read.
pub fn credit_notes(tx: &Tx, invoice: Id<InvoiceRow>) -> Result<Vec<Row<CreditNoteRow>>> {
    tx.scan(CreditNoteRow::by_key.eq(invoice))
}

/// Takes back all that is still to be paid on an invoice.
pub(crate) fn credit_rest(tx: &mut Tx, row: &Row<InvoiceRow>, key: &str, reason: &str) -> Result<()> {
    let rest = sum_of([row.total, row.credited.negated()])?;
    if rest.is_zero() {
        return Ok(());
    }
    enter(tx, row, &format!("{OWN_KEYS}{key}"), rest, reason).map(drop)
}

fn enter(
    tx: &mut Tx,
    row: &Row<InvoiceRow>,
    key: &str,
    amount: Money,
    reason: &str,
) -> Result<Row<CreditNoteRow>> {
    let credited = sum_of([row.credited, amount])?;
    let series = account(tx, &row.payer)?.series;
    tx.nested(|tx| {
        tx.update(row.id, |row| row.credited = credited)?;
        let number = number(tx, &format!("{series}{SERIES_OF_NOTES}"))?;
        let (key, reason) = (key.to_owned(), reason.to_owned());
        tx.insert(CreditNoteRow { number, invoice: row.id, key, amount, reason, at: tx.now() })
    })
}

/// Where an invoice goes that nothing is to be paid on any more: to be void, unless a part of its usage was paid by the
/// balance, or was taken back before.
fn settled(row: &InvoiceRow) -> InvoiceState {
    let is_all = row.adjustments.is_zero() && row.adjusted.is_zero();
    if is_all { InvoiceState::Void } else { InvoiceState::Paid }
}
