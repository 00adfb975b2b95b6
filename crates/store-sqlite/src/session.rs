//! A connection to the file.

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::Arc;

use loomwork_core::RawId;
use loomwork_store::engine::{
    Changes, Entry, EntryKey, Lane, LogEntry, Logged, Op, Outcome, Scan, Seq, Session, Stop, Stored, TableNo,
    TxKind, Write,
};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _};

use crate::checkpoint::Commits;
use crate::fault::{NAME, stop};
use crate::sql::{self, Statements, TableSql};
use crate::sqlite::{Seat, Sqlite};

pub(crate) struct SqliteSession {
    connection: Connection,
    statements: Arc<Statements>,
    /// Told of every commit; a reader has none to tell of.
    commits: Option<Arc<Commits>>,
    lane: Lane,
    /// The end of the change log, once this transaction has asked for it. Only the writer moves it,
    /// so to the writer it holds for its next transactions too.
    log_end: Option<u64>,
    /// This transaction has written something.
    wrote: bool,
    /// A relaxed commit may not be on stable storage yet. Those of a process before this are: the
    /// opening's own commits were durable.
    unsynced: bool,
    /// The tables as a file that is only read had them; its owner may change them.
    schema: Option<i64>,
    /// Keeps the file held while it is in use; dropped after the connection.
    _file: Sqlite,
    /// The one place of a writer, where this is one.
    _seat: Option<Seat>,
}

impl SqliteSession {
    pub(crate) fn new(
        connection: Connection,
        statements: Arc<Statements>,
        commits: Option<Arc<Commits>>,
        file: Sqlite,
        seat: Option<Seat>,
    ) -> rusqlite::Result<Self> {
        let schema = if file.is_read_only() { Some(schema_version(&connection)?) } else { None };
        Ok(Self {
            connection,
            statements,
            commits,
            // The connection begins at FULL.
            lane: Lane::Durable,
            log_end: None,
            wrote: false,
            unsynced: false,
            schema,
            _file: file,
            _seat: seat,
        })
    }

    fn sql(&self, table: TableNo) -> &TableSql {
        self.statements.get(&table).expect("the store reads only tables that it has defined")
    }

    fn prepared(&self, text: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.connection.prepare_cached(text)
    }

    /// Syncing is a setting of the connection that cannot change inside a transaction.
    fn set_lane(&mut self, lane: Lane) -> rusqlite::Result<()> {
        if self.lane != lane {
            let level = match lane {
                Lane::Durable => "FULL",
                Lane::Relaxed => "NORMAL",
            };
            self.connection.pragma_update(None, "synchronous", level)?;
            self.lane = lane;
        }
        Ok(())
    }

    fn write(&self, write: &Write<'_>) -> Outcome<()> {
        let sql = self.sql(write.table);
        let id = write.id;
        let changed = match (write.old, write.new) {
            (None, Some(stored)) => self.execute(&sql.insert, sql, id, stored, stored.keys.iter()),
            (Some(old), Some(stored)) => {
                let moved = || (0..stored.keys.len()).filter(|at| old[*at] != stored.keys[*at]);
                let update = sql.update(moved().fold(0, |mask, at| mask | 1 << at));
                self.execute(&update, sql, id, stored, moved().map(|at| &stored.keys[at]))
            }
            (_, None) => self.prepared(&sql.delete).and_then(|mut delete| delete.execute([id.as_bytes()])),
        };
        match changed.map_err(stop("write a row"))? {
            1 => Ok(()),
            _ => Err(Stop::failed(
                NAME,
                "write a row",
                loomwork_core::Kind::Corrupt,
                format!("row {id} of {} is not there, though it was read before", sql.table()),
            )),
        }
    }

