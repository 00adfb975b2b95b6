//! Recording: an event counts once, at the price of when it occurred, in the transaction of what it pays for.

use loomwork_store::{Id, Problem, Result, Row, Tx};

use crate::account::{Account, account};
use crate::amend::place_of_replaced;
use crate::attribute::note_unpaid;
use crate::book::{COST_BOOK, find_book};
use crate::budget;
use crate::correct::REVERSAL;
use crate::error::UsageError;
use crate::event::{Billing, Event, Window};
use crate::fold;
use crate::period::place;
use crate::rate::{Rated, rate_in};
use crate::refused::is_refusal;
use crate::tables::EventRow;

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
/// with the rest of the transaction, or none of it. Repeating it is safe, also at a later time: whoever tries
/// again does not remember when it was tried first, so the time of the first one stands.
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
    if let Err(refused) = event.check_time(tx.now(), window) {
        let found = event_by_key(tx, &event.source, &event.key)?;
        return found.map_or_else(|| Err(refused.into()), |found| repeated(&found, &event));
    }
    // The index of keys is looked at once, when the row is written.
    let again = event.clone();
    match tx.nested(|tx| enter(tx, event, Origin::New)) {
        Err(error) if is_duplicate(&error) => {
            let found = event_by_key(tx, &again.source, &again.key)?;
            found.map_or(Err(error), |found| repeated(&found, &again))
        }
        entered => Ok(Recorded::New(entered?.id)),
    }
}

fn is_duplicate(error: &loomwork_store::Error) -> bool {
    matches!(error.downcast_ref(), Some(Problem::Duplicate { index: "by_key", .. }))
}

/// Records several events, and says of each what became of it. One that is refused does not concern the others.
///
/// # Errors
/// When the store cannot be read or written.
pub fn record_all(tx: &mut Tx, events: Vec<Event>) -> Result<Vec<Result<Recorded, UsageError>>> {
    let mut all = Vec::with_capacity(events.len());
    for event in events {
        let key = event.key.clone();
        all.push(match record(tx, event) {
            Ok(recorded) => Ok(recorded),
            Err(error) => match error.downcast::<UsageError>() {
                Ok(refused) => Err(refused),
                Err(error) if is_refusal(&error) => {
                    Err(UsageError::NotStorable { key, why: error.to_string() })
                }
                Err(error) => return Err(error),
            },
        });
    }
    Ok(all)
}

/// Says what is wrong with an event, whenever it is recorded.
pub(crate) fn check(event: &Event) -> Result<(), UsageError> {
    if event.key.starts_with(REVERSAL) {
        return Err(UsageError::ReservedKey { key: event.key.clone() });
    }
    event.check()
}

/// Returns the event of a key.
///
/// # Errors
/// When the store cannot be read.
pub fn event_by_key(tx: &Tx, source: &str, key: &str) -> Result<Option<Row<EventRow>>> {
    tx.first(EventRow::by_key.eq(source).eq(key))
}

/// Acknowledges an event that is there, if it says the same.
pub(crate) fn repeated(found: &Row<EventRow>, event: &Event) -> Result<Recorded> {
    // The first time stands, and who pays may have been found out since.
    let payer = event.payer.clone().or_else(|| found.event.payer.clone());
    let is_same = found.event == Event { at: found.event.at, payer, ..event.clone() };
    if !is_same || found.reverses.is_some() {
        let (source_name, key) = (event.source.clone(), event.key.clone());
        return Err(UsageError::Conflict { source_name, key }.into());
    }
    Ok(Recorded::Repeated(found.id))
}

