//! The same work without this project's crate: rows and vectors in the store, texts in tantivy.

use anyhow::Result;
use loomwork_core::Stopwatch;
use loomwork_search::{Space, vectors};
use loomwork_store::{Store, Table};
use serde::{Deserialize, Serialize};
use tantivy::indexer::IndexWriterOptions;
use tantivy::schema::{STRING, Schema, TEXT};
use tantivy::{Index, TantivyDocument};

use super::corpus::{DIMENSION, Free, Words};

/// What the writer of the crate has.
const WRITER_MEMORY: usize = 48 << 20;

#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "slices", id = "slice", feed)]
#[index(by_document(document, place))]
struct Slice {
    document: u32,
    place: u32,
    text: String,
    team: String,
}

/// Takes documents in, and returns the seconds that the parts take, one after the other.
pub(super) async fn take_in(documents: &[Vec<String>]) -> Result<f64> {
    let tables = [Slice::table()].into_iter().chain(loomwork_search::tables());
    let store = Store::memory().tables(tables).open().await?;
    let space = Space::new("bench/free", DIMENSION)?;
    let mut schema = Schema::builder();
    let (text, team) = (schema.add_text_field("text", TEXT), schema.add_text_field("team", STRING));
    let index = Index::create_in_ram(schema.build());
    let options =
        IndexWriterOptions::builder().num_worker_threads(1).memory_budget_per_thread(WRITER_MEMORY).build();
    let mut writer = index.writer_with_options(options)?;
    let watch = Stopwatch::start();
    for (number, texts) in documents.iter().enumerate() {
        let (space, texts, of) = (space.clone(), texts.clone(), Words::team(number));
        for each in &texts {
            let mut document = TantivyDocument::new();
            document.add_text(text, each);
            document.add_text(team, &of);
            writer.add_document(document)?;
        }
        let write = store.mutate(move |tx| {
            for (place, text) in (0..).zip(texts) {
                let vector = Free::vector(&text, DIMENSION);
                let slice = Slice { document: number as u32, place, text, team: of.clone() };
                let id = tx.insert(slice)?.id;
                vectors::insert(tx, &space, id, vector)?;
            }
            Ok(())
        });
        write.await?;
    }
    writer.commit()?;
    let seconds = watch.elapsed().as_secs_f64();
    store.close().await;
    Ok(seconds)
}
