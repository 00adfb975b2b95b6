//! The records: events, the lines and periods they are billed in, invoices, totals.

use std::collections::BTreeMap;

use loomwork_core::Time;
use loomwork_store::{Id, Key, Old, Result, Table, TableDef};
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::attribute::{AssignmentRow, UnpaidRow};
use crate::balance::AdjustmentRow;
use crate::book::{AliasRow, Book, Price};
use crate::budget::{Budget, NoticeRow, SpentRow};
use crate::credit::CreditNoteRow;
use crate::currency::Currency;
use crate::event::{Event, Tier};
use crate::export::ChangeRow;
use crate::fold::DeltaRow;
use crate::invoice::InvoiceState;
use crate::money::{Money, Rounding};
use crate::rate::Rated;
use crate::refused::RefusedRow;
use crate::reprice::RepriceRow;
use crate::unit::Unit;

/// The tables of this crate, for [`Store::builder`](loomwork_store::Store::builder). It also needs those of
/// `loomwork-rate-limiter`, which keeps the holds, and of `loomwork-workpool` where the monthly job runs.
pub fn tables() -> [TableDef; 21] {
    [
        EventRow::table(),
        PeriodRow::table(),
        LineRow::table(),
        DeltaRow::table(),
        TotalRow::table(),
        InvoiceRow::table(),
        SeriesRow::table(),
        CreditNoteRow::table(),
        AdjustmentRow::table(),
        Account::table(),
        Book::table(),
        Price::table(),
        AliasRow::table(),
        Budget::table(),
        SpentRow::table(),
        NoticeRow::table(),
        AssignmentRow::table(),
        UnpaidRow::table(),
        ChangeRow::table(),
        RefusedRow::table(),
        RepriceRow::table(),
    ]
}

/// An event as it was recorded, with what it costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "usage_events", id = "usage")]
#[index(unique by_key(source: String = EventRow::source, key: String = EventRow::key))]
#[index(by_period(period, recorded), when = EventRow::has_period)]
#[index(unattributed(recorded), when = EventRow::is_unattributed)]
#[index(unpriced(provider: String = EventRow::provider, model: String = EventRow::model), when = EventRow::is_unpriced)]
pub struct EventRow {
    /// What was used.
    pub event: Event,
    /// When it was recorded.
    pub recorded: Time,
    /// The event that this one takes back: its quantities and amounts count negative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverses: Option<Id<EventRow>>,
    /// Whether another event takes this one back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reversed: bool,
    /// The event that was recorded in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<Id<EventRow>>,
    /// The event in whose place it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Id<EventRow>>,
    /// The budgets that it counts for: those that were set when it was recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<Id<Budget>>,
    /// What the provider charges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Rated>,
    /// What the payer is charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge: Option<Rated>,
    /// The period that it is billed in; what takes another one back is where that one is, closed or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Id<PeriodRow>>,
    /// The period in which it occurred, where that was closed and it is billed in a later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjusts: Option<String>,
    /// Whether a price for it is missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unpriced: bool,
}

impl EventRow {
    fn source(&self) -> String {
        self.event.source.clone()
    }

    fn key(&self) -> String {
        self.event.key.clone()
    }

    fn provider(&self) -> String {
        self.event.provider.clone()
    }

    fn model(&self) -> String {
        self.event.model.clone()
    }

    fn has_period(&self) -> bool {
        self.period.is_some()
    }

    fn is_unattributed(&self) -> bool {
        self.event.payer.is_none()
    }

    fn is_unpriced(&self) -> bool {
        self.unpriced
    }

    /// 1, or −1 for one that takes another back.
    pub(crate) fn sign(&self) -> i64 {
        if self.reverses.is_some() { -1 } else { 1 }
    }
}

/// A payer's period, from its first event on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "usage_periods", id = "period")]
#[index(unique by_payer(payer, currency, start, end))]
#[index(due(due), when = PeriodRow::is_open)]
#[index(carried(carried_into), when = PeriodRow::is_carried)]
pub struct PeriodRow {
    /// Who pays.
    pub payer: String,
    /// In which currency.
    pub currency: Currency,
    /// Its first moment.
    pub start: Time,
    /// The first moment of the next one.
    pub end: Time,
    /// How it is called.
    pub label: String,
    /// When its grace is over and it is billed.
    pub due: Time,
    /// Whether it takes no more usage.
    #[serde(default)]
    pub closed: bool,
    /// The later period whose invoice has its lines, where its own would have been too small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried_into: Option<Id<PeriodRow>>,
    /// How often its lines were carried on since.
    #[serde(default)]
    pub carries: u32,
    /// Whether its draft was voided: its own usage is not billed, and what it has of earlier periods is carried on.
    #[serde(default)]
    pub abandoned: bool,
    /// Grows when events of it are changed, not when some are added.
    #[serde(default)]
    pub(crate) revision: u64,
}

impl PeriodRow {
    fn is_open(&self) -> bool {
        !self.closed
    }

