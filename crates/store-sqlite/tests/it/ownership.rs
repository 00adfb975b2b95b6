//! One process owns a file, for as long as it lives.

use std::time::Duration;

use loomwork_core::Kind;
use loomwork_store::lease::{self, Lease};
use loomwork_store::{Error, Store};
use loomwork_store_sqlite::{Sqlite, SqliteError};

use crate::child::{self, Waiting};
use crate::place::{self, TempFile};
use crate::tables::{self, add, sound};

/// Takes an error for the refusal of a second writer; returns who holds the file.
fn holder(error: Error) -> String {
    assert_eq!(error.kind(), Kind::Unavailable);
    let message = error.to_string();
    match error.downcast::<SqliteError>().expect("it is the engine's own error") {
        SqliteError::Held { path, holder } => {
            assert!(message.contains(&path.display().to_string()), "{message} names the file");
            assert!(message.contains(&holder), "{message} names the holder");
            holder
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_second_writer_of_this_process_is_refused() {
    let file = TempFile::new();
    let store = file.open().await;
    for count in 1..=2 {
        let refused = holder(Sqlite::open(file.path()).unwrap_err());
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        // SQLite's own locks are the process's: the refusal must not have cost the store its.
        store.mutate(add).await.expect("the owner goes on");
        sound(&store, count).await;
    }
}

#[tokio::test]
async fn a_second_writer_of_another_process_is_refused() {
    if let Some(path) = child::file() {
        let _store = place::open(&path).await;
        return child::wait_for_parent();
    }
    let file = TempFile::new();
    let owner = Waiting::start("ownership::a_second_writer_of_another_process_is_refused", &file.path());
    let refused = holder(Sqlite::open(file.path()).unwrap_err());
    assert!(refused.contains(&format!("process {}", owner.id())), "{refused}");
    let program = std::env::current_exe().unwrap();
    assert!(refused.contains(&program.display().to_string()), "{refused}");
}

#[tokio::test]
async fn a_second_writer_cannot_come_by_another_name() {
    let file = TempFile::new();
    let store = file.open().await;
    let other = file.folder().join("other.db");
    std::os::unix::fs::symlink(file.path(), &other).unwrap();
    holder(Sqlite::open(&other).unwrap_err());
    std::fs::create_dir(file.folder().join("in")).unwrap();
    holder(Sqlite::open(file.folder().join("in/../store.db")).unwrap_err());

    store.close().await;
    let store = place::open(&other).await;
    holder(Sqlite::open(file.path()).unwrap_err());
    store.mutate(add).await.unwrap();
    store.close().await;
    sound(&file.open().await, 1).await;
}

#[tokio::test]
async fn a_link_to_a_file_that_is_not_there_yet_is_no_other_name() {
    let file = TempFile::new();
    let (link, next) = (file.folder().join("link.db"), file.folder().join("next.db"));
    std::os::unix::fs::symlink("next.db", &link).unwrap();
    std::os::unix::fs::symlink(file.path(), &next).unwrap();
    let store = place::open(&link).await;
    for path in [&file.path(), &next, &link] {
        holder(Sqlite::open(path).unwrap_err());
    }
    store.close().await;
    std::os::unix::fs::symlink("circle.db", file.folder().join("circle.db")).unwrap();
    Sqlite::open(file.folder().join("circle.db")).unwrap_err();
}

#[tokio::test]
async fn closing_the_store_frees_its_file() {
    let file = TempFile::new();
    for count in 1..=3 {
        let store = file.open().await;
        store.mutate(add).await.unwrap();
        sound(&store, count).await;
        store.close().await;
    }
}

#[tokio::test]
async fn dropping_the_store_frees_its_file() {
    let file = TempFile::new();
    let engine = Sqlite::open(file.path()).unwrap();
    let store = place::opened(Store::builder(engine.clone())).await;
    store.close().await;
    // A handle of the file holds it too.
    holder(Sqlite::open(file.path()).unwrap_err());
    drop(engine);
    file.open().await;
}

#[tokio::test]
async fn killing_the_owner_frees_its_file() {
    if let Some(path) = child::file() {
        let store = place::open(&path).await;
        for _ in 0..3 {
            store.mutate(add).await.unwrap();
        }
        return child::wait_for_parent();
    }
    let file = TempFile::new();
    let owner = Waiting::start("ownership::killing_the_owner_frees_its_file", &file.path());
    holder(Sqlite::open(file.path()).unwrap_err());
    owner.kill();
    sound(&file.open().await, 3).await;
}

#[tokio::test]
async fn each_opening_begins_an_epoch_of_the_same_store() {
    let file = TempFile::new();
    let first = file.open().await;
    let (id, epoch) = (first.id(), first.epoch());
    first.close().await;
    for later in 1..=3 {
        let store = file.open().await;
        assert_eq!(store.id(), id);
        assert_eq!(store.epoch(), epoch + later);
        let seen = store.query(|tx| Ok(tx.epoch())).await.unwrap();
        assert_eq!(seen, store.epoch(), "transactions know the epoch");
        store.close().await;
    }
    // Reading is no opening.
    let reader = file.read().await;
    assert_eq!((reader.id(), reader.epoch()), (id, epoch + 3));
}

#[tokio::test]
async fn a_dead_owners_lease_is_free() {
    const HOUR: Duration = Duration::from_secs(3600);
    async fn acquire(store: &Store, holder: &'static str) -> Option<Lease> {
        store.mutate(move |tx| lease::acquire(tx, "night shift", holder, HOUR)).await.unwrap()
    }
    if let Some(path) = child::file() {
        let store = place::open(&path).await;
        assert!(acquire(&store, "child").await.is_some());
        assert!(acquire(&store, "rival").await.is_none(), "the lease is held while its epoch lasts");
        return child::wait_for_parent();
    }
    let file = TempFile::new();
    Waiting::start("ownership::a_dead_owners_lease_is_free", &file.path()).kill();
    let store = file.open().await;
    let lease = acquire(&store, "parent").await.expect("no waiting for its expiry");
    assert_eq!(lease.fence, 2, "the fence goes on where the dead owner was");
    let dead = Lease { holder: "child".into(), fence: 1, ..lease };
    let late = store.mutate(move |tx| lease::check(tx, &dead)).await.unwrap_err();
    assert!(late.downcast_ref::<lease::Lost>().is_some(), "{late}");
}

#[tokio::test]
async fn one_handle_has_one_writer() {
    let file = TempFile::new();
    let engine = Sqlite::open(file.path()).unwrap();
    let store = place::opened(Store::builder(engine.clone())).await;
    let refused = Store::builder(engine.clone()).tables(tables::all()).open().await.unwrap_err();
    assert!(holder(refused).contains("same handle"));
    store.mutate(add).await.unwrap();
    store.close().await;
    sound(&place::opened(Store::builder(engine)).await, 1).await;
}
