//! The write-ahead log goes back into the file and stays small.

use std::path::Path;
use std::time::Duration;

use loomwork_core::{Clock, Stopwatch};
use loomwork_store::Store;
use loomwork_store_sqlite::{CHECKPOINT_PAGES, IDLE, Sqlite, SqliteOptions};
use loomwork_testkit::{GUARD, soon};

use crate::gate::Gate;
use crate::place::{self, TempFile};
use crate::raw;
use crate::tables::{Entry, add, add_of, counted, sound};

/// Waits until the log beside `path` has no bytes.
async fn emptied(path: &Path) {
    let clock = Clock::system();
    let watch = Stopwatch::start();
    while raw::log_bytes(path) > 0 {
        assert!(watch.elapsed() < GUARD, "the log is never emptied");
        clock.sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_pause_empties_the_log() {
    let file = TempFile::new();
    let store = file.open().await;
    for round in 1..=2 {
        let watch = Stopwatch::start();
        store.mutate(add).await.unwrap();
        assert_ne!(raw::log_bytes(&file.path()), 0, "a commit goes to the log");
        emptied(&file.path()).await;
        assert!(watch.elapsed() >= IDLE, "the pause has to last: {:?}", watch.elapsed());
        sound(&store, round).await;
    }
    raw::intact(&file.path());
}

#[tokio::test]
async fn closing_leaves_one_file() {
    let file = TempFile::new();
    let store = file.open().await;
    store.mutate(add).await.unwrap();
    store.close().await;
    let mut left: Vec<_> =
        file.folder().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["store.db", "store.db.lock"]);
}

#[tokio::test]
async fn a_reader_only_delays_the_emptying() {
    let file = TempFile::new();
    let store = file.open().await;
    store.mutate(add).await.unwrap();
    let gate = Gate::default();
    let inside = gate.clone();
    let reading = store.query(move |tx| {
        let before = counted(tx)?;
        inside.pass();
        Ok((before, counted(tx)?))
    });
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(reading);
    gate.reached().await;

    // Whoever looks once in a pause's time for a whole pause has seen one after twice that time.
    let pauses = 2 * IDLE + Duration::from_millis(200);
    store.mutate(add).await.unwrap();
    Clock::system().sleep(pauses).await;
    let watch = Stopwatch::start();
    soon(store.mutate(add)).await.unwrap();
    assert!(watch.elapsed() < IDLE, "a checkpoint held the mutation up: {:?}", watch.elapsed());
    Clock::system().sleep(pauses).await;
    assert_ne!(raw::log_bytes(&file.path()), 0, "the reader needs the log");
    gate.open();
    let (before, after) = soon(tasks.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(before, after, "a query reads one snapshot");
    // No commit comes, and yet it is tried again.
    emptied(&file.path()).await;
    sound(&store, 3).await;
}

/// While readers overlap without a gap, the log grows on to its greatest size. Here they come and go,
/// and some stay over the moment at which a checkpoint is due.
#[tokio::test]
async fn the_log_is_bounded_while_readers_come_and_go() {
    const PAGE: u64 = 512;
    const RECORD: usize = 100_000;
    let file = TempFile::new();
    let options = SqliteOptions { page_bytes: PAGE as u32, ..SqliteOptions::default() };
    let engine = Sqlite::open_with(file.path(), options).unwrap();
    let store = place::opened(Store::builder(engine)).await;
    let threshold = u64::from(CHECKPOINT_PAGES) * (PAGE + 24);
    let records = 8 * threshold / RECORD as u64;
    let (mut tasks, mut gate) = (tokio::task::JoinSet::new(), Gate::default());
    for count in 1..=records {
        match count % 20 {
            5 => {
                gate = Gate::default();
                let inside = gate.clone();
                tasks.spawn(store.query(move |tx| {
                    let newest = tx.scan(Entry::by_number.all().desc().take(1))?;
                    inside.pass();
                    Ok(newest)
                }));
                gate.reached().await;
            }
            15 => {
                gate.open();
                let newest = soon(tasks.join_next()).await.unwrap().unwrap().unwrap();
                assert_eq!(newest[0].number, count - 11, "the reader's snapshot is that of its beginning");
            }
            _ => {}
        }
        store.mutate(|tx| add_of(tx, |number| Entry::large(number, RECORD))).relaxed().await.unwrap();
    }
    gate.open();
    // The file of the log is not made smaller while commits come, so this is its greatest size.
    let greatest = raw::log_bytes(&file.path());
    assert!(greatest >= threshold, "the log was filled: {greatest}");
    assert!(greatest < 2 * threshold, "a log of {greatest} bytes; a checkpoint begins at {threshold}");
    sound(&store, records).await;
}
