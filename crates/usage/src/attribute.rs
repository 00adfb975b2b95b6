//! Usage of nobody, whose payer is found out later.

use loomwork_core::Time;
use loomwork_store::{Id, Page, Paged, Result, Row, Table, Tx};
use serde::{Deserialize, Serialize};

use crate::account::account;
use crate::error::UsageError;
use crate::event::{Level, MAX_NAME_BYTES, fits};
use crate::record::price;
use crate::reprice::replace;
use crate::tables::EventRow;

/// How many events are assigned in one call.
pub const ASSIGN_STEP: usize = 100;

/// Who said that somebody pays for what nobody paid for: for an audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[table(name = "usage_assignments", id = "assignment")]
#[index(by_payer(payer, at))]
pub struct AssignmentRow {
    /// The level of whose usage it was.
    #[serde(default = "thread")]
    pub level: Level,
    /// The name on that level.
    #[serde(alias = "thread")]
    pub name: String,
    /// Who pays.
    pub payer: String,
    /// Who said so.
    pub by: String,
    /// How many events.
    pub events: u64,
    /// When.
    pub at: Time,
}

fn thread() -> Level {
    Level::Thread
}

/// A name on a level of an event that nobody pays for.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "usage_unpaid", id = "unpaid")]
#[index(by_name(level, name))]
#[index(by_event(event))]
pub(crate) struct UnpaidRow {
    level: Level,
    name: String,
    event: Id<EventRow>,
}

/// Notes by which names an event is found that nobody pays for.
pub(crate) fn note_unpaid(tx: &mut Tx, row: &Row<EventRow>) -> Result<()> {
    if row.event.payer.is_some() {
        return Ok(());
    }
    for (level, name) in row.event.scope.iter() {
        tx.insert(UnpaidRow { level, name: name.to_owned(), event: row.id })?;
    }
    Ok(())
}

/// Returns usage without a payer: of a name on a level, or all of it.
///
/// # Errors
/// When the store cannot be read, or the page's cursor is foreign.
pub fn unattributed(tx: &Tx, of: Option<(Level, &str)>, page: Page) -> Result<Paged<EventRow>> {
    let Some((level, name)) = of else { return tx.page(EventRow::unattributed.all(), page) };
    let found = tx.page(UnpaidRow::by_name.eq(level).eq(name), page)?;
    let rows = found.rows.iter().map(|row| tx.require(row.event)).collect::<Result<_>>()?;
    Ok(Paged { rows, next: found.next })
}

/// Lets somebody pay for the usage of a name on a level that nobody pays for, at the prices of when it occurred,
/// and notes who said so. It takes [`ASSIGN_STEP`] events at a time and says how many: call it until that is zero.
///
/// # Errors
/// [`UsageError::BadText`]; as [`record`](crate::record()).
pub fn assign(tx: &mut Tx, level: Level, name: &str, payer: &str, by: &str) -> Result<usize> {
    for (what, text) in [(level.as_str(), name), ("payer", payer), ("name of who assigns", by)] {
        fits(what, text, 1, MAX_NAME_BYTES)?;
    }
    let found = tx.scan(UnpaidRow::by_name.eq(level).eq(name).take(ASSIGN_STEP))?;
    let account = account(tx, payer)?;
    for unpaid in &found {
        let row = tx.require(unpaid.event)?;
        let mut assigned = row.record.clone();
        assigned.event.payer = Some(payer.to_owned());
        price(tx, &mut assigned, Some(&account))?;
        replace(tx, row, assigned)?;
        for name in tx.ids(UnpaidRow::by_event.eq(unpaid.event))? {
            tx.delete(name)?;
        }
    }
    if !found.is_empty() {
        let events =
            u64::try_from(found.len()).map_err(|_| UsageError::Overflow { what: "events".to_owned() })?;
        let (name, payer, by) = (name.to_owned(), payer.to_owned(), by.to_owned());
        tx.insert(AssignmentRow { level, name, payer, by, events, at: tx.now() })?;
    }
    Ok(found.len())
}
