//! A store's file in a folder that is removed with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use loomwork_store::engine::Engine;
use loomwork_store::{Builder, Store};
use loomwork_store_sqlite::{OpenSqlite as _, Sqlite};
use loomwork_testkit::store::Place;
use tempfile::TempDir;

use crate::tables;

pub(crate) struct TempFile {
    folder: TempDir,
}

impl TempFile {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    /// Opens the file with the tables of these tests.
    pub(crate) async fn open(&self) -> Store {
        open(&self.path()).await
    }

    /// Opens the file for reading only, with the tables of these tests.
    pub(crate) async fn read(&self) -> Store {
        let file = Sqlite::read_only(self.path()).expect("the file opens for reading");
        opened(Store::builder(file)).await
    }
}

/// Opens the file at `path` with the tables of these tests.
pub(crate) async fn open(path: &Path) -> Store {
    opened(Store::open(path).expect("the file opens")).await
}

/// Opens a store with the tables of these tests.
pub(crate) async fn opened(builder: Builder) -> Store {
    builder.tables(tables::all()).open().await.expect("the store opens")
}

impl Place for TempFile {
    fn engine(&self) -> Arc<dyn Engine> {
        Arc::new(Sqlite::open(self.path()).expect("the file opens"))
    }
}
