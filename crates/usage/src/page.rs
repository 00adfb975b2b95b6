//! An invoice as a page of HTML that stands alone and prints well.

use loomwork_core::Time;

use crate::document::{Document, Letterhead};
use crate::invoice::InvoiceState;
use crate::line::Line;
use crate::money::Money;
use crate::unit::Unit;

impl Document {
    /// Writes it as a page of HTML that stands alone and prints well. All text in it is escaped.
    pub fn to_html(&self, head: &Letterhead) -> String {
        let invoice = &self.invoice;
        let decimals = invoice.currency.decimals();
        let money = |amount: Money| format!("{}&nbsp;{}", amount.with_decimals(decimals), invoice.currency);
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
            ("From", moment(invoice.start)),
            ("Until", moment(invoice.end)),
        ];
        facts.extend(invoice.finalised.map(|at| ("Date", moment(at))));
        facts.push(("State", state_text(invoice.state).to_owned()));
        for (name, value) in facts {
            page.push_str(&format!("<dt>{name}</dt><dd>{value}</dd>"));
        }
        page.push_str(
            "</dl></section>\n<table>\n<thead><tr><th>Usage</th><th>Unit</th><th class=\"n\">Quantity</th>\
             <th class=\"n\">Price</th><th class=\"n\">Amount</th></tr></thead>\n<tbody>\n",
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
        for adjustment in &self.adjustments {
            let (number, label) = (escape(&adjustment.number), escape(&adjustment.label));
            foot(&format!("Adjustment of {number} for {label}, tax included"), money(adjustment.amount));
        }
        foot("Total", money(invoice.total));
        for note in &self.credit_notes {
            foot(
                &format!("Credit note {}: {}", escape(&note.number), escape(&note.reason)),
                money(note.amount.negated()),
            );
        }
        if matches!(invoice.state, InvoiceState::Open | InvoiceState::Failed) && !self.credit_notes.is_empty()
        {
            foot("To be paid", money(invoice.to_be_paid()));
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
        let price = price_text(line);
        let amount = if line.price.is_none() {
            "left out".to_owned()
        } else {
            line.amount.with_decimals(self.invoice.currency.decimals())
        };
        format!(
            "<tr><td>{model}{small}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{price}</td><td class=\"n\">{amount}</td></tr>\n",
            escape(&title(&line.unit)),
            grouped(line.quantity),
        )
    }
}

/// How a unit is called on paper.
fn title(unit: &Unit) -> String {
    let title = match unit {
        Unit::InputFresh => "Input tokens",
        Unit::InputCacheRead => "Input tokens from the cache",
        Unit::InputCacheWrite => "Input tokens written to the cache",
        Unit::InputCacheWriteHour => "Input tokens cached for an hour",
        Unit::InputAudio => "Audio tokens of the input",
        Unit::InputImage => "Image tokens of the input",
        Unit::OutputText => "Output tokens",
        Unit::OutputReasoning => "Reasoning tokens",
        Unit::OutputAudio => "Audio tokens of the output",
        Unit::OutputImage => "Image tokens of the output",
        Unit::Embedding => "Embedded tokens",
        Unit::Rerank => "Re-ranked searches",
        Unit::Images => "Images",
        Unit::AudioSeconds => "Seconds of audio",
        Unit::Requests => "Requests",
        Unit::StorageByteHours => "Byte hours of storage",
        Unit::VectorRows => "Vectors",
        Unit::WorkflowSteps => "Workflow steps",
        Unit::Tool(name) => return format!("Calls of {name}"),
        Unit::Own(name) => return name.clone(),
    };
    title.to_owned()
}

/// A price as people know it: of a million tokens, of one of anything else.
fn price_text(line: &Line) -> String {
    let Some(price) = line.price else { return "no price yet".to_owned() };
    match price.times(1_000_000) {
        Ok(million) if line.unit.is_tokens() => format!("{million} per million"),
        _ => price.to_string(),
    }
}

/// A number in groups of three digits.
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "-".to_owned() } else { String::new() };
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A moment to the minute, as its calendar shows it in UTC.
fn moment(at: Time) -> String {
    let text = at.to_string();
    match text.split_once('T') {
        Some((day, time)) => format!("{day} {} UTC", time.get(..5).unwrap_or(time)),
        None => text,
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
