//! Copies of a store while it is in use.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use loomwork_core::Kind;
use loomwork_store::{Error, Store};
use loomwork_store_sqlite::{Sqlite, SqliteError};
use loomwork_testkit::soon;

use crate::place::{self, TempFile};
use crate::raw;
use crate::tables::{add, counted, sound};

async fn opened(file: &TempFile) -> (Sqlite, Store) {
    let engine = Sqlite::open(file.path()).unwrap();
    let store = place::opened(Store::builder(engine.clone())).await;
    (engine, store)
}

async fn copied(engine: &Sqlite, to: &Path) -> Result<(), Error> {
    let (engine, to) = (engine.clone(), to.to_owned());
    soon(tokio::task::spawn_blocking(move || engine.backup(to))).await.expect("a backup does not panic")
}

/// Returns the file names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_busy_store_is_one_moment() {
    let file = TempFile::new();
    let (engine, store) = opened(&file).await;
    let done = Arc::new(AtomicBool::new(false));
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..4 {
        let (store, done) = (store.clone(), done.clone());
        writers.spawn(async move {
            while !done.load(Ordering::Acquire) {
                let mutation = store.mutate(add);
                let written = if number % 2 == 0 { mutation.await } else { mutation.relaxed().await };
                written.expect("writers go on during a backup");
            }
        });
    }
    let mut last = 0;
    for number in 0..5 {
        let (before, _) = store.query(counted).await.unwrap();
        let to = file.folder().join(format!("copy-{number}.db"));
        copied(&engine, &to).await.unwrap();
        let (after, _) = store.query(counted).await.unwrap();

        let copy = place::open(&to).await;
        let (count, numbers) = copy.query(counted).await.unwrap();
        assert!((before..=after).contains(&count), "{before} <= {count} <= {after}");
        assert_eq!(numbers, (1..=count).collect::<Vec<_>>(), "counter and entries are of one moment");
        assert!(copy.check().await.unwrap().is_clean());
        copy.close().await;
        raw::intact(&to);
        last = count;
    }
    done.store(true, Ordering::Release);
    soon(writers.join_all()).await;
    assert!(store.query(counted).await.unwrap().0 >= last);
    assert!(store.check().await.unwrap().is_clean());
}

#[tokio::test]
async fn a_backup_is_a_store_of_its_own() {
    let file = TempFile::new();
    let (engine, store) = opened(&file).await;
    store.mutate(add).await.unwrap();
    let paths = [file.folder().join("one.db"), file.folder().join("two.db")];
    for path in &paths {
        copied(&engine, path).await.unwrap();
    }
    let [one, two] = [place::open(&paths[0]).await, place::open(&paths[1]).await];
    assert_ne!(one.id(), store.id(), "what was derived from the original does not fit the copy");
    assert_ne!(one.id(), two.id());

    // Each goes its way.
    one.mutate(add).await.unwrap();
    sound(&one, 2).await;
    sound(&two, 1).await;
    sound(&store, 1).await;
    let id = one.id();
    one.close().await;
    assert_eq!(place::open(&paths[0]).await.id(), id, "the copy's id stays");
    let original = store.id();
    store.close().await;
    drop(engine);
    assert_eq!(file.open().await.id(), original, "the original's too");
}

#[tokio::test]
async fn a_restored_backup_replaces_a_lost_file() {
    let file = TempFile::new();
    let (engine, store) = opened(&file).await;
    store.mutate(add).await.unwrap();
    let saved = file.folder().join("saved.db");
    copied(&engine, &saved).await.unwrap();
    store.mutate(add).await.unwrap();
    let lost = store.id();
    store.close().await;
    drop(engine);

    std::fs::rename(&saved, file.path()).unwrap();
    let restored = file.open().await;
    sound(&restored, 1).await;
    assert_ne!(restored.id(), lost);
    restored.mutate(add).await.unwrap();
    sound(&restored, 2).await;
}

#[tokio::test]
async fn a_backup_holds_what_is_only_in_the_log() {
    let file = TempFile::new();
    let (engine, store) = opened(&file).await;
    store.mutate(add).relaxed().await.unwrap();
    assert_ne!(raw::log_bytes(&file.path()), 0, "nothing has emptied the log yet");
    let to = file.folder().join("copy.db");
    copied(&engine, &to).await.unwrap();
    assert_eq!(names(to.parent().unwrap()).iter().filter(|name| name.starts_with("copy")).count(), 1);
    sound(&place::open(&to).await, 1).await;
}

