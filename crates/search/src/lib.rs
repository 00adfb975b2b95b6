//! Text, vector and hybrid search over the tables of a store. For programs that keep their rows in a
//! Loomwork store and want what they find to be what is there: a search sees each write that was answered
//! before it began, filters are exact, and whatever is derived can be deleted and comes back.
//!
//! The crate owns the rows of vectors, the structures that searching needs, and the pipeline that embeds.

mod builder;
mod columns;
mod doc;
mod error;
mod filter;
mod find;
mod follow;
mod fusion;
mod index;
mod pipeline;
mod place;
mod query;
mod search;
mod source;
mod space;
mod tables;
mod text;
mod value;
mod vector;
pub mod vectors;

pub use builder::{Builder, MAX_NAME};
pub use error::{Error, Result};
pub use filter::{Filter, MAX_FILTER_DEPTH};
pub use find::FILL_IN_SEARCH;
pub use follow::{COMMIT_DOCS, COMMIT_EVERY, Filling};
pub use fusion::{Fusion, RANK_CONSTANT, fuse_ranks};
pub use index::{Index, Language, MAX_EMBEDDED_LETTERS, TextOptions};
pub use pipeline::{BATCH_ROWS, Batch, EMBED_POOL, Embedding};
pub use query::{DEPTH, Hit, Hits, MAX_LIMIT, MIN_DEPTH, Query, Recency, Standing};
pub use search::{Progress, Search, Stats, forget};
pub use space::{MAX_DIMENSION, Space};
pub use tables::{VectorRow, tables};
pub use text::{MAX_QUERY_BYTES, MAX_QUERY_DEPTH, Snippet, SnippetOptions, Syntax, WRITER_MEMORY};
pub use value::{IntoValues, Value};
