//! The engine: one file, one writer, a pool of snapshot readers.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use loomwork_core::Kind;
use loomwork_store::engine::{Engine, Profile, Role, Session, Shape};
use loomwork_store::{Builder, Result, Store};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::backup;
use crate::checkpoint::{CHECKPOINT_PAGES, Commits, empty_when_idle};
use crate::fault::{NAME, SqliteError, failed, unopenable};
use crate::lock::Lock;
use crate::owner::{self, Found};
use crate::private::make;
use crate::schema;
use crate::session::SqliteSession;
use crate::sql::{Statements, TableSql};

/// How a file is opened.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// How many mutations may share one commit. Default 512.
    pub batch: usize,
    /// A batch takes no further mutation after this time. Default 5 ms.
    pub batch_time: Duration,
    /// How many queries run side by side. Default twice the cores, at least 4.
    pub readers: usize,
    /// The page cache of each connection, in KiB. Default 16 MiB.
    pub cache_kib: u32,
    /// How much of the file is mapped into memory. Default 0: mapping makes warm reads 1.2 to 1.5
    /// times as fast and cold ones many times slower, so it suits only files that fit in memory.
    pub mmap_bytes: u64,
    /// The page size of a new file, a power of two from 512 to 65,536. Default 4 KiB, which writes
    /// the least; larger pages suit clustered tables, whose rows should be under a quarter of one.
    pub page_bytes: u32,
    /// How long to wait for another program's lock on the file. Default 5 s.
    pub busy_timeout: Duration,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            batch: 512,
            batch_time: Duration::from_millis(5),
            readers: (cores * 2).max(4),
            cache_kib: 16 * 1024,
            mmap_bytes: 0,
            page_bytes: 4096,
            busy_timeout: Duration::from_secs(5),
        }
    }
}

/// A store's file, held by this process. Clones are handles of the same.
#[derive(Clone, Debug)]
pub struct Sqlite {
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    path: PathBuf,
    options: SqliteOptions,
    /// `None` when the file is only read.
    writing: Option<Writing>,
    statements: Mutex<Arc<Statements>>,
}

#[derive(Debug)]
struct Writing {
    commits: Arc<Commits>,
    /// Whether there is a writing session; there is one at a time, also among clones.
    has_writer: AtomicBool,
    checkpoints: Mutex<Option<JoinHandle<()>>>,
    /// Freed last: nothing of this process writes after it.
    _lock: Lock,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.commits.close();
        let thread = self.checkpoints.get_mut().ok().and_then(Option::take);
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the checkpoint thread panicked");
        }
    }
}

