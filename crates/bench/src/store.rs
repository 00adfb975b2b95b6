//! The group `store`: transactions and live queries, over the SQLite engine or in memory.

mod by_hand;
mod live;
mod pages;
mod several;
mod tables;
mod writes;

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use loomwork_store::engine::Engine;
use loomwork_store::{Memory, Store};
use loomwork_store_sqlite::Sqlite;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::Options;
use crate::measure::Row;

pub(crate) fn measure(options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    match options.engine.as_deref() {
        None | Some("sqlite") => {
            rows.extend(writes::measure()?);
            rows.extend(several::measure()?);
            rows.extend(pages::measure()?);
            rows.extend(live::measure(&Bed::Sqlite(folder()?))?);
        }
        Some("memory") => rows.extend(live::measure(&Bed::Memory)?),
        Some(other) => bail!("the group `store` has no engine {other:?}; it has `sqlite` and `memory`"),
    }
    Ok(rows)
}

/// Where stores are opened.
enum Bed {
    Memory,
    Sqlite(TempDir),
}

impl Bed {
    /// An empty store of the group's tables.
    async fn open(&self) -> Result<Store> {
        let engine: Arc<dyn Engine> = match self {
            Self::Memory => Arc::new(Memory::new()),
            Self::Sqlite(folder) => {
                let folder = tempfile::tempdir_in(folder)?.keep();
                Arc::new(Sqlite::open(folder.join("store.db"))?)
            }
        };
        Ok(Store::builder(engine).tables(tables::all()).open().await?)
    }
}

/// A folder on the disk that the project is on: the one of temporary files may be in memory.
fn folder() -> Result<TempDir> {
    let root = std::env::current_dir()?.join("target");
    tempfile::Builder::new().prefix("bench-").tempdir_in(root).context("failed to make a folder under target")
}

fn one_thread() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
