//! Recording: an event counts once, at the price of when it occurred, in the transaction of what it pays for.

use loomwork_core::{Kind, Time};
use loomwork_store::{Id, Result, Row, Table, Tx};
use serde::{Deserialize, Serialize};

use crate::account::{Account, account};
use crate::book::{COST_BOOK, find_book};
use crate::budget;
use crate::error::UsageError;
use crate::event::{Billing, Event, Window};
use crate::line;
use crate::period::place;
use crate::rate::{Rated, rate_in};
use crate::tables::EventRow;
use crate::totals;

/// How the key of an event begins that takes another one back.
const REVERSAL: &str = "reversal:";

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It was recorded.
    New(Id<EventRow>),
    /// It had been recorded before, and nothing was changed.
    Repeated(Id<EventRow>),
}

impl Recorded {
    /// Returns the event's row.
    pub fn id(self) -> Id<EventRow> {
        match self {
            Self::New(id) | Self::Repeated(id) => id,
        }
    }
}

/// Records an event: with its price, in the lines of its period, in totals and budgets. All of it commits
/// with the rest of the transaction, or none of it. Repeating it is safe.
///
/// What occurred in a period that is closed is billed with the next one, as an adjustment. What has no price
/// is kept, and rated when it gets one.
///
/// # Errors
/// [`UsageError::Conflict`] for a key that was used for something else; [`UsageError::OutOfWindow`];
/// [`UsageError::BadText`], [`UsageError::TooManyTags`] and [`UsageError::TooMuch`];
/// [`UsageError::Overflow`] and [`UsageError::Money`] at the end of what can be counted.
pub fn record(tx: &mut Tx, event: Event) -> Result<Recorded> {
    record_within(tx, event, &Window::default())
}

/// As [`record`], for events of another age than is usual.
///
/// # Errors
/// As [`record`].
pub fn record_within(tx: &mut Tx, event: Event, window: &Window) -> Result<Recorded> {
    check(&event)?;
    if let Some(found) = event_by_key(tx, &event.source, &event.key)? {
        return repeated(&found, &event);
    }
    event.check_time(tx.now(), window)?;
    Ok(Recorded::New(tx.nested(|tx| enter(tx, event, None))?.id))
}

/// Records several events, and says of each what became of it. One that is refused does not concern the others.
///
/// # Errors
/// When the store cannot be read or written.
pub fn record_all(tx: &mut Tx, events: Vec<Event>) -> Result<Vec<Result<Recorded, UsageError>>> {
    let one = |event| match record(tx, event) {
        Ok(recorded) => Ok(Ok(recorded)),
        Err(error) => error.downcast::<UsageError>().map(Err),
    };
    events.into_iter().map(one).collect()
}

/// An event that could not be recorded, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[table(name = "usage_refused", id = "refused")]
pub struct RefusedRow {
    /// The event.
    pub event: Event,
    /// What was wrong with it.
    pub why: String,
    /// When it was to be recorded.
    pub at: Time,
}

/// As [`record`], but an event that is refused is set aside with the reason, so that no answer of a model fails
/// for what is wrong with its bill. `None` says that it was.
///
/// # Errors
/// When the store cannot be read or written.
pub fn record_or_set_aside(tx: &mut Tx, event: Event) -> Result<Option<Recorded>> {
    let kept = event.clone();
    match record(tx, event) {
        Ok(recorded) => Ok(Some(recorded)),
        Err(error) if error.downcast_ref::<UsageError>().is_none() && error.kind() != Kind::Invalid => {
            Err(error)
        }
        Err(refused) => {
            tracing::error!(source = kept.source, key = kept.key, error = %refused, "usage is set aside");
            tx.insert(RefusedRow { event: kept, why: refused.to_string(), at: tx.now() })?;
            Ok(None)
        }
    }
}

/// Takes an event back: another one is recorded that counts the same, negative, by the prices of the first.
/// An event is taken back once; repeating it changes nothing.
///
/// # Errors
/// [`UsageError::UnknownEvent`]; [`UsageError::NotReversible`] for one that takes another back itself.
pub fn reverse(tx: &mut Tx, source: &str, key: &str) -> Result<Recorded> {
    let Some(original) = event_by_key(tx, source, key)? else {
        let (source_name, key) = (source.to_owned(), key.to_owned());
        return Err(UsageError::UnknownEvent { source_name, key }.into());
    };
    if original.reverses.is_some() {
        let why = "takes another one back itself; record the usage anew instead";
        return Err(UsageError::NotReversible { key: key.to_owned(), why }.into());
    }
    let own_key = reversal_key(key);
    if let Some(found) = event_by_key(tx, source, &own_key)? {
        return Ok(Recorded::Repeated(found.id));
    }
    let event = Event { key: own_key, ..original.event.clone() };
    tx.nested(|tx| {
        tx.update(original.id, |row| row.reversed = true)?;
        Ok(Recorded::New(enter(tx, event, Some(&original))?.id))
    })
}

