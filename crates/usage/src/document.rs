//! An invoice with all that belongs on it, as JSON, CSV and a page to print.

use loomwork_store::{Error, Id, Result, Row, Tx};
use serde::Serialize;

use crate::credit::{CreditNoteRow, credit_notes};
use crate::csv;
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
    let credit_notes = credit_notes(tx, invoice.id)?;
    Ok(Document { invoice, lines, credit_notes })
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

    /// Writes its lines as CSV, safe to open in a spreadsheet.
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
        text
    }

    /// Writes it as a page of HTML that stands alone and prints well. All text in it is escaped.
    pub fn to_html(&self, head: &Letterhead) -> String {
        let invoice = &self.invoice;
        let decimals = invoice.currency.decimals();
        let money =
            |amount: crate::Money| format!("{}&nbsp;{}", amount.with_decimals(decimals), invoice.currency);
        let number = invoice.number.as_deref().unwrap_or("Draft");
        let title = format!("Invoice {}", escape(number));
        let lines_of =
            |lines: &[String]| lines.iter().map(|line| escape(line)).collect::<Vec<_>>().join("<br>");
        let to = if head.to.is_empty() { escape(&invoice.payer) } else { lines_of(&head.to) };
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
             content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
             <header><address>{}</address><h1>{title}</h1></header>\n<section class=\"facts\"><address>{to}</address>\n<dl>",
            lines_of(&head.from),
        );
        let mut facts = vec![
            ("Period", escape(&invoice.label)),
            ("From", invoice.start.to_string()),
            ("Until", invoice.end.to_string()),
        ];
        facts.extend(invoice.finalised.map(|at| ("Date", at.to_string())));
        facts.push(("State", state_text(invoice.state).to_owned()));
        for (name, value) in facts {
            page.push_str(&format!("<dt>{name}</dt><dd>{value}</dd>"));
        }
        page.push_str(
            "</dl></section>\n<table>\n<thead><tr><th>Usage</th><th>Unit</th><th class=\"n\">Quantity</th>\
             <th class=\"n\">Price of a million</th><th class=\"n\">Amount</th></tr></thead>\n<tbody>\n",
        );
        for line in &self.lines {
            page.push_str(&self.html_of(line));
        }
        page.push_str("</tbody>\n<tfoot>\n");
        let mut foot = |name: &str, amount: String| {
            page.push_str(&format!("<tr><th colspan=\"4\">{name}</th><td class=\"n\">{amount}</td></tr>\n"));
        };
        foot("Subtotal", money(invoice.subtotal));
        if let Some(tax) = &invoice.tax {
            foot(&escape(&tax.name), money(invoice.tax_amount));
        }
        foot("Total", money(invoice.total));
        for note in &self.credit_notes {
            foot(
                &format!("Credit note {}: {}", escape(&note.number), escape(&note.reason)),
                money(note.amount.negated()),
            );
        }
        page.push_str("</tfoot>\n</table>\n");
        if !head.notes.is_empty() {
            page.push_str(&format!("<p>{}</p>\n", lines_of(&head.notes)));
        }
        page.push_str(&format!("<footer>{}</footer>\n</body>\n</html>\n", escape(&invoice.hash)));
        page
    }

    fn html_of(&self, line: &Line) -> String {
        let model = match (line.provider.as_str(), line.model.as_str()) {
            ("", model) => escape(model),
            (provider, model) => format!("{} · {}", escape(provider), escape(model)),
        };
        let tier = if line.tier == crate::Tier::Standard { "" } else { line.tier.as_str() };
        let adjusts = line.adjusts.as_ref().map(|label| format!("adjustment for {}", escape(label)));
        let small: Vec<_> =
            [Some(tier.to_owned()).filter(|tier| !tier.is_empty()), adjusts].into_iter().flatten().collect();
        let small =
            if small.is_empty() { String::new() } else { format!(" <small>{}</small>", small.join(", ")) };
        // A price of a million is what people know; where it is beyond what can be counted, it is that of one.
        let price = match line.price.map(|price| price.times(1_000_000)) {
            Some(Ok(price)) => price.to_string(),
            Some(Err(_)) => line.price.unwrap_or_default().to_string() + " each",
            None => "no price yet".to_owned(),
        };
        let amount = if line.price.is_none() {
            "left out".to_owned()
        } else {
            line.amount.with_decimals(self.invoice.currency.decimals())
        };
        format!(
            "<tr><td>{model}{small}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{price}</td><td class=\"n\">{amount}</td></tr>\n",
            escape(&line.unit.to_string()),
            line.quantity,
        )
    }
}

fn state_text(state: InvoiceState) -> &'static str {
    match state {
        InvoiceState::Draft => "draft",
        InvoiceState::Open => "to be paid",
        InvoiceState::Paid => "paid",
        InvoiceState::Failed => "payment failed",
        InvoiceState::Void => "void",
        InvoiceState::Uncollectible => "given up",
    }
}

const STYLE: &str = "\
body{font:14px/1.5 system-ui,sans-serif;color:#1a1a1a;max-width:48rem;margin:2rem auto;padding:0 1rem}\
header,.facts{display:flex;justify-content:space-between;align-items:flex-start;gap:2rem;margin-bottom:2rem}\
h1{font-size:1.5rem;margin:0}address{font-style:normal}\
dl{display:grid;grid-template-columns:auto auto;gap:.1rem 1rem;margin:0}dt{color:#666}dd{margin:0}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .5rem;border-bottom:1px solid #ddd}\
thead th{border-bottom:2px solid #1a1a1a}tfoot th{text-align:right;font-weight:600}\
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}small{color:#666}\
footer{margin-top:3rem;color:#888;font:11px/1.4 ui-monospace,monospace;overflow-wrap:anywhere}\
@media print{body{margin:0;max-width:none}thead{display:table-header-group}tr{break-inside:avoid}@page{margin:2cm}}";

/// Writes text so that a browser shows it, and takes none of it for a tag.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
