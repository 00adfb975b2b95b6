//! Events that could not be recorded: kept with the reason, until a person has put them right.

use std::time::Duration;

use loomwork_core::{Kind, Time};
use loomwork_store::{Error, Id, Page, Paged, Result, Table, Tx};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::admit::{Admitted, end_hold};
use crate::error::UsageError;
use crate::event::{Event, MAX_NAME_BYTES, Window};
use crate::record::{Recorded, record, record_within};

/// The most bytes of a refused event as JSON; of a larger one, texts are cut and tags are left out.
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
    /// Whether parts of the event were left out: units without a proper name, and what is beyond
    /// [`MAX_REFUSED_BYTES`].
    #[serde(default)]
    pub is_cut: bool,
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
    // A unit that could not be read again would make the row unreadable.
    let has_bad_unit = event.quantities.iter().any(|(unit, _)| unit.check().is_err());
    let is_cut = has_bad_unit || json_of(&event)?.len() > MAX_REFUSED_BYTES;
    let event = if is_cut { cut(event) } else { event };
    tx.insert(RefusedRow { event, is_cut, why, at: tx.now(), digest }).map(drop)
}

fn json_of(event: &Event) -> Result<Vec<u8>> {
    serde_json::to_vec(event).map_err(|error| Error::message(Kind::Internal, error.to_string()))
}

fn digest_of(event: &Event) -> Result<String> {
    let timeless = Event { at: Time::EPOCH, ..event.clone() };
    Ok(Sha256::digest(json_of(&timeless)?).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Leaves out what an event cannot be kept with.
fn cut(event: Event) -> Event {
    let short = |text: &str| text.chars().take(MAX_NAME_BYTES / 4).collect::<String>();
    let maybe = |text: &Option<String>| text.as_deref().map(short);
    let scope = event
        .scope
        .iter()
        .fold(Default::default(), |scope: crate::Scope, (level, name)| scope.with(level, short(name)));
    Event {
        source: short(&event.source),
        key: short(&event.key),
        payer: maybe(&event.payer),
        scope,
        provider: short(&event.provider),
        model: short(&event.model),
        region: maybe(&event.region),
        message: maybe(&event.message),
        tool: maybe(&event.tool),
        tags: Default::default(),
        quantities: event
            .quantities
            .iter()
            .filter(|(unit, _)| unit.check().is_ok())
            .take(crate::MAX_UNITS)
            .map(|(unit, quantity)| (unit.clone(), quantity))
            .collect(),
        ..event
    }
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
/// As [`record`]; [`Problem::NotFound`](loomwork_store::Problem::NotFound).
pub fn record_refused(tx: &mut Tx, refused: Id<RefusedRow>, right: Event) -> Result<Recorded> {
    tx.require(refused)?;
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
