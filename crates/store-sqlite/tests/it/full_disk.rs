//! A disk that is full in the middle of a commit, and a folder that cannot be written.
//!
//! The tests run themselves again as a child: under a limit on the size of files, which every
//! system has, and on a small file system of their own, where the system lets them mount one.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use loomwork_core::{Clock, Kind, Stopwatch};
use loomwork_store::engine::Seq;
use loomwork_store::{Error, Problem, Store, Tx, feed};
use loomwork_store_sqlite::{Sqlite, SqliteError, SqliteOptions};
use loomwork_testkit::GUARD;

use crate::child;
use crate::gate::{hold, queued};
use crate::place::{self, TempFile};
use crate::raw;
use crate::tables::{Counter, Entry, add, add_of, sound};

/// What fits into one file of the limited process, and beside the ballast on the small disk, in MiB.
const ROOM: u64 = 2;

/// Runs the words behind it under a limit on the size of files; a write beyond it is an error.
const LIMITED: &str = "trap '' XFSZ && ulimit -f $(($0 * 2048)) && exec \"$@\"";

/// Runs the words behind the folder with a small file system in it, which nobody else sees.
const ON_A_SMALL_DISK: &str = "size=$(($0 * 2)) && folder=$1 && shift && mount -t tmpfs -o size=${size}m none \"$folder\" && exec \"$@\"";

/// Runs the words behind the folder with it mounted read-only.
const READ_ONLY: &str = "folder=$1 && shift && mount --bind \"$folder\" \"$folder\" \
                         && mount -o remount,bind,ro \"$folder\" && exec \"$@\"";

/// How a process gets mounts of its own: as root, or as one in a namespace.
const NAMESPACES: [&[&str]; 2] = [&["unshare", "--mount"], &["unshare", "--mount", "--map-root-user"]];

/// Returns the words that start a program with mounts of its own, if the system allows it.
fn namespace() -> Option<&'static [&'static str]> {
    NAMESPACES.into_iter().find(|words| {
        let mut probe = Command::new(words[0]);
        probe.args(&words[1..]).args(["sh", "-c", "mount -t tmpfs none /mnt"]);
        probe.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    })
}

/// Runs `test` as a child over `file`, behind a script that may mount.
fn run_with_mounts(script: &str, test: &str, file: &Path) {
    let Some(namespace) = namespace() else {
        return loomwork_testkit::skip(test, "the system does not let this user mount file systems");
    };
    let room = ROOM.to_string();
    let folder = file.parent().expect("the file is in a folder").as_os_str();
    let mut words: Vec<&OsStr> = namespace.iter().map(OsStr::new).collect();
    words.extend(["sh", "-c", script, &room].map(OsStr::new));
    words.push(folder);
    child::passes(&mut child::wrapped(&words, test, file));
}

#[tokio::test]
async fn a_full_disk_costs_one_batch() {
    if let Some(path) = child::file() {
        let ballast = path.with_extension("ballast");
        std::fs::write(&ballast, vec![0; (ROOM as usize) << 20]).unwrap();
        return runs_full(&path, 16 * 1024, || std::fs::remove_file(&ballast).unwrap()).await;
    }
    run_with_mounts(ON_A_SMALL_DISK, "full_disk::a_full_disk_costs_one_batch", &TempFile::new().path());
}

#[tokio::test]
async fn a_write_error_at_commit_costs_one_batch() {
    if let Some(path) = child::file() {
        return runs_full(&path, 16 * 1024, || {}).await;
    }
    run_limited("full_disk::a_write_error_at_commit_costs_one_batch");
}

#[tokio::test]
async fn a_write_error_before_commit_costs_one_batch() {
    if let Some(path) = child::file() {
        // What does not fit the cache goes to the log before the commit.
        return runs_full(&path, 64, || {}).await;
    }
    run_limited("full_disk::a_write_error_before_commit_costs_one_batch");
}

fn run_limited(test: &str) {
    let file = TempFile::new();
    let room = ROOM.to_string();
    let words = ["sh", "-c", LIMITED, &room].map(OsStr::new);
    child::passes(&mut child::wrapped(&words, test, &file.path()));
}

#[track_caller]
fn is_full(error: &Error) {
    assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
    assert!(matches!(error.downcast_ref(), Some(Problem::Engine { .. })), "{error:?}");
}

/// Adds an entry that takes a part of the room.
fn add_large(tx: &mut Tx) -> Result<(), Error> {
    add_of(tx, |number| Entry::large(number, 100_000)).map(drop)
}

