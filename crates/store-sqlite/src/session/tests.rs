//! What a connection and a lane mean to SQLite.

use std::ops::ControlFlow;

use loomwork_core::RawId;
use loomwork_store::Codec;
use loomwork_store::engine::{
    Changes, Engine as _, EngineIndex, Entry, EntryKey, Lane, LogEntry, Op, Role, Scan, Seq, Session as _,
    Shape, Stored, TableNo, TxKind, Write,
};
use rusqlite::StatementStatus;

use super::SqliteSession;
use crate::checkpoint::CHECKPOINT_PAGES;
use crate::sql;
use crate::sqlite::{Sqlite, SqliteOptions};

const NORMAL: i64 = 1;
const FULL: i64 = 2;

fn synchronous(session: &SqliteSession) -> i64 {
    session.connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap()
}

#[test]
fn a_lane_sets_what_is_synced() {
    let folder = tempfile::tempdir().unwrap();
    let file = Sqlite::open(folder.path().join("store.db")).unwrap();
    file.define(&[]).unwrap();
    let mut session = file.connected(Role::Writer).unwrap();
    assert_eq!(synchronous(&session), FULL, "before it is told anything");
    let lanes = [Lane::Relaxed, Lane::Durable, Lane::Durable, Lane::Relaxed, Lane::Relaxed, Lane::Durable];
    for (number, lane) in lanes.into_iter().enumerate() {
        let kind = if number % 2 == 0 { TxKind::Write } else { TxKind::Claim };
        session.begin(kind, lane).unwrap();
        let expected = if lane == Lane::Durable { FULL } else { NORMAL };
        assert_eq!(synchronous(&session), expected, "inside transaction {number}");
        if number % 3 == 0 { session.rollback() } else { session.commit().map(drop).unwrap() }
    }
}

#[test]
fn connections_are_set_up_as_documented() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions { cache_kib: 777, ..SqliteOptions::default() };
    let file = Sqlite::open_with(folder.path().join("store.db"), options).unwrap();
    for role in [Role::Writer, Role::Reader] {
        let session = file.connected(role).unwrap();
        let setting = |pragma: &str| {
            session.connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).unwrap()
        };
        assert_eq!(setting("mmap_size"), 0, "nothing is mapped unless it is asked for");
        assert_eq!(setting("cache_size"), -777, "in KiB");
        assert_eq!(setting("busy_timeout"), 5000);
        if role == Role::Writer {
            assert_eq!(setting("wal_autocheckpoint"), i64::from(CHECKPOINT_PAGES));
        } else {
            let written = session.connection.execute_batch("PRAGMA user_version = 3");
            assert!(written.is_err(), "a reader cannot write");
        }
    }
}

#[test]
fn a_durable_commit_syncs_the_relaxed_ones_before_it_although_it_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let file = Sqlite::open(&path).unwrap();
    file.define(&[]).unwrap();
    let mut session = file.connected(Role::Writer).unwrap();
    let log_after = |session: &mut SqliteSession, lane, write: bool| {
        session.begin(TxKind::Write, lane).unwrap();
        if write {
            let log = [LogEntry { table: TableNo(99), id: RawId::from_bytes([7; 16]), op: Op::Insert }];
            let log_floor = Default::default();
            session.apply(&Changes { writes: &[], log: &log, log_floor, trim: None }).unwrap();
        }
        session.commit().unwrap();
        std::fs::metadata(folder.path().join("store.db-wal")).unwrap().len()
    };
    let begun = log_after(&mut session, Lane::Durable, true);
    assert_eq!(log_after(&mut session, Lane::Durable, false), begun, "nothing is left to be synced");
    let relaxed = log_after(&mut session, Lane::Relaxed, true);
    assert!(relaxed > begun);
    let synced = log_after(&mut session, Lane::Durable, false);
    assert!(synced > relaxed, "only what writes is synced");
    assert_eq!(log_after(&mut session, Lane::Durable, false), synced);
}

const TABLE: TableNo = TableNo(20);

fn notes() -> Shape {
    let by_author = EngineIndex { name: "by_author".into(), unique: false, refill: false };
    Shape {
        table: TABLE,
        name: "notes".into(),
        prefix: "note",
        codec: Codec::Json,
        clustered_by: None,
        indexes: vec![by_author],
    }
}

#[test]
fn a_durable_commit_syncs_the_relaxed_ones_before_it_although_it_changes_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let file = Sqlite::open(folder.path().join("store.db")).unwrap();
    file.define(&[notes()]).unwrap();
    let mut session = file.connected(Role::Writer).unwrap();
    let id = RawId::from_bytes([7; 16]);
    let log = || std::fs::metadata(folder.path().join("store.db-wal")).unwrap().len();
    write(&mut session, Lane::Relaxed, id, false);
    let relaxed = log();
    write(&mut session, Lane::Durable, id, true);
    assert!(log() > relaxed, "SQLite leaves pages alone whose content stays, and then syncs nothing");
}

