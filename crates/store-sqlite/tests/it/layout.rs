//! How the file looks to SQLite, and to a person with `sqlite3`.

use std::process::Command;

use loomwork_core::{Clock, Ids, Random, RawId, Time};
use loomwork_store::{Id, Row, Store, Table};
use loomwork_store_sqlite::{OpenSqlite as _, Sqlite, SqliteError, SqliteOptions};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::place::{self, TempFile};
use crate::raw::{self, number, texts};
use crate::tables::{self, Counter, Entry, Point, add};

/// Opens a file with some rows, made over some time, and returns those.
async fn filled(file: &TempFile) -> (Store, Vec<Row<Entry>>, Vec<Row<Point>>) {
    let clock = Clock::manual(Time::from_millis(1_700_000_000_007));
    let builder = Store::open(file.path()).unwrap().clock(clock.clock()).random(Random::seeded(3));
    let store = builder.tables(tables::all()).open().await.unwrap();
    let (mut entries, mut points) = (Vec::new(), Vec::new());
    for x in (0..20).rev() {
        clock.advance(std::time::Duration::from_millis(999));
        entries.push(store.mutate(add).await.unwrap());
        points.push(store.mutate(move |tx| tx.insert(Point { curve: 1, x, y: 0.25 })).await.unwrap());
    }
    (store, entries, points)
}

/// The record as it is stored.
fn json(entry: &Entry) -> String {
    let Entry { number, topic, text } = entry;
    format!(r#"{{"number":{number},"topic":"{topic}","text":"{text}"}}"#)
}

#[tokio::test]
async fn a_view_shows_ids_times_and_records() {
    let file = TempFile::new();
    let (_store, entries, points) = filled(&file).await;
    let connection = raw::look(&file.path());
    let line = "SELECT id || ' ' || created || ' ' || version || ' ' || record FROM ";

    let shown = texts(&connection, &format!("{line} entries"));
    let expected = entries.iter().map(|row| format!("{} {} 1 {}", row.id, row.id.time(), json(row)));
    assert_eq!(shown, expected.collect::<Vec<_>>(), "in the order of creation");
    let topics =
        texts(&connection, "SELECT record ->> 'topic' FROM entries WHERE created > '2023-11-14T22:13:39'");
    assert_eq!(topics, ["topic 0"], "SQL reaches into records and compares times");

    // A compact record is not for people; its size is.
    let shown = texts(&connection, &format!("{line} points"));
    let expected = points.iter().map(|row| format!("{} {} 1 ", row.id, row.id.time()));
    for (shown, expected) in shown.iter().zip(expected) {
        assert!(shown.starts_with(&expected) && shown.ends_with(" bytes"), "{shown}, not {expected}");
    }
}

#[tokio::test]
async fn a_view_shows_every_id_as_the_program_does() {
    let file = TempFile::new();
    file.open().await.close().await;
    let connection = Connection::open(file.path()).unwrap();
    let random = Random::seeded(11);
    let mut ids = vec![RawId::from_bytes([0; 16]), RawId::from_bytes([0xff; 16])];
    for _ in 0..300 {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        ids.push(RawId::from_bytes(bytes));
    }
    // Ids of all times that have four digits for their year.
    for _ in 0..300 {
        let clock = Clock::manual(Time::from_millis(random.below(253_402_300_800_000) as i64));
        ids.push(Ids::new(clock.clock(), random.fork()).next());
    }
    ids.sort();
    for id in &ids {
        let insert = "INSERT INTO _counters (id, version, record) VALUES (?1, 1, '{}')";
        connection.execute(insert, [id.as_bytes()]).unwrap();
    }
    let shown = texts(&connection, "SELECT id FROM counters");
    let expected: Vec<_> = ids.iter().map(|id| Id::<Counter>::from_raw(*id).to_string()).collect();
    assert_eq!(shown, expected);
    let shown = texts(&connection, "SELECT coalesce(created, 'beyond SQLite') FROM counters");
    for (id, shown) in ids.iter().zip(shown) {
        let time = id.time().to_string();
        assert_eq!(shown, if time.starts_with('+') { "beyond SQLite".to_owned() } else { time });
    }
}

#[tokio::test]
async fn the_command_line_reads_beside_the_program() {
    let file = TempFile::new();
    let (_store, entries, _) = filled(&file).await;
    let query = "SELECT id, created, record FROM entries LIMIT 2";
    let ran = Command::new("sqlite3").arg(file.path()).arg(query).output();
    let Ok(output) = ran else {
        return loomwork_testkit::skip(
            "the_command_line_reads_beside_the_program",
            "sqlite3 is not installed",
        );
    };
    assert!(output.status.success(), "{output:?}");
    let line = |row: &Row<Entry>| format!("{}|{}|{}\n", row.id, row.id.time(), json(row));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), line(&entries[0]) + &line(&entries[1]));
}

#[tokio::test]
async fn a_plain_table_lies_in_the_order_of_creation() {
    let file = TempFile::new();
    let (_store, entries, _) = filled(&file).await;
    let connection = raw::look(&file.path());
    let without_rowid = "SELECT wr FROM pragma_table_list WHERE name = '_entries'";
    assert_eq!(number(&connection, without_rowid), 0);
    let rows = texts(&connection, "SELECT hex(id) FROM _entries NOT INDEXED");
    let made: Vec<_> = entries.iter().map(|row| hex(row.id.raw())).collect();
    assert_eq!(rows, made);
}

