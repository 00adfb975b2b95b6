//! The group `messages`: threads, messages and streams over the SQLite engine.

mod pages;
mod streams;

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use loomwork_store::{Store, Table as _};
use loomwork_store_sqlite::Sqlite;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::Options as CommandLine;
use crate::measure::Row;

pub(crate) fn measure(options: &CommandLine) -> Result<Vec<Row>> {
    match options.engine.as_deref() {
        None | Some("sqlite") => {}
        Some(other) => bail!("the group `messages` has no engine {other:?}; it has `sqlite`"),
    }
    let mut rows = pages::measure()?;
    rows.extend(streams::measure()?);
    Ok(rows)
}

async fn open(path: &Path) -> Result<Store> {
    let tables = loomwork_messages::tables().into_iter().chain(loomwork_search::tables());
    Ok(Store::builder(Sqlite::open(path)?).tables(tables).tables([pages::Plain::table()]).open().await?)
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
