//! Whose file it is, found out before anything is written to it.

use std::path::Path;

use loomwork_store::engine::Role;
use loomwork_store::{Problem, Result};
use rusqlite::{Connection, OpenFlags, Transaction};

use crate::fault::{SqliteError, unopenable};
use crate::sqlite::SqliteOptions;

/// Marks the file as ours for `file` and for people: "Loom" in ASCII.
const APPLICATION_ID: i32 = 0x4c6f_6f6d;

/// The version of how tables are laid out in the file; a file of a higher one is refused.
const LAYOUT: i32 = 1;

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No file, or a database without anything in it.
    Nothing,
    /// A store.
    Store,
}

/// Looks at a file and refuses one that is no database, or not ours, or too new for us.
pub(crate) fn look(path: &Path, options: &SqliteOptions, role: Role) -> Result<Found> {
    if std::fs::metadata(path).map_or(0, |file| file.len()) == 0 {
        return Ok(Found::Nothing);
    }
    let read = || {
        let flags = match role {
            // It may have to roll back what a killed program left.
            Role::Writer => OpenFlags::SQLITE_OPEN_READ_WRITE,
            Role::Reader => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(options.busy_timeout)?;
        let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
        let entries =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
        Ok((number("application_id")?, number("user_version")?, entries))
    };
    match read().map_err(unopenable(path))? {
        (APPLICATION_ID, layout, _) if layout > LAYOUT => {
            let what = format!("the layout of {}", path.display());
            let [found, known] = [layout, LAYOUT].map(i32::unsigned_abs);
            Err(Problem::Newer { what, found, known }.into())
        }
        (APPLICATION_ID, ..) => Ok(Found::Store),
        // A program that was killed while it made the store leaves this.
        (0, _, 0) => Ok(Found::Nothing),
        _ => Err(SqliteError::Foreign { path: path.to_owned() }.into()),
    }
}

/// Marks the file as ours.
pub(crate) fn sign(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    for (pragma, value) in [("application_id", APPLICATION_ID), ("user_version", LAYOUT)] {
        if tx.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0))? != value {
            tx.pragma_update(None, pragma, value)?;
        }
    }
    Ok(())
}
