//! The seam below the store: ordered keys and bytes, and nothing with meaning.
//!
//! An engine gives out synchronous [`Session`]s. Indexes, uniqueness, read sets, cursors, own
//! writes and the feed's content are made once, above it; queues, group commit, retries and live
//! queries too. An engine stores what [`Session::apply`] hands it, and answers `get` and `scan`.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use loomwork_core::{Kind, RawId};
use serde::{Deserialize, Serialize};

use crate::codec::Codec;
use crate::error::{Error, Problem, Result};
use crate::live::{Hits, Live};
use crate::reads::Touch;

/// The number of a table, given when the store first meets it and kept for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableNo(pub u32);

/// An index entry's key: the encoded parts, then the row's id, so that every entry is unique.
pub type EntryKey = Arc<[u8]>;

/// A position in the change log. A commit that changes a logged table moves it forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

/// A storage engine: where the rows are.
pub trait Engine: Send + Sync + 'static {
    /// Tells what the engine is and how the store should drive it.
    fn profile(&self) -> Profile;

    /// Makes room for these tables and indexes where there is none yet, empties those that are
    /// to be filled anew, and drops indexes that a table no longer has. Tables that are not named
    /// stay as they are.
    ///
    /// # Errors
    /// When the engine fails.
    fn define(&self, tables: &[Shape]) -> Result<()>;

    /// Takes the handle through which the engine tells this store of other processes' commits. An
    /// engine that is not [shared](Profile::shared) has nothing to tell.
    fn hear_others(&self, others: Others) {
        let _ = others;
    }

    /// Opens a session. Sessions live as long as the store; each is used by one thread at a time.
    ///
    /// # Errors
    /// When the engine fails.
    fn session(&self, role: Role) -> Result<Box<dyn Session>>;
}

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reading snapshots.
    Reader,
    /// Reading and writing.
    Writer,
}

/// How the store should drive an engine.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The engine's name, for messages.
    pub name: &'static str,
    /// How many writer threads run mutations side by side; none where the store is only read.
    pub writers: usize,
    /// How many reader threads run queries side by side.
    pub readers: usize,
    /// How many mutations may share one commit.
    pub batch: usize,
    /// A batch takes no further mutation after this time.
    pub batch_time: Duration,
    /// Whether a transaction may end in [`Stop::Conflict`], so that mutations are kept to run again.
    pub conflicts: bool,
    /// Whether other processes may write to the same store; an unshared store's epoch ends what a
    /// dead process held.
    pub shared: bool,
}

/// Where an engine tells a store what other processes have committed to the same rows.
#[derive(Clone, Debug)]
pub struct Others {
    live: Weak<Live>,
    committed: Arc<AtomicU64>,
}

impl Others {
    pub(crate) fn new(live: &Arc<Live>, committed: Arc<AtomicU64>) -> Self {
        Self { live: Arc::downgrade(live), committed }
    }

    /// Another process has committed: live queries that read what it touched run again. `end` is the
    /// end of the change log after it. The commit has to be visible to new sessions before this.
    ///
    /// Returns whether the store is still open.
    pub fn committed(&self, touched: impl IntoIterator<Item = Touched>, end: Seq) -> bool {
        let Some(live) = self.live.upgrade() else { return false };
        self.committed.fetch_max(end.0, Ordering::AcqRel);
        let mut hits = Hits::new();
        live.publish(touched.into_iter().map(Touch::from).collect(), &mut hits);
        hits.iter().for_each(|watcher| watcher.wake());
        true
    }
}

/// What a commit has touched, old keys and new ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// A row, by its id.
    Row(TableNo, RawId),
    /// An entry of the index with this number.
    Entry(TableNo, usize, EntryKey),
    /// The end of the change log.
    Log,
}

/// What an engine has to know of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The table's number in this store.
    pub table: TableNo,
    /// The table's name.
    pub name: String,
    /// How the text of its ids begins, for what people read.
    pub prefix: &'static str,
    /// Whether bodies are JSON text or bytes.
    pub codec: Codec,
    /// The index by which rows should lie together, if any.
    pub clustered_by: Option<usize>,
    /// The indexes, in the order of their numbers.
    pub indexes: Vec<EngineIndex>,
}

/// What an engine has to know of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineIndex {
    /// The index's name.
    pub name: String,
    /// Whether two entries may not share the bytes before the id. The store checks it too; an
    /// engine with several writers needs a constraint of its own, whose breach is a conflict.
    pub unique: bool,
    /// Whether it may hold entries that are no longer right: it begins empty, and the store fills it.
    pub refill: bool,
}

/// How a transaction ended early.
#[derive(Debug)]
pub enum Stop {
    /// It cannot be put in order with another transaction; nothing was kept, and it may run again.
    Conflict,
    /// The engine failed; nothing was kept.
    Failed(Error),
}

impl Stop {
    /// The engine `engine` failed to do `action`.
    pub fn failed(
        engine: &'static str,
        action: &'static str,
        kind: Kind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Failed(Problem::Engine { engine, action, kind, source: Arc::from(source.into()) }.into())
    }

    /// The stop as the closure gets to see it.
    pub(crate) fn error(&self) -> Error {
        match self {
            Self::Conflict => Problem::Conflict.into(),
            Self::Failed(error) => error.repeated(),
        }
    }
}

/// What an engine's functions return.
pub type Outcome<T> = std::result::Result<T, Stop>;

/// What kind of transaction to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxKind {
    /// Reads one snapshot.
    Read,
    /// Reads and writes as if it were alone.
    Write,
    /// Takes rows by scans that [claim](Scan::claim) them, and writes those. Its other reads are
    /// only a snapshot.
    Claim,
}