    fn is_carried(&self) -> bool {
        self.carried_into.is_some()
    }
}

/// The running sums of a period for one model under one version of its price: the source of an invoice's
/// lines. What the events left is folded into it until the period is closed; what is taken back or corrected once it
/// is billed is kept beside it, in a row that amends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "usage_lines", id = "usageline")]
#[index(unique by_group(period, amends, adjusts, provider, model, tier, version))]
pub(crate) struct LineRow {
    pub(crate) period: Id<PeriodRow>,
    /// Whether it is what has changed since the period was billed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) amends: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) adjusts: Option<String>,
    pub(crate) provider: String,
    pub(crate) model: String,
    pub(crate) tier: Tier,
    /// The version of the price; none for what has no price yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    pub(crate) parts: BTreeMap<Unit, Part>,
}

/// The running sum of one unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) quantity: i64,
    pub(crate) price: Money,
    pub(crate) amount: Money,
}

/// By what totals are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Key)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Everything; its only name is empty.
    All,
    /// Who pays; the empty name is nobody.
    Payer,
    /// An organisation.
    Org,
    /// A team.
    Team,
    /// A project.
    Project,
    /// A user.
    User,
    /// An API key.
    Key,
    /// An agent.
    Agent,
    /// A thread.
    Thread,
    /// A request of a user, with all that was done for it.
    Run,
    /// A provider.
    Provider,
    /// A model.
    Model,
    /// A tool.
    Tool,
}

/// How long the spans are that totals are kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Key)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Grain {
    Hour,
    Month,
    Ever,
}

/// A total of one name in one span of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[table(name = "usage_totals", id = "usagetotal", codec = compact, version = 2, upgrade = upgrade_total)]
#[index(unique by_span(dimension, name, grain, start))]
pub(crate) struct TotalRow {
    pub(crate) dimension: Dimension,
    pub(crate) name: String,
    pub(crate) grain: Grain,
    pub(crate) start: Time,
    pub(crate) sums: Sums,
    /// Whether more came than can be counted: nobody is shown a wrong sum.
    pub(crate) overflowed: bool,
}

/// Before version 2, what overflowed was not added.
fn upgrade_total(_: u32, old: Old<'_>) -> Result<TotalRow> {
    let (dimension, name, grain, start, sums) = old.decode()?;
    Ok(TotalRow { dimension, name, grain, start, sums, overflowed: false })
}

/// What was used, and what it costs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sums {
    /// How many events there were, less those taken back.
    pub events: i64,
    /// How much was used of each unit.
    pub quantities: BTreeMap<Unit, i64>,
    /// What the providers charge.
    pub cost: BTreeMap<Currency, Money>,
    /// What the payers are charged.
    pub charge: BTreeMap<Currency, Money>,
    /// How many of the events have no price yet.
    pub unpriced: i64,
}

/// An invoice. Its lines are those of its period, which no longer change once it is finalised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "usage_invoices", id = "invoice")]
#[index(unique by_period(period))]
#[index(unique by_number(number), when = InvoiceRow::is_numbered)]
#[index(by_payer(payer, start))]
#[index(by_state(state))]
pub struct InvoiceRow {
    /// Its number, without gaps in its series; none while it is a draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Who pays.
    pub payer: String,
    /// What is billed.
    pub period: Id<PeriodRow>,
    /// How the period is called.
    pub label: String,
    /// Its first moment.
    pub start: Time,
    /// The first moment behind it.
    pub end: Time,
    /// Its one currency.
    pub currency: Currency,
    /// How its lines are rounded.
    pub rounding: Rounding,
    /// Where it stands.
    pub state: InvoiceState,
    /// The sum of its rounded lines.
    pub subtotal: Money,
    /// How the tax is called, and how many millionths it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax: Option<crate::account::Tax>,
    /// The tax, rounded.
    pub tax_amount: Money,
    /// What it takes of the payer's balance: below zero is given back, above is charged, tax included.
    #[serde(default)]
    pub adjustments: Money,
    /// What is to be paid: subtotal, tax and adjustments.
    pub total: Money,
    /// What credit notes have taken back.
    pub credited: Money,
    /// What has gone to the payer's balance since, tax included: what its usage is worth less than when it was billed;
    /// below zero it is worth more.
    #[serde(default)]
    pub adjusted: Money,
    /// A hash of all that it says, lines included.
    pub hash: String,
    /// When it was drafted first.
    pub drafted: Time,
    /// When it was finalised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalised: Option<Time>,
    /// Its payments, failed ones too.
    #[serde(default)]
    pub attempts: Vec<crate::invoice::Attempt>,
    /// Why it was voided or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl InvoiceRow {
    fn is_numbered(&self) -> bool {
        self.number.is_some()
    }
}

/// Where a series of numbers stands.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "usage_series", id = "series")]
#[index(unique by_name(name))]
pub(crate) struct SeriesRow {
    pub(crate) name: String,
    pub(crate) last: u64,
}
