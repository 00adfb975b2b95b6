//! Text, vector and hybrid search over the tables of a store. For programs that keep their rows in a
//! Loomwork store and want what they find to be what is there: a search sees each write that was answered
//! before it began, filters are exact, and whatever is derived can be deleted and comes back.
//!
//! The crate owns the rows of vectors, the structures that searching needs, and the pipeline that embeds.
//! It leaves rows to `loomwork-store`, models to `loomwork-models` and jobs to `loomwork-workpool`.
//!
//! ```
//! use loomwork_models::OfflineEmbedder;
//! use loomwork_search::{Filter, Hits, Index, Query, Search};
//! use loomwork_store::{Store, Table};
//! use loomwork_workpool::Workpool;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Debug, Serialize, Deserialize, Table)]
//! #[table(name = "notes", id = "note", feed)]
//! struct Note {
//!     text: String,
//!     author: String,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> loomwork_search::Result<()> {
//! let tables = loomwork_search::tables().into_iter().chain(loomwork_workpool::tables());
//! let store = Store::memory().tables([Note::table()]).tables(tables).open().await?;
//! let notes = Index::<Note>::new("notes")
//!     .text("text", |note| note.text.as_str())
//!     .embed(|note| Some(note.text.clone()))
//!     .field("author", |note| note.author.clone());
//! let search = Search::builder(&store).index(notes).embedder(OfflineEmbedder::default()).start().await?;
//! let pool = search.bind(Workpool::builder(&store)).start().await?;
//!
//! let note = Note { text: "weaving a carpet takes a winter".into(), author: "ada".into() };
//! store.mutate(|tx| tx.insert(note)).await?;
//! let words: Hits<Note> = search.find("notes", Query::text("carpet")).await?;
//! assert_eq!(words.hits.len(), 1); // at once
//!
//! search.embedded(store.committed()).await?;
//! let vector = search.embed("notes", "who weaves carpets?").await?;
//! let query = Query { filter: Filter::eq("author", "ada"), ..Query::hybrid("carpets", vector) };
//! let both: Hits<Note> = search.find("notes", query).await?;
//! assert_eq!(both.hits[0].vector.map(|place| place.rank), Some(0));
//! # pool.shutdown(std::time::Duration::from_secs(5)).await?;
//! # search.shutdown(std::time::Duration::from_secs(5)).await
//! # }
//! ```
//!
//! # Tour
//! - An [`Index`] declares what of a table is searched; a [`Builder`] opens it in a folder or in memory.
//! - [`Search::find`] takes a [`Query`] and gives [`Hits`]; a [`Filter`] says which rows they may be, a
//!   [`Fusion`] how two rankings become one.
//! - [`vectors`] are rows of the store, in a [`Space`]: a model and a length.
//! - [`Search::bind`] gives the embedding of texts to a pool; [`Search::embedded`] waits for it,
//!   [`Search::progress`] and [`Search::stats`] tell how things stand.
//!
//! # Guarantees
//! - **Fresh.** A search sees each mutation that was answered before it began: by text at once, by vector as
//!   soon as the vector is a row.
//! - **True.** Hits are rows as they are, on one snapshot; a filter is met by each, and as many are returned
//!   as are wanted or as there are.
//! - **Derived.** What lies in the folder says of which store, declaration and position it is. If that does
//!   not fit, or cannot be read, it is made anew from the rows; [`Hits::filling`] says while it is.
//! - **Cheap to lose.** Vectors are rows, so nothing that is made anew calls a model.
//!
//! # Limits
//! A search returns [`MAX_LIMIT`] hits at most; a query text has [`MAX_QUERY_BYTES`], a vector
//! [`MAX_DIMENSION`] parts; [`MAX_EMBEDDED_LETTERS`] of a text are embedded. What is
//! held in memory for vectors is bounded by [`Builder::memory`], and of the nearest vectors of large indexes a few may be
//! missed unless [`Query::exact`] is set. The feed keeps its log for each index in a folder, until [`forget`]; whoever composes the
//! program starts [`feed::upkeep`](loomwork_store::feed::upkeep).

mod budget;
mod builder;
mod columns;
mod doc;
mod error;
mod filter;
mod find;
mod follow;
mod fusion;
mod index;
mod metric;
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

pub use budget::MEMORY;
pub use builder::{Builder, MAX_NAME};
pub use error::{Error, Result};
pub use filter::{Filter, MAX_FILTER_DEPTH};
pub use find::FILL_IN_SEARCH;
pub use follow::{COMMIT_DOCS, COMMIT_EVERY, Filling};
pub use fusion::{Fusion, RANK_CONSTANT, fuse_ranks};
pub use index::{Index, Language, MAX_EMBEDDED_LETTERS, TextOptions};
pub use metric::Metric;
pub use pipeline::{BATCH_ROWS, Batch, EMBED_POOL, Embedding};
pub use query::{DEPTH, Hit, Hits, MAX_LIMIT, MIN_DEPTH, Query, QueryVector, Recency, Standing};
pub use search::{Progress, Search, Stats, forget};
pub use space::{MAX_DIMENSION, Space};
pub use tables::{VectorRow, tables};
pub use text::{MAX_QUERY_BYTES, MAX_QUERY_DEPTH, Snippet, SnippetOptions, Syntax, WRITER_MEMORY};
pub use value::{IntoValues, Value};
pub use vector::GRAPH_ROWS;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/search.md")]
struct Guide;