/// When a commit is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// As soon as it is in order; power failure may undo the newest ones, never out of order.
    Relaxed,
    /// After it reached stable storage, with all commits before it.
    #[default]
    Durable,
}

/// One connection to an engine. All calls between [`begin`](Session::begin) and
/// [`commit`](Session::commit) or [`rollback`](Session::rollback) see one snapshot and what was
/// applied in it.
///
/// After [`Stop::Conflict`], and after a failed `begin`, `apply` or `commit`, only `rollback` may
/// follow. A read that fails concerns its reader alone; if it has ended the transaction too, the
/// calls that follow have to fail.
pub trait Session: Send {
    /// Begins a transaction.
    ///
    /// # Errors
    /// [`Stop`], as do all of these.
    fn begin(&mut self, kind: TxKind, lane: Lane) -> Outcome<()>;

    /// Shows the row's version and body, if there is such a row; says whether there is.
    ///
    /// # Errors
    /// [`Stop`].
    fn get(&self, table: TableNo, id: RawId, visit: &mut dyn FnMut(u32, &[u8])) -> Outcome<bool>;

    /// Shows the rows of a range in order until `visit` breaks off.
    ///
    /// # Errors
    /// [`Stop`].
    fn scan(&self, scan: &Scan<'_>, visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>) -> Outcome<()>;

    /// Writes one mutation's changes.
    ///
    /// # Errors
    /// [`Stop`].
    fn apply(&mut self, changes: &Changes<'_>) -> Outcome<()>;

    /// Ends the transaction and keeps what was applied. Returns the end of the change log.
    ///
    /// # Errors
    /// [`Stop`].
    fn commit(&mut self) -> Outcome<Seq>;

    /// Ends the transaction and keeps nothing. Without a transaction it does nothing.
    fn rollback(&mut self);

    /// Shows the logged changes behind `after`, in commit order, until `visit` breaks off.
    ///
    /// # Errors
    /// [`Stop`].
    fn log(&self, after: Seq, visit: &mut dyn FnMut(Logged) -> ControlFlow<()>) -> Outcome<()>;

    /// Returns up to where the change log was forgotten, and where it ends.
    ///
    /// The first is read as any row is: a transaction that trims the log meanwhile is in conflict
    /// with one that writes. The end is only a snapshot's, or else every change would be.
    ///
    /// # Errors
    /// [`Stop`].
    fn log_bounds(&self) -> Outcome<(Seq, Seq)>;
}

/// A range to read: the entries from `low` up to but without `high`.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    /// The table.
    pub table: TableNo,
    /// The index by number; without one the range is over the rows' 16 id bytes.
    pub index: Option<usize>,
    /// The first key.
    pub low: &'a [u8],
    /// The key behind the last one.
    pub high: &'a [u8],
    /// Whether to begin at the end.
    pub reverse: bool,
    /// How many entries the reader is likely to take; a hint, the visitor decides.
    pub expect: Option<usize>,
    /// Whether bodies are wanted; without, [`Entry::body`] may be empty.
    pub bodies: bool,
    /// Whether to take the rows, in a transaction of kind [`TxKind::Claim`]: rows that another
    /// claim has visited are skipped, and those visited here are this one's until it ends.
    pub claim: bool,
}

/// A row as a scan shows it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The entry's key; the id's bytes where the scan used no index.
    pub key: &'a [u8],
    /// The row's id.
    pub id: RawId,
    /// The record version that the body was written as.
    pub version: u32,
    /// The encoded record.
    pub body: &'a [u8],
}

/// What one mutation changes.
#[derive(Clone, Copy, Debug)]
pub struct Changes<'a> {
    /// The rows, each once, ordered by table and id.
    pub writes: &'a [Write<'a>],
    /// What the change log has to tell of them.
    pub log: &'a [LogEntry],
    /// The positions that `log` is given are greater than this one, and than all before: those
    /// that a power failure took back are not given again.
    pub log_floor: Seq,
    /// Forget the log up to and with this position.
    pub trim: Option<Seq>,
}

impl Changes<'_> {
    /// What these changes touch: the keys that they add or remove, and those that stay while the
    /// record changes.
    pub fn touched(&self) -> impl Iterator<Item = Touched> + '_ {
        let log = (!self.log.is_empty()).then_some(Touched::Log);
        self.writes.iter().flat_map(Write::touched).chain(log)
    }
}

/// A change of one row.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// The table.
    pub table: TableNo,
    /// The row.
    pub id: RawId,
    /// The keys that it had, by index number; `None` for a new row.
    pub old: Option<&'a [Option<EntryKey>]>,
    /// What it is from now on; `None` deletes it.
    pub new: Option<&'a Stored>,
}

/// An encoded row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The record version that the body was written as.
    pub version: u32,
    /// The encoded record.
    pub body: Vec<u8>,
    /// Its keys by index number; `None` where it is not in the index.
    pub keys: Vec<Option<EntryKey>>,
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// It is new.
    Insert,
    /// It was changed.
    Update,
    /// It is gone.
    Delete,
}

/// A change for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The table.
    pub table: TableNo,
    /// The row.
    pub id: RawId,
    /// What happened to it.
    pub op: Op,
}

/// A change in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its position.
    pub seq: Seq,
    /// The change.
    pub entry: LogEntry,
}

impl<E: Engine + ?Sized> Engine for Arc<E> {
    fn profile(&self) -> Profile {
        (**self).profile()
    }

    fn define(&self, tables: &[Shape]) -> Result<()> {
        (**self).define(tables)
    }

    fn hear_others(&self, others: Others) {
        (**self).hear_others(others);
    }

    fn session(&self, role: Role) -> Result<Box<dyn Session>> {
        (**self).session(role)
    }
}
