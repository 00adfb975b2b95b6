//! Events that could not be recorded: kept with the reason, until a person has put them right.

use std::time::Duration;

use loomwork_core::{Kind, Time};
use loomwork_store::{Error, Id, Page, Paged, Result, Table, Tx};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::admit::{Admitted, end_hold};
use crate::error::UsageError;
use crate::event::{Event, MAX_KEY_BYTES, MAX_NAME_BYTES, MAX_UNITS, Scope, Window};
use crate::record::{Recorded, record, record_within};

/// The most bytes of a refused event as JSON that keeps its tags. A text that is beyond its own bound is cut to it.
pub const MAX_REFUSED_BYTES: usize = 16 * 1024;

/// How old an event may be that is recorded in the place of one that was set aside.
const MAX_AGE: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// An event that could not be recorded, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[table(name = "usage_refused", id = "refused")]
#[index(unique by_digest(digest))]
pub struct RefusedRow {
    /// The event.
    pub event: Event,
    /// Whether parts of the event were left out: units without a proper name, tags beyond
    /// [`MAX_REFUSED_BYTES`], the ends of texts beyond their bounds.
    #[serde(default)]
    pub is_cut: bool,
    /// Which of its source, its key and its payer were cut: it is [recorded](record_refused) under other ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut_names: Vec<String>,
    /// What was wrong with it.
    pub why: String,
    /// When it was to be recorded first.
    pub at: Time,
    /// Of what it says but for its time, so that a retry finds its row.
    #[serde(default)]
    digest: String,
}

/// As [`record`], but an event that is refused is set aside with the reason, so that no answer of a model fails
/// for what is wrong with its bill. `None` says that it was. Setting it aside again changes nothing.
///
/// # Errors
/// When the store cannot be read or written.
pub fn record_or_set_aside(tx: &mut Tx, event: Event) -> Result<Option<Recorded>> {
    let kept = event.clone();
    match record(tx, event) {
        Ok(recorded) => Ok(Some(recorded)),
        Err(error) if is_refusal(&error) => set_aside(tx, kept, &error).map(|()| None),
        Err(error) => Err(error),
    }
}

/// As [`settle_with`](crate::settle_with), but an event that is refused is set aside, and the hold is ended all the same.
///
/// # Errors
/// When the store cannot be read or written.
pub fn settle_or_set_aside(tx: &mut Tx, admitted: Admitted, event: Event) -> Result<Option<Recorded>> {
    tx.nested(|tx| {
        end_hold(tx, admitted)?;
        record_or_set_aside(tx, event)
    })
}

/// Whether an error says that something is wrong with the event itself.
pub(crate) fn is_refusal(error: &Error) -> bool {
    error.downcast_ref::<UsageError>().is_some() || error.kind() == Kind::Invalid
}

fn set_aside(tx: &mut Tx, event: Event, error: &Error) -> Result<()> {
    let why = error.to_string();
    let digest = digest_of(&event)?;
    if tx.first(RefusedRow::by_digest.eq(&digest))?.is_some() {
        return Ok(());
    }
    tracing::error!(source = event.source, key = event.key, error = why, "usage is set aside");
    let kept = cut(&event)?;
    let is_cut = kept != event;
    let names = [
        ("source", kept.source != event.source),
        ("key", kept.key != event.key),
        ("payer", kept.payer != event.payer),
    ];
    let cut_names = names.iter().filter(|(_, is_cut)| *is_cut).map(|(name, _)| (*name).to_owned()).collect();
    tx.insert(RefusedRow { event: kept, is_cut, cut_names, why, at: tx.now(), digest }).map(drop)
}

fn json_of(event: &Event) -> Result<Vec<u8>> {
    serde_json::to_vec(event).map_err(|error| Error::message(Kind::Internal, error.to_string()))
}

fn digest_of(event: &Event) -> Result<String> {
    let timeless = Event { at: Time::EPOCH, ..event.clone() };
    Ok(Sha256::digest(json_of(&timeless)?).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Leaves out what an event cannot be kept with, and nothing else: what is left is what it was.
fn cut(event: &Event) -> Result<Event> {
    let to = |text: &str, most: usize| text[..text.floor_char_boundary(most)].to_owned();
    let short = |text: &str| to(text, MAX_NAME_BYTES);
    let maybe = |text: &Option<String>| text.as_deref().map(short);
    // A unit that could not be read again would make the row unreadable.
    let readable = event.quantities.iter().filter(|(unit, _)| unit.check().is_ok()).take(MAX_UNITS);
    let mut kept = Event {
        source: short(&event.source),
        key: to(&event.key, MAX_KEY_BYTES),
        payer: maybe(&event.payer),
        scope: event
            .scope
            .iter()
            .fold(Scope::default(), |scope, (level, name)| scope.with(level, short(name))),
        provider: short(&event.provider),
        model: short(&event.model),
        region: maybe(&event.region),
        message: maybe(&event.message),
        tool: maybe(&event.tool),
        quantities: readable.map(|(unit, quantity)| (unit.clone(), quantity)).collect(),
        ..event.clone()
    };
    if json_of(&kept)?.len() > MAX_REFUSED_BYTES {
        kept.tags.clear();
    }
    Ok(kept)
}

/// Returns the events that were set aside, the oldest first.
///
/// # Errors
/// When the store cannot be read, or the page's cursor is foreign.
pub fn refused(tx: &Tx, page: Page) -> Result<Paged<RefusedRow>> {
    tx.page(RefusedRow::all(), page)
}

/// Records an event in the place of one that was set aside, up to a year old, and forgets that one: what
/// [`RefusedRow::event`] says, once the reason is gone, or what is right.
///
/// # Errors
/// As [`record`]; [`UsageError::CutName`] for a source, a key or a payer that was cut, since what is left of it may be
/// that of another one; [`Problem::NotFound`](loomwork_store::Problem::NotFound).
pub fn record_refused(tx: &mut Tx, refused: Id<RefusedRow>, right: Event) -> Result<Recorded> {
    let row = tx.require(refused)?;
    for what in &row.cut_names {
        let is_same = match what.as_str() {
            "source" => right.source == row.event.source,
            "key" => right.key == row.event.key,
            _ => right.payer == row.event.payer,
        };
        if is_same {
            return Err(UsageError::CutName { what: what.clone() }.into());
        }
    }
    tx.nested(|tx| {
        let recorded = record_within(tx, right, &Window { back: MAX_AGE, ..Window::default() })?;
        tx.delete(refused)?;
        Ok(recorded)
    })
}

/// Forgets an event that was set aside and is not to be recorded. Says whether it was there.
///
/// # Errors
/// When the store cannot be written.
pub fn forget_refused(tx: &mut Tx, refused: Id<RefusedRow>) -> Result<bool> {
    Ok(tx.delete(refused)?.is_some())
}
