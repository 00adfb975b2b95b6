//! Hybrid search in one small program, offline: notes are found by their words at once, and by their
//! meaning as soon as they are embedded.
//!
//! Run it with `cargo run -p loomwork-search --example notes`.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use loomwork_models::OfflineEmbedder;
use loomwork_search::{
    Filter, Hits, Index, Language, Query, Result, Search, SnippetOptions, Standing, TextOptions,
};
use loomwork_store::{Store, Table};
use loomwork_workpool::Workpool;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "notes", id = "note", feed)]
struct Note {
    text: String,
    author: String,
}

const NOTES: [(&str, &str); 5] = [
    ("ada", "The loom weaves patterns from punched cards."),
    ("ada", "Weaving a carpet takes a winter."),
    ("grace", "A moth was found in relay 70."),
    ("grace", "The compiler turns words into instructions."),
    ("joan", "Knitting patterns are programs with loops."),
];

fn show(title: &str, hits: &Hits<Note>) {
    println!("{title}");
    for hit in &hits.hits {
        let rank = |place: Option<Standing>| place.map_or("-".to_owned(), |place| place.rank.to_string());
        let text = hit
            .snippets
            .first()
            .map_or(hit.row.text.clone(), |(_, snippet)| snippet.marked("[", "]", str::to_owned));
        println!("  {:.3}  text {}  vector {}  {text}", hit.score, rank(hit.text), rank(hit.vector));
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let tables = loomwork_search::tables().into_iter().chain(loomwork_workpool::tables());
    let store = Store::memory().tables([Note::table()]).tables(tables).open().await?;
    let english = TextOptions { language: Some(Language::English), ..TextOptions::default() };
    let notes = Index::<Note>::new("notes")
        .text_with("text", english, |note| note.text.as_str())
        .embed(|note| Some(note.text.clone()))
        .field("author", |note| note.author.clone());
    let search = Search::builder(&store).index(notes).embedder(OfflineEmbedder::default()).start().await?;
    let pool = search.bind(Workpool::builder(&store)).start().await?;

    store
        .mutate(|tx| {
            for (author, text) in NOTES {
                tx.insert(Note { text: text.into(), author: author.into() })?;
            }
            Ok(())
        })
        .await?;
    // Nothing was waited for: a search sees what was written before it began.
    let snippets = Some(SnippetOptions::default());
    let words = Query { snippets, ..Query::text("patterns") };
    show("by words: patterns", &search.find("notes", words).await?);

    search.embedded(store.committed()).await?;
    let vector = search.embed("notes", "weave carpets").await?;
    let hybrid = Query { snippets, limit: 3, ..Query::hybrid("weave carpets", vector.clone()) };
    show("by words and meaning: weave carpets", &search.find("notes", hybrid).await?);
    let filter = Filter::one_of("author", ["grace", "joan"]);
    let filtered = Query { limit: 2, filter, ..Query::vector(vector) };
    show("by meaning, not of ada", &search.find("notes", filtered).await?);

    pool.shutdown(Duration::from_secs(5)).await?;
    search.shutdown(Duration::from_secs(5)).await
}
