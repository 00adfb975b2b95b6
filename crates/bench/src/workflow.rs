//! The group `workflow`: durable functions over the SQLite engine.

mod by_hand;
mod growth;
mod resume;
mod throughput;

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use loomwork_store::Store;
use loomwork_store_sqlite::Sqlite;
use loomwork_workflow::{Flow, Workflow};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::Options as CommandLine;
use crate::measure::Row;

/// So many steps, one after the other, each with a result of 200 bytes.
const STEPS: Workflow<u64, u64> = Workflow::new("steps");

/// What a step returns.
const RESULT_BYTES: usize = 200;

pub(crate) fn measure(options: &CommandLine) -> Result<Vec<Row>> {
    match options.engine.as_deref() {
        None | Some("sqlite") => {}
        Some(other) => bail!("the group `workflow` has no engine {other:?}; it has `sqlite`"),
    }
    let mut rows = throughput::measure()?;
    rows.extend(growth::measure()?);
    rows.extend(resume::measure()?);
    Ok(rows)
}

async fn steps(wf: Flow, count: u64) -> loomwork_store::Result<u64> {
    for _ in 0..count {
        step(&wf).await?;
    }
    Ok(count)
}

async fn step(wf: &Flow) -> loomwork_store::Result<String> {
    wf.mutation("step", |_| Ok("x".repeat(RESULT_BYTES))).await
}

async fn open(path: &Path) -> Result<Store> {
    let builder = Store::builder(Sqlite::open(path)?).tables(loomwork_workpool::tables());
    Ok(builder.tables(loomwork_workflow::tables()).open().await?)
}

/// The runtime of a small server: this machine's two cores.
fn two_threads() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// A folder on the disk that the project is on: the one of temporary files may be in memory.
fn folder() -> Result<TempDir> {
    let root = std::env::current_dir()?.join("target");
    tempfile::Builder::new().prefix("bench-").tempdir_in(root).context("failed to make a folder under target")
}
