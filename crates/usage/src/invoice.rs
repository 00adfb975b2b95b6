//! Where an invoice stands, and how it moves.

use loomwork_core::Time;
use loomwork_store::{Error, Id, Key, Page, Paged, Result, Row, Tx};
use serde::{Deserialize, Serialize};

use crate::amend::make_up;
use crate::close::abandon;
use crate::credit::credit_rest;
use crate::error::UsageError;
use crate::event::{MAX_NAME_BYTES, fits};
use crate::money::Money;
use crate::tables::InvoiceRow;

/// The most payments of an invoice that may fail.
pub const MAX_ATTEMPTS: usize = 100;

/// Where an invoice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Key)]
#[serde(rename_all = "snake_case")]
pub enum InvoiceState {
    /// It follows the usage of its period.
    Draft,
    /// It waits for its payment; some call this pending.
    Open,
    /// It is paid.
    Paid,
    /// Its last payment has failed; the next one is of the same invoice.
    Failed,
    /// It was a mistake, and was credited.
    Void,
    /// Nobody will pay it, and it was credited.
    Uncollectible,
}

impl InvoiceState {
    /// Returns its name, as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Open => "open",
            Self::Paid => "paid",
            Self::Failed => "failed",
            Self::Void => "void",
            Self::Uncollectible => "uncollectible",
        }
    }

    pub(crate) fn refuse(invoice: &Row<InvoiceRow>, to: Self) -> Error {
        let right = match invoice.state {
            Self::Draft => "finalise its period first, or void it",
            Self::Open | Self::Failed => "pay it, void it or give it up",
            Self::Paid => "issue a credit note if it was wrong",
            Self::Void | Self::Uncollectible => "nothing follows that",
        };
        let (from, to) = (invoice.state.as_str(), to.as_str());
        UsageError::IllegalMove { invoice: invoice.id, from, to, right }.into()
    }
}

/// A payment of an invoice that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The payment's id at whoever collects it.
    pub payment: String,
    /// When it was heard of.
    pub at: Time,
    /// Why it failed; absent if it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Whether the money came when none was to be paid: somebody has to give it back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub surplus: bool,
}

/// How a payment went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payment {
    /// The money is there.
    Paid,
    /// It failed, for a reason.
    Failed(String),
}

/// Notes how a payment of an open or failed invoice went, under the payment's id. Repeating it changes
/// nothing; a payment that has failed may succeed later, or fail for another reason. Money that comes for one that is
/// paid already, void or given up is noted as [surplus](Attempt::surplus), and changes no state.
///
/// # Errors
/// [`UsageError::IllegalMove`]; [`UsageError::KeyReused`] for a payment that succeeded before and is to have failed;
/// [`UsageError::BadText`].
pub fn record_payment(
    tx: &mut Tx,
    invoice: Id<InvoiceRow>,
    payment: &str,
    went: Payment,
) -> Result<Row<InvoiceRow>> {
    fits("id of a payment", payment, 1, MAX_NAME_BYTES)?;
    let row = tx.require(invoice)?;
    let failure = match went {
        Payment::Paid => None,
        Payment::Failed(why) => {
            fits("reason of a failure", &why, 1, MAX_NAME_BYTES)?;
            Some(why)
        }
    };
    // A collector keeps one id over several tries: one that has failed may fail again, or succeed.
    let mut before = row.attempts.iter().filter(|attempt| attempt.payment == payment);
    if before.clone().any(|attempt| attempt.failure == failure) {
        return Ok(row);
    }
    if before.any(|attempt| attempt.failure.is_none()) {
        return Err(UsageError::KeyReused { invoice, key: payment.to_owned() }.into());
    }
    let to = if failure.is_none() { InvoiceState::Paid } else { InvoiceState::Failed };
    let is_awaited = matches!(row.state, InvoiceState::Open | InvoiceState::Failed);
    if !is_awaited && (failure.is_some() || row.state == InvoiceState::Draft) {
        return Err(InvoiceState::refuse(&row, to));
    }
    // Money that came is noted whatever was before it.
    if to == InvoiceState::Failed && row.attempts.len() >= MAX_ATTEMPTS {
        return Err(UsageError::TooManyAttempts { invoice }.into());
    }
    let attempt = Attempt { payment: payment.to_owned(), at: tx.now(), failure, surplus: !is_awaited };
    tx.update(invoice, |row| {
        if is_awaited {
            row.state = to;
        }
        row.attempts.push(attempt);
    })
}

