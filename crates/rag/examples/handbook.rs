//! A handbook that changes while it is asked, in one small program, offline.
//!
//! Run it with `cargo run -p loomwork-rag --example handbook`.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use loomwork_models::{Estimator, OfflineEmbedder, OfflineModel};
use loomwork_rag::{
    Content, Context, Filter, Markdown, NewEntry, Query, Question, Rag, Result, Size, entries,
};
use loomwork_store::Store;

const LOOMS: &str = "# Looms\n\nA loom weaves patterns from punched cards. Its cards are laced together into a chain.\n\n\
    ## Care\n\nOil the shafts each Monday. Loose threads are cut, never pulled.\n\n\
    ## Rent\n\nA loom costs nine euros a day. It is brought back clean.\n";

const MOTHS: &str = "# Moths\n\nA moth was found in relay 70. Since then the relays are covered at night.\n";

fn handbook(text: &str) -> Content {
    let size = Size { least: 40, most: 160, ..Size::default() };
    Content::Cut(text.to_owned(), Box::new(Markdown { size }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let tables = loomwork_rag::tables().into_iter().chain(loomwork_search::tables());
    let store = Store::memory().tables(tables).tables(loomwork_workpool::tables()).open().await?;
    let rag = Rag::builder(&store, OfflineEmbedder::default()).filters(["team"]).start().await?;

    let looms = || NewEntry::key("looms.md").titled("Looms").filter("team", "weavers");
    let first = rag.add("handbook", looms(), handbook(LOOMS)).await?;
    rag.add("handbook", NewEntry::key("moths.md").titled("Moths").filter("team", "menders"), handbook(MOTHS))
        .await?;
    println!("added {} chunks, {} tokens", first.entry.chunks, first.usage.total());

    let again = rag.add("handbook", looms(), handbook(LOOMS)).await?;
    println!("added again: {} tokens", again.usage.total());
    let raised = LOOMS.replace("nine euros", "ten euros");
    let newer = rag.add("handbook", looms(), handbook(&raised)).await?;
    println!("one sentence changed: {} of {} tokens", newer.usage.total(), first.usage.total());

    let query = Query {
        filter: Filter::eq("team", "weavers"),
        context: Context::Section { most: 2 },
        limit: 2,
        ..Query::hybrid("what does a loom cost a day?")
    };
    let found = rag.search("handbook", query.clone()).await?;
    println!("\n{}\n", found.cited_text());
    let within = found.within(30, &Estimator);
    println!("within 30 tokens: {} results, {} cut", within.found.results.len(), within.cut.len());

    let question = Question { query, ..Question::from("What does a loom cost a day?") };
    let answer = rag.generate_text("handbook", &OfflineModel::default(), question).await?;
    println!("\n{}", answer.reply.text());

    let restored = rag.restore(first.entry.id).await?;
    let namespace = restored.namespace;
    let versions = store.query(move |tx| entries::versions(tx, namespace, "looms.md")).await?;
    for version in versions {
        println!("version {} is {}", version.version, version.status.as_str());
    }
    rag.shutdown(Duration::from_secs(5)).await
}
