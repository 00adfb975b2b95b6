//! Usage of nobody, whose payer is found out later.

use loomwork_core::Time;
use loomwork_store::{Page, Paged, Result, Table, Tx};
use serde::{Deserialize, Serialize};

use crate::account::account;
use crate::error::UsageError;
use crate::event::{MAX_NAME_BYTES, fits};
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
    /// The thread whose usage it was.
    pub thread: String,
    /// Who pays.
    pub payer: String,
    /// Who said so.
    pub by: String,
    /// How many events.
    pub events: u64,
    /// When.
    pub at: Time,
}

/// Returns usage without a payer: of a thread, or all of it by thread.
///
/// # Errors
/// When the store cannot be read, or the page's cursor is foreign.
pub fn unattributed(tx: &Tx, thread: Option<&str>, page: Page) -> Result<Paged<EventRow>> {
    match thread {
        Some(thread) => tx.page(EventRow::unattributed.eq(thread), page),
        None => tx.page(EventRow::unattributed.all(), page),
    }
}

/// Lets somebody pay for the usage of a thread that nobody pays for, at the prices of when it occurred, and
/// notes who said so. It takes [`ASSIGN_STEP`] events at a time and says how many: call it until that is zero.
///
/// # Errors
/// [`UsageError::BadText`]; as [`record`](crate::record()).
pub fn assign(tx: &mut Tx, thread: &str, payer: &str, by: &str) -> Result<usize> {
    for (what, text) in [("thread", thread), ("payer", payer), ("name of who assigns", by)] {
        fits(what, text, 1, MAX_NAME_BYTES)?;
    }
    let account = account(tx, payer)?;
    let rows = tx.scan(EventRow::unattributed.eq(thread).take(ASSIGN_STEP))?;
    let count = rows.len();
    for row in rows {
        let mut assigned = row.record.clone();
        assigned.event.payer = Some(payer.to_owned());
        price(tx, &mut assigned, Some(&account))?;
        replace(tx, row, assigned)?;
    }
    if count > 0 {
        let events = u64::try_from(count).map_err(|_| UsageError::Overflow { what: "events".to_owned() })?;
        let (thread, payer, by) = (thread.to_owned(), payer.to_owned(), by.to_owned());
        tx.insert(AssignmentRow { thread, payer, by, events, at: tx.now() })?;
    }
    Ok(count)
}
