//! The group `app`: what the API over HTTP costs. Each server is a process of its own on the same machine.

mod clients;
mod idle;
mod served;
mod start;
mod streams;
mod turns;

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::Options as CommandLine;
use crate::measure::Row;

pub(crate) use served::child;

pub(crate) fn measure(options: &CommandLine) -> Result<Vec<Row>> {
    match options.engine.as_deref() {
        None | Some("sqlite") => {}
        Some(other) => bail!("the group `app` has no engine {other:?}; it has `sqlite`"),
    }
    Ok(vec![turns::measure()?, streams::measure()?, idle::measure()?, start::measure(options.full)?])
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// A folder on the disk that the project is on: the one of temporary files may be in memory.
fn folder() -> Result<TempDir> {
    let root = std::env::current_dir()?.join("target");
    tempfile::Builder::new().prefix("bench-").tempdir_in(root).context("failed to make a folder under target")
}

fn database(folder: &Path) -> std::path::PathBuf {
    folder.join("app.db")
}
