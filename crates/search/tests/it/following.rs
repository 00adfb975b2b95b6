//! What is derived follows the rows, whatever happens to it.

use std::path::Path;
use std::sync::Arc;

use loomwork_models::MockEmbeddings;
use loomwork_search::{Index, Query, vectors};
use loomwork_store::feed;
use loomwork_testkit::soon;

use super::Bed;
use super::yard::{
    Card, DEADLINE, Note, add, builder, embedded, end, found, ids, note, notes, open, space, start, start_embedding,
};

#[tokio::test]
async fn rows_that_were_there_before_are_found() {
    let store = open(&Bed::new()).await;
    let insert = |tx: &mut loomwork_store::Tx| {
        for number in 0..1_200 {
            let id = tx.insert(note(&format!("number{number}"), "wool"))?.id;
            vectors::insert(tx, &space(), id, vec![1.0, number as f32, 0.0])?;
        }
        Ok(())
    };
    store.mutate(insert).await.unwrap();
    let search = start(&store, None).await;
    let new = add(&store, note("fresh", "yarn")).await;
    assert_eq!(found(&search, "fresh").await, [new]);
    assert_eq!(found(&search, "number1199").await.len(), 1);
    assert_eq!(ids(&search, Query { limit: 1_000, ..Query::vector([0.0, 1.0, 0.0]) }).await.len(), 1_000);
    soon(search.filled()).await.unwrap();
    assert_eq!(search.progress().await.unwrap()[0].filling, None);
}

#[tokio::test]
async fn a_restart_goes_on_where_the_last_one_stopped() {
    let (bed, folder) = (Bed::new(), tempfile::tempdir().unwrap());
    let store = open(&bed).await;
    let search = start(&store, Some(folder.path())).await;
    let one = add(&store, note("one", "wool")).await;
    store.mutate(move |tx| vectors::insert(tx, &space(), one, vec![1.0, 0.0, 0.0])).await.unwrap();
    soon(search.filled()).await.unwrap();
    end(search).await;
    let two = add(&store, note("two", "yarn")).await;
    store.mutate(move |tx| tx.update(one, |note| note.body = "silk".into())).await.unwrap();

    let search = start(&store, Some(folder.path())).await;
    assert_eq!(search.progress().await.unwrap()[0].filling, None);
    assert_eq!(found(&search, "yarn").await, [two]);
    assert!(found(&search, "wool").await.is_empty());
    assert_eq!(ids(&search, Query::vector([1.0, 0.0, 0.0])).await, [one]);
    end(search).await;
    store.close().await;
    drop(store);

    let store = open(&bed).await;
    let search = start(&store, Some(folder.path())).await;
    assert_eq!(search.progress().await.unwrap()[0].filling, None);
    assert_eq!(found(&search, "silk").await, [one]);
}

#[tokio::test]
async fn deleting_the_folder_makes_no_call_to_the_model() {
    let (bed, folder) = (Bed::new(), tempfile::tempdir().unwrap());
    let store = open(&bed).await;
    let model = Arc::new(MockEmbeddings::new(16));
    let (search, pool) = start_embedding(&store, Some(folder.path()), &model).await;
    let one = add(&store, note("", "sheep give wool")).await;
    let two = add(&store, note("", "the price of tea")).await;
    embedded(&store, &search).await;
    pool.shutdown(DEADLINE).await.unwrap();
    end(search).await;
    std::fs::remove_dir_all(folder.path().join("notes")).unwrap();

    let calls = model.requests().len();
    let (search, _pool) = start_embedding(&store, Some(folder.path()), &model).await;
    soon(search.filled()).await.unwrap();
    embedded(&store, &search).await;
    assert_eq!(model.requests().len(), calls);
    let vector = search.embed("notes", "sheep give wool").await.unwrap();
    assert_eq!(ids(&search, Query::vector(vector)).await, [one, two]);
}

