//! The one error that crosses a transaction, and the store's own faults.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use loomwork_core::{Fault, Kind, RawId};

use crate::cursor::CursorError;
use crate::key::KeyError;

/// What functions over a transaction return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any [`Fault`] (the store's [`Problem`], a component's error, your own) on its way out of a
/// transaction. [`kind`](Error::kind) says what can be done; [`downcast`](Error::downcast) gives
/// the fault back as its type.
pub struct Error {
    kind: Kind,
    fault: Box<dyn StdError + Send + Sync>,
}

impl Error {
    /// Returns an error of `kind` that is only a message.
    pub fn message(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, fault: message.into().into() }
    }

    /// Returns what the caller can do about it.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the fault if it is an `E`.
    pub fn downcast_ref<E: Fault>(&self) -> Option<&E> {
        self.fault.downcast_ref()
    }

    /// Takes the fault out if it is an `E`.
    ///
    /// # Errors
    /// The error itself, when it holds another fault.
    pub fn downcast<E: Fault>(self) -> Result<E> {
        let kind = self.kind;
        self.fault.downcast().map(|fault| *fault).map_err(|fault| Self { kind, fault })
    }

    /// Returns the same error again, for the next whom it concerns.
    pub(crate) fn repeated(&self) -> Self {
        match self.downcast_ref::<Problem>() {
            Some(Problem::Engine { engine, action, kind, source }) => {
                Problem::Engine { engine, action, kind: *kind, source: source.clone() }.into()
            }
            Some(Problem::Panicked { what, message }) => {
                Problem::Panicked { what, message: message.clone() }.into()
            }
            _ => Self::message(self.kind(), self.to_string()),
        }
    }
}

impl<E: Fault> From<E> for Error {
    fn from(fault: E) -> Self {
        Self { kind: fault.kind(), fault: Box::new(fault) }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What `fn main() -> Result<()>` shows to people.
        write!(f, "{} ({:?}): {:?}", self.fault, self.kind, self.fault)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.fault.source()
    }
}