/// Deletes all but the first entries.
fn keep(tx: &mut Tx, first: u64) -> Result<(), Error> {
    for entry in tx.scan(Entry::by_number.gt(first))? {
        tx.delete(entry.id)?;
    }
    let counter = tx.first(Counter::by_name.eq("entries"))?.expect("something was counted");
    tx.update(counter.id, |counter| counter.count = first).map(drop)
}

/// Lets a store run out of room, in one batch and little by little. `free` makes room.
async fn runs_full(path: &Path, cache_kib: u32, free: impl FnOnce()) {
    let options =
        SqliteOptions { cache_kib, batch_time: Duration::from_secs(60), ..SqliteOptions::default() };
    let store = place::opened(Store::builder(Sqlite::open_with(path, options).unwrap())).await;
    for _ in 0..2 {
        store.mutate(add).await.unwrap();
    }
    one_batch_is_refused(&store).await;
    store.mutate(add).await.expect("what fits is written");
    store.mutate(|tx| keep(tx, 2)).await.expect("and deleted");
    sound(&store, 2).await;

    let mut count = 2;
    let refused = loop {
        match store.mutate(add_large).await {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
        assert!(count * 100_000 < (4 * ROOM) << 20, "the room has an end");
    };
    is_full(&refused);
    sound(&store, count).await;

    // There is room again in the log when it was emptied, and for that there has to be some in the file.
    free();
    let watch = Stopwatch::start();
    while let Err(error) = store.mutate(|tx| keep(tx, 1)).await {
        is_full(&error);
        assert!(watch.elapsed() < GUARD, "the store never recovers: {error:?}");
        Clock::system().sleep(Duration::from_millis(50)).await;
    }
    sound(&store, 1).await;
    store.close().await;

    let store = place::open(path).await;
    sound(&store, 1).await;
    store.mutate(add_large).await.expect("there is room again");
    sound(&store, 2).await;
    store.close().await;
    raw::intact(path);
}

/// A mutation that needs too much takes those with it that share its commit, and leaves nothing.
async fn one_batch_is_refused(store: &Store) {
    let logged = || store.query(|tx| feed::changes(tx, Seq(0), 1000));
    let before = logged().await.unwrap();
    let (gate, held) = hold(store).await;
    let batch = [
        queued(store.mutate(|tx| add(tx).map(drop))),
        queued(store.mutate(|tx| {
            add(tx)?;
            add_of(tx, |number| Entry::large(number, 3 << 20)).map(drop)
        })),
        queued(store.mutate(|tx| add(tx).map(drop)).relaxed()),
    ];
    gate.open();
    held.await.expect("the batch before it is whole");
    for refused in batch {
        is_full(&refused.await.unwrap_err());
    }
    sound(store, 2).await;
    assert_eq!(logged().await.unwrap(), before, "the change log tells of nothing");
}

/// A folder that cannot be written, with a store and a backup of it.
#[tokio::test]
async fn a_read_only_folder_serves_readers() {
    const TEST: &str = "full_disk::a_read_only_folder_serves_readers";
    if let Some(path) = child::file() {
        return reads_only(&path).await;
    }
    let file = TempFile::new();
    let engine = Sqlite::open(file.path()).unwrap();
    let store = place::opened(Store::builder(engine.clone())).await;
    store.mutate(add).await.unwrap();
    engine.backup(raw::beside(&file.path(), ".copy")).unwrap();
    store.close().await;
    drop(engine);
    run_with_mounts(READ_ONLY, TEST, &file.path());
}

async fn reads_only(path: &Path) {
    let copy = raw::beside(path, ".copy");
    for path in [path, &copy, &path.with_extension("new")] {
        let refused = Sqlite::open(path).unwrap_err();
        assert_eq!(refused.kind(), Kind::Denied, "{refused:?}");
        assert!(matches!(refused.downcast_ref(), Some(SqliteError::Lock { .. })), "{refused:?}");
        let message = refused.to_string();
        assert!(message.contains(&path.display().to_string()), "{message} names the file");
        assert!(message.contains("read_only"), "{message} says what would be right");
    }
    let reader = Store::builder(Sqlite::read_only(&copy).expect("a backup needs no log"));
    sound(&place::opened(reader).await, 1).await;

    // Readers of a store's own file share memory through a file beside it.
    let refused = Sqlite::read_only(path).unwrap_err();
    assert_eq!(refused.kind(), Kind::Unavailable, "{refused:?}");
    assert!(refused.to_string().contains(&path.display().to_string()), "{refused}");
}
