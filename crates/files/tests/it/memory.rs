//! Where the rows and contents are: in memory.

use std::sync::Arc;

use loomwork_files::Blobs;
use loomwork_files::object_store::ObjectStore;
use loomwork_files::object_store::memory::InMemory;
use loomwork_store::Memory;

behaviour!();

/// Rows and contents that outlive the store over them.
#[derive(Clone, Debug)]
pub(crate) struct Bed {
    rows: Memory,
    objects: Arc<InMemory>,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self { rows: Memory::new(), objects: Arc::new(InMemory::new()) }
    }

    pub(crate) fn engine(&self) -> Memory {
        self.rows.clone()
    }

    pub(crate) fn blobs(&self) -> Blobs {
        Blobs::over(self.objects.clone())
    }

    /// The contents, past the crate.
    pub(crate) fn objects(&self) -> Arc<dyn ObjectStore> {
        self.objects.clone()
    }
}