#[tokio::test]
async fn an_older_folder_is_made_anew() {
    let (bed, folder, copy) = (Bed::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(&bed).await;
    let search = start(&store, Some(folder.path())).await;
    let one = add(&store, note("one", "wool")).await;
    soon(search.filled()).await.unwrap();
    end(search).await;
    copy_all(folder.path(), copy.path());

    let search = start(&store, Some(folder.path())).await;
    store.mutate(move |tx| tx.delete(one)).await.unwrap();
    let two = add(&store, note("two", "yarn")).await;
    end(search).await;
    std::fs::remove_dir_all(folder.path()).unwrap();
    copy_all(copy.path(), folder.path());

    let search = start(&store, Some(folder.path())).await;
    assert!(found(&search, "wool").await.is_empty());
    assert_eq!(found(&search, "yarn").await, [two]);
}

#[tokio::test]
async fn what_is_unreadable_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&Bed::new()).await;
    let one = add(&store, note("one", "wool")).await;
    store.mutate(move |tx| vectors::insert(tx, &space(), one, vec![1.0, 0.0, 0.0])).await.unwrap();
    let search = start(&store, Some(folder.path())).await;
    soon(search.filled()).await.unwrap();
    end(search).await;
    spoil(folder.path());
    let search = start(&store, Some(folder.path())).await;
    assert_eq!(found(&search, "wool").await, [one]);
    assert_eq!(ids(&search, Query::vector([1.0, 0.0, 0.0])).await, [one]);
}

#[tokio::test]
async fn another_declaration_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&Bed::new()).await;
    let one = add(&store, note("one", "wool")).await;
    let search = start(&store, Some(folder.path())).await;
    soon(search.filled()).await.unwrap();
    end(search).await;
    let titles = Index::<Note>::new("notes").text("title", |note| note.title.as_str()).version(2);
    let search = builder(&store, Some(folder.path())).index(titles).start().await.unwrap();
    assert_eq!(found(&search, "one").await, [one]);
    assert!(found(&search, "wool").await.is_empty());
}

#[tokio::test]
async fn vectors_of_other_tables_are_nobody_elses() {
    let store = open(&Bed::new()).await;
    let cards = Index::<Card>::new("cards").text("text", |card| card.text.as_str()).vectors(space());
    let search = builder(&store, None).index(notes()).index(cards).start().await.unwrap();
    let one = add(&store, note("one", "wool")).await;
    let card = store.mutate(|tx| Ok(tx.insert(Card { text: "wool".into() })?.id)).await.unwrap();
    store.mutate(move |tx| vectors::insert(tx, &space(), card, vec![1.0, 0.0, 0.0])).await.unwrap();
    assert!(ids(&search, Query::vector([1.0, 0.0, 0.0])).await.is_empty());
    assert_eq!(found(&search, "wool").await, [one]);
    let found = search.find::<Card>("cards", Query::hybrid("wool", [1.0, 0.0, 0.0])).await.unwrap();
    assert_eq!(found.into_iter().map(|hit| hit.row.id).collect::<Vec<_>>(), [card]);
}

#[tokio::test]
async fn the_feed_waits_for_no_index_that_was_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&Bed::new()).await;
    let search = start(&store, Some(folder.path())).await;
    end(search).await;
    assert!(store.query(|tx| feed::position(tx, "search/notes")).await.is_ok());
    store.mutate(|tx| loomwork_search::forget(tx, "notes", "")).await.unwrap();
    assert!(store.query(|tx| feed::position(tx, "search/notes")).await.is_err());
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the folder is at hand");
    for entry in std::fs::read_dir(from).expect("the folder is at hand") {
        let entry = entry.expect("the folder is at hand");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("the folder is at hand").is_dir() {
            copy_all(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("the folder is at hand");
        }
    }
}

/// Overwrites each file with something else.
fn spoil(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("the folder is at hand") {
        let entry = entry.expect("the folder is at hand");
        if entry.file_type().expect("the folder is at hand").is_dir() {
            spoil(&entry.path());
        } else {
            std::fs::write(entry.path(), "spoilt").expect("the folder is at hand");
        }
    }
}
