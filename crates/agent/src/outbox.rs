//! What handlers have yet to be told: rows that are written with the step, and told until they succeed.
//!
//! A handler is known to a process once an agent that has it is asked something there, or by
//! [`Runtime::with_handlers`](crate::Runtime::with_handlers) at its start. Rows of one that nobody knows wait. What
//! fails is told again with growing pauses; what has failed [`ATTEMPTS`] times is dead, and left for a person to
//! look at, by [`dead`], [`retry`] and [`forget`].

mod deliver;

use loomwork_core::Time;
use loomwork_store::{Id, Page, Paged, Result, Row, Table, Tx};
use serde::{Deserialize, Serialize};

pub(crate) use deliver::Outbox;
pub use deliver::{HANDLER_TIMEOUT, Handler, TOLD_AT_A_TIME};

use crate::exchange::Exchange;
use crate::usage::UsageEvent;

/// How often a handler is told before it is given up.
pub const ATTEMPTS: u32 = 16;

/// The id of a row.
pub type OutboxId = Id<OutboxRow>;

/// Something that a handler has yet to be told.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "agent_outbox", id = "told")]
#[index(due(handler, due), when = OutboxRow::is_waiting)]
#[index(dead(created), when = OutboxRow::is_dead)]
#[non_exhaustive]
pub struct OutboxRow {
    /// Who is told: `usage bill`, `exchange log`.
    pub handler: String,
    /// What is told.
    pub told: Told,
    /// How often it was tried.
    pub tries: u32,
    /// Not before this time.
    pub due: Time,
    /// Whether it is left for a person to look at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dead: bool,
    /// What the handler said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When it was written.
    pub created: Time,
}

impl OutboxRow {
    fn is_waiting(&self) -> bool {
        !self.dead
    }

    fn is_dead(&self) -> bool {
        self.dead
    }
}

/// What a handler is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Told {
    /// What a call used.
    Usage(Box<UsageEvent>),
    /// What was sent and came.
    Exchange(Box<Exchange>),
}

/// Writes what a handler is to be told. `error` is what it said to it already.
pub(crate) fn put(tx: &mut Tx, handler: String, told: Told, error: Option<String>) -> Result<()> {
    let (created, tries) = (tx.now(), u32::from(error.is_some()));
    let due = if error.is_some() { deliver::again(tx, tries) } else { created };
    tx.insert(OutboxRow { handler, told, tries, due, dead: false, last_error: error, created }).map(drop)
}

/// Returns what waits to be told, of all handlers; `count` at most.
///
/// # Errors
/// When the store cannot be read.
pub fn waiting(tx: &Tx, count: usize) -> Result<Vec<Row<OutboxRow>>> {
    tx.scan(OutboxRow::due.all().readable().take(count))
}

/// Returns a page of what was given up, the oldest first.
///
/// # Errors
/// When the store cannot be read, or the page's cursor is another query's.
pub fn dead(tx: &Tx, page: Page) -> Result<Paged<OutboxRow>> {
    tx.page(OutboxRow::dead.all().readable(), page)
}

/// Gives what was given up another life; says whether there was something of this id.
///
/// # Errors
/// When the store cannot be read or written.
pub fn retry(tx: &mut Tx, id: OutboxId) -> Result<bool> {
    if !tx.get(id)?.is_some_and(|row| row.dead) {
        return Ok(false);
    }
    let now = tx.now();
    tx.update(id, |row| (row.dead, row.tries, row.due) = (false, 0, now))?;
    Ok(true)
}

/// Drops something that is not told yet; says whether there was something of this id.
///
/// # Errors
/// When the store cannot be read or written.
pub fn forget(tx: &mut Tx, id: OutboxId) -> Result<bool> {
    Ok(tx.delete(id)?.is_some())
}
