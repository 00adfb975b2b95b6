//! Texts become vectors in the background.

use std::sync::Arc;

use async_trait::async_trait;
use loomwork_core::{Fault as _, Kind};
use loomwork_models::{
    EmbedRequest, EmbeddingModel, Embeddings, Error as ModelError, ErrorKind, Gate, MockEmbeddings, ModelName,
};
use loomwork_search::{Error, Query, Search, Space, vectors};
use loomwork_store::Page;
use loomwork_testkit::soon;
use loomwork_workpool::Workpool;

use super::Bed;
use super::yard::{
    Card, add, builder, embedded, embedded_notes, found, hits, ids, note, open, start_embedding,
};

const DIMENSION: usize = 4;

fn model() -> MockEmbeddings {
    MockEmbeddings::new(DIMENSION)
        .with_vector("north", [0.0, 1.0, 0.0, 0.0])
        .with_vector("east", [1.0, 0.0, 0.0, 0.0])
}

fn space() -> Space {
    Space::new("mock/mock", DIMENSION).expect("four is a length")
}

#[tokio::test]
async fn a_text_is_found_by_its_vector_once_it_is_embedded() {
    let store = open(&Bed::new()).await;
    let before = add(&store, note("", "east")).await;
    let (search, _pool) = start_embedding(&store, None, &Arc::new(model())).await;
    let after = add(&store, note("", " north\n")).await;
    embedded(&store, &search).await;
    let north = search.embed("notes", "north").await.unwrap();
    let all = hits(&search, Query::vector(north)).await;
    assert_eq!(all.iter().map(|hit| hit.row.id).collect::<Vec<_>>(), [after, before]);
    assert!((all[0].vector.unwrap().score - 1.0).abs() < 1e-5);
    let embedding = search.progress().await.unwrap()[0].embedding.clone().unwrap();
    assert!(embedding.filled && embedding.waiting == 0 && embedding.failed == 0);
}

#[tokio::test]
async fn a_text_is_asked_for_once() {
    let store = open(&Bed::new()).await;
    let model = Arc::new(model());
    let (search, _pool) = start_embedding(&store, None, &model).await;
    add(&store, note("", "north")).await;
    embedded(&store, &search).await;
    let other = add(&store, note("", "north")).await;
    store.mutate(move |tx| tx.update(other, |note| note.title = "new".into())).await.unwrap();
    embedded(&store, &search).await;
    let asked: Vec<_> = model.requests().into_iter().flat_map(|request| request.texts).collect();
    assert_eq!(asked, ["north"]);
    assert_eq!(ids(&search, Query::vector([0.0, 1.0, 0.0, 0.0])).await.len(), 2);
}

