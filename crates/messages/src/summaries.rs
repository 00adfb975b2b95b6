//! Summaries: what the oldest turns of a thread come to, in short.
//!
//! A summary covers all turns up to one, and the next one folds it in. Whatever changes a turn that is covered (a
//! message of it is changed or deleted, or another one joins it) drops the summaries of it in the same transaction,
//! so one that is there is true. The last [`KEPT`] stay, so that a change drops no more than it must.
//!
//! Who writes them, and when, is left to others; deleting a thread deletes its summaries.
//!
//! ```
//! use loomwork_messages::summaries::{self, NewSummary};
//! use loomwork_messages::threads::{self, NewThread};
//! use loomwork_messages::{Save, delete, save};
//! use loomwork_models::Message;
//! use loomwork_store::{Result, Store};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let tables = loomwork_messages::tables().into_iter().chain(loomwork_search::tables());
//! let store = Store::memory().tables(tables).open().await?;
//! store
//!     .mutate(|tx| {
//!         let thread = threads::create(tx, NewThread::for_user("alice"))?.id;
//!         let said = [Message::user("My cat is called Ada."), Message::assistant("A fine name.")];
//!         let said = save(tx, thread, Save::all(said))?;
//!         let text = "The user's cat is called Ada.".to_owned();
//!         let new = NewSummary { thread, base: None, to: 0, text, author: "a person".into() };
//!         assert!(summaries::put(tx, new)?.is_some());
//!         delete(tx, &[said[1].id])?;
//!         assert_eq!(summaries::newest(tx, thread, None)?, None);
//!         Ok(())
//!     })
//!     .await
//! # }
//! ```

use loomwork_core::{Fault, Kind};
use loomwork_store::{Result, Row, Tx};

use crate::tables::{MessageRow, Summary, SummaryId, ThreadId};
use crate::threads;

/// How many summaries of a thread are kept, the last ones.
pub const KEPT: usize = 8;

/// The most bytes of a summary.
pub const MAX_SUMMARY_TEXT_BYTES: usize = 64 << 10;

/// A summary to keep.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSummary {
    /// The thread.
    pub thread: ThreadId,
    /// The summary that it folds in.
    pub base: Option<SummaryId>,
    /// The last turn that it covers.
    pub to: u64,
    /// What all turns up to that one come to.
    pub text: String,
    /// Who wrote it.
    pub author: String,
}

/// Why a summary is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// One that says nothing.
    #[error("the summary of {thread} up to turn {to} is empty; say what the turns come to")]
    Empty {
        /// The thread.
        thread: ThreadId,
        /// The last turn.
        to: u64,
    },
    /// One beyond [`MAX_SUMMARY_TEXT_BYTES`].
    #[error(
        "the summary of {thread} up to turn {to} takes {bytes} bytes; the limit is {MAX_SUMMARY_TEXT_BYTES}"
    )]
    TooLarge {
        /// The thread.
        thread: ThreadId,
        /// The last turn.
        to: u64,
        /// What it takes.
        bytes: usize,
    },
    /// One of turns that are not there.
    #[error("{thread} has no turn up to turn {to}, so there is nothing that a summary could cover")]
    NoTurns {
        /// The thread.
        thread: ThreadId,
        /// The last turn.
        to: u64,
    },
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// Returns the summary of a thread that covers the most turns; only turns in front of one, if that is named.
///
/// # Errors
/// When the store cannot be read, as for all functions here.
pub fn newest(tx: &Tx, thread: ThreadId, before: Option<u64>) -> Result<Option<Row<Summary>>> {
    let span = Summary::by_end.eq(thread);
    match before {
        Some(before) => tx.first(span.lt(before).desc()),
        None => tx.first(span.desc()),
    }
}

/// Returns the summaries of a thread that are kept, the one that covers the most last.
///
/// # Errors
/// As [`newest`].
pub fn list(tx: &Tx, thread: ThreadId) -> Result<Vec<Row<Summary>>> {
    tx.scan(Summary::by_end.eq(thread))
}

/// Keeps a summary, unless its base is not the thread's newest one any more: then somebody else has written one
/// meanwhile, or what it was made from has changed, and it is `None`.
///
/// Whoever writes it makes sure, in this transaction, that the turns behind the base are still what they were.
///
/// # Errors
/// An [`Error`] says what is wrong with it; [`threads::Error::NotFound`] for a thread that is not there.
pub fn put(tx: &mut Tx, new: NewSummary) -> Result<Option<Row<Summary>>> {
    let NewSummary { thread, base, to, text, author } = new;
    threads::require(tx, thread)?;
    let (text, bytes) = (text.trim().to_owned(), text.len());
    if text.is_empty() {
        return Err(Error::Empty { thread, to }.into());
    }
    if bytes > MAX_SUMMARY_TEXT_BYTES {
        return Err(Error::TooLarge { thread, to, bytes }.into());
    }
    let newest = newest(tx, thread, None)?;
    if newest.as_ref().map(|newest| newest.id) != base || newest.is_some_and(|newest| newest.to >= to) {
        return Ok(None);
    }
    let first = tx.first(MessageRow::by_position.eq(thread))?.filter(|first| first.order <= to);
    let from = first.ok_or(Error::NoTurns { thread, to })?.order;
    let created = tx.now();
    let row = tx.insert(Summary { thread, from, to, text, author, created })?;
    let kept = list(tx, thread)?;
    for old in kept.iter().take(kept.len().saturating_sub(KEPT)) {
        tx.delete(old.id)?;
    }
    Ok(Some(row))
}

/// Drops the summaries of a thread that cover a turn or one behind it, and returns how many those were. All of them
/// go with turn 0.
///
/// # Errors
/// As [`newest`], and when the store cannot be written.
pub fn forget(tx: &mut Tx, thread: ThreadId, order: u64) -> Result<usize> {
    let covering = tx.scan(Summary::by_end.eq(thread).ge(order))?;
    for summary in &covering {
        tx.delete(summary.id)?;
    }
    Ok(covering.len())
}