#[tokio::test]
async fn a_reader_can_make_a_backup() {
    let file = TempFile::new();
    let store = file.open().await;
    store.mutate(add).await.unwrap();
    let to = file.folder().join("copy.db");
    copied(&Sqlite::read_only(file.path()).unwrap(), &to).await.unwrap();
    sound(&place::open(&to).await, 1).await;
}

#[tokio::test]
async fn a_backup_overwrites_nothing() {
    let file = TempFile::new();
    let (engine, _store) = opened(&file).await;
    let precious = file.folder().join("precious.txt");
    std::fs::write(&precious, "a letter").unwrap();
    for to in [precious.clone(), file.path(), file.folder().to_owned()] {
        let refused = copied(&engine, &to).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Invalid);
        assert!(matches!(refused.downcast_ref(), Some(SqliteError::Exists { .. })), "{refused:?}");
        assert!(refused.to_string().contains(&to.display().to_string()), "{refused}");
    }
    assert_eq!(std::fs::read_to_string(precious).unwrap(), "a letter");
}

#[tokio::test]
async fn of_two_backups_to_one_file_one_is_made() {
    let file = TempFile::new();
    let (engine, store) = opened(&file).await;
    store.mutate(|tx| (0..500).try_for_each(|_| add(tx).map(drop))).await.unwrap();
    for round in 0..5 {
        let to = file.folder().join(format!("copy-{round}.db"));
        let (one, two) = tokio::join!(copied(&engine, &to), copied(&engine, &to));
        let refused = match (one, two) {
            (Ok(()), Err(refused)) | (Err(refused), Ok(())) => refused,
            both => panic!("{both:?}"),
        };
        // It met the other at work, or its file.
        let fault = refused.downcast_ref::<SqliteError>();
        assert!(
            matches!(fault, Some(SqliteError::Backup { .. } | SqliteError::Exists { .. })),
            "{refused:?}"
        );
        raw::intact(&to);
        sound(&place::open(&to).await, 500).await;
        assert!(!names(file.folder()).iter().any(|name| name.contains("unfinished")), "nothing is left");
    }
}

#[tokio::test]
async fn a_backup_that_cannot_be_written_says_so() {
    let file = TempFile::new();
    let (engine, store) = opened(&file).await;
    // Nobody can write here, not even root.
    std::fs::write(file.folder().join("no-folder"), []).unwrap();
    for to in [
        file.folder().join("no-folder/copy.db"),
        file.folder().join("no/such/folder/copy.db"),
        Path::new("/proc/copy.db").to_owned(),
    ] {
        let failed = copied(&engine, &to).await.unwrap_err();
        assert!(matches!(failed.downcast_ref(), Some(SqliteError::Backup { .. })), "{failed:?}");
        assert!(failed.to_string().contains(&to.display().to_string()), "{failed}");
        let source = std::error::Error::source(&failed).expect("the system's reason is kept");
        assert!(source.downcast_ref::<std::io::Error>().is_some(), "{source:?}");
    }
    store.mutate(add).await.expect("the store does not mind");
}

#[tokio::test]
async fn an_unfinished_backup_is_replaced() {
    let file = TempFile::new();
    let (engine, store) = opened(&file).await;
    store.mutate(add).await.unwrap();
    let to = file.folder().join("copy.db");
    // What a killed backup leaves: half a copy, or a whole one that was not yet renamed.
    std::fs::write(raw::beside(&to, ".unfinished"), vec![7; 10_000]).unwrap();
    copied(&engine, &to).await.unwrap();
    std::fs::copy(&to, raw::beside(&file.folder().join("second.db"), ".unfinished")).unwrap();
    store.mutate(add).await.unwrap();
    copied(&engine, &file.folder().join("second.db")).await.unwrap();

    let left = names(file.folder()).into_iter().filter(|name| name.contains("unfinished"));
    assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new());
    sound(&place::open(&to).await, 1).await;
    sound(&place::open(&file.folder().join("second.db")).await, 2).await;
}
