//! What is refused, and how.

use std::sync::Arc;
use std::time::Duration;

use loomwork_models::{EmbeddingModel, OfflineEmbedder};
use loomwork_search::{Error, Filter, Fusion, Index, MAX_LIMIT, Query, Recency, Search, Space, Syntax};
use loomwork_store::{Store, Table};
use serde::{Deserialize, Serialize};

use super::Bed;
use super::yard::{
    Card, Note, add, builder, embedded_notes, end, found, note, notes, open, start,
};

/// A table of whose changes nobody hears.
#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "quiet", id = "quiet")]
struct Quiet {
    text: String,
}

#[tokio::test]
async fn a_query_that_makes_no_sense_says_what_would() {
    let store = open(&Bed::new()).await;
    let search = start(&store, None).await;
    let wool = || Query::text("wool");
    let recency = |weight, half_life| Some(Recency { weight, ..Recency::new(half_life) });
    let hour = Duration::from_secs(3600);
    let cases = [
        (Query { limit: 0, ..wool() }, "the limit of a query is 0; it has to be 1 to 1000"),
        (Query { limit: MAX_LIMIT + 1, ..wool() }, "the limit of a query is 1001"),
        (Query::default(), "a query of the index `notes` has no words"),
        (Query::text(" \n"), "a query of the index `notes` has no words"),
        (Query::text("x".repeat(20_000)), "a query text has at most 10000 bytes, not 20000"),
        (Query::vector([1.0]), "a vector of the model `by hand` has 3 parts here, not 1"),
        (Query::vector([f32::NAN, 0.0, 0.0]), "part 0 of a vector of the model `by hand`"),
        (Query { filter: Filter::eq("colour", "red"), ..wool() }, "has no filter field `colour`; it has: author, stars"),
        (Query { threshold: Some(2.0), ..wool() }, "the threshold of a query is 2"),
        (Query { weigh_by: Some("colour".into()), ..wool() }, "has no filter field `colour`"),
        (Query { recency: recency(2.0, hour), ..wool() }, "the weight of recency of a query is 2"),
        (Query { recency: recency(0.5, Duration::ZERO), ..wool() }, "the half-life of a query is 0ns"),
        (Query { fusion: Fusion::Scores { vector: 7.0 }, ..wool() }, "the weight of the vector of a query is 7"),
        (
            Query { fusion: Fusion::Ranks { k: 0.0, text: 1.0, vector: 1.0 }, ..wool() },
            "the constant of the ranks of a query is 0",
        ),
        (Query { syntax: Syntax::Operators, ..Query::text("wool (of") }, "at letter 8"),
    ];
    for (query, wanted) in cases {
        let error = search.find::<Note>("notes", query).await.unwrap_err().to_string();
        assert!(error.contains(wanted), "{error:?} lacks {wanted:?}");
    }
    let unknown = search.find::<Note>("letters", wool()).await.unwrap_err();
    assert_eq!(unknown.to_string(), "there is no index `letters`; there are: notes");
    let other = search.find::<Card>("notes", wool()).await.unwrap_err();
    assert_eq!(other.to_string(), "the index `notes` is over the table `notes`, not `cards`");
    let depth = search.find_reranked::<Note, _>("notes", wool(), 3, |hits| async { Ok(hits) }).await;
    assert!(matches!(depth, Err(Error::BadNumber { what: "depth", .. })));
}