#[tokio::test]
async fn a_save_never_waits_and_a_changed_text_gets_its_own_vector() {
    let store = open(&Bed::new()).await;
    let gate = Gate::new();
    let model = Arc::new(model().with_gate(&gate));
    let (search, _pool) = start_embedding(&store, None, &model).await;
    let id = add(&store, note("", "north")).await;
    soon(gate.reached()).await;
    // The model has not answered, and the write is done.
    store.mutate(move |tx| tx.update(id, |note| note.body = "east".into())).await.unwrap();
    assert_eq!(found(&search, "east").await, [id]);
    gate.open();
    embedded(&store, &search).await;
    let near = Query { threshold: Some(0.99), ..Query::vector([1.0, 0.0, 0.0, 0.0]) };
    assert_eq!(ids(&search, near).await, [id]);
    let rows = store.query(|tx| vectors::page(tx, &space(), Page::first(9))).await.unwrap().rows;
    assert_eq!(rows.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_embedded_says_so_and_can_be_tried_again() {
    let store = open(&Bed::new()).await;
    let model = Arc::new(model());
    model.fail_next(ModelError::new(ErrorKind::BadRequest, "mock", "mock", "no such language"));
    let (search, _pool) = start_embedding(&store, None, &model).await;
    let id = add(&store, note("", "north")).await;
    let failed = soon(search.embedded(store.committed())).await.unwrap_err();
    assert!(matches!(&failed, Error::NotEmbedded { index, batches: 1, .. } if index == "notes"), "{failed}");
    assert!(failed.to_string().contains("no such language"), "{failed}");
    assert_eq!(failed.kind(), Kind::Unavailable);
    assert_eq!(found(&search, "north").await, [id]);
    assert_eq!(search.retry().await.unwrap(), 1);
    embedded(&store, &search).await;
    assert_eq!(ids(&search, Query::vector([0.0, 1.0, 0.0, 0.0])).await, [id]);
}

/// Refuses every call with a text that it does not like.
#[derive(Debug)]
struct Picky {
    model: MockEmbeddings,
    dislikes: fn(&str) -> bool,
}

#[async_trait]
impl EmbeddingModel for Picky {
    fn name(&self) -> &ModelName {
        self.model.name()
    }

    fn dimensions(&self) -> Option<usize> {
        EmbeddingModel::dimensions(&self.model)
    }

    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings, ModelError> {
        if let Some(text) = request.texts.iter().find(|text| (self.dislikes)(text)) {
            let message = format!("{text:?} is not allowed");
            return Err(ModelError::new(ErrorKind::ContentPolicy, "mock", "mock", message));
        }
        self.model.embed(request).await
    }
}

/// Sixty rows, two of which have a text that nobody likes.
async fn embed_with(dislikes: fn(&str) -> bool) -> (Search, Error) {
    let store = open(&Bed::new()).await;
    store
        .mutate(|tx| {
            (0..60).try_for_each(|number| {
                let body = if number % 40 == 7 { format!("bad {number}") } else { format!("good {number}") };
                tx.insert(note("", &body)).map(drop)
            })
        })
        .await
        .expect("the rows are written");
    let model = Picky { model: model(), dislikes };
    let search = builder(&store, None).index(embedded_notes()).embedder(model).start().await.expect("the search starts");
    let pool = search.bind(Workpool::builder(&store)).start().await.expect("the pool starts");
    let error = soon(search.embedded(store.committed())).await.expect_err("two texts are refused");
    drop(pool);
    (search, error)
}

#[tokio::test]
async fn a_text_that_a_model_refuses_fails_alone() {
    let (search, error) = embed_with(|text| text.starts_with("bad")).await;
    assert!(matches!(&error, Error::NotEmbedded { batches: 2, .. }), "{error}");
    assert!(error.to_string().contains("is not allowed"), "{error}");
    let embedding = search.progress().await.unwrap()[0].embedding.clone().unwrap();
    assert_eq!((embedding.waiting, embedding.failed), (2, 2));
}

#[tokio::test]
async fn a_model_that_refuses_all_is_not_asked_for_each_text() {
    let (search, error) = embed_with(|_| true).await;
    assert!(matches!(&error, Error::NotEmbedded { batches: 1, .. }), "{error}");
    let embedding = search.progress().await.unwrap()[0].embedding.clone().unwrap();
    assert_eq!((embedding.waiting, embedding.failed), (60, 1));
}

#[tokio::test]
async fn a_call_that_breaks_off_is_made_again() {
    let store = open(&Bed::new()).await;
    let model = Arc::new(model());
    model.fail_next(ModelError::new(ErrorKind::Network, "mock", "mock", "the line was cut"));
    let (search, _pool) = start_embedding(&store, None, &model).await;
    add(&store, note("", "north")).await;
    embedded(&store, &search).await;
    assert_eq!(model.requests().len(), 2);
}

#[tokio::test]
async fn the_hook_commits_with_the_vectors() {
    let store = open(&Bed::new()).await;
    let search = builder(&store, None)
        .index(embedded_notes())
        .embedder(model())
        .on_embedded(|tx, batch| {
            let text = format!("{} {} {}", batch.index, batch.asked, batch.usage.embedding);
            tx.insert(Card { text }).map(drop)
        })
        .start()
        .await
        .unwrap();
    let _pool = search.bind(Workpool::builder(&store)).start().await.unwrap();
    add(&store, note("", "two words")).await;
    embedded(&store, &search).await;
    let told = store.query(|tx| tx.scan(<Card as loomwork_store::Table>::all())).await.unwrap();
    assert_eq!(told.iter().map(|card| card.text.as_str()).collect::<Vec<_>>(), ["notes 1 2"]);
}

#[tokio::test]
async fn a_vector_that_was_written_by_hand_stays() {
    let store = open(&Bed::new()).await;
    let model = Arc::new(model());
    let (search, _pool) = start_embedding(&store, None, &model).await;
    let insert = |tx: &mut loomwork_store::Tx| {
        let id = tx.insert(note("", "north"))?.id;
        vectors::insert(tx, &space(), id, vec![0.0, 0.0, 1.0, 0.0])?;
        Ok(id)
    };
    let id = store.mutate(insert).await.unwrap();
    embedded(&store, &search).await;
    let row = store.query(move |tx| vectors::of(tx, &space(), id)).await.unwrap().unwrap();
    assert_eq!(row.vector(), [0.0, 0.0, 1.0, 0.0]);
    assert!(model.requests().is_empty());
}

#[tokio::test]
async fn a_row_that_is_there_again_keeps_the_vector_that_it_was_given() {
    let store = open(&Bed::new()).await;
    let model = Arc::new(model());
    let (search, pool) = start_embedding(&store, None, &model).await;
    let id = add(&store, note("", "north")).await;
    embedded(&store, &search).await;
    pool.shutdown(super::yard::DEADLINE).await.unwrap();
    super::yard::end(search).await;
    // More than the upkeep looks at in one step lies between the two.
    store.mutate(move |tx| tx.delete(id)).await.unwrap();
    let others = |tx: &mut loomwork_store::Tx| {
        (0..1_000).try_for_each(|_| tx.insert(Card { text: "other".into() }).map(drop))
    };
    store.mutate(others).await.unwrap();
    let again = move |tx: &mut loomwork_store::Tx| {
        tx.insert_at(id, note("", "north"))?;
        vectors::insert(tx, &space(), id, vec![0.0, 0.0, 1.0, 0.0])
    };
    store.mutate(again).await.unwrap();
    let (search, _pool) = start_embedding(&store, None, &model).await;
    embedded(&store, &search).await;
    let row = store.query(move |tx| vectors::of(tx, &space(), id)).await.unwrap().unwrap();
    assert_eq!(row.vector(), [0.0, 0.0, 1.0, 0.0]);
}

#[tokio::test]
async fn a_row_takes_its_vectors_along() {
    let store = open(&Bed::new()).await;
    let (search, _pool) = start_embedding(&store, None, &Arc::new(model())).await;
    let gone = add(&store, note("", "north")).await;
    let emptied = add(&store, note("", "east")).await;
    embedded(&store, &search).await;
    store
        .mutate(move |tx| {
            tx.delete(gone)?;
            tx.update(emptied, |note| note.body = "  ".into())
        })
        .await
        .unwrap();
    embedded(&store, &search).await;
    let rows = store.query(|tx| vectors::page(tx, &space(), Page::first(9))).await.unwrap().rows;
    assert!(rows.is_empty());
    assert!(ids(&search, Query::vector([0.0, 1.0, 0.0, 0.0])).await.is_empty());
}

#[tokio::test]
async fn another_model_embeds_all_rows_anew() {
    let store = open(&Bed::new()).await;
    let (search, pool) = start_embedding(&store, None, &Arc::new(model())).await;
    let id = add(&store, note("", "north")).await;
    embedded(&store, &search).await;
    pool.shutdown(super::yard::DEADLINE).await.unwrap();
    super::yard::end(search).await;
    let other = MockEmbeddings::new(8).with_name("mock", "larger");
    let (search, _pool) = start_embedding(&store, None, &Arc::new(other)).await;
    embedded(&store, &search).await;
    let vector = search.embed("notes", "north").await.unwrap();
    assert_eq!((vector.vector.len(), vector.former.as_ref()), (8, None));
    assert_eq!(ids(&search, Query::vector(vector)).await, [id]);
    // The vectors of the former model are still there, until somebody says that they may go.
    let count = |space| store.query(move |tx| Ok(vectors::page(tx, &space, Page::first(9))?.rows.len()));
    assert_eq!(count(space()).await.unwrap(), 1);
    assert!(!store.mutate(|tx| vectors::delete_space(tx, &space())).await.unwrap());
    assert_eq!(count(space()).await.unwrap(), 0);
}

#[tokio::test]
async fn rows_are_found_by_their_former_vectors_until_they_have_newer_ones() {
    let (store, folder) = (open(&Bed::new()).await, tempfile::tempdir().unwrap());
    let former = Arc::new(model());
    let (search, pool) = start_embedding(&store, Some(folder.path()), &former).await;
    let north = add(&store, note("", "north")).await;
    let east = add(&store, note("", "east")).await;
    embedded(&store, &search).await;
    pool.shutdown(super::yard::DEADLINE).await.unwrap();
    super::yard::end(search).await;

    let larger = MockEmbeddings::new(8).with_name("mock", "larger");
    let newer = Arc::new(larger.with_vector("north", [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
    let start = || {
        let builder = builder(&store, Some(folder.path())).index(embedded_notes());
        builder.embedder_for("notes", newer.clone()).former("notes", space(), former.clone()).start()
    };
    // No pool runs, so nothing is embedded anew yet; and nothing is read anew to be found.
    let search = start().await.unwrap();
    soon(search.filled()).await.unwrap();
    let query = search.embed("notes", "north").await.unwrap();
    assert_eq!(query.former.as_deref(), Some(&[0.0, 1.0, 0.0, 0.0][..]));
    assert_eq!(ids(&search, Query::vector(query.clone())).await, [north, east]);
    assert_eq!(search.stats()[0].former_vectors, 2);

    // Half of them are embedded anew: each row is found once, wherever its vector is.
    let half = Space::new("mock/larger", 8).unwrap();
    let vector = vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    store.mutate(move |tx| vectors::insert(tx, &half, north, vector)).await.unwrap();
    let found = hits(&search, Query::vector(query.clone())).await;
    assert_eq!(found.iter().map(|hit| hit.row.id).collect::<Vec<_>>(), [north, east]);
    assert_eq!((search.stats()[0].vectors, search.stats()[0].former_vectors), (1, 1));
    let near = Query { threshold: Some(0.99), ..Query::vector(query.clone()) };
    assert_eq!(ids(&search, near).await, [north]);
    super::yard::end(search).await;

    // A restart in between, and a pool that does the rest.
    let search = start().await.unwrap();
    assert_eq!(ids(&search, Query::vector(query)).await, [north, east]);
    let _pool = search.bind(Workpool::builder(&store)).start().await.unwrap();
    embedded(&store, &search).await;
    let query = search.embed("notes", "north").await;
    assert_eq!(ids(&search, Query::vector(query.unwrap())).await.len(), 2);
    assert_eq!((search.stats()[0].vectors, search.stats()[0].former_vectors), (2, 0));
    // All have newer vectors, so the former model is not asked any more.
    let calls = former.requests().len();
    assert_eq!(search.embed("notes", "north").await.unwrap().former, None);
    assert_eq!(former.requests().len(), calls);
}
