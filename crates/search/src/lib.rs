//! Text, vector and hybrid search over the tables of a store. For programs that keep their rows in a
//! Loomwork store and want what they find to be what is there: a search sees each write that was answered
//! before it began, filters are exact, and whatever is derived can be deleted and comes back.
//!
//! The crate owns the rows of vectors, the structures that searching needs, and the pipeline that embeds.

mod columns;
mod doc;
mod error;
mod filter;
mod fusion;
mod index;
mod place;
mod text;
mod value;
mod vector;

pub use error::{Error, Result};
pub use filter::{Filter, MAX_FILTER_DEPTH};
pub use fusion::{Fusion, RANK_CONSTANT, fuse_ranks};
pub use index::{Index, Language, TextOptions};
pub use text::{MAX_QUERY_BYTES, MAX_QUERY_DEPTH, Snippet, SnippetOptions, Syntax, WRITER_MEMORY};
pub use value::{IntoValues, Value};
