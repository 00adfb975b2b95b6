//! Vectors by nearness.
//!
//! What comes in is searchable at once in a growing segment; what is committed is in sealed ones, named
//! by a manifest. A row lives in one place; where it was before, it is dead.

mod codes;
mod graph;
mod index;
pub(crate) mod kernel;
mod manifest;
mod plan;
mod search;
mod segment;
#[cfg(test)]
mod tests;

pub(crate) use index::{Keeping, VectorIndex, VectorPut};
pub(crate) use plan::Costs;
pub use plan::GRAPH_ROWS;
pub(crate) use search::VectorOptions;