#[tokio::test]
async fn an_index_that_cannot_be_searched_does_not_start() {
    let bed = Bed::new();
    let store = Store::builder(bed.engine()).tables([Note::table(), Card::table(), Quiet::table()]);
    let store = store.tables(loomwork_search::tables()).open().await.unwrap();
    let begin = || Search::builder(&store);
    let quiet = Index::<Quiet>::new("quiet").text("text", |quiet| quiet.text.as_str());
    let named = |name: &str| Index::<Card>::new(name).text("text", |card| card.text.as_str());
    let embedding = |name: &str| Index::<Card>::new(name).embed(|card| Some(card.text.clone()));
    let model: Arc<dyn EmbeddingModel> = Arc::new(OfflineEmbedder::default());
    let offline = Space::of(&*model).unwrap().unwrap();
    let cases = [
        (begin().index(quiet), "does not tell the feed of its changes"),
        (begin().index(named("")), "a name has 1 to 60"),
        (begin().index(named("../notes")), "a name has 1 to 60"),
        (begin().index(notes()).index(notes()), "there are two of this name"),
        (begin().index(named("cards").text("text", |card| card.text.as_str())), "two fields `text`"),
        (begin().index(embedded_notes()), "which needs a model"),
        (
            begin().embedder(OfflineEmbedder::default()).index(embedding("one")).index(embedding("two")),
            "`one` embeds the same table",
        ),
        (
            begin().embedder(OfflineEmbedder::default()).index(embedding("cards").vectors(super::yard::space())),
            "its vectors are of the model `by hand`",
        ),
        (begin().index(notes()).former("letters", offline.clone(), model.clone()), "it is not declared"),
        (
            begin().index(notes()).former("notes", super::yard::space(), model.clone()),
            "its former vectors are of `by hand`, but the model is `offline/",
        ),
        (
            begin().embedder(OfflineEmbedder::default()).index(embedding("cards")).former("cards", offline, model),
            "is the one that it has",
        ),
    ];
    for (builder, wanted) in cases {
        let error = builder.start().await.unwrap_err().to_string();
        assert!(error.contains(wanted), "{error:?} lacks {wanted:?}");
    }
}

#[tokio::test]
async fn an_index_without_vectors_or_texts_says_how_it_comes_to_have_them() {
    let store = open(&Bed::new()).await;
    let texts = Index::<Card>::new("texts").text("text", |card| card.text.as_str());
    let bare = Index::<Card>::new("bare").vectors(super::yard::space());
    let search = Search::builder(&store).index(texts).index(bare).start().await.unwrap();
    let lacks = search.find::<Card>("texts", Query::vector([1.0])).await.unwrap_err().to_string();
    assert!(lacks.contains("the index `texts` has no vectors; declare them with"), "{lacks}");
    let lacks = search.find::<Card>("bare", Query::text("wool")).await.unwrap_err().to_string();
    assert!(lacks.contains("the index `bare` has no texts; declare them with `Index::text`"), "{lacks}");
    assert!(search.embed("texts", "wool").await.is_err());
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let store = open(&Bed::new()).await;
    let error = Search::builder(&store).folder(file).index(notes()).start().await.unwrap_err();
    assert!(matches!(error, Error::Files(_)), "{error}");
}

#[tokio::test]
async fn a_query_that_is_nested_too_deep_is_refused() {
    let store = open(&Bed::new()).await;
    let search = start(&store, None).await;
    for deep in ["NOT ".repeat(2_000) + "wool", "(".repeat(2_000) + "wool", "-(".repeat(2_000) + "wool"] {
        let query = Query { syntax: Syntax::Operators, ..Query::text(deep) };
        let error = search.find::<Note>("notes", query).await.unwrap_err().to_string();
        assert!(error.contains("it is nested too deep"), "{error}");
    }
}

#[tokio::test]
async fn a_folder_that_another_search_has_is_left_alone() {
    let (store, folder) = (open(&Bed::new()).await, tempfile::tempdir().unwrap());
    let search = start(&store, Some(folder.path())).await;
    let one = add(&store, note("one", "wool")).await;
    search.commit().await.unwrap();
    let second = builder(&store, Some(folder.path())).index(notes()).start().await;
    let error = second.map(drop).unwrap_err().to_string();
    assert!(error.contains("another search uses its folder"), "{error}");
    let two = add(&store, note("two", "wool")).await;
    search.commit().await.unwrap();
    assert_eq!(found(&search, "one two").await.len(), 2);
    end(search).await;
    let search = start(&store, Some(folder.path())).await;
    assert_eq!(search.progress().await.unwrap()[0].filling, None);
    assert_eq!(found(&search, "one").await, [one]);
    assert_eq!(found(&search, "two").await, [two]);
}