/// Opens a failed invoice again, for another payment.
///
/// # Errors
/// [`UsageError::IllegalMove`] unless it is failed.
pub fn reopen(tx: &mut Tx, invoice: Id<InvoiceRow>) -> Result<Row<InvoiceRow>> {
    let row = tx.require(invoice)?;
    if row.state != InvoiceState::Failed {
        return Err(InvoiceState::refuse(&row, InvoiceState::Open));
    }
    tx.update(invoice, |row| row.state = InvoiceState::Open)
}

/// Takes back an invoice that was a mistake. A draft is gone with its period, which is not billed; what it has of earlier
/// ones goes on to the next one. An open or failed one gets a credit note for all that is to be paid on it; what it has
/// taken of the payer's balance goes back there, and so does what was made up for since. Its usage is not billed then,
/// corrections of it neither.
///
/// # Errors
/// [`UsageError::IllegalMove`] for one that is paid, void or given up.
pub fn void(tx: &mut Tx, invoice: Id<InvoiceRow>, reason: &str) -> Result<Row<InvoiceRow>> {
    end(tx, invoice, InvoiceState::Void, reason)
}

/// Gives up an invoice that nobody will pay: it gets a credit note for all that is to be paid on it. What the balance
/// has paid of it stays paid.
///
/// # Errors
/// [`UsageError::IllegalMove`] unless it is open or failed.
pub fn give_up(tx: &mut Tx, invoice: Id<InvoiceRow>, reason: &str) -> Result<Row<InvoiceRow>> {
    end(tx, invoice, InvoiceState::Uncollectible, reason)
}

fn end(tx: &mut Tx, invoice: Id<InvoiceRow>, to: InvoiceState, reason: &str) -> Result<Row<InvoiceRow>> {
    fits("reason", reason, 1, MAX_NAME_BYTES)?;
    let row = tx.require(invoice)?;
    tx.nested(|tx| {
        let is_draft = row.state == InvoiceState::Draft;
        match (row.state, to) {
            (InvoiceState::Draft, InvoiceState::Void) => abandon(tx, row.period)?,
            (InvoiceState::Open | InvoiceState::Failed, _) => credit_rest(tx, &row, to.as_str(), reason)?,
            _ => return Err(InvoiceState::refuse(&row, to)),
        }
        let reason = Some(reason.to_owned());
        tx.update(invoice, |row| (row.state, row.reason) = (to, reason))?;
        if !is_draft {
            // What it took of the balance, and what that makes up for of it, was for usage that is not billed now.
            make_up(tx, invoice)?;
        }
        tx.require(invoice)
    })
}

impl InvoiceRow {
    /// Returns what is to be paid: the total less what was credited, and nothing once it is paid, void or given up.
    pub fn to_be_paid(&self) -> Money {
        match self.state {
            // No more is ever credited than the total.
            InvoiceState::Draft | InvoiceState::Open | InvoiceState::Failed => {
                self.total.minus(self.credited).unwrap_or(self.total)
            }
            _ => Money::ZERO,
        }
    }
}

/// Returns a payer's invoices, newest first.
///
/// # Errors
/// When the store cannot be read, or the page's cursor is foreign.
pub fn invoices(tx: &Tx, payer: &str, page: Page) -> Result<Paged<InvoiceRow>> {
    tx.page(InvoiceRow::by_payer.eq(payer).desc(), page)
}

/// Returns the invoices that stand somewhere, such as those that wait for a payment.
///
/// # Errors
/// When the store cannot be read, or the page's cursor is foreign.
pub fn invoices_in(tx: &Tx, state: InvoiceState, page: Page) -> Result<Paged<InvoiceRow>> {
    tx.page(InvoiceRow::by_state.eq(state), page)
}

/// Returns the invoice of a number.
///
/// # Errors
/// When the store cannot be read.
pub fn invoice_by_number(tx: &Tx, number: &str) -> Result<Option<Row<InvoiceRow>>> {
    tx.first(InvoiceRow::by_number.eq(number))
}