    /// Runs a statement that takes a row and keys of it.
    fn execute<'a>(
        &self,
        text: &str,
        sql: &TableSql,
        id: RawId,
        stored: &'a Stored,
        keys: impl Iterator<Item = &'a Option<EntryKey>>,
    ) -> rusqlite::Result<usize> {
        let body = if sql.is_text() { ValueRef::Text(&stored.body) } else { ValueRef::Blob(&stored.body) };
        let row = [ValueRef::Blob(id.as_bytes()), ValueRef::Integer(stored.version.into()), body];
        let keys = keys.map(|key| key.as_deref().map_or(ValueRef::Null, ValueRef::Blob));
        let values = row.into_iter().chain(keys).map(ToSqlOutput::Borrowed);
        self.prepared(text)?.execute(rusqlite::params_from_iter(values))
    }

    /// A read that failed badly has ended the transaction; what followed would stand alone.
    fn check_running(&self) -> Outcome<()> {
        if !self.connection.is_autocommit() {
            return Ok(());
        }
        let ended = "a failed read has ended the transaction";
        Err(Stop::failed(NAME, "go on", loomwork_core::Kind::Unavailable, ended))
    }

    fn log_end(&mut self) -> Outcome<u64> {
        if self.log_end.is_none() {
            let (_, Seq(end)) = self.log_bounds()?;
            self.log_end = Some(end);
        }
        Ok(self.log_end.unwrap_or_default())
    }

    fn append_log(&mut self, entries: &[LogEntry], Seq(floor): Seq) -> Outcome<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut end = self.log_end()?.max(floor);
        let mut append = self.connection.prepare_cached(sql::LOG_APPEND).map_err(stop("log a change"))?;
        for entry in entries {
            end += 1;
            append
                .execute((end, entry.table.0, entry.id.as_bytes(), op_number(entry.op)))
                .map_err(stop("log a change"))?;
        }
        drop(append);
        self.log_end = Some(end);
        Ok(())
    }

    fn trim_log(&mut self, Seq(trim): Seq) -> Outcome<()> {
        let end = self.log_end()?;
        let (Seq(trimmed), _) = self.log_bounds()?;
        let trim = trim.min(end).max(trimmed);
        let trim_both = || {
            self.prepared(sql::LOG_SET_TRIMMED)?.execute([trim])?;
            self.prepared(sql::LOG_TRIM)?.execute([trim])
        };
        trim_both().map(|_| ()).map_err(stop("trim the change log"))
    }

    fn scan_rows(
        &self,
        scan: &Scan<'_>,
        visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> rusqlite::Result<()> {
        let text = self.sql(scan.table).scan(scan.index, scan.reverse, scan.bodies);
        let mut statement = self.prepared(text)?;
        let mut rows = statement.query((scan.low, scan.high))?;
        while let Some(row) = rows.next()? {
            let key = bytes(row.get_ref(0)?)?;
            let (version, body) =
                if scan.bodies { (row.get(1)?, bytes(row.get_ref(2)?)?) } else { (0, [].as_slice()) };
            let id = id_at_end(key)?;
            if visit(Entry { key, id, version, body }).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Changes whenever tables or indexes are made, dropped or filled anew.
fn schema_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA schema_version")?.query_row([], |row| row.get(0))
}

fn bytes(value: ValueRef<'_>) -> rusqlite::Result<&[u8]> {
    value.as_bytes().map_err(|_| damaged("a column holds no bytes"))
}

/// A key ends with the id of its row.
fn id_at_end(key: &[u8]) -> rusqlite::Result<RawId> {
    key.last_chunk().map(|id| RawId::from_bytes(*id)).ok_or_else(|| damaged("a key is shorter than an id"))
}

fn damaged(what: &str) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    rusqlite::Error::SqliteFailure(code, Some(what.to_owned()))
}

fn op_number(op: Op) -> u8 {
    match op {
        Op::Insert => 0,
        Op::Update => 1,
        Op::Delete => 2,
    }
}

fn op_of(number: u8) -> rusqlite::Result<Op> {
    match number {
        0 => Ok(Op::Insert),
        1 => Ok(Op::Update),
        2 => Ok(Op::Delete),
        _ => Err(damaged("the change log tells of no known change")),
    }
}

impl Session for SqliteSession {
    fn begin(&mut self, kind: TxKind, lane: Lane) -> Outcome<()> {
        let begin = match kind {
            TxKind::Read => {
                self.log_end = None;
                "BEGIN"
            }
            // There is one writer, so a claim is a mutation like any other.
            TxKind::Write | TxKind::Claim => {
                self.set_lane(lane).map_err(stop("change the durability"))?;
                "BEGIN IMMEDIATE"
            }
        };
        self.wrote = false;
        self.prepared(begin).and_then(|mut begin| begin.execute([])).map_err(stop("begin a transaction"))?;
        let Some(schema) = self.schema else { return Ok(()) };
        if schema_version(&self.connection).map_err(stop("look at the tables"))? == schema {
            return Ok(());
        }
        let changed = "the process that owns the file has changed its tables since; open the store again";
        Err(Stop::failed(NAME, "read the file", loomwork_core::Kind::Unavailable, changed))
    }

    fn get(&self, table: TableNo, id: RawId, visit: &mut dyn FnMut(u32, &[u8])) -> Outcome<bool> {
        let mut read = || {
            let mut statement = self.prepared(&self.sql(table).get)?;
            let shown = statement.query_row([id.as_bytes()], |row| {
                visit(row.get(0)?, bytes(row.get_ref(1)?)?);
                Ok(())
            });
            Ok(shown.optional()?.is_some())
        };
        read().map_err(stop("read a row"))
    }

    fn scan(&self, scan: &Scan<'_>, visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>) -> Outcome<()> {
        self.scan_rows(scan, visit).map_err(stop("read a range"))
    }

    fn apply(&mut self, changes: &Changes<'_>) -> Outcome<()> {
        self.check_running()?;
        self.wrote = true;
        changes.writes.iter().try_for_each(|write| self.write(write))?;
        self.append_log(changes.log, changes.log_floor)?;
        changes.trim.map_or(Ok(()), |trim| self.trim_log(trim))
    }

    fn commit(&mut self) -> Outcome<Seq> {
        self.check_running()?;
        let end = self.log_end()?;
        if self.lane == Lane::Durable && self.unsynced {
            // Its answer may tell of relaxed commits, and SQLite syncs only what changes a page. A
            // write does not always do that: it may put back the bytes that are there.
            self.prepared(sql::SYNC).and_then(|mut touch| touch.execute([])).map_err(stop("commit"))?;
        }
        self.prepared("COMMIT").and_then(|mut commit| commit.execute([])).map_err(stop("commit"))?;
        self.unsynced = self.lane == Lane::Relaxed && (self.unsynced || self.wrote);
        if let Some(commits) = &self.commits {
            commits.after_commit(&self.connection);
        }
        Ok(Seq(end))
    }

    fn rollback(&mut self) {
        self.log_end = None;
        // A failed COMMIT or a full disk may have rolled back already.
        if !self.connection.is_autocommit()
            && let Err(error) = self.prepared("ROLLBACK").and_then(|mut rollback| rollback.execute([]))
        {
            tracing::error!(%error, "failed to roll back");
        }
    }

    fn log(&self, after: Seq, visit: &mut dyn FnMut(Logged) -> ControlFlow<()>) -> Outcome<()> {
        let mut read = || {
            let mut statement = self.prepared(sql::LOG)?;
            let mut rows = statement.query([after.0])?;
            while let Some(row) = rows.next()? {
                let entry = LogEntry {
                    table: TableNo(row.get(1)?),
                    id: id_at_end(bytes(row.get_ref(2)?)?)?,
                    op: op_of(row.get(3)?)?,
                };
                if visit(Logged { seq: Seq(row.get(0)?), entry }).is_break() {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(stop("read the change log"))
    }

    fn log_bounds(&self) -> Outcome<(Seq, Seq)> {
        let read = || {
            let trimmed = self.prepared(sql::LOG_TRIMMED)?.query_row([], |row| row.get::<_, u64>(0))?;
            let last = self.prepared(sql::LOG_LAST)?.query_row([], |row| row.get::<_, Option<u64>>(0))?;
            Ok((Seq(trimmed), Seq(last.unwrap_or(trimmed))))
        };
        read().map_err(stop("read the change log"))
    }
}