/// Why an event is entered.
#[derive(Clone, Copy)]
pub(crate) enum Origin<'a> {
    /// Something was used.
    New,
    /// It takes another one back.
    Reverses(&'a Row<EventRow>),
    /// It stands in the place of another one, which was taken back.
    Replaces(&'a Row<EventRow>),
}

/// Enters an event, priced and placed, with all that follows from it.
pub(crate) fn enter(tx: &mut Tx, event: Event, origin: Origin<'_>) -> Result<Row<EventRow>> {
    let (reverses, replaces) = match origin {
        Origin::New => (None, None),
        Origin::Reverses(original) => (Some(original), None),
        Origin::Replaces(original) => (None, Some(original)),
    };
    let mut row = EventRow {
        event,
        recorded: tx.now(),
        reverses: reverses.map(|original| original.id),
        reversed: false,
        replaced_by: None,
        replaces: replaces.map(|original| original.id),
        budgets: match reverses {
            // A budget that did not count the one does not count the other.
            Some(original) => original.budgets.clone(),
            None => Vec::new(),
        },
        cost: None,
        charge: None,
        period: None,
        adjusts: None,
        unpriced: false,
    };
    if reverses.is_none() {
        row.budgets = budget::concerned(tx, &row.event)?.iter().map(|budget| budget.id).collect();
    }
    let account = payer_of(tx, &row)?;
    price(tx, &mut row, account.as_ref())?;
    put(tx, &mut row, account.as_ref())?;
    // What is new has its place in an open period, which was looked up for it.
    let is_open = matches!(origin, Origin::New);
    fold::leave(tx, &row, 1, is_open)?;
    budget::spend(tx, &row, 1)?;
    let row = tx.insert(row)?;
    note_unpaid(tx, &row)?;
    Ok(row)
}

/// How the payer of an event is billed, if it has one.
pub(crate) fn payer_of(tx: &Tx, row: &EventRow) -> Result<Option<Account>> {
    row.event.payer.as_deref().map(|payer| account(tx, payer)).transpose()
}

/// Rates what has no price yet, and notes whether one is missing.
pub(crate) fn price(tx: &mut Tx, row: &mut EventRow, account: Option<&Account>) -> Result<()> {
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
        row.cost = rated(tx, COST_BOOK, &row.event)?;
    }
    if let (Some(account), None) = (account, &row.charge) {
        let is_same = account.book == COST_BOOK;
        row.charge = if is_same { row.cost.clone() } else { rated(tx, &account.book, &row.event)? };
    }
    row.unpriced = row.cost.is_none() || (account.is_some() && row.charge.is_none());
    Ok(())
}

/// Rates an event, and notes that its prices are used.
fn rated(tx: &mut Tx, book: &str, event: &Event) -> Result<Option<Rated>> {
    let Some(rating) = rate_in(tx, book, event)? else { return Ok(None) };
    for price in rating.first_use {
        tx.update(price, |price| price.used = true)?;
    }
    Ok(Some(rating.rated))
}

/// Finds the period that an event is billed in.
pub(crate) fn put(tx: &mut Tx, row: &mut EventRow, account: Option<&Account>) -> Result<()> {
    if let Some(original) = row.reverses {
        // What is taken back is taken off where it is.
        let original = tx.require(original)?.record;
        (row.period, row.adjusts) = (original.period, original.adjusts);
        return Ok(());
    }
    let Some(account) = account.filter(|_| row.event.is_billed()) else { return Ok(()) };
    let currency = match &row.charge {
        Some(charge) => charge.currency,
        None => find_book(tx, &account.book)?.map_or(crate::Currency::USD, |book| book.currency),
    };
    let replaced = match row.replaces {
        Some(original) => place_of_replaced(tx, &*tx.require(original)?, &account.payer, currency)?,
        None => None,
    };
    let place = match replaced {
        Some(place) => place,
        None => place(tx, account, currency, row.event.at)?,
    };
    (row.period, row.adjusts) = (Some(place.period), place.adjusts);
    Ok(())
}

/// Adds an event to lines, totals and budgets, or takes it out again with a `sign` of −1.
pub(crate) fn apply(tx: &mut Tx, row: &EventRow, sign: i64) -> Result<()> {
    fold::leave(tx, row, sign, false)?;
    budget::spend(tx, row, sign)
}

impl Rated {
    fn negated(&self) -> Self {
        Self { amount: self.amount.negated(), ..self.clone() }
    }
}
