//! Files that are no store of this program: refused, and left as they are.

use std::collections::BTreeMap;

use loomwork_core::Kind;
use loomwork_store::{Error, Problem, Store, Table, TableDef};
use loomwork_store_sqlite::{OpenSqlite as _, Sqlite, SqliteError};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::place::TempFile;
use crate::raw;
use crate::tables::{Entry, add, sound};

/// Sees that a file is refused for writing and for reading, and is not touched.
fn refused(file: &TempFile, kind: Kind, is_expected: impl Fn(&Error) -> bool) -> String {
    let before = std::fs::read(file.path()).unwrap();
    let [writing, reading] =
        [Sqlite::open(file.path()).unwrap_err(), Sqlite::read_only(file.path()).unwrap_err()];
    for error in [&writing, &reading] {
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(is_expected(error), "{error:?}");
        assert!(error.to_string().contains(&file.path().display().to_string()), "{error} names the file");
    }
    assert!(std::fs::read(file.path()).unwrap() == before, "the file is as it was");
    writing.to_string()
}

fn is_no_database(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(SqliteError::NotADatabase { .. }))
}

#[test]
fn a_text_is_refused() {
    let file = TempFile::new();
    std::fs::write(file.path(), "Dear diary,\n".repeat(1000)).unwrap();
    let message = refused(&file, Kind::Corrupt, is_no_database);
    assert!(message.contains("not a SQLite database"), "{message}");
}

#[test]
fn random_bytes_are_refused() {
    let file = TempFile::new();
    let mut bytes = vec![0; 40_000];
    loomwork_core::Random::seeded(5).fill(&mut bytes);
    // SQLite itself takes a file of one byte for an empty one.
    for length in [2, 20, 100, 511, 512, 4096, 40_000] {
        std::fs::write(file.path(), &bytes[..length]).unwrap();
        refused(&file, Kind::Corrupt, is_no_database);
    }
}

fn is_foreign(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(SqliteError::Foreign { .. }))
}

#[test]
fn another_programs_database_is_refused() {
    for setup in [
        "CREATE TABLE songs (title TEXT); INSERT INTO songs VALUES ('one');",
        "PRAGMA journal_mode = WAL; CREATE TABLE songs (title TEXT);",
        "CREATE VIEW only_a_view AS SELECT 1;",
        "PRAGMA application_id = 77;",
        "PRAGMA application_id = 77; CREATE TABLE _loomwork_store (id BLOB);",
    ] {
        let file = TempFile::new();
        Connection::open(file.path()).unwrap().execute_batch(setup).unwrap();
        let message = refused(&file, Kind::Invalid, is_foreign);
        assert!(message.contains("another program"), "{message}");
    }
}

#[tokio::test]
async fn an_empty_database_becomes_a_store() {
    let file = TempFile::new();
    std::fs::write(file.path(), []).unwrap();
    file.open().await.close().await;

    // A program that was killed while it made the store leaves this.
    let file = TempFile::new();
    let killed = Connection::open(file.path()).unwrap();
    killed.execute_batch("PRAGMA journal_mode = WAL; PRAGMA user_version = 0; VACUUM;").unwrap();
    drop(killed);
    assert_ne!(std::fs::metadata(file.path()).unwrap().len(), 0, "the file has a page");
    let store = file.open().await;
    store.mutate(add).await.unwrap();
    sound(&store, 1).await;
}

#[tokio::test]
async fn a_newer_layout_is_refused() {
    let file = TempFile::new();
    file.open().await.close().await;
    Connection::open(file.path()).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let message = refused(&file, Kind::Invalid, |error| {
        matches!(error.downcast_ref(), Some(Problem::Newer { found: 2, known: 1, .. }))
    });
    assert!(message.contains("newer program"), "{message}");
}

/// What a file holds, but for the count of its openings.
fn rows(file: &TempFile) -> BTreeMap<String, Vec<String>> {
    let mut contents = raw::contents(&file.path());
    contents.remove("_loomwork_store");
    contents
}

/// Sees that a store is refused as newer than the program with `tables`, and keeps what it holds.
async fn is_newer(file: &TempFile, tables: &[TableDef], what: &str) {
    let before = rows(file);
    let refused = Store::open(file.path()).unwrap().tables(tables.to_vec()).open().await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Invalid);
    assert!(matches!(refused.downcast_ref(), Some(Problem::Newer { .. })), "{refused:?}");
    assert!(refused.to_string().contains(what), "{refused}");
    assert_eq!(rows(file), before, "the store holds what it held");
}

mod newer {
    use super::*;

    #[derive(Clone, Debug, Serialize, Deserialize, Table)]
    #[table(name = "entries", id = "entry", version = 2, upgrade = upgrade)]
    #[index(by_mood(mood))]
    pub(super) struct Entry {
        pub(super) number: u64,
        pub(super) mood: String,
    }

    fn upgrade(_: u32, old: loomwork_store::Old<'_>) -> loomwork_store::Result<Entry> {
        let old: super::Entry = old.decode()?;
        Ok(Entry { number: old.number, mood: "calm".into() })
    }
}

mod newer_index {
    use super::*;

    #[derive(Clone, Debug, Serialize, Deserialize, Table)]
    #[table(name = "entries", id = "entry")]
    #[index(unique by_number(number), version = 7)]
    pub(super) struct Entry {
        number: u64,
        topic: String,
        text: String,
    }
}

#[tokio::test]
async fn a_newer_table_is_refused() {
    let file = TempFile::new();
    let store = file.open().await;
    store.mutate(add).await.unwrap();
    store.close().await;
    let store = Store::open(file.path()).unwrap().tables([newer::Entry::table()]).open().await.unwrap();
    let calm = store.query(|tx| tx.count(newer::Entry::by_mood.eq("calm"))).await.unwrap();
    assert_eq!(calm, 1, "the newer program has taken the table over");
    store.close().await;
    is_newer(&file, &[Entry::table()], "table `entries` is of version 2").await;
}

#[tokio::test]
async fn a_newer_index_is_refused() {
    let file = TempFile::new();
    let newer = [newer_index::Entry::table()];
    Store::open(file.path()).unwrap().tables(newer).open().await.unwrap().close().await;
    is_newer(&file, &[Entry::table()], "index `entries.by_number` is of version 7").await;
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let file = TempFile::new();
    file.open().await.close().await;
    let raised = "UPDATE _loomwork_store SET record = json_set(record, '$.format', 99)";
    Connection::open(file.path()).unwrap().execute(raised, []).unwrap();
    is_newer(&file, &[Entry::table()], "the store's format is of version 99").await;
}
