//! Where the rows are: in a SQLite file; and the contents: in a folder beside it.

use std::path::PathBuf;
use std::sync::Arc;

use loomwork_files::Blobs;
use loomwork_files::object_store::ObjectStore;
use loomwork_files::object_store::local::LocalFileSystem;
use loomwork_store_sqlite::Sqlite;
use tempfile::TempDir;

behaviour!();

/// Rows and contents that outlive the store over them.
#[derive(Clone, Debug)]
pub(crate) struct Bed(Arc<TempDir>);

impl Bed {
    pub(crate) fn new() -> Self {
        Self(Arc::new(tempfile::tempdir().expect("there is room for a folder")))
    }

    pub(crate) fn engine(&self) -> Sqlite {
        Sqlite::open(self.0.path().join("store.db")).expect("the file opens")
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.0.path().join("files")
    }

    pub(crate) fn blobs(&self) -> Blobs {
        Blobs::folder(self.folder()).expect("the folder can be used")
    }

    /// The contents, past the crate.
    pub(crate) fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::new(LocalFileSystem::new_with_prefix(self.folder()).expect("the folder is there"))
    }
}