/// A fault of the store itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A table that the store was not opened with.
    #[error("table `{table}` is not part of this store; add it with `Store::builder(..).tables(..)`")]
    UnknownTable {
        /// The table's name.
        table: &'static str,
    },
    /// A row that is not there.
    #[error("table `{table}` has no row {prefix}_{id}")]
    NotFound {
        /// The table's name.
        table: &'static str,
        /// How the table's ids begin.
        prefix: &'static str,
        /// The id that was asked for.
        id: RawId,
    },
    /// An insert under an id that is taken.
    #[error("table `{table}` already has a row {prefix}_{id}; use `tx.replace` to overwrite it")]
    Exists {
        /// The table's name.
        table: &'static str,
        /// How the table's ids begin.
        prefix: &'static str,
        /// The id that is taken.
        id: RawId,
    },
    /// A second row with the same key in a unique index.
    #[error("unique index `{table}.{index}` already holds {key} in row {prefix}_{id}")]
    Duplicate {
        /// The table's name.
        table: &'static str,
        /// The index's name.
        index: &'static str,
        /// The key, as a person would write it.
        key: String,
        /// How the table's ids begin.
        prefix: &'static str,
        /// The row that holds the key.
        id: RawId,
    },
    /// A record above [`MAX_RECORD_BYTES`](crate::MAX_RECORD_BYTES).
    #[error(
        "a record of table `{table}` takes {bytes} bytes; the limit is {limit}, larger data belongs in files"
    )]
    RecordTooLarge {
        /// The table's name.
        table: &'static str,
        /// What the record takes.
        bytes: usize,
        /// What it may take.
        limit: usize,
    },
    /// A key above [`MAX_KEY_BYTES`](crate::MAX_KEY_BYTES).
    #[error(
        "a key of index `{table}.{index}` takes {bytes} bytes; the limit is {limit}, index a shorter value such as a hash"
    )]
    KeyTooLarge {
        /// The table's name.
        table: &'static str,
        /// The index's name.
        index: &'static str,
        /// What the key takes.
        bytes: usize,
        /// What it may take.
        limit: usize,
    },
    /// A value that cannot be part of a key.
    #[error("a value does not fit index `{table}.{index}`")]
    BadKey {
        /// The table's name.
        table: &'static str,
        /// The index's name, or `id`.
        index: &'static str,
        /// What is wrong with it.
        source: KeyError,
    },
    /// A record that its codec cannot write.
    #[error("a record of table `{table}` cannot be encoded: {reason}")]
    Unencodable {
        /// The table's name.
        table: &'static str,
        /// What the codec says.
        reason: String,
    },
    /// A stored row that cannot be read back.
    #[error("row {prefix}_{id} of table `{table}`, written as version {version}, cannot be read: {reason}")]
    Unreadable {
        /// The table's name.
        table: &'static str,
        /// How the table's ids begin.
        prefix: &'static str,
        /// The row.
        id: RawId,
        /// The record version it was written as.
        version: u32,
        /// What the codec or the upgrade says.
        reason: String,
    },
    /// A record version for which the table has no upgrade.
    #[error(
        "table `{table}` has no upgrade from record version {from} to {to}; name one with `#[table(upgrade = ..)]`"
    )]
    NoUpgrade {
        /// The table's name.
        table: &'static str,
        /// The version found.
        from: u32,
        /// The version of the code.
        to: u32,
    },
    /// A store that a newer program has written.
    #[error(
        "{what} is of version {found}, this program knows {known}; open the store with the newer program"
    )]
    Newer {
        /// The table, index or store format.
        what: String,
        /// The version found.
        found: u32,
        /// The version of the code.
        known: u32,
    },
    /// Tables that cannot be put in one store.
    #[error("the tables given to the store do not fit together: {0}")]
    BadSchema(String),
    /// A cursor that cannot continue this query.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// A closure that panicked; nothing that it wrote was kept.
    #[error("a {what} panicked: {message}")]
    Panicked {
        /// What was running: a mutation, a query, a nested scope.
        what: &'static str,
        /// The panic's message.
        message: String,
    },
    /// A mutation that never ran, because its deadline passed first.
    #[error("the mutation waited past its deadline and was not run")]
    DeadlinePassed,
    /// A mutation of a store that was opened for reading.
    #[error("the store was opened for reading only; mutations belong in the process that owns it")]
    ReadOnly,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The engine found that the transaction cannot be put in order with others; it runs again.
    #[error("the transaction conflicts with another one")]
    Conflict,
    /// Work that conflicted too often.
    #[error(
        "the {what} conflicted with others {attempts} times in a row and was given up; nothing was written"
    )]
    GaveUp {
        /// What was running: a mutation, a query, the opening of the store.
        what: &'static str,
        /// How often it was tried.
        attempts: u32,
    },
    /// The engine failed.
    #[error("the {engine} engine failed to {action}")]
    Engine {
        /// The engine's name.
        engine: &'static str,
        /// What it was doing.
        action: &'static str,
        /// Whether trying again may help.
        kind: Kind,
        /// What it says; shared by all whom one failure concerns.
        source: Arc<dyn StdError + Send + Sync>,
    },
}

impl Fault for Problem {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownTable { .. }
            | Self::RecordTooLarge { .. }
            | Self::KeyTooLarge { .. }
            | Self::BadKey { .. }
            | Self::Unencodable { .. }
            | Self::NoUpgrade { .. }
            | Self::BadSchema(_)
            | Self::Cursor(_) => Kind::Invalid,
            Self::NotFound { .. } => Kind::NotFound,
            Self::Exists { .. } | Self::Duplicate { .. } | Self::Newer { .. } => Kind::Invalid,
            Self::Unreadable { .. } => Kind::Corrupt,
            Self::Panicked { .. } => Kind::Internal,
            Self::DeadlinePassed => Kind::Cancelled,
            Self::ReadOnly => Kind::Denied,
            Self::Closed => Kind::Unavailable,
            Self::Conflict | Self::GaveUp { .. } => Kind::Conflict,
            Self::Engine { kind, .. } => *kind,
        }
    }
}

/// The most characters of a text from outside that an error shows.
const SHOWN: usize = 80;

/// How a text from outside begins, which may be of any length.
pub(crate) fn beginning(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
