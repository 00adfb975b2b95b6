//! Knowledge for retrieval: documents in namespaces, cut into chunks, embedded once, found by words and by
//! meaning. For programs that keep their data in a Loomwork store and want answers from documents that
//! change.
//!
//! The crate owns namespaces, entries and their versions, chunks, and how documents are read and cut. It
//! leaves rows to `loomwork-store`, ranking to `loomwork-search`, jobs to `loomwork-workpool`, files to
//! `loomwork-files` and models to `loomwork-models`. It knows no agents.
//!
//! ```
//! use loomwork_models::OfflineEmbedder;
//! use loomwork_rag::{Filter, NewEntry, Query, Rag};
//! use loomwork_store::Store;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> loomwork_rag::Result<()> {
//! let tables = loomwork_rag::tables().into_iter().chain(loomwork_search::tables());
//! let store = Store::memory().tables(tables).tables(loomwork_workpool::tables()).open().await?;
//! let rag = Rag::builder(&store, OfflineEmbedder::default()).filters(["team"]).start().await?;
//!
//! let looms = NewEntry::key("looms").titled("Looms").filter("team", "weavers");
//! let added = rag.add("handbook", looms, "The loom weaves patterns from punched cards.").await?;
//! assert!(added.created);
//!
//! let query = Query { filter: Filter::eq("team", "weavers"), ..Query::hybrid("who weaves patterns?") };
//! let found = rag.search("handbook", query).await?;
//! assert_eq!(found.text, "## Looms:\n\nThe loom weaves patterns from punched cards.");
//!
//! // The same again costs nothing, and a new text takes the place of the old one in one step.
//! let looms = NewEntry::key("looms").titled("Looms").filter("team", "weavers");
//! let again = rag.add("handbook", looms.clone(), "The loom weaves patterns from punched cards.").await?;
//! assert_eq!((again.created, again.usage.total()), (false, 0));
//! let newer = rag.add("handbook", looms, "The loom weaves carpets.").await?;
//! assert_eq!(newer.replaced.map(|entry| entry.id), Some(added.entry.id));
//! # rag.shutdown(std::time::Duration::from_secs(5)).await
//! # }
//! ```
//!
//! # Tour
//! - A [`Rag`] is a knowledge base with one embedding model. [`Rag::add`] takes a [`NewEntry`] and its
//!   [`Content`] into a namespace; [`Rag::add_later`] does it by a job, from a text, a file or a [`Source`];
//!   [`Rag::sync`] and [`Rag::add_folder`] keep many in step with what is outside.
//! - [`entries`] and [`namespaces`] look at what there is; [`Rag::delete`], [`Rag::restore`], [`Rag::weigh`],
//!   [`Rag::cancel`], [`Rag::retry`], [`Rag::promote`] change it.
//! - A [`Chunker`] cuts texts: [`Paragraphs`], [`Markdown`], `Code`, [`LinePacker`], or your own. A [`Reader`]
//!   makes texts of documents; [`describe_image`], [`transcribe_pdf`] and [`to_markdown`] ask a model to.
//! - [`Rag::search`] takes a [`Query`] with a [`Filter`] and gives [`Found`]: ranges of chunks, entries, text,
//!   citations, sources. [`Rag::generate_text`] has a model answer from it; [`prompt`] shapes prompts.
//! - [`Rag::migrate`] takes a namespace to another model while it is searched. [`eval`] tells how good
//!   settings are.
//!
//! # Guarantees
//! - **Whole.** A version of an entry is published in one transaction. Each search sees all of it or nothing,
//!   whatever is written, replaced or killed meanwhile; filters and limits are those of what it sees.
//! - **One live version** of each key. Of versions that are added at once, the newest one stays.
//! - **Embedded once.** An unchanged entry costs no token, and a changed one those of the chunks that changed.
//! - **Never open.** A filter that does not fit finds less, and never more.
//! - **Settled once.** The hook hears of each entry that leaves its pending status, in that transaction.
//!
//! # Limits
//! A search returns [`MAX_LIMIT`] hits, and with what is around them [`MAX_CHUNKS`]; a key has [`MAX_KEY_BYTES`], a job's text [`MAX_INPUT_BYTES`], a
//! document [`MAX_DOCUMENT_BYTES`]. Searching by meaning scans what meets the filter, since importance is part
//! of the score: nothing is missed, and no graph is built. Chunks of a replaced version stay in the index for
//! [`GRACE`].
//!
//! # Features
//! All off by default: `html` reads web pages, `pdf` PDF files, `code` cuts source code along its syntax.

mod add;
mod asked;
mod assemble;
mod content;
mod cut;
mod embed;
pub mod entries;
mod error;
pub mod eval;
mod filter;
mod format;
mod generate;
mod index;
mod ingest;
mod load;
mod migrate;
pub mod namespaces;
mod prompt;
mod query;
mod rag;
mod ranges;
mod rerank;
mod search;
mod settle;
mod sweep;
mod sync;
mod tables;
mod weight;
mod write;

pub use add::{Added, BATCH_CHUNKS, BATCHES_AT_ONCE, Target};
pub use content::{Content, MAX_KEY_BYTES, NewChunk, NewEntry, content_hash};
#[cfg(feature = "code")]
pub use cut::Code;
pub use cut::{Chunker, LinePacker, MAX_CHUNK, Markdown, Measure, Paragraphs, Piece, Size};
pub use embed::{EMBED_TEXTS, Task, Used};
pub use error::{Error, Result};
pub use filter::{CHUNK_FIELD, Filter, MAX_FILTER_DEPTH};
pub use format::{Budgeted, Citation, INLINE_TOKENS};
pub use generate::{Answer, Question};
pub use ingest::{Input, MAX_INPUT_BYTES, RAG_POOL, Source, Sourcing, bind};
#[cfg(feature = "html")]
pub use load::MAX_PAGE_BYTES;
#[cfg(feature = "pdf")]
pub use load::pdf;
pub use load::{
    Document, FolderOptions, Form, Ingested, MAX_DOCUMENT_BYTES, Reader, Transcript, describe_image,
    to_markdown, transcribe_pdf,
};
pub use loomwork_search::{Recency, Space, fuse_ranks};
pub use migrate::{Migration, migration};
pub use prompt::{INSTRUCTION, Shape, prompt};
pub use query::{
    Ask, Context, Found, FoundChunk, FoundEntry, FoundRange, MAX_CHUNKS, MAX_CONTEXT, MAX_LIMIT, Mode, Note,
    Order, Query, Scores,
};
pub use rag::{Builder, Rag};
pub use rerank::{ModelReranker, RERANK_CANDIDATES, RERANK_TIMEOUT, Reranked, Reranker, Reranking};
pub use settle::{GRACE, LEASE, Retention, Settled, TOLD};
pub use sweep::SWEEP_STEP;
pub use sync::{Step, SyncOptions, Synced};
pub use tables::{
    ChunkId, ChunkRow, EntryId, EntryRow, EntryStatus, Metadata, NamespaceId, NamespaceRow, NamespaceStatus,
    Place, tables,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/rag.md")]
struct Guide;
