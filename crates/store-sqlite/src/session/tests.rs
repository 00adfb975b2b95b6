//! What a connection and a lane mean to SQLite.

use loomwork_core::RawId;
use loomwork_store::engine::{Changes, Engine as _, Lane, LogEntry, Op, Role, Session as _, TableNo, TxKind};

use super::SqliteSession;
use crate::checkpoint::CHECKPOINT_PAGES;
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
