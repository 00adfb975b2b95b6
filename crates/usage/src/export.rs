//! Events for other programs: as CSV, as JSON lines, as CloudEvents.

use std::time::Duration;

use loomwork_core::Time;
use loomwork_store::{Error, Id, Result, Row, Store, Table, Tx};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::csv;
use crate::event::{Billing, Level};
use crate::rate::Rated;
use crate::tables::EventRow;
use crate::unit::Unit;

/// How many events are read at once.
pub const EXPORT_PAGE: usize = 500;

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A line of values for each unit of each event, safe to open in a spreadsheet.
    Csv,
    /// An event as stored on each line, amounts as texts.
    JsonLines,
    /// A CloudEvent on each line; its `source` and `id` tell duplicates.
    CloudEvents,
}

/// What is known of an event has changed since it was recorded: it got a price, or a payer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[table(name = "usage_changes", id = "usagechange")]
pub struct ChangeRow {
    /// The event.
    pub event: Id<EventRow>,
    /// When it was changed.
    pub at: Time,
}

/// How far an export has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// The last event that was written.
    pub event: Option<Id<EventRow>>,
    /// The last change of one that was written.
    pub change: Option<Id<ChangeRow>>,
}

/// Returns the events behind one, in the order in which they were recorded. Keep the id of the last: behind it is
/// what comes later. Where one process writes, that is all; of several, one may write an event with a smaller id
/// some moments later, so let them take what is a minute old.
///
/// # Errors
/// When the store cannot be read.
pub fn events(tx: &Tx, after: Option<Id<EventRow>>, count: usize) -> Result<Vec<Row<EventRow>>> {
    match after {
        Some(after) => tx.scan(EventRow::all().gt(after).take(count)),
        None => tx.scan(EventRow::all().take(count)),
    }
}

/// Returns the changes of events behind one, in their order, as [`events`] does.
///
/// # Errors
/// When the store cannot be read.
pub fn changes(tx: &Tx, after: Option<Id<ChangeRow>>, count: usize) -> Result<Vec<Row<ChangeRow>>> {
    match after {
        Some(after) => tx.scan(ChangeRow::all().gt(after).take(count)),
        None => tx.scan(ChangeRow::all().take(count)),
    }
}

/// Writes all events behind the last one that was written, some hundred at a time, and then once more, as they are
/// now, those that were changed since: they take the place of what was written of them. Returns how far it has
/// come; the next export goes on there.
///
/// What is younger than `age` is left for the next one: nothing need be where one process writes, a minute where several
/// do, whose events may come with a smaller id some moments later.
///
/// # Errors
/// When the store cannot be read, and what `write` returns.
pub async fn export(
    store: &Store,
    format: Format,
    after: Exported,
    age: Duration,
    mut write: impl FnMut(&str) -> Result<()>,
) -> Result<Exported> {
    let mut so_far = after;
    let until = store.clock().now() - age;
    if format == Format::Csv && after == Exported::default() {
        write(&csv_head())?;
    }
    loop {
        let last = so_far.event;
        let mut found = store.query(move |tx| events(tx, last, EXPORT_PAGE)).await?;
        if let Some(young) = found.iter().position(|row| !age.is_zero() && row.recorded > until) {
            found.truncate(young);
        }
        let Some(row) = found.last() else { break };
        so_far.event = Some(row.id);
        write(&written(format, &found)?)?;
    }
    loop {
        let last = so_far.change;
        let found = store
            .query(move |tx| {
                let found = changes(tx, last, EXPORT_PAGE)?;
                let rows = found.iter().map(|change| Ok((change.clone(), tx.require(change.event)?)));
                rows.collect::<Result<Vec<_>>>()
            })
            .await?;
        let is_old = |change: &Row<ChangeRow>| age.is_zero() || change.at <= until;
        let found: Vec<_> = found.into_iter().take_while(|(change, _)| is_old(change)).collect();
        let Some((change, _)) = found.last() else { return Ok(so_far) };
        so_far.change = Some(change.id);
        let mut text = String::new();
        for (change, row) in &found {
            one(&mut text, format, row, Some(change))?;
        }
        write(&text)?;
    }
}

/// Writes events, without the first line that CSV has.
///
/// # Errors
/// None that the types can cause.
pub fn written(format: Format, rows: &[Row<EventRow>]) -> Result<String> {
    let mut text = String::new();
    for row in rows {
        one(&mut text, format, row, None)?;
    }
    Ok(text)
}

