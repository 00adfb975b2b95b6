//! The change feed: which rows of the logged tables changed, in commit order.
//!
//! A consumer has a name and a durable position. The log is kept behind the slowest consumer and
//! forgotten before it. Read it live by following it:
//!
//! ```
//! # use loomwork_store::{feed, Store};
//! # async fn example(store: Store) -> loomwork_store::Result<()> {
//! let start = store.mutate(|tx| feed::subscribe(tx, "search")).await?;
//! let mut changes = store.follow(start, |tx, at| {
//!     let changes = feed::changes(tx, *at, 500)?;
//!     let end = changes.last().map_or(*at, |change| change.seq);
//!     Ok((changes, end))
//! });
//! while let Some(batch) = changes.next().await {
//!     let end = batch?.last().map(|change| change.seq);
//!     // ... bring what is derived up to date, then:
//!     if let Some(end) = end {
//!         store.mutate(move |tx| feed::advance(tx, "search", end)).await?;
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! Who keeps a position outside the store compares it, when it begins, with
//! [`Store::committed`](crate::Store::committed), and the store with [`Store::id`](crate::Store::id).
//! A position beyond the end is that of a state which the store no longer has: a power failure took
//! relaxed commits back, or an older copy was put in place. Build anew from the rows then. Positions
//! are never given twice, so what comes later is told in any case.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use loomwork_core::{Fault, Kind, RawId};
use loomwork_macros::Table;
use serde::{Deserialize, Serialize};

use crate::engine::{Op, Seq};
use crate::error::Result;
use crate::id::Id;
use crate::table::{Row, Table};
use crate::tx::Tx;
use crate::upkeep::{Next, Upkeep};

/// How many changes of the log one mutation forgets at most, so that none takes long.
pub const TRIM_STEP: usize = 10_000;

/// How often the log is emptied while it has no consumer.
pub const TRIM_PAUSE: Duration = Duration::from_secs(60);

/// A change of a row of a logged table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its position.
    pub seq: Seq,
    /// The table's name.
    pub table: Arc<str>,
    /// The row.
    pub id: RawId,
    /// What happened to it. The row as it is now is a `get` away; it may have changed again.
    pub op: Op,
}

impl Change {
    /// Returns the row's id if it is one of `T`.
    pub fn of<T: Table>(&self) -> Option<Id<T>> {
        (*self.table == *T::NAME).then(|| Id::from_raw(self.id))
    }
}

/// What the feed refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log no longer reaches back so far.
    #[error("the change log was forgotten up to {trimmed}, behind the asked {asked}; rebuild from the rows and subscribe again", trimmed = .trimmed.0, asked = .asked.0)]
    Trimmed {
        /// Where reading was to begin.
        asked: Seq,
        /// Up to where the log is gone.
        trimmed: Seq,
    },
    /// A position that the log has not reached.
    #[error("position {asked} is behind the end of the change log, {end}; advance to the position of a change", asked = .asked.0, end = .end.0)]
    BeyondEnd {
        /// Where the consumer was to be.
        asked: Seq,
        /// Where the log ends.
        end: Seq,
    },
    /// A consumer that did not subscribe.
    #[error("the change feed has no consumer {name:?}; call `feed::subscribe` first")]
    UnknownConsumer {
        /// The name that was given.
        name: String,
    },
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Trimmed { .. } | Self::UnknownConsumer { .. } => Kind::NotFound,
            Self::BeyondEnd { .. } => Kind::Invalid,
        }
    }
}

/// A consumer of the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[table(name = "loomwork_consumers", id = "consumer")]
#[index(unique by_name(name))]
pub(crate) struct Consumer {
    name: String,
    position: Seq,
}

/// Adds a consumer at the end of the log and returns its position; one that exists keeps its own.
///
/// A consumer that has to know all rows subscribes first, then reads the table, then follows.
///
/// # Errors
/// When the store cannot be read or written, as for all functions here.
pub fn subscribe(tx: &mut Tx, name: &str) -> Result<Seq> {
    if let Some(consumer) = find(tx, name)? {
        return Ok(consumer.position);
    }
    let (_, position) = tx.log_bounds()?;
    tx.insert(Consumer { name: name.to_owned(), position })?;
    Ok(position)
}

/// Removes a consumer; the log no longer waits for it.
///
/// # Errors
/// As [`subscribe`].
pub fn unsubscribe(tx: &mut Tx, name: &str) -> Result<()> {
    if let Some(consumer) = find(tx, name)? {
        tx.delete(consumer.id)?;
    }
    Ok(())
}

/// Returns up to where a consumer has worked the feed off.
///
/// # Errors
/// [`Error::UnknownConsumer`].
pub fn position(tx: &Tx, name: &str) -> Result<Seq> {
    Ok(require(tx, name)?.position)
}

/// Moves a consumer's position forward: it will not ask for anything up to `seq` again. A
/// position behind the present one changes nothing.
///
/// # Errors
/// [`Error::UnknownConsumer`]; [`Error::BeyondEnd`] for a position that no change has yet.
pub fn advance(tx: &mut Tx, name: &str, seq: Seq) -> Result<()> {
    let consumer = require(tx, name)?;
    let (_, end) = tx.log_bounds()?;
    if seq > end {
        return Err(Error::BeyondEnd { asked: seq, end }.into());
    }
    if seq > consumer.position {
        tx.update(consumer.id, |consumer| consumer.position = seq)?;
    }
    Ok(())
}

/// Returns the changes behind `after`, `limit` at most.
///
/// # Errors
/// [`Error::Trimmed`] when the log no longer reaches back so far.
pub fn changes(tx: &Tx, after: Seq, limit: usize) -> Result<Vec<Change>> {
    let (trimmed, _) = tx.log_bounds()?;
    if after < trimmed {
        return Err(Error::Trimmed { asked: after, trimmed }.into());
    }
    let mut changes = Vec::new();
    tx.log(after, &mut |logged| {
        if changes.len() == limit {
            return ControlFlow::Break(());
        }
        let table = tx.tables().name(logged.entry.table).cloned();
        // A table that another program has added since this one was opened has no name here.
        let table = table.unwrap_or_else(|| format!("table {}", logged.entry.table.0).into());
        changes.push(Change { seq: logged.seq, table, id: logged.entry.id, op: logged.entry.op });
        ControlFlow::Continue(())
    })?;
    Ok(changes)
}

/// The upkeep that forgets the log behind its slowest consumer, and all of it while there is none.
pub fn upkeep() -> Upkeep {
    Upkeep::new("feed.trim", |tx| {
        let consumers = tx.scan(Consumer::all())?;
        let (trimmed, end) = tx.log_bounds()?;
        let slowest = consumers.iter().map(|consumer| consumer.position).min();
        let wanted = slowest.unwrap_or(end).min(end);
        let to = tx.log_step(trimmed, TRIM_STEP)?.map_or(wanted, |step| step.min(wanted));
        if to > trimmed {
            tx.trim_log(to);
        }
        Ok(match slowest {
            _ if to < wanted => Next::More,
            Some(_) => Next::Idle,
            None => Next::At(tx.now() + TRIM_PAUSE),
        })
    })
}

fn find(tx: &Tx, name: &str) -> Result<Option<Row<Consumer>>> {
    tx.first(Consumer::by_name.eq(name))
}

fn require(tx: &Tx, name: &str) -> Result<Row<Consumer>> {
    find(tx, name)?.ok_or_else(|| Error::UnknownConsumer { name: name.to_owned() }.into())
}
