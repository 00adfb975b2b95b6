//! Opening a file for reading only.

use loomwork_core::Kind;
use loomwork_store::{Error, Problem, Store, Table};
use loomwork_store_sqlite::{Sqlite, SqliteError};
use serde::{Deserialize, Serialize};

use crate::child::{self, Waiting};
use crate::place::{self, TempFile};
use crate::tables::{Counter, add, counted, sound};

#[tokio::test]
async fn a_reader_beside_the_writer_sees_what_is_committed() {
    let file = TempFile::new();
    let store = file.open().await;
    store.mutate(add).await.unwrap();
    let reader = file.read().await;
    for count in 1..=5 {
        sound(&reader, count).await;
        store.mutate(add).await.unwrap();
    }
    reader.close().await;
    sound(&store, 6).await;
}

#[tokio::test]
async fn a_reader_beside_another_process_sees_what_is_committed() {
    if let Some(path) = child::file() {
        let store = place::open(&path).await;
        for _ in 0..3 {
            store.mutate(add).await.unwrap();
        }
        return child::wait_for_parent();
    }
    let file = TempFile::new();
    let test = "reading::a_reader_beside_another_process_sees_what_is_committed";
    let owner = Waiting::start(test, &file.path());
    let reader = file.read().await;
    sound(&reader, 3).await;
    owner.kill();
    sound(&reader, 3).await;
}

#[tokio::test]
async fn a_reader_needs_no_writer() {
    let file = TempFile::new();
    let store = file.open().await;
    store.mutate(add).await.unwrap();
    store.close().await;
    sound(&file.read().await, 1).await;
    // Nor does it stand in the way of one.
    let reader = file.read().await;
    let store = file.open().await;
    store.mutate(add).await.unwrap();
    sound(&reader, 2).await;
}

#[tokio::test]
async fn a_reader_refuses_mutations() {
    let file = TempFile::new();
    let store = file.open().await;
    store.mutate(add).await.unwrap();
    let reader = file.read().await;
    let refused = reader.mutate(add).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Denied);
    assert!(matches!(refused.downcast_ref(), Some(Problem::ReadOnly)), "{refused}");
    let refused = reader.claim(Counter::by_name.all(), 1, |_, _| Ok(true)).await.unwrap_err();
    assert!(matches!(refused.downcast_ref(), Some(Problem::ReadOnly)), "{refused}");
    sound(&store, 1).await;
}

#[tokio::test]
async fn a_reader_watches_once() {
    let file = TempFile::new();
    let store = file.open().await;
    store.mutate(add).await.unwrap();
    let reader = file.read().await;
    let mut watch = reader.watch(counted);
    assert_eq!(watch.next().await.unwrap().unwrap(), (1, vec![1]));
    store.mutate(add).await.unwrap();
    reader.close().await;
    assert!(watch.next().await.is_none(), "SQLite does not tell of the other's commit");
}

/// A table that the file has not.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "later", id = "later")]
struct Later {}

#[tokio::test]
async fn a_reader_refuses_a_store_without_its_tables() {
    let file = TempFile::new();
    file.open().await.close().await;
    let engine = Sqlite::read_only(file.path()).unwrap();
    let refused = Store::builder(engine).tables([Later::table()]).open().await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Invalid);
    assert!(matches!(refused.downcast_ref(), Some(Problem::BadSchema(_))), "{refused}");
    let message = refused.to_string();
    assert!(message.contains("no table `later`") && message.contains("for writing"), "{message}");
}

#[track_caller]
fn is_missing(error: &Error) {
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(matches!(error.downcast_ref(), Some(SqliteError::Missing { .. })), "{error}");
}

#[test]
fn a_reader_makes_nothing() {
    let file = TempFile::new();
    is_missing(&Sqlite::read_only(file.path()).unwrap_err());
    std::fs::write(file.folder().join("empty.db"), []).unwrap();
    is_missing(&Sqlite::read_only(file.folder().join("empty.db")).unwrap_err());
    is_missing(&Sqlite::read_only(file.folder().join("no/such/folder.db")).unwrap_err());
    let there: Vec<_> = file.folder().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(there, ["empty.db"]);
}

#[tokio::test]
async fn a_reader_notices_that_the_owner_has_changed_the_tables() {
    mod before {
        use super::*;

        #[derive(Clone, Debug, Serialize, Deserialize, Table)]
        #[table(name = "things", id = "thing")]
        #[index(by_key(first))]
        pub(super) struct Thing {
            pub(super) first: u64,
            pub(super) second: u64,
        }
    }
    mod after {
        use super::*;

        #[derive(Clone, Debug, Serialize, Deserialize, Table)]
        #[table(name = "things", id = "thing")]
        #[index(by_key(second), version = 2)]
        pub(super) struct Thing {
            pub(super) first: u64,
            pub(super) second: u64,
        }
    }
    let file = TempFile::new();
    let path = file.path();
    let owner = |tables| Store::builder(Sqlite::open(&path).unwrap()).tables(tables).open();
    let store = owner([before::Thing::table()]).await.unwrap();
    store.mutate(|tx| tx.insert(before::Thing { first: 5, second: 95 })).await.unwrap();
    let reader = Store::builder(Sqlite::read_only(&path).unwrap()).tables([before::Thing::table()]);
    let reader = reader.open().await.unwrap();
    assert_eq!(reader.query(|tx| tx.count(before::Thing::by_key.eq(5))).await.unwrap(), 1);
    store.close().await;
    drop(store);

    let store = owner([after::Thing::table()]).await.unwrap();
    let error = reader.query(|tx| tx.count(before::Thing::by_key.eq(5))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    let source = std::error::Error::source(&error).expect("the reason is kept").to_string();
    assert!(source.contains("open the store again"), "{source}");
    store.close().await;
}