fn one(
    text: &mut String,
    format: Format,
    row: &Row<EventRow>,
    change: Option<&Row<ChangeRow>>,
) -> Result<()> {
    match format {
        Format::Csv => csv_of(text, row, change),
        Format::JsonLines => {
            text.push_str(&serde_json::to_string(row).map_err(internal)?);
            text.push('\n');
        }
        Format::CloudEvents => {
            text.push_str(&cloud_event(row, change)?);
            text.push('\n');
        }
    }
    Ok(())
}

fn internal(error: serde_json::Error) -> Error {
    Error::message(loomwork_core::Kind::Internal, error.to_string())
}

fn cloud_event(row: &Row<EventRow>, change: Option<&Row<ChangeRow>>) -> Result<String> {
    let event = &row.event;
    let (id, kind) = match change {
        Some(change) => (format!("{}#{}", event.key, change.id), "usage.changed"),
        None if row.reverses.is_some() => (event.key.clone(), "usage.reversed"),
        None => (event.key.clone(), "usage.recorded"),
    };
    let data = serde_json::to_value(row).map_err(internal)?;
    let envelope = json!({
        "specversion": "1.0",
        "id": id,
        "source": event.source,
        "type": kind,
        "subject": event.payer,
        "time": event.at.to_string(),
        "datacontenttype": "application/json",
        "data": data,
    });
    Ok(envelope.to_string())
}

const LEVELS: [Level; 8] = [
    Level::Org,
    Level::Team,
    Level::Project,
    Level::User,
    Level::Key,
    Level::Agent,
    Level::Thread,
    Level::Run,
];

/// Returns the first line of events as CSV.
pub fn csv_head() -> String {
    let mut text = String::new();
    let mut names = vec!["source", "key", "at", "recorded", "changed", "reverses", "payer"];
    names.extend(LEVELS.map(Level::as_str));
    names.extend(["provider", "model", "region", "tier", "message", "step", "tool", "unit", "quantity"]);
    names.extend(["cost", "cost currency", "charge", "charge currency", "billing", "estimated", "tags"]);
    csv::head(&mut text, &names);
    text
}

/// Writes a line for each unit of an event, and one for an event without any.
fn csv_of(text: &mut String, row: &EventRow, change: Option<&Row<ChangeRow>>) {
    let units: Vec<_> = row.event.quantities.iter().map(|(unit, quantity)| Some((unit, quantity))).collect();
    for used in if units.is_empty() { vec![None] } else { units } {
        csv_line(text, row, change, used);
    }
}

fn csv_line(text: &mut String, row: &EventRow, change: Option<&Row<ChangeRow>>, used: Option<(&Unit, u64)>) {
    let event = &row.event;
    let quantity = used.map(|(_, quantity)| i64::try_from(quantity).unwrap_or(i64::MAX) * row.sign());
    let amount = |rated: &Option<Rated>| {
        let (unit, quantity) = (used?.0, quantity?);
        let price = rated.as_ref()?.prices.get(unit)?;
        // It was added up without overflow when it was recorded.
        price.times(quantity).ok().map(|amount| amount.to_string())
    };
    let currency = |rated: &Option<Rated>| rated.as_ref().map(|rated| rated.currency.to_string());
    let maybe = |text: &Option<String>| text.clone().unwrap_or_default();
    let tags: Vec<_> = event.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let billing = match event.billing {
        Billing::Billed => "billed",
        Billing::Cached => "cached",
        Billing::Test => "test",
    };
    let mut line = csv::Line::new(text);
    line.text(&event.source).text(&event.key).text(&event.at.to_string()).text(&row.recorded.to_string());
    line.text(&change.map(|change| change.at.to_string()).unwrap_or_default());
    line.text(&row.reverses.map(|id| id.to_string()).unwrap_or_default()).text(&maybe(&event.payer));
    for level in LEVELS {
        line.text(event.scope.on(level).unwrap_or_default());
    }
    line.text(&event.provider).text(&event.model).text(&maybe(&event.region)).text(event.tier.as_str());
    line.text(&maybe(&event.message)).number(event.step.map(|step| step.to_string()).unwrap_or_default());
    line.text(&maybe(&event.tool)).text(&used.map(|(unit, _)| unit.to_string()).unwrap_or_default());
    line.number(quantity.map(|quantity| quantity.to_string()).unwrap_or_default());
    for rated in [&row.cost, &row.charge] {
        line.number(amount(rated).unwrap_or_default()).text(&currency(rated).unwrap_or_default());
    }
    line.text(billing).text(if event.estimated { "yes" } else { "no" }).text(&tags.join("; "));
    line.end();
}
