//! Where the rows are: in a SQLite file.

use std::sync::Arc;

use loomwork_store_sqlite::Sqlite;
use tempfile::TempDir;

behaviour!();

/// Rows that outlive the process over them.
#[derive(Clone, Debug)]
pub(crate) struct Bed(Arc<TempDir>);

impl Bed {
    pub(crate) fn new() -> Self {
        Self(Arc::new(tempfile::tempdir().expect("there is room for a folder")))
    }

    pub(crate) fn engine(&self) -> Sqlite {
        Sqlite::open(self.0.path().join("store.db")).expect("the file opens")
    }
}
