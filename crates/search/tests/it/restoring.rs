//! A store that goes back to an earlier state.

use std::path::Path;
use std::time::Duration;

use loomwork_search::{Index, Query, Search};
use loomwork_store::{Id, Store, Table};
use loomwork_store_sqlite::OpenSqlite as _;
use loomwork_testkit::soon;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "notes", id = "note", feed)]
struct Note {
    text: String,
}

async fn open(path: &Path) -> Store {
    let store =
        Store::open(path).expect("the file opens").tables([Note::table()]).tables(loomwork_search::tables());
    store.open().await.expect("the store opens")
}

async fn start(store: &Store, folder: &Path) -> Search {
    let notes = Index::<Note>::new("notes").text("text", |note| note.text.as_str());
    Search::builder(store).folder(folder).index(notes).start().await.expect("the search starts")
}

async fn add(store: &Store, text: &str) -> Id<Note> {
    let note = Note { text: text.into() };
    store.mutate(move |tx| Ok(tx.insert(note)?.id)).await.expect("the note is written")
}

async fn found(search: &Search, text: &str) -> Vec<Id<Note>> {
    let hits = soon(search.find::<Note>("notes", Query::text(text))).await.expect("the query is right");
    hits.into_iter().map(|hit| hit.row.id).collect()
}

async fn end(search: Search, store: Store) {
    soon(search.filled()).await.expect("the index is filled");
    search.shutdown(Duration::from_secs(20)).await.expect("the search ends");
    drop(search);
    store.close().await;
}

#[tokio::test]
async fn an_older_copy_of_the_store_makes_the_index_anew() {
    // With and without a write between the opening of the copy and that of the index.
    for writes_first in [false, true] {
        let place = tempfile::tempdir().unwrap();
        let (rows, copy) = (place.path().join("store.db"), place.path().join("copy.db"));
        let folder = place.path().join("index");
        let store = open(&rows).await;
        let search = start(&store, &folder).await;
        let kept = add(&store, "wool").await;
        end(search, store).await;
        std::fs::copy(&rows, &copy).unwrap();

        let store = open(&rows).await;
        let search = start(&store, &folder).await;
        store.mutate(move |tx| tx.update(kept, |note| note.text = "silk".into())).await.unwrap();
        add(&store, "yarn").await;
        end(search, store).await;
        for end in ["db", "db-wal", "db-shm"] {
            let _ = std::fs::remove_file(rows.with_extension(end));
        }
        std::fs::rename(&copy, &rows).unwrap();

        let store = open(&rows).await;
        if writes_first {
            add(&store, "felt").await;
        }
        let search = start(&store, &folder).await;
        assert_eq!(found(&search, "wool").await, [kept]);
        assert!(found(&search, "yarn silk").await.is_empty());
        assert_eq!(found(&search, "felt").await.len(), usize::from(writes_first));
    }
}

#[tokio::test]
async fn a_backup_is_another_store() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("index");
    let store = open(&place.path().join("store.db")).await;
    let search = start(&store, &folder).await;
    let kept = add(&store, "wool").await;
    end(search, store).await;
    let copy = place.path().join("copy.db");
    {
        let sqlite = loomwork_store_sqlite::Sqlite::open(place.path().join("store.db")).unwrap();
        sqlite.backup(&copy).unwrap();
    }
    let store = open(&copy).await;
    let search = start(&store, &folder).await;
    assert_eq!(found(&search, "wool").await, [kept]);
    end(search, store).await;
}
