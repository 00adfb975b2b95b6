//! Copies of a running store.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use loomwork_core::{Clock, Ids, Kind, Random, crash_point};
use rusqlite::Connection;
use rusqlite::types::{ToSqlOutput, ValueRef};

use crate::fault::{SqliteError, kind_of};
use crate::private::private;
use crate::sql::table_name;
use crate::sqlite::folder_of;

/// The table whose one row's id is the store's.
const IDENTITY: &str = "loomwork_store";

/// Copies the store behind `source`, as it is at one moment, to the new file `to`, and gives the
/// copy an id of its own: what was derived from the original does not fit it.
///
/// The copy appears under its name when it is whole and on stable storage.
pub(crate) fn backup(source: &Connection, to: &Path) -> Result<(), SqliteError> {
    if to.exists() {
        return Err(SqliteError::Exists { path: to.to_owned() });
    }
    let unfinished = unfinished(to);
    let refused = |Failed { kind, source }| SqliteError::Backup { path: to.to_owned(), kind, source };
    if source.path().is_some_and(|source| Path::new(source) == unfinished) {
        return Err(SqliteError::Exists { path: unfinished });
    }
    let held = hold(&unfinished).map_err(refused)?;
    // One that was under way may have been finished since, and given its name.
    if to.exists() {
        let _ = std::fs::remove_file(&unfinished);
        return Err(SqliteError::Exists { path: to.to_owned() });
    }
    let copied = copy(source, &unfinished, &held).and_then(|()| publish(&unfinished, to));
    copied.map_err(|failed| {
        // Nobody wants half a copy, least of all on a disk that is full.
        let _ = std::fs::remove_file(&unfinished);
        refused(failed)
    })
}

/// Why a step failed.
struct Failed {
    kind: Kind,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self { kind: Kind::Unavailable, source: error.into() }
    }
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self { kind: kind_of(&error), source: error.into() }
    }
}

/// Makes the file of the copy and keeps other backups of the same name from it. It is closed last:
/// closing it would free SQLite's own locks on the file.
fn hold(unfinished: &Path) -> Result<File, Failed> {
    loop {
        let file = private().create(true).truncate(false).write(true).open(unfinished)?;
        match file.try_lock() {
            // Another backup may have renamed or removed the file before it let go of it.
            Ok(()) if !is_at(&file, unfinished)? => {}
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                let source = "another backup to the same file is under way".into();
                return Err(Failed { kind: Kind::Unavailable, source });
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

/// Whether `path` still leads to this open file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    match path.metadata() {
        Ok(found) => {
            let open = file.metadata()?;
            Ok((found.dev(), found.ino()) == (open.dev(), open.ino()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Elsewhere a file that is open keeps its name.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> std::io::Result<bool> {
    Ok(true)
}

/// Writes the copy in place of one that was not finished.
fn copy(source: &Connection, unfinished: &Path, held: &File) -> Result<(), Failed> {
    // SQLite takes an empty file for a new one.
    held.set_len(0)?;
    let name = ValueRef::Text(unfinished.as_os_str().as_encoded_bytes());
    source.execute("VACUUM INTO ?1", [ToSqlOutput::Borrowed(name)])?;
    crash_point("backup.copied");
    give_new_id(unfinished)?;
    Ok(File::open(unfinished)?.sync_all()?)
}

fn give_new_id(path: &Path) -> rusqlite::Result<()> {
    let copy = Connection::open(path)?;
    // Half a copy is thrown away, not rolled back.
    copy.pragma_update(None, "journal_mode", "MEMORY")?;
    let id = Ids::new(Clock::system(), Random::system()).next();
    copy.execute(&format!("UPDATE \"{}\" SET id = ?1", table_name(IDENTITY)), [id.as_bytes()])?;
    copy.close().map_err(|(_, error)| error)
}

/// Gives the copy its name.
fn publish(unfinished: &Path, to: &Path) -> Result<(), Failed> {
    crash_point("backup.synced");
    std::fs::rename(unfinished, to)?;
    Ok(File::open(folder_of(to))?.sync_all()?)
}

/// The copy's name until it is whole.
fn unfinished(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".unfinished");
    name.into()
}