/// Writes the same row `id` every time, over itself if it is there.
fn write(session: &mut SqliteSession, lane: Lane, id: RawId, is_there: bool) {
    let keys: Vec<Option<EntryKey>> = vec![Some([&[1], id.as_bytes().as_slice()].concat().into())];
    let new = Stored { version: 1, body: b"{}".to_vec(), keys: keys.clone() };
    let writes = [Write { table: TABLE, id, old: is_there.then_some(keys.as_slice()), new: Some(&new) }];
    session.begin(TxKind::Write, lane).unwrap();
    session.apply(&Changes { writes: &writes, log: &[], log_floor: Seq(0), trim: None }).unwrap();
    session.commit().unwrap();
}

/// Every way to scan: by id and by index, up and down, with bodies and without.
fn scans() -> impl Iterator<Item = (Option<usize>, bool, bool)> {
    let both = [false, true];
    let places = [None, Some(0)].into_iter();
    places.flat_map(move |index| {
        both.into_iter().flat_map(move |reverse| both.map(|bodies| (index, reverse, bodies)))
    })
}

/// Moves the row `id` from one author to another, in a transaction that also logs it.
fn change(session: &mut SqliteSession, id: RawId, from: Option<u8>, to: Option<u8>, trim: Option<Seq>) {
    let keys = |author: u8| -> Vec<Option<EntryKey>> {
        vec![Some([&[author], id.as_bytes().as_slice()].concat().into())]
    };
    let old = from.map(keys);
    let new = to.map(|author| Stored { version: 1, body: b"{}".to_vec(), keys: keys(author) });
    let writes = [Write { table: TABLE, id, old: old.as_deref(), new: new.as_ref() }];
    let log = [LogEntry { table: TABLE, id, op: Op::Update }];
    session.begin(TxKind::Write, Lane::Durable).unwrap();
    session.apply(&Changes { writes: &writes, log: &log, log_floor: Seq(0), trim }).unwrap();
    session.commit().unwrap();
}

/// Reads a row, and ranges that hold only this one, in every way.
fn read(session: &mut SqliteSession, id: RawId) {
    session.begin(TxKind::Read, Lane::Relaxed).unwrap();
    assert!(session.get(TABLE, id, &mut |_, _| {}).unwrap());
    for (index, reverse, bodies) in scans() {
        let (table, low, high) = (TABLE, [0].as_slice(), [0xff].as_slice());
        let mut seen = 0;
        let scan = Scan { table, index, low, high, reverse, expect: None, bodies, claim: false };
        let mut visit = |_: Entry<'_>| {
            seen += 1;
            ControlFlow::Continue(())
        };
        session.scan(&scan, &mut visit).unwrap();
        assert_eq!(seen, 1);
    }
    session.log(Seq(0), &mut |_| ControlFlow::Break(())).unwrap();
    session.rollback();
}

#[test]
fn no_statement_is_parsed_twice() {
    const ROUNDS: u8 = 3;
    let folder = tempfile::tempdir().unwrap();
    let file = Sqlite::open(folder.path().join("store.db")).unwrap();
    file.define(&[notes()]).unwrap();
    let mut session = file.connected(Role::Writer).unwrap();
    for round in 0..ROUNDS {
        let id = RawId::from_bytes([round; 16]);
        change(&mut session, id, None, Some(1), None);
        change(&mut session, id, Some(1), Some(2), None);
        change(&mut session, id, Some(2), Some(2), None);
        read(&mut session, id);
        change(&mut session, id, Some(2), None, Some(Seq(u64::from(round))));
    }
    let table = session.sql(TABLE);
    let changes = [table.update(0).to_string(), table.update(1).to_string()];
    let own = [&table.get, &table.insert, &table.delete].into_iter().chain(&changes).map(String::as_str);
    let scans = scans().map(|(index, reverse, bodies)| table.scan(index, reverse, bodies));
    let log =
        [sql::LOG, sql::LOG_APPEND, sql::LOG_TRIM, sql::LOG_TRIMMED, sql::LOG_SET_TRIMMED, sql::LOG_LAST];
    let frame = ["BEGIN", "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"];
    for text in own.chain(scans).chain(log).chain(frame) {
        let statement = session.prepared(text).unwrap();
        let runs = statement.get_status(StatementStatus::Run);
        assert!(runs >= i32::from(ROUNDS), "{text} was parsed again: it has run {runs} times");
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{text} was parsed again");
    }
}
