//! The group `search`: text, vector and hybrid search over rows in memory, the index in a folder.
//!
//! The rows are in memory, so that the figures are of searching and not of the engine below. A search
//! brings rows, so those by hand read the same rows from the same store.

mod by_hand;
mod corpus;
mod partitions;
mod texts;
mod vectors;

use anyhow::{Context as _, Result, bail};
use loomwork_core::Stopwatch;
use loomwork_search::{Query, Search};
use loomwork_store::Id;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::Options as CommandLine;
use crate::measure::{Row, median};
use corpus::Message;

const INDEX: &str = "messages";

/// How many hits are asked for.
const TOP: usize = 10;

pub(crate) fn measure(options: &CommandLine) -> Result<Vec<Row>> {
    match options.engine.as_deref() {
        None | Some("memory") => {}
        Some(other) => bail!("the group `search` has no engine {other:?}; it has `memory`"),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (texts, vectors) = if options.full { (1_000_000, 100_000) } else { (100_000, 40_000) };
    let mut rows = vectors::measure(&runtime, vectors)?;
    rows.extend(texts::measure(&runtime, texts)?);
    rows.extend(partitions::measure(&runtime)?);
    Ok(rows)
}

/// The name of a row about so many things, written as `{}` in it. Rows are named for as long as the program
/// runs.
fn named(name: &str, count: usize) -> &'static str {
    let thousands = format!("{},{:03}", count / 1_000, count % 1_000);
    let count =
        if count < 1_000_000 { thousands } else { format!("{},{}", count / 1_000_000, &thousands[1..]) };
    name.replace("{}", &count).leak()
}

/// A folder on the disk that the project is on: the one of temporary files may be in memory.
fn folder() -> Result<TempDir> {
    let root = std::env::current_dir()?.join("target");
    std::fs::create_dir_all(&root)?;
    tempfile::Builder::new().prefix("bench-").tempdir_in(root).context("failed to make a folder under target")
}

/// The median time of some queries, one after the other, in milliseconds.
fn p50(runtime: &Runtime, search: &Search, queries: impl Iterator<Item = Query>) -> Result<f64> {
    let times = queries.map(|query| {
        let watch = Stopwatch::start();
        let found = runtime.block_on(search.find::<Message>(INDEX, query))?;
        let took = watch.elapsed().as_secs_f64() * 1e3;
        anyhow::ensure!(!found.hits.is_empty(), "each query finds something");
        Ok(took)
    });
    Ok(median(&times.collect::<Result<Vec<_>>>()?))
}

/// The ids that a query finds.
fn ids(runtime: &Runtime, search: &Search, query: Query) -> Result<Vec<Id<Message>>> {
    let found = runtime.block_on(search.find::<Message>(INDEX, query))?;
    Ok(found.into_iter().map(|hit| hit.row.id).collect())
}

/// The time of something in milliseconds.
fn time<T>(work: impl FnOnce() -> Result<T>) -> Result<f64> {
    let watch = Stopwatch::start();
    work()?;
    Ok(watch.elapsed().as_secs_f64() * 1e3)
}

/// A figure that is measured once, and has no baseline.
fn single(name: &'static str, unit: &'static str, value: f64, target: crate::measure::Target) -> Row {
    Row { name, unit, ours: vec![value], baseline: Vec::new(), target }
}
