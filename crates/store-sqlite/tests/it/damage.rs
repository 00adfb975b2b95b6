//! Files that were stores and are damaged: an error that says so, and never a panic.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use loomwork_core::{Kind, Random};
use loomwork_store::{Error, Problem, Store, Table as _};
use loomwork_store_sqlite::{Sqlite, SqliteError};

use crate::place::{self, TempFile};
use crate::raw;
use crate::tables::{Entry, Point, add};

const ENTRIES: u64 = 1000;

/// A closed store with many entries and points in its file.
async fn filled() -> TempFile {
    let file = TempFile::new();
    let store = file.open().await;
    store.mutate(|tx| (0..ENTRIES).try_for_each(|_| add(tx).map(drop))).await.unwrap();
    store
        .mutate(|tx| (0..500).try_for_each(|x| tx.insert(Point { curve: 1, x, y: 0.5 }).map(drop)))
        .await
        .unwrap();
    store.close().await;
    assert_eq!(raw::log_bytes(&file.path()), 0, "all is in the file");
    file
}

fn cut(path: &Path, bytes: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

#[tokio::test]
async fn a_truncated_file_is_refused() {
    let file = filled().await;
    let whole = std::fs::metadata(file.path()).unwrap().len();
    for bytes in [whole / 2, whole - 4096, 4096, 1000, 100] {
        cut(&file.path(), bytes);
        for refused in [Sqlite::open(file.path()).unwrap_err(), Sqlite::read_only(file.path()).unwrap_err()] {
            assert_eq!(refused.kind(), Kind::Corrupt, "{bytes} bytes: {refused:?}");
            let fault = refused.downcast_ref::<SqliteError>().expect("it is the engine's own error");
            assert!(matches!(fault, SqliteError::Unopenable { .. } | SqliteError::NotADatabase { .. }));
            assert!(refused.to_string().contains(&file.path().display().to_string()), "{refused}");
        }
    }
}

/// The file's pages that hold a part of the table or index `name`: the leaves, in its order.
fn leaves(path: &Path, name: &str) -> Vec<u64> {
    let connection = raw::look(path);
    let sql = "SELECT pageno FROM dbstat WHERE name = ?1 AND pagetype = 'leaf' ORDER BY path";
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([name], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Changes `length` bytes of a page, beginning at `at`.
fn damage(path: &Path, page: u64, at: u64, length: usize, change: impl Fn(u8) -> u8) {
    let page_bytes = raw::number(&raw::look(path), "PRAGMA page_size") as u64;
    let mut file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let start = SeekFrom::Start((page - 1) * page_bytes + at);
    let mut bytes = vec![0; length];
    file.seek(start).unwrap();
    file.read_exact(&mut bytes).unwrap();
    bytes.iter_mut().for_each(|byte| *byte = change(*byte));
    file.seek(start).unwrap();
    file.write_all(&bytes).unwrap();
}

/// Sees that an error tells of damage.
#[track_caller]
fn is_damage(error: &Error) {
    assert_eq!(error.kind(), Kind::Corrupt, "{error:?}");
    assert!(!matches!(error.downcast_ref(), Some(Problem::Panicked { .. })), "{error:?}");
}

#[tokio::test]
async fn a_corrupted_page_costs_only_its_rows() {
    let file = filled().await;
    let leaves = leaves(&file.path(), "_entries");
    assert!(leaves.len() > 10, "the table has many pages");
    // The head of a page says what it is and where its cells are.
    damage(&file.path(), leaves[leaves.len() / 2], 0, 64, |byte| !byte);

    let store = file.open().await;
    is_damage(&store.query(|tx| tx.scan(Entry::all())).await.unwrap_err());
    is_damage(&store.query(|tx| tx.scan(Entry::by_number.all())).await.unwrap_err());
    is_damage(&store.check().await.unwrap_err());
    let around = store.query(|tx| {
        let first = tx.scan(Entry::by_number.lt(100_u64))?;
        let last = tx.scan(Entry::by_number.gt(ENTRIES - 100))?;
        Ok((first.len(), last.len(), tx.count(Point::by_curve.eq(1_u32))?))
    });
    assert_eq!(around.await.unwrap(), (99, 100, 500), "other rows are readable");
    let id = store.mutate(|tx| Ok(tx.insert(Entry::new(9999))?.id)).await.expect("and new ones are written");
    assert_eq!(store.query(move |tx| tx.require(id)).await.unwrap().number, 9999);
}

#[tokio::test]
async fn a_whole_file_has_integrity_and_a_damaged_one_has_not() {
    let file = filled().await;
    assert_eq!(Sqlite::read_only(file.path()).unwrap().integrity().unwrap(), Vec::<String>::new());
    let leaves = leaves(&file.path(), "_entries");
    damage(&file.path(), leaves[leaves.len() / 2], 0, 64, |byte| !byte);
    let wrong = Sqlite::read_only(file.path()).unwrap().integrity().unwrap();
    assert!(wrong.iter().any(|line| line.contains("malformed")), "{wrong:?}");
}

#[tokio::test]
async fn a_mutation_that_meets_damage_fails_alone() {
    let file = filled().await;
    let leaves = leaves(&file.path(), "_entries");
    damage(&file.path(), leaves[leaves.len() / 2], 0, 64, |byte| !byte);
    let store = file.open().await;
    let failed = store
        .mutate(|tx| {
            tx.insert(Entry::new(7777))?;
            tx.scan(Entry::all())
        })
        .await
        .unwrap_err();
    is_damage(&failed);
    let found = store.query(|tx| tx.first(Entry::by_number.eq(7777_u64))).await.unwrap();
    assert_eq!(found, None, "nothing of it was kept");
}

#[tokio::test]
async fn a_damaged_store_gives_no_backup() {
    let file = filled().await;
    let leaves = leaves(&file.path(), "_entries");
    damage(&file.path(), leaves[leaves.len() / 2], 0, 64, |byte| !byte);
    let failed = Sqlite::open(file.path()).unwrap().backup(file.folder().join("copy.db")).unwrap_err();
    is_damage(&failed);
    assert!(matches!(failed.downcast_ref(), Some(SqliteError::Backup { .. })), "{failed:?}");
    let names = file.folder().read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    let copies: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with("copy")).collect();
    assert!(copies.is_empty(), "{copies:?} is left of it");
}

#[tokio::test]
async fn values_that_nobody_wrote_are_damage() {
    for change in [
        "UPDATE _entries SET version = -1 WHERE number = 10",
        "UPDATE _entries SET key_by_number = x'01' WHERE number = 10",
        "UPDATE _entries SET record = 'not JSON' WHERE number = 10",
    ] {
        let file = filled().await;
        assert_eq!(rusqlite::Connection::open(file.path()).unwrap().execute(change, []).unwrap(), 1);
        let store = file.open().await;
        is_damage(&store.query(|tx| tx.scan(Entry::by_number.all())).await.unwrap_err());
        let last = store.query(|tx| tx.count(Entry::by_number.gt(ENTRIES - 10))).await.unwrap();
        assert_eq!(last, 10, "other rows are readable");
    }
}

#[tokio::test]
async fn a_damaged_index_is_reported() {
    let file = filled().await;
    let connection = rusqlite::Connection::open(file.path()).unwrap();
    let moved = "UPDATE _entries SET key_by_topic = CAST(x'50' || substr(key_by_topic, 3) AS BLOB) \
                 WHERE number = 10";
    assert_eq!(connection.execute(moved, []).unwrap(), 1);
    drop(connection);
    let store = file.open().await;
    let report = store.check().await.unwrap();
    assert!(!report.is_clean());
    assert!(
        report.mismatches.iter().all(|found| found.table == "entries" && found.index == Some("by_topic"))
    );
}

/// Reads all there is and writes a little; any failure has to be told as damage.
async fn exercise(path: &Path) -> usize {
    let mut failures = 0;
    let mut told = |result: Result<(), Error>| {
        if let Err(error) = result {
            is_damage(&error);
            failures += 1;
        }
    };
    let store = match Sqlite::open(path) {
        Ok(engine) => Store::builder(engine).tables(crate::tables::all()).open().await,
        Err(error) => Err(error),
    };
    let store = match store {
        Ok(store) => store,
        Err(error) => {
            is_damage(&error);
            return 1;
        }
    };
    told(store.query(|tx| tx.scan(Entry::all()).map(drop)).await);
    told(store.query(|tx| tx.scan(Entry::by_number.all()).map(drop)).await);
    told(store.query(|tx| tx.scan(Entry::by_topic.all().desc()).map(drop)).await);
    told(store.query(|tx| tx.scan(Point::by_curve.all()).map(drop)).await);
    told(store.check().await.map(drop));
    told(store.mutate(|tx| add(tx).map(drop)).await);
    for number in [1, ENTRIES / 2, ENTRIES] {
        let change = move |tx: &mut loomwork_store::Tx| match tx.first(Entry::by_number.eq(number))? {
            Some(entry) => tx.update(entry.id, |entry| entry.topic = "other".into()).map(drop),
            None => Ok(()),
        };
        told(store.mutate(change).await);
    }
    store.close().await;
    failures
}

#[tokio::test]
async fn random_damage_is_never_a_panic() {
    let whole = filled().await;
    let kept = whole.folder().join("kept.db");
    std::fs::copy(whole.path(), &kept).unwrap();
    let names = ["_entries", "_entries.by_number", "_entries.by_topic", "_points", "_counters"];
    let pages: Vec<u64> = names.iter().flat_map(|name| leaves(&kept, name)).collect();
    let mut failures = 0;
    for seed in 0..20 {
        let random = Random::seeded(seed);
        let path = whole.folder().join(format!("damaged-{seed}.db"));
        std::fs::copy(&kept, &path).unwrap();
        for _ in 0..=random.below(8) {
            let page = pages[random.below(pages.len() as u64) as usize];
            let (at, flip) = (random.below(4096 - 32), random.below(255) as u8 + 1);
            // Half of the damage goes to the head, where it does most.
            let at = if random.below(2) == 0 { at % 64 } else { at };
            damage(&path, page, at, 1 + random.below(32) as usize, |byte| byte ^ flip);
        }
        failures += exercise(&path).await;
    }
    assert!(failures > 10, "the damage was met: {failures}");
    // The same without damage: nothing fails.
    assert_eq!(exercise(&kept).await, 0);
    drop(place::open(&kept).await);
}
