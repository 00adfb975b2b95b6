//! What the tests search.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use loomwork_core::Clock;
use loomwork_models::MockEmbeddings;
use loomwork_search::{Builder, Hit, Index, Query, Search, Space, TextOptions};
use loomwork_store::{Id, Store, Table};
use loomwork_testkit::soon;
use loomwork_workpool::Workpool;
use serde::{Deserialize, Serialize};

use super::Bed;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "notes", id = "note", feed)]
pub(crate) struct Note {
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) author: String,
    pub(crate) stars: u32,
}

/// A table of which no index is made, or another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "cards", id = "card", feed)]
pub(crate) struct Card {
    pub(crate) text: String,
}

pub(crate) fn note(title: &str, body: &str) -> Note {
    Note { title: title.into(), body: body.into(), author: "ada".into(), stars: 3 }
}

pub(crate) fn by(author: &str, stars: u32, body: &str) -> Note {
    Note { title: String::new(), body: body.into(), author: author.into(), stars }
}

pub(crate) async fn open(bed: &Bed) -> Store {
    open_at(bed, Clock::system()).await
}

pub(crate) async fn open_at(bed: &Bed, clock: Clock) -> Store {
    let store = Store::builder(bed.engine()).clock(clock).tables([Note::table(), Card::table()]);
    let store = store.tables(loomwork_search::tables()).tables(loomwork_workpool::tables());
    store.open().await.expect("the store opens")
}

pub(crate) fn space() -> Space {
    Space::new("by hand", 3).expect("three is a length")
}

/// Notes by their texts, and by vectors that the test writes.
pub(crate) fn notes() -> Index<Note> {
    Index::new("notes")
        .text_with("title", TextOptions { boost: 2.0, ..TextOptions::default() }, |note: &Note| {
            note.title.as_str()
        })
        .text("body", |note| note.body.as_str())
        .field("author", |note| note.author.clone())
        .field("stars", |note| note.stars)
        .vectors(space())
}

/// Notes by their bodies, which a model embeds.
pub(crate) fn embedded_notes() -> Index<Note> {
    Index::new("notes")
        .text("body", |note: &Note| note.body.as_str())
        .embed(|note| Some(note.body.clone()))
        .field("author", |note| note.author.clone())
}

pub(crate) fn builder(store: &Store, folder: Option<&Path>) -> Builder {
    match folder {
        None => Search::builder(store).in_memory(),
        Some(folder) => Search::builder(store).folder(folder),
    }
}

pub(crate) async fn start(store: &Store, folder: Option<&Path>) -> Search {
    builder(store, folder).index(notes()).start().await.expect("the search starts")
}

/// A search whose texts are embedded, and the pool that does.
pub(crate) async fn start_embedding(
    store: &Store,
    folder: Option<&Path>,
    model: &Arc<MockEmbeddings>,
) -> (Search, Workpool) {
    let search = builder(store, folder).index(embedded_notes()).embedder_for("notes", model.clone());
    let search = search.start().await.expect("the search starts");
    let pool = search.bind(Workpool::builder(store)).start().await.expect("the pool starts");
    (search, pool)
}

pub(crate) async fn add(store: &Store, note: Note) -> Id<Note> {
    store.mutate(move |tx| Ok(tx.insert(note)?.id)).await.expect("the note is written")
}

/// Returns the hits of a query.
pub(crate) async fn hits(search: &Search, query: Query) -> Vec<Hit<Note>> {
    soon(search.find::<Note>("notes", query)).await.expect("the query is right").hits
}

/// Returns the ids that a query finds.
pub(crate) async fn ids(search: &Search, query: Query) -> Vec<Id<Note>> {
    hits(search, query).await.into_iter().map(|hit| hit.row.id).collect()
}

pub(crate) async fn found(search: &Search, text: &str) -> Vec<Id<Note>> {
    ids(search, Query::text(text)).await
}

/// Ends a search so that another one may open the same folder.
pub(crate) async fn end(search: Search) {
    search.shutdown(DEADLINE).await.expect("the search ends");
}

pub(crate) async fn embedded(store: &Store, search: &Search) {
    soon(search.embedded(store.committed())).await.expect("all is embedded");
}
