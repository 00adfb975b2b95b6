//! The group `workpool`: durable jobs over the SQLite engine.

mod burden;
mod by_hand;
mod idle;
mod load;
mod throughput;

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use loomwork_store::Store;
use loomwork_store_sqlite::Sqlite;
use loomwork_workpool::Job;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::Options as CommandLine;
use crate::measure::Row;

/// What most rows run: nothing.
const NOTHING: Job<u64, ()> = Job::new("nothing");

pub(crate) fn measure(options: &CommandLine) -> Result<Vec<Row>> {
    match options.engine.as_deref() {
        None | Some("sqlite") => {}
        Some(other) => bail!("the group `workpool` has no engine {other:?}; it has `sqlite`"),
    }
    let mut rows = throughput::measure()?;
    rows.extend(idle::measure()?);
    rows.extend(load::measure()?);
    rows.extend(burden::measure()?);
    Ok(rows)
}

async fn open(path: &Path) -> Result<Store> {
    Ok(Store::builder(Sqlite::open(path)?).tables(loomwork_workpool::tables()).open().await?)
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