impl Sqlite {
    /// Opens a file for reading and writing, and makes it if it is not there.
    ///
    /// # Errors
    /// [`SqliteError::Held`] while another process writes to it; [`SqliteError::NotADatabase`],
    /// [`SqliteError::Foreign`] and [`Problem::Newer`](loomwork_store::Problem::Newer), which leave
    /// the file as it is, when it is not a store's or that of a newer program;
    /// [`SqliteError::Unopenable`] of kind `Corrupt` when it is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, SqliteOptions::default())
    }

    /// As [`open`](Self::open), with options.
    ///
    /// # Errors
    /// [`SqliteError::PageSize`] when there are no such pages; else as [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self> {
        let path = resolved(path.as_ref());
        check(&options)?;
        let lock = Lock::take(&path)?;
        owner::look(&path, &options, Role::Writer)?;
        make(&path).map_err(|source| SqliteError::Unopenable {
            path: path.clone(),
            kind: Kind::Unavailable,
            source: source.into(),
        })?;
        let first = connect(&path, &options, Role::Writer)?;
        let commits = Arc::new(Commits::new(&path, options.busy_timeout));
        let watched = commits.clone();
        let thread = std::thread::Builder::new()
            .name("loomwork-checkpoint".to_owned())
            .spawn(move || empty_when_idle(&watched, &first))
            .map_err(|source| SqliteError::Unopenable {
                path: path.clone(),
                kind: Kind::Unavailable,
                source: source.into(),
            })?;
        let writing = Writing {
            commits,
            has_writer: AtomicBool::new(false),
            checkpoints: Mutex::new(Some(thread)),
            _lock: lock,
        };
        Ok(Self {
            held: Arc::new(Held { path, options, writing: Some(writing), statements: Mutex::default() }),
        })
    }

    /// Opens a file for reading only, also beside the process that writes to it.
    ///
    /// The store over it refuses mutations, and its live queries deliver only their first result:
    /// SQLite does not tell of other processes' commits.
    ///
    /// # Errors
    /// [`SqliteError::Missing`] when there is no such file; else as [`open`](Self::open).
    pub fn read_only(path: impl AsRef<Path>) -> Result<Self> {
        let (path, options) = (resolved(path.as_ref()), SqliteOptions::default());
        if owner::look(&path, &options, Role::Reader)? == Found::Nothing {
            return Err(SqliteError::Missing { path }.into());
        }
        Ok(Self { held: Arc::new(Held { path, options, writing: None, statements: Mutex::default() }) })
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.held.path
    }

    /// Has SQLite read all of its file, and returns what it finds wrong, [`MOST_WRONG`] lines at most. This blocks;
    /// give it a thread (`tokio::task::spawn_blocking`).
    ///
    /// # Errors
    /// When the file cannot be opened or read at all.
    pub fn integrity(&self) -> Result<Vec<String>> {
        let connection = connect(&self.held.path, &self.held.options, Role::Reader)?;
        let read = || {
            let mut asked = connection.prepare(&format!("PRAGMA integrity_check({MOST_WRONG})"))?;
            let mut lines = asked.query([])?;
            let mut wrong = Vec::new();
            loop {
                match lines.next() {
                    Ok(Some(line)) => wrong.push(line.get::<_, String>(0)?),
                    Ok(None) => return Ok(wrong),
                    // What it cannot walk over ends the check, and is the worst that it found.
                    Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
                        wrong.push(error.to_string());
                        return Ok(wrong);
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let mut wrong = read().map_err(failed("check the file"))?;
        wrong.retain(|line| line != "ok");
        Ok(wrong)
    }

    /// Copies the store, as it is at one moment, to a new file, while it is in use. The copy has a
    /// store id of its own. This blocks; give it a thread (`tokio::task::spawn_blocking`).
    ///
    /// # Errors
    /// [`SqliteError::Exists`] when there is such a file, [`SqliteError::Backup`] when it cannot be
    /// written.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<()> {
        let source = connect(&self.held.path, &self.held.options, Role::Reader)?;
        Ok(backup::backup(&source, &resolved(to.as_ref()))?)
    }
}

impl Sqlite {
    /// Opens a connection that knows the tables defined so far.
    pub(crate) fn connected(&self, role: Role) -> Result<SqliteSession> {
        let connection = connect(&self.held.path, &self.held.options, role)?;
        let statements =
            self.held.statements.lock().expect("nothing panics while statements are added").clone();
        let writing = self.held.writing.as_ref().filter(|_| role == Role::Writer);
        let seat = writing.map(|_| Seat::take(&self.held)).transpose()?;
        let commits = writing.map(|writing| writing.commits.clone());
        let session = SqliteSession::new(connection, statements, commits, self.clone(), seat);
        session.map_err(failed("look at the tables"))
    }

    /// Whether another process may own the file.
    pub(crate) fn is_read_only(&self) -> bool {
        self.held.writing.is_none()
    }
}

/// The one place of a writing session; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Held>);

impl Seat {
    fn take(held: &Arc<Held>) -> Result<Self, SqliteError> {
        let is_free =
            held.writing.as_ref().is_some_and(|writing| !writing.has_writer.swap(true, Ordering::AcqRel));
        if is_free {
            return Ok(Self(held.clone()));
        }
        let holder = "another store over the same handle".to_owned();
        Err(SqliteError::Held { path: held.path.clone(), holder })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(writing) = &self.0.writing {
            writing.has_writer.store(false, Ordering::Release);
        }
    }
}

/// `Store::open("app.db")`.
pub trait OpenSqlite {
    /// Begins to open the store in this file, which is made if it is not there.
    ///
    /// # Errors
    /// As [`Sqlite::open`].
    fn open(path: impl AsRef<Path>) -> Result<Builder>;
}

impl OpenSqlite for Store {
    fn open(path: impl AsRef<Path>) -> Result<Builder> {
        Ok(Self::builder(Sqlite::open(path)?))
    }
}

impl Engine for Sqlite {
    fn profile(&self) -> Profile {
        let options = &self.held.options;
        Profile {
            name: NAME,
            writers: usize::from(self.held.writing.is_some()),
            readers: options.readers,
            batch: options.batch,
            batch_time: options.batch_time,
            conflicts: false,
            shared: false,
        }
    }

    fn define(&self, tables: &[Shape]) -> Result<()> {
        if self.held.writing.is_some() {
            let mut connection = connect(&self.held.path, &self.held.options, Role::Writer)?;
            schema::define(&mut connection, tables).map_err(failed("define the tables"))?;
        }
        let mut statements = self.held.statements.lock().expect("nothing panics while statements are added");
        let own = Arc::make_mut(&mut statements);
        own.extend(tables.iter().map(|shape| (shape.table, Arc::new(TableSql::of(shape)))));
        Ok(())
    }

    fn session(&self, role: Role) -> Result<Box<dyn Session>> {
        Ok(Box::new(self.connected(role)?))
    }
}

/// The most lines that [`Sqlite::integrity`] returns.
pub const MOST_WRONG: usize = 100;

/// SQLite ignores a page size that is none.
fn check(options: &SqliteOptions) -> Result<(), SqliteError> {
    let bytes = options.page_bytes;
    if bytes.is_power_of_two() && PAGE_BYTES.contains(&bytes) {
        return Ok(());
    }
    Err(SqliteError::PageSize { bytes })
}

/// The page sizes that SQLite knows, as far as they are powers of two.
const PAGE_BYTES: RangeInclusive<u32> = 512..=65_536;

/// Enough for every statement of a store with some dozens of tables.
const CACHED_STATEMENTS: usize = 1024;

/// How many links in a row are followed to a file that is not there yet.
const MOST_LINKS: usize = 40;

/// The one name of a file that may have several, so that it has one lock and one log.
fn resolved(path: &Path) -> PathBuf {
    if let Ok(whole) = path.canonicalize() {
        return whole;
    }
    // It is not there yet, but a link to it may be.
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = path.read_link() else { break };
        path = folder_of(&path).join(target);
    }
    match (folder_of(&path).canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path,
    }
}

