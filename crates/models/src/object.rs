//! Answers that are values: JSON that fits a schema, whole or as it grows.
mod partial;
pub use partial::{PartialJson, PartialJsonError};
