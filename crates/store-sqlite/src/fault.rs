//! What SQLite says, as what the caller can do.

use std::path::{Path, PathBuf};

use loomwork_core::{Fault, Kind};
use loomwork_store::engine::Stop;
use loomwork_store::{Error, Problem};
use rusqlite::ffi::ErrorCode;

pub(crate) const NAME: &str = "sqlite";

/// Why a file could not be opened as a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqliteError {
    /// Another process, or another handle of this one, has the file open for writing.
    #[error("{path} is open for writing by {holder}; close it there, or open it with `Sqlite::read_only`", path = .path.display())]
    Held {
        /// The file.
        path: PathBuf,
        /// Who has it, as that process wrote down.
        holder: String,
    },
    /// The lock beside the file cannot be taken.
    #[error("the lock file {path} cannot be used; the folder must be writable, or open the store with `Sqlite::read_only`", path = .path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The options ask for pages of a size that SQLite does not have.
    #[error("pages of {bytes} bytes are not possible; take a power of two from 512 to 65,536")]
    PageSize {
        /// The size asked for.
        bytes: u32,
    },
    /// A file that is not there, or is still empty, was to be opened for reading.
    #[error("{path} holds no store yet; a store is made by opening it for writing", path = .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file that SQLite does not know as its own.
    #[error("{path} is not a SQLite database; name a store's file, or one that is not there yet", path = .path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// A database that another program made. It was not changed.
    #[error("{path} is another program's SQLite database; a store needs a file of its own", path = .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A file that SQLite cannot open: damaged, cut short, or refused by the system.
    #[error("{path} cannot be opened as a SQLite database", path = .path.display())]
    Unopenable {
        /// The file.
        path: PathBuf,
        /// What can be done about it.
        kind: Kind,
        /// What SQLite says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A backup was to overwrite something.
    #[error("{path} exists already; a backup never overwrites", path = .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The backup could not be written.
    #[error("the backup {path} could not be written", path = .path.display())]
    Backup {
        /// The file.
        path: PathBuf,
        /// What can be done about it.
        kind: Kind,
        /// What SQLite or the system says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Fault for SqliteError {
    fn kind(&self) -> Kind {
        match self {
            Self::Held { .. } => Kind::Unavailable,
            Self::Lock { .. } => Kind::Denied,
            Self::Missing { .. } => Kind::NotFound,
            Self::NotADatabase { .. } => Kind::Corrupt,
            Self::Unopenable { kind, .. } | Self::Backup { kind, .. } => *kind,
            Self::Exists { .. } | Self::Foreign { .. } | Self::PageSize { .. } => Kind::Invalid,
        }
    }
}

/// SQLite failed to open the file at `path`.
pub(crate) fn unopenable(path: &Path) -> impl FnOnce(rusqlite::Error) -> SqliteError {
    let path = path.to_owned();
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => SqliteError::NotADatabase { path },
        _ => SqliteError::Unopenable { path, kind: kind_of(&error), source: error.into() },
    }
}

/// SQLite failed at `action`, in a transaction.
pub(crate) fn stop(action: &'static str) -> impl FnOnce(rusqlite::Error) -> Stop {
    move |error| {
        let kind = kind_of(&error);
        Stop::failed(NAME, action, kind, error)
    }
}

/// SQLite failed at `action`, outside of one.
pub(crate) fn failed(action: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
    move |error| {
        let kind = kind_of(&error);
        Problem::Engine { engine: NAME, action, kind, source: std::sync::Arc::new(error) }.into()
    }
}

pub(crate) fn kind_of(error: &rusqlite::Error) -> Kind {
    let Some(code) = error.sqlite_error_code() else {
        return match error {
            // Columns are typed, and rows that are not optional there since the file was made.
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::QueryReturnedNoRows
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::Utf8Error(..) => Kind::Corrupt,
            _ => Kind::Internal,
        };
    };
    match code {
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Kind::Corrupt,
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
            Kind::Denied
        }
        ErrorCode::DiskFull
        | ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen => Kind::Unavailable,
        _ => Kind::Internal,
    }
}