/// The folder that a file is in, or would be.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// On some network file systems SQLite keeps another journal, under which readers block the writer.
fn check_wal(row: &rusqlite::Row<'_>) -> rusqlite::Result<()> {
    if row.get_ref(0)?.as_str()? == "wal" {
        return Ok(());
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
    let what = "the file system allows no write-ahead log; put the file on a local disk";
    Err(rusqlite::Error::SqliteFailure(code, Some(what.to_owned())))
}

fn connect(path: &Path, options: &SqliteOptions, role: Role) -> Result<Connection, SqliteError> {
    let open = || {
        let flags = match role {
            Role::Writer => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
            Role::Reader => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(options.busy_timeout)?;
        connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        if role == Role::Writer {
            // Only a file without pages takes this.
            connection.pragma_update(None, "page_size", options.page_bytes)?;
            connection.pragma_update_and_check(None, "journal_mode", "WAL", check_wal)?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            // On macOS a sync ends in the disk's own cache unless it is asked to go further.
            connection.pragma_update(None, "fullfsync", true)?;
            connection.pragma_update(None, "checkpoint_fullfsync", true)?;
            connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        }
        connection.pragma_update(None, "cache_size", -i64::from(options.cache_kib))?;
        connection.pragma_update(None, "mmap_size", options.mmap_bytes)?;
        // The first look at the file: damage to its beginning is found here.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    };
    open().map_err(unopenable(path))
}
