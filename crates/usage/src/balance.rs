//! What payers have too much or too little on bills that no longer change: their next one makes up for it.

use loomwork_store::{Id, Result, Row, Table, Tx};
use serde::{Deserialize, Serialize};

use crate::account::account;
use crate::currency::Currency;
use crate::error::UsageError;
use crate::money::Money;
use crate::period::open_from;
use crate::tables::InvoiceRow;

/// Usage of a billed period was taken back or corrected: what that makes up on a later bill, in whole coins, at the
/// tax and the rounding of the invoice that it adjusts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "usage_adjustments", id = "adjustment")]
#[index(unique waiting(payer, currency, invoice), when = AdjustmentRow::is_waiting)]
#[index(unique on_bill(on, invoice), when = AdjustmentRow::is_billed)]
pub struct AdjustmentRow {
    /// Who pays.
    pub payer: String,
    /// In which currency.
    pub currency: Currency,
    /// The invoice whose usage is worth something else now.
    pub invoice: Id<InvoiceRow>,
    /// Its number.
    pub number: String,
    /// How its period is called.
    pub label: String,
    /// How much: below zero is given back, above is charged.
    pub amount: Money,
    /// The invoice that makes up for it; none while it waits for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Id<InvoiceRow>>,
}

impl AdjustmentRow {
    fn is_waiting(&self) -> bool {
        self.on.is_none()
    }

    fn is_billed(&self) -> bool {
        self.on.is_some()
    }
}

/// An adjustment as it is on a bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Adjustment {
    /// The number of the invoice that it adjusts.
    pub number: String,
    /// How that one's period is called.
    pub label: String,
    /// How much: below zero is given back, above is charged.
    pub amount: Money,
}

/// Returns what a payer's next bills make up for in a currency: below zero is given back, above is charged.
///
/// # Errors
/// When the store cannot be read.
pub fn balance(tx: &Tx, payer: &str, currency: Currency) -> Result<Money> {
    sum_of(waiting(tx, payer, currency)?.iter().map(|row| row.amount))
}

fn waiting(tx: &Tx, payer: &str, currency: Currency) -> Result<Vec<Row<AdjustmentRow>>> {
    tx.scan(AdjustmentRow::waiting.eq(payer).eq(currency))
}

pub(crate) fn sum_of(amounts: impl IntoIterator<Item = Money>) -> Result<Money> {
    let sum = amounts.into_iter().try_fold(Money::ZERO, Money::plus);
    Ok(sum.map_err(UsageError::from)?)
}

/// Lets the payer's next bill make up for what an invoice has too much or too little.
pub(crate) fn adjust(tx: &mut Tx, invoice: &Row<InvoiceRow>, amount: Money) -> Result<()> {
    if amount.is_zero() {
        return Ok(());
    }
    let (payer, currency) = (invoice.payer.as_str(), invoice.currency);
    match tx.first(AdjustmentRow::waiting.eq(payer).eq(currency).eq(invoice.id))? {
        None => {
            let number = invoice.number.clone().unwrap_or_default();
            let (payer, label) = (payer.to_owned(), invoice.label.clone());
            tx.insert(AdjustmentRow {
                payer,
                currency,
                invoice: invoice.id,
                number,
                label,
                amount,
                on: None,
            })?;
        }
        Some(found) => {
            let sum = sum_of([found.amount, amount])?;
            if sum.is_zero() {
                tx.delete(found.id)?;
            } else {
                tx.update(found.id, |row| row.amount = sum)?;
            }
        }
    }
    // What is charged is billed, whether the payer uses anything again or not.
    if balance(tx, payer, currency)? > Money::ZERO {
        let account = account(tx, payer)?;
        open_from(tx, &account, currency, tx.now())?;
    }
    Ok(())
}

/// What a bill is to take of the balance: all that is charged, and as much as it has room for of what is given back,
/// the oldest first.
fn room_for(waiting: &[Row<AdjustmentRow>], usage: Money) -> Result<Vec<(&Row<AdjustmentRow>, Money)>> {
    let charged = waiting.iter().map(|row| row.amount).filter(|amount| !amount.is_negative());
    let mut room = sum_of(charged.chain([usage]))?;
    let mut taken = Vec::new();
    for row in waiting {
        let amount = if row.amount.is_negative() { row.amount.max(room.negated()) } else { row.amount };
        if amount.is_zero() {
            continue;
        }
        if amount.is_negative() {
            room = sum_of([room, amount])?;
        }
        taken.push((row, amount));
    }
    Ok(taken)
}

/// What the next bill would take of the balance if its usage came to so much.
pub(crate) fn adjustments_for(
    tx: &Tx,
    payer: &str,
    currency: Currency,
    usage: Money,
) -> Result<Vec<Adjustment>> {
    let waiting = waiting(tx, payer, currency)?;
    let taken = room_for(&waiting, usage)?;
    Ok(taken.into_iter().map(|(row, amount)| row.shown(amount)).collect())
}

/// What a bill took of the balance.
pub(crate) fn adjustments_on(tx: &Tx, invoice: Id<InvoiceRow>) -> Result<Vec<Adjustment>> {
    let taken = tx.scan(AdjustmentRow::on_bill.eq(Some(invoice)))?;
    Ok(taken.iter().map(|row| row.shown(row.amount)).collect())
}

/// Lets a bill have what [`adjustments_for`] said.
pub(crate) fn take(tx: &mut Tx, invoice: &Row<InvoiceRow>, usage: Money) -> Result<()> {
    let waiting = waiting(tx, &invoice.payer, invoice.currency)?;
    for (row, amount) in room_for(&waiting, usage)? {
        let on = Some(invoice.id);
        if amount == row.amount {
            tx.update(row.id, |row| row.on = on)?;
            continue;
        }
        let rest = sum_of([row.amount, amount.negated()])?;
        tx.update(row.id, |row| row.amount = rest)?;
        tx.insert(AdjustmentRow { amount, on, ..row.record.clone() })?;
    }
    Ok(())
}

impl AdjustmentRow {
    fn shown(&self, amount: Money) -> Adjustment {
        Adjustment { number: self.number.clone(), label: self.label.clone(), amount }
    }
}