#[tokio::test]
async fn a_clustered_table_lies_in_the_order_of_its_index() {
    let file = TempFile::new();
    let (_store, _, mut points) = filled(&file).await;
    let connection = raw::look(&file.path());
    let without_rowid = "SELECT wr FROM pragma_table_list WHERE name = '_points'";
    assert_eq!(number(&connection, without_rowid), 1);
    let key = "SELECT name FROM pragma_table_info('_points') WHERE pk > 0";
    assert_eq!(texts(&connection, key), ["key_by_curve"]);
    let rows = texts(&connection, "SELECT hex(id) FROM _points WHERE length(record) > 0");
    points.sort_by_key(|row| row.x);
    let ordered: Vec<_> = points.iter().map(|row| hex(row.id.raw())).collect();
    assert_eq!(rows, ordered);
}

/// A row of a clustered table, which only one of its indexes has to hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "marks", id = "mark", clustered = by_place)]
#[index(by_place(place))]
#[index(open(place), when = Mark::is_open)]
struct Mark {
    place: u32,
    open: bool,
}

impl Mark {
    fn is_open(&self) -> bool {
        self.open
    }
}

#[tokio::test]
async fn a_clustered_table_leaves_rows_out_of_its_other_indexes() {
    let file = TempFile::new();
    let store = Store::open(file.path()).unwrap().tables([Mark::table()]).open().await.unwrap();
    let is_sound = async |expected: [u32; 5]| {
        let open = store.query(|tx| tx.scan(Mark::open.all())).await.unwrap();
        assert_eq!(open.iter().map(|mark| mark.place).collect::<Vec<_>>(), expected);
        assert_eq!(store.query(|tx| tx.count(Mark::by_place.all())).await.unwrap(), 10);
        let connection = raw::look(&file.path());
        assert_eq!(number(&connection, "SELECT count(*) FROM _marks WHERE key_open IS NULL"), 5);
        assert!(store.check().await.unwrap().is_clean());
    };
    store
        .mutate(|tx| (0..10).try_for_each(|place| tx.insert(Mark { place, open: place < 5 }).map(drop)))
        .await
        .unwrap();
    is_sound([0, 1, 2, 3, 4]).await;
    // Rows go in and out of the index while they stay where they lie.
    store
        .mutate(|tx| {
            for (place, open) in [(0, false), (9, true)] {
                let mark = tx.first(Mark::by_place.eq(place))?.expect("it was added");
                tx.update(mark.id, |mark| mark.open = open)?;
            }
            Ok(())
        })
        .await
        .unwrap();
    is_sound([1, 2, 3, 4, 9]).await;
}

fn hex(id: RawId) -> String {
    id.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect()
}

#[tokio::test]
async fn records_are_text_or_bytes_as_the_table_says() {
    let file = TempFile::new();
    let (_store, ..) = filled(&file).await;
    let connection = raw::look(&file.path());
    let types = |table| texts(&connection, &format!("SELECT DISTINCT typeof(record) FROM {table}"));
    assert_eq!(types("_entries"), ["text"]);
    assert_eq!(types("_points"), ["blob"]);
}

#[tokio::test]
async fn the_file_is_as_documented() {
    let file = TempFile::new();
    let _store = file.open().await;
    let connection = raw::look(&file.path());
    assert_eq!(number(&connection, "PRAGMA page_size"), i64::from(SqliteOptions::default().page_bytes));
    assert_eq!(texts(&connection, "PRAGMA journal_mode"), ["wal"]);
    assert_eq!(number(&connection, "PRAGMA application_id"), i64::from(u32::from_be_bytes(*b"Loom")));
    assert_eq!(number(&connection, "PRAGMA user_version"), 1);
}

#[tokio::test]
async fn a_new_file_has_the_pages_asked_for() {
    for page_bytes in [512, 4096, 16_384, 65_536] {
        let file = TempFile::new();
        let options = SqliteOptions { page_bytes, ..SqliteOptions::default() };
        let engine = Sqlite::open_with(file.path(), options).unwrap();
        let store = place::opened(Store::builder(engine)).await;
        store.mutate(add).await.unwrap();
        assert_eq!(number(&raw::look(&file.path()), "PRAGMA page_size"), i64::from(page_bytes));
        store.close().await;
        // An old one keeps its own.
        let store = file.open().await;
        store.mutate(add).await.unwrap();
        assert_eq!(number(&raw::look(&file.path()), "PRAGMA page_size"), i64::from(page_bytes));
        tables::sound(&store, 2).await;
    }
}

#[test]
fn pages_that_sqlite_does_not_have_are_refused() {
    let file = TempFile::new();
    for page_bytes in [0, 256, 1000, 131_072] {
        let options = SqliteOptions { page_bytes, ..SqliteOptions::default() };
        let refused = Sqlite::open_with(file.path(), options).unwrap_err();
        assert!(matches!(refused.downcast_ref(), Some(SqliteError::PageSize { .. })), "{refused:?}");
        assert!(refused.to_string().contains(&page_bytes.to_string()), "{refused}");
        assert!(!file.path().exists(), "nothing is made");
    }
}

#[tokio::test]
async fn a_view_finds_a_row_by_its_id() {
    let file = TempFile::new();
    let (store, entries, _) = filled(&file).await;
    let id = entries[7].id;
    let record = "SELECT record FROM entries WHERE id = '";
    let found = texts(&raw::look(&file.path()), &format!("{record}{id}'"));
    let stored = store.query(move |tx| tx.require(id)).await.unwrap();
    assert_eq!(found, [json(&stored)]);
}
