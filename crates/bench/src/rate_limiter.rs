//! The group `rate-limiter`: limits over the SQLite engine and in memory, and the guard of a process.

mod durable;
mod guard;

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use loomwork_store::engine::Engine;
use loomwork_store::{Memory, Store, Table as _};
use loomwork_store_sqlite::Sqlite;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::Options as CommandLine;
use crate::measure::Row;

pub(crate) fn measure(options: &CommandLine) -> Result<Vec<Row>> {
    let mut rows = match options.engine.as_deref() {
        None | Some("sqlite") => {
            let folder = folder()?;
            durable::measure(Arc::new(Sqlite::open(folder.path().join("store.db"))?))?
        }
        Some("memory") => durable::measure(Arc::new(Memory::new()))?,
        Some(other) => {
            bail!("the group `rate-limiter` has no engine {other:?}; it has `sqlite` and `memory`")
        }
    };
    rows.extend(guard::measure()?);
    Ok(rows)
}

async fn open(engine: Arc<dyn Engine>) -> Result<Store> {
    let builder = Store::builder(engine).tables(loomwork_rate_limiter::tables());
    Ok(builder.tables([durable::Counter::table()]).open().await?)
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
