//! Where the rows are: in memory.

use loomwork_store::Memory;

behaviour!();

/// Rows that outlive the process over them.
#[derive(Clone, Debug)]
pub(crate) struct Bed(Memory);

impl Bed {
    pub(crate) fn new() -> Self {
        Self(Memory::new())
    }

    pub(crate) fn engine(&self) -> Memory {
        self.0.clone()
    }
}
