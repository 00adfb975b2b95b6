//! Events for other programs: as CSV, as JSON lines, as CloudEvents.

use loomwork_store::{Error, Id, Result, Row, Store, Table as _, Tx};
use serde_json::json;

use crate::csv;
use crate::event::Level;
use crate::rate::Rated;
use crate::tables::EventRow;

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

/// Returns the events behind one, in the order in which they were recorded. Keep the id of the last: behind it is
/// what comes later. Where several processes write at once, the newest second may still get company; leave it for
/// the next time.
///
/// # Errors
/// When the store cannot be read.
pub fn events(tx: &Tx, after: Option<Id<EventRow>>, count: usize) -> Result<Vec<Row<EventRow>>> {
    match after {
        Some(after) => tx.scan(EventRow::all().gt(after).take(count)),
        None => tx.scan(EventRow::all().take(count)),
    }
}

/// Writes all events behind one, some hundred at a time, and returns the last: the next export goes on behind it,
/// and neither misses nor repeats one.
///
/// # Errors
/// When the store cannot be read, and what `write` returns.
pub async fn export(
    store: &Store,
    format: Format,
    after: Option<Id<EventRow>>,
    mut write: impl FnMut(&str) -> Result<()>,
) -> Result<Option<Id<EventRow>>> {
    let mut last = after;
    if format == Format::Csv && last.is_none() {
        write(&csv_head())?;
    }
    loop {
        let found = store.query(move |tx| events(tx, last, EXPORT_PAGE)).await?;
        let Some(row) = found.last() else { return Ok(last) };
        last = Some(row.id);
        write(&written(format, &found)?)?;
    }
}

/// Writes events, without the first line that CSV has.
///
/// # Errors
/// None that the types can cause.
pub fn written(format: Format, rows: &[Row<EventRow>]) -> Result<String> {
    let mut text = String::new();
    for row in rows {
        match format {
            Format::Csv => csv_of(&mut text, row),
            Format::JsonLines => {
                text.push_str(&serde_json::to_string(row).map_err(internal)?);
                text.push('\n');
            }
            Format::CloudEvents => {
                text.push_str(&cloud_event(row)?);
                text.push('\n');
            }
        }
    }
    Ok(text)
}

fn internal(error: serde_json::Error) -> Error {
    Error::message(loomwork_core::Kind::Internal, error.to_string())
}

fn cloud_event(row: &Row<EventRow>) -> Result<String> {
    let event = &row.event;
    let kind = if row.reverses.is_some() { "usage.reversed" } else { "usage.recorded" };
    let data = serde_json::to_value(row).map_err(internal)?;
    let envelope = json!({
        "specversion": "1.0",
        "id": event.key,
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
    let mut names = vec!["source", "key", "at", "recorded", "payer"];
    names.extend(LEVELS.map(Level::as_str));
    names.extend([
        "provider",
        "model",
        "tier",
        "unit",
        "quantity",
        "cost",
        "charge",
        "currency",
        "estimated",
    ]);
    csv::head(&mut text, &names);
    text
}

fn csv_of(text: &mut String, row: &EventRow) {
    let event = &row.event;
    for (unit, quantity) in event.quantities.iter() {
        let quantity = i64::try_from(quantity).unwrap_or(i64::MAX) * row.sign();
        let amount = |rated: &Option<Rated>| {
            let price = rated.as_ref().and_then(|rated| rated.prices.get(unit).copied());
            // It was added up without overflow when it was recorded.
            price
                .and_then(|price| price.times(quantity).ok())
                .map_or(String::new(), |amount| amount.to_string())
        };
        let mut line = csv::Line::new(text);
        line.text(&event.source).text(&event.key).text(&event.at.to_string()).text(&row.recorded.to_string());
        line.text(event.payer.as_deref().unwrap_or_default());
        for level in LEVELS {
            line.text(event.scope.on(level).unwrap_or_default());
        }
        line.text(&event.provider).text(&event.model).text(event.tier.as_str()).text(&unit.to_string());
        line.number(quantity).number(amount(&row.cost)).number(amount(&row.charge));
        let currency = row.charge.as_ref().or(row.cost.as_ref()).map(|rated| rated.currency.to_string());
        line.text(&currency.unwrap_or_default()).text(if event.estimated { "yes" } else { "no" });
        line.end();
    }
}
