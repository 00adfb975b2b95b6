//! The group `rag`: taking documents in, and asking 100,000 chunks, with an embedder that costs nothing.

mod by_hand;
mod corpus;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::{StreamExt as _, TryStreamExt as _};
use loomwork_core::Stopwatch;
use loomwork_rag::{ChunkRow, Content, Context, Filter, NewEntry, Query, Rag};
use loomwork_search::{Filter as Plain, Index, Query as Search, Search as Searching};
use loomwork_store::Store;
use tokio::runtime::Runtime;

use crate::Options;
use crate::measure::{Row, Target, median};
use corpus::{DIMENSION, Free, TEAMS, Words};

/// How many chunks are searched, and how many a document has.
const CHUNKS: usize = 100_000;
const OF_DOCUMENT: usize = 50;

/// How many documents are taken in for the figure of taking in, in each round.
const DOCUMENTS: usize = 100;

/// How many documents are taken in at the same time for those that are searched.
const AT_ONCE: usize = 8;

const QUERIES: usize = 100;
const NAMESPACE: &str = "bench";

pub(crate) fn measure(options: &Options) -> Result<Vec<Row>> {
    match options.engine.as_deref() {
        None | Some("memory") => {}
        Some(other) => bail!("the group `rag` has no engine {other:?}; it has `memory`"),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut rows = vec![taking_in(&runtime)?];
    rows.extend(again(&runtime)?);
    rows.push(asking(&runtime)?);
    Ok(rows)
}

async fn open(model: &Arc<Free>) -> Result<Rag> {
    let tables = loomwork_rag::tables().into_iter().chain(loomwork_search::tables());
    let store = Store::memory().tables(tables).tables(loomwork_workpool::tables()).open().await?;
    Ok(Rag::builder_with(&store, model.clone()).filters(["team"]).start().await?)
}

/// Adds a document of some chunks, all of one team.
async fn add(rag: &Rag, number: usize, texts: Vec<String>) -> Result<()> {
    let new = NewEntry::key(format!("document {number}")).filter("team", Words::team(number));
    let chunks = texts.into_iter().map(|text| {
        let mut chunk = loomwork_rag::NewChunk::from(text);
        chunk.metadata.insert("team".to_owned(), Words::team(number).into());
        chunk
    });
    rag.add(NAMESPACE, new, Content::Chunks(chunks.collect())).await?;
    Ok(())
}

fn taking_in(runtime: &Runtime) -> Result<Row> {
    let words = Words::new(1);
    let texts: Vec<Vec<String>> = (0..DOCUMENTS).map(|_| words.document(OF_DOCUMENT)).collect();
    let rate = |seconds: f64| (DOCUMENTS * OF_DOCUMENT) as f64 / seconds;
    Row::measured(
        "chunks taken in a second, documents of 50 chunks; against rows, vectors and tantivy by hand",
        "chunks/s",
        Target::RatioAtLeast(0.5),
        || {
            runtime.block_on(async {
                let rag = open(&Arc::new(Free::default())).await?;
                let watch = Stopwatch::start();
                for (number, texts) in texts.iter().enumerate() {
                    add(&rag, number, texts.clone()).await?;
                }
                // It counts once it is found.
                let found = rag.search(NAMESPACE, Query::words(&*texts[0][0])).await?;
                anyhow::ensure!(!found.results.is_empty(), "what was added is found");
                let seconds = watch.elapsed().as_secs_f64();
                rag.shutdown(Duration::from_secs(20)).await?;
                Ok(rate(seconds))
            })
        },
        || Ok(rate(runtime.block_on(by_hand::take_in(&texts))?)),
    )
}

/// What adding again costs, in texts that are embedded.
fn again(runtime: &Runtime) -> Result<Vec<Row>> {
    runtime.block_on(async {
        let model = Arc::new(Free::default());
        let rag = open(&model).await?;
        let mut texts = Words::new(2).document(1_000);
        add(&rag, 0, texts.clone()).await?;
        let first = model.texts();
        add(&rag, 0, texts.clone()).await?;
        let unchanged = model.texts() - first;
        texts[500].push_str(" changed");
        add(&rag, 0, texts).await?;
        let changed = model.texts() - first - unchanged;
        rag.shutdown(Duration::from_secs(20)).await?;
        let row = |name, value: usize, most| Row {
            name,
            unit: "texts",
            ours: vec![value as f64],
            baseline: Vec::new(),
            target: Target::ValueAtMost(most),
        };
        Ok(vec![
            row("texts embedded when a document is added again unchanged", unchanged, 0.0),
            row("texts embedded when 1 of 1,000 chunks has changed", changed, 3.0),
        ])
    })
}

fn asking(runtime: &Runtime) -> Result<Row> {
    let words = Words::new(3);
    let model = Arc::new(Free::default());
    let (rag, plain) = runtime.block_on(async {
        let rag = open(&model).await?;
        let documents =
            (0..CHUNKS / OF_DOCUMENT).map(|number| add(&rag, number, words.document(OF_DOCUMENT)));
        futures_util::stream::iter(documents).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        let index = Index::new("plain")
            .text("text", |chunk: &ChunkRow| chunk.text.as_str())
            .vectors(rag.space().clone())
            .field("team", |chunk| {
                chunk.metadata.get("team").and_then(|team| team.as_str()).map(str::to_owned)
            });
        // The filter leaves so few that they are scanned, and graphs that are built meanwhile would take the time of
        // what is measured.
        let plain = Searching::builder(rag.store()).graphs_from(usize::MAX).index(index).start().await?;
        plain.filled().await?;
        rag.searching().filled().await?;
        rag.searching().commit().await?;
        plain.commit().await?;
        Ok::<_, anyhow::Error>((rag, plain))
    })?;
    let queries: Vec<(String, String)> =
        (0..QUERIES).map(|number| (words.query(), Words::team(number % TEAMS))).collect();
    let ours = |(text, team): &(String, String)| {
        let filter = Filter::eq("team", team.as_str());
        let context = Context::Chunks { before: 1, after: 1 };
        let watch = Stopwatch::start();
        let found = runtime
            .block_on(rag.search(NAMESPACE, Query { filter, context, ..Query::hybrid(text.as_str()) }))?;
        anyhow::ensure!(found.results.len() == 10, "each query finds something");
        Ok(watch.elapsed().as_secs_f64() * 1e3)
    };
    let by_search = |(text, team): &(String, String)| {
        let filter = Plain::eq("team", team.as_str());
        let watch = Stopwatch::start();
        let vector = Free::vector(text, DIMENSION);
        let asked = Search { filter, ..Search::hybrid(text.as_str(), vector) };
        let found = runtime.block_on(plain.find::<ChunkRow>("plain", asked))?;
        anyhow::ensure!(found.hits.len() == 10, "each query finds something");
        Ok(watch.elapsed().as_secs_f64() * 1e3)
    };
    let row = Row::measured(
        "hybrid top 10, a filter of 1 in 20, context 1/1, over 100,000 chunks; against a hybrid search alone",
        "ms",
        Target::RatioAtMost(1.3),
        || Ok(median(&queries.iter().map(ours).collect::<Result<Vec<_>>>()?)),
        || Ok(median(&queries.iter().map(by_search).collect::<Result<Vec<_>>>()?)),
    )?;
    runtime.block_on(async {
        plain.shutdown(Duration::from_secs(20)).await?;
        rag.shutdown(Duration::from_secs(20)).await
    })?;
    Ok(row)
}
