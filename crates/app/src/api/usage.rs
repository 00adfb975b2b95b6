//! Usage and invoices.

use std::collections::BTreeMap;

use loomwork_core::Time;
use loomwork_store::{Id, Row};
use loomwork_usage::{
    Dimension, Document, InvoiceRow, InvoiceState, Sums, document, ever_total, hours_total, invoices,
    invoices_in, month_total,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::operation::{Group, Reading};
use super::page::{List, page};
use super::shapes::{Shown, shapes};
use crate::auth::{Need, Scope};
use crate::error::{Error, Result};
use loomwork_core::Kind;

pub(super) fn operations() -> Group {
    Group::new("usage")
        .get(
            "total",
            "/api/usage",
            Scope::Read,
            "Returns what was used and what it costs: of a month, of some hours, or ever.",
            total,
        )
        .get("invoices", "/api/invoices", Scope::Manage, "Lists invoices of a payer, or of a state.", list)
        .get("invoice", "/api/invoices/{invoice}", Scope::Manage, "Returns an invoice with its lines.", get)
}

shapes! {
    /// What was used, and what it costs.
    SumsShape = "UsageTotal" {
        /// How many events there were.
        events: i64,
        /// How much was used of each unit.
        quantities: BTreeMap<String, i64>,
        /// What the providers charge, by currency; amounts are texts.
        cost: BTreeMap<String, String>,
        /// What the payers are charged, by currency.
        charge: BTreeMap<String, String>,
        /// How many of the events have no price yet.
        unpriced: i64,
    }

    /// An invoice.
    InvoiceShape = "Invoice" {
        /// Its id.
        id: String,
        /// Its number; absent while it is a draft.
        number: Option<String>,
        /// Who pays.
        payer: String,
        /// What its period is called.
        label: String,
        /// When that began, in milliseconds since 1970.
        start: i64,
        /// When that ended.
        end: i64,
        /// Its currency.
        currency: String,
        /// Where it stands.
        state: String,
        /// What is to be paid, as a text.
        total: String,
    }

    /// An invoice with its lines.
    DocumentShape = "InvoiceDocument" {
        /// The invoice.
        invoice: InvoiceShape,
        /// Its lines.
        lines: Vec<Map<String, Value>>,
        /// What it makes up for of earlier invoices, tax included.
        adjustments: Vec<Map<String, Value>>,
        /// What was taken back of it.
        credit_notes: Vec<Map<String, Value>>,
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Total {
    /// By what: `user` by default; `all`, `payer`, `org`, `team`, `project`, `key`, `agent`, `thread`, `run`,
    /// `provider`, `model` or `tool`. Users see their own.
    #[schemars(with = "Option<String>")]
    by: Option<Dimension>,
    /// Its name: of the user, the agent, and so on; by default the caller's.
    name: Option<String>,
    /// A moment in the month, in milliseconds since 1970; now by default.
    #[schemars(with = "Option<i64>")]
    month: Option<Time>,
    /// From this hour on, with `until`.
    #[schemars(with = "Option<i64>")]
    from: Option<Time>,
    /// Until this hour.
    #[schemars(with = "Option<i64>")]
    until: Option<Time>,
    /// Everything that there was.
    #[serde(default)]
    ever: bool,
}

fn total(reading: &Reading<'_>, args: &Total) -> Result<Shown<Sums, SumsShape>> {
    let by = args.by.unwrap_or(Dimension::User);
    let name = match by {
        Dimension::User => reading.user_or_own(args.name.as_deref())?.unwrap_or_default(),
        _ => {
            reading.allow(Need::Scope(Scope::Manage))?;
            args.name.as_deref().unwrap_or_default()
        }
    };
    let tx = reading.tx;
    let sums = match (args.from, args.until, args.month) {
        _ if args.ever => ever_total(tx, by, name)?,
        (Some(from), Some(until), None) => hours_total(tx, by, name, from, until)?,
        (None, None, month) => month_total(tx, by, name, month.unwrap_or_else(|| tx.now()))?,
        _ => {
            let message = "hours have both a `from` and an `until`, and no `month`";
            return Err(Error::new(Kind::Invalid, message).about("from"));
        }
    };
    Ok(Shown::new(sums))
}

type InvoiceView = Shown<Row<InvoiceRow>, InvoiceShape>;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListInvoices {
    /// Whose invoices.
    payer: Option<String>,
    /// Instead of a payer: `draft`, `open`, `paid`, `failed` or `void`.
    #[schemars(with = "Option<String>")]
    state: Option<InvoiceState>,
    /// How many, from 1 to 200; 20 by default.
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

fn list(reading: &Reading<'_>, args: &ListInvoices) -> Result<List<InvoiceView>> {
    let page = page(args.limit, args.after.as_deref())?;
    let found = match (args.payer.as_deref(), args.state) {
        (Some(payer), None) => invoices(reading.tx, payer, page)?,
        (None, Some(state)) => invoices_in(reading.tx, state, page)?,
        _ => {
            let message = "invoices are listed of a payer or of a state; give either";
            return Err(Error::new(Kind::Invalid, message).about("payer"));
        }
    };
    Ok(List::new(found.rows.into_iter().map(Shown::new).collect(), found.next))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneInvoice {
    /// The invoice's id.
    #[schemars(with = "String")]
    invoice: Id<InvoiceRow>,
}

fn get(reading: &Reading<'_>, args: &OneInvoice) -> Result<Shown<Document, DocumentShape>> {
    Ok(Shown::new(document(reading.tx, args.invoice)?))
}