/// Puts another event in the place of one: takes that one back and records the other, which has a key of its
/// own. It serves for estimates, once the provider's numbers are known, and may be repeated.
///
/// # Errors
/// As [`reverse`] and [`record`]; the other event may be as old as the first.
pub fn correct(tx: &mut Tx, source: &str, key: &str, right: Event) -> Result<Recorded> {
    tx.nested(|tx| {
        reverse(tx, source, key)?;
        check(&right)?;
        match event_by_key(tx, &right.source, &right.key)? {
            Some(found) => repeated(&found, &right),
            None => Ok(Recorded::New(enter(tx, right, None)?.id)),
        }
    })
}

fn check(event: &Event) -> Result<(), UsageError> {
    if event.key.starts_with(REVERSAL) {
        return Err(UsageError::ReservedKey { key: event.key.clone() });
    }
    event.check()
}

fn reversal_key(key: &str) -> String {
    format!("{REVERSAL}{key}")
}

/// Returns the event of a key.
///
/// # Errors
/// When the store cannot be read.
pub fn event_by_key(tx: &Tx, source: &str, key: &str) -> Result<Option<Row<EventRow>>> {
    tx.first(EventRow::by_key.eq(source).eq(key))
}

fn repeated(found: &Row<EventRow>, event: &Event) -> Result<Recorded> {
    // Who pays may have been found out since.
    let was_assigned = event.payer.is_none() && found.event.payer.is_some();
    let same = found.event == *event
        || (was_assigned && found.event == Event { payer: found.event.payer.clone(), ..event.clone() });
    if !same || found.reverses.is_some() {
        let (source_name, key) = (event.source.clone(), event.key.clone());
        return Err(UsageError::Conflict { source_name, key }.into());
    }
    Ok(Recorded::Repeated(found.id))
}

/// Enters an event, priced and placed, with all that follows from it.
fn enter(tx: &mut Tx, event: Event, reverses: Option<&Row<EventRow>>) -> Result<Row<EventRow>> {
    let mut row = EventRow {
        event,
        recorded: tx.now(),
        reverses: reverses.map(|original| original.id),
        reversed: false,
        cost: None,
        charge: None,
        period: None,
        adjusts: None,
        unpriced: false,
    };
    let account = payer_of(tx, &row)?;
    price(tx, &mut row, account.as_ref())?;
    put(tx, &mut row, account.as_ref())?;
    apply(tx, &row, 1)?;
    tx.insert(row)
}

/// How the payer of an event is billed, if it has one.
pub(crate) fn payer_of(tx: &Tx, row: &EventRow) -> Result<Option<Account>> {
    row.event.payer.as_deref().map(|payer| account(tx, payer)).transpose()
}

/// Rates what has no price yet, and notes whether one is missing.
pub(crate) fn price(tx: &Tx, row: &mut EventRow, account: Option<&Account>) -> Result<()> {
    if row.event.billing != Billing::Billed {
        return Ok(());
    }
    if let Some(original) = row.reverses {
        // What is taken back is what was charged, whatever the prices say now.
        let original = tx.require(original)?;
        row.cost = original.cost.as_ref().map(Rated::negated);
        row.charge = original.charge.as_ref().map(Rated::negated);
        row.unpriced = original.unpriced;
        return Ok(());
    }
    if row.cost.is_none() {
        row.cost = rate_in(tx, COST_BOOK, &row.event)?;
    }
    if let (Some(account), None) = (account, &row.charge) {
        let is_same = account.book == COST_BOOK;
        row.charge = if is_same { row.cost.clone() } else { rate_in(tx, &account.book, &row.event)? };
    }
    row.unpriced = row.cost.is_none() || (account.is_some() && row.charge.is_none());
    Ok(())
}

/// Finds the period that an event is billed in.
pub(crate) fn put(tx: &mut Tx, row: &mut EventRow, account: Option<&Account>) -> Result<()> {
    let Some(account) = account.filter(|_| row.event.is_billed()) else { return Ok(()) };
    let currency = match &row.charge {
        Some(charge) => charge.currency,
        None => find_book(tx, &account.book)?.map_or(crate::Currency::USD, |book| book.currency),
    };
    let place = place(tx, account, currency, row.event.at)?;
    row.period = Some(place.period);
    row.adjusts = place.adjusts;
    Ok(())
}

/// Adds an event to lines, totals and budgets, or takes it out again with a `sign` of −1.
pub(crate) fn apply(tx: &mut Tx, row: &EventRow, sign: i64) -> Result<()> {
    line::add(tx, row, sign)?;
    totals::leave(tx, row, sign)?;
    budget::spend(tx, row, sign)
}

impl Rated {
    fn negated(&self) -> Self {
        Self { amount: self.amount.negated(), ..self.clone() }
    }
}
