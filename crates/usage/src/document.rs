//! An invoice with all that belongs on it, as JSON, CSV and a page to print.

use loomwork_store::{Error, Id, Result, Row, Tx};
use serde::Serialize;

use crate::balance::{Adjustment, adjustments_for, adjustments_on};
use crate::credit::{CreditNoteRow, credit_notes};
use crate::csv;
use crate::error::UsageError;
use crate::invoice::InvoiceState;
use crate::line::{Line, lines};
use crate::tables::InvoiceRow;

/// An invoice, its lines and its credit notes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// The invoice.
    pub invoice: Row<InvoiceRow>,
    /// Its lines.
    pub lines: Vec<Line>,
    /// What it makes up for of earlier invoices, tax included.
    pub adjustments: Vec<Adjustment>,
    /// What was taken back of it.
    pub credit_notes: Vec<Row<CreditNoteRow>>,
}

/// Who sends an invoice and who gets it, line by line, as it is printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Letterhead {
    /// Name and address of who sends it.
    pub from: Vec<String>,
    /// Name and address of who gets it; the payer's id if empty.
    pub to: Vec<String>,
    /// What is said below the total: an account, a term of payment.
    pub notes: Vec<String>,
}

/// Returns an invoice with its lines.
///
/// # Errors
/// [`Problem::NotFound`](loomwork_store::Problem::NotFound); when the store cannot be read.
pub fn document(tx: &Tx, invoice: Id<InvoiceRow>) -> Result<Document> {
    let invoice = tx.require(invoice)?;
    let lines = lines(tx, invoice.period, invoice.rounding)?;
    let adjustments = if invoice.state == InvoiceState::Draft {
        let usage = invoice.subtotal.plus(invoice.tax_amount).map_err(UsageError::from)?;
        adjustments_for(tx, &invoice.payer, invoice.currency, usage)?
    } else {
        adjustments_on(tx, invoice.id)?
    };
    let credit_notes = credit_notes(tx, invoice.id)?;
    Ok(Document { invoice, lines, adjustments, credit_notes })
}

impl Document {
    /// Writes it as JSON, amounts as texts.
    ///
    /// # Errors
    /// None that its types can cause.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map_err(|error| Error::message(loomwork_core::Kind::Internal, error.to_string()))
    }

    /// Writes its lines as CSV, safe to open in a spreadsheet; an adjustment of an earlier invoice is a line that names
    /// that one as its unit.
    pub fn to_csv(&self) -> String {
        let mut text = String::new();
        csv::head(
            &mut text,
            &[
                "invoice",
                "payer",
                "period",
                "adjusts",
                "provider",
                "model",
                "tier",
                "unit",
                "quantity",
                "price",
                "unrounded",
                "amount",
                "currency",
                "version",
            ],
        );
        let number = self.invoice.number.as_deref().unwrap_or("draft");
        for line in &self.lines {
            let mut row = csv::Line::new(&mut text);
            row.text(number).text(&self.invoice.payer).text(&self.invoice.label);
            row.text(line.adjusts.as_deref().unwrap_or_default()).text(&line.provider).text(&line.model);
            row.text(line.tier.as_str()).text(&line.unit.to_string()).number(line.quantity);
            match line.price {
                Some(price) => row.number(price),
                None => row.number(""),
            };
            row.number(line.unrounded).number(line.amount.with_decimals(self.invoice.currency.decimals()));
            row.text(self.invoice.currency.code()).text(line.version.as_deref().unwrap_or_default());
            row.end();
        }
        for adjustment in &self.adjustments {
            let mut row = csv::Line::new(&mut text);
            row.text(number).text(&self.invoice.payer).text(&self.invoice.label).text(&adjustment.label);
            row.text("").text("").text("").text(&adjustment.number).number("").number("");
            row.number(adjustment.amount);
            row.number(adjustment.amount.with_decimals(self.invoice.currency.decimals()));
            row.text(self.invoice.currency.code()).text("");
            row.end();
        }
        text
    }
}
