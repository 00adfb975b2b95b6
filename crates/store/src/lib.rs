//! Typed tables, synchronous transactions and live queries, for programs that want a database
//! inside and its changes pushed to them.
//!
//! The crate owns tables and their indexes, transactions, live queries, the change feed, leases
//! and claims, and the [`engine`] seam below them. It leaves storage to engines: [`Memory`] is
//! here, `loomwork-store-sqlite` and `loomwork-store-postgres` are crates of their own.
//!
//! ```
//! use loomwork_store::{Id, Result, Row, Store, Table, Tx};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
//! #[table(name = "notes", id = "note")]
//! #[index(by_author(author, stars))]
//! struct Note {
//!     author: String,
//!     stars: u32,
//!     text: String,
//! }
//!
//! /// A read: the same function serves in a query, in a mutation and as a live query.
//! fn best(tx: &Tx, author: &str) -> Result<Vec<Row<Note>>> {
//!     tx.scan(Note::by_author.eq(author).desc().take(3))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let store = Store::memory().tables([Note::table()]).open().await?;
//! let mut live = store.watch(|tx| best(tx, "ada"));
//! assert!(live.next().await.expect("the store is open")?.is_empty());
//!
//! let note = Note { author: "ada".into(), stars: 5, text: "on engines".into() };
//! let id: Id<Note> = store.mutate(|tx| Ok(tx.insert(note)?.id)).await?;
//! assert_eq!(live.next().await.expect("the store is open")?[0].id, id);
//!
//! let stars = store.mutate(move |tx| Ok(tx.update(id, |note| note.stars += 1)?.stars)).await?;
//! assert_eq!(stars, 6);
//! assert_eq!(live.next().await.expect("the store is open")?[0].stars, 6);
//! # Ok(()) }
//! ```
//!
//! # The parts
//! - [`Table`] and its derive: a record type with typed [`Id`]s and indexes; [`Index`] and
//!   [`Span`] say what to read. [`Codec`], [`Layout`] and `upgrade` are choices per table.
//! - [`Store`]: [`mutate`](Store::mutate), [`query`](Store::query), [`watch`](Store::watch),
//!   [`follow`](Store::follow), [`claim`](Store::claim), [`check`](Store::check). [`Tx`] is what
//!   their closures get.
//! - [`feed`]: which rows changed, in commit order, for what is derived from them.
//! - [`lease`]: one holder at a time, with a fencing token.
//! - [`Upkeep`]: loops of mutations that wake when what they read changes.
//! - [`Error`]: the one error that crosses a transaction, and takes any
//!   [`Fault`](loomwork_core::Fault) along.
//!
//! # Guarantees
//! - **Atomic.** A mutation commits as a whole or changes nothing: an error, a panic, a conflict
//!   that is retried, a crash. [`Tx::nested`] undoes a part of one.
//! - **Isolated.** Mutations take effect one after the other; a query reads one snapshot.
//! - **Ordered.** Who has a mutation's answer, and then begins a query, sees the mutation.
//! - **Durable** when answered, unless the mutation is [`relaxed`](Mutate::relaxed): those may be
//!   lost at a power failure, the newest first, never reordered.
//! - **Live.** No commit that touches what a live query read is missed, and none that does not
//!   wakes it. A slow consumer sees the latest state.
//!
//! # Limits
//! A record takes [`MAX_RECORD_BYTES`] at most, a key [`MAX_KEY_BYTES`]; [`QUEUE`] mutations wait
//! before callers do; a mutation is run [`MUTATION_ATTEMPTS`] times at most; mutations above
//! [`SLOW_CLOSURE`] are warned of. Panics are caught, which needs the default `panic = "unwind"`.

// The derives name this crate from outside; its own tables use them too.
extern crate self as loomwork_store;

mod builder;
mod catalogue;
mod check;
mod claim;
mod codec;
mod cursor;
pub mod engine;
mod error;
pub mod feed;
mod fill;
mod id;
mod key;
pub mod lease;
mod live;
mod memory;
mod overlay;
mod ranges;
mod reads;
mod registry;
mod span;
mod store;
mod table;
mod tx;
mod upkeep;
mod watch;
mod work;
mod writer;

pub use builder::{Builder, QUEUE};
pub use catalogue::MAX_INDEXES;
pub use check::{MAX_MISMATCHES, Mismatch, Report};
pub use codec::{Codec, MAX_RECORD_DEPTH, Old};
pub use cursor::{Cursor, CursorError, Page, Paged};
pub use error::{Error, Problem, Result};
pub use fill::FILL_STEP;
pub use id::{Id, IdError};
pub use key::{Key, KeyError};
pub use loomwork_macros::{Key, Table};
pub use memory::{Memory, MemoryOptions};
pub use span::{Bounded, Index, Like, NoFurtherPart, Parts, Span};
pub use store::{Mutate, Store};
pub use table::{IndexDef, Layout, MAX_KEY_BYTES, MAX_RECORD_BYTES, Row, Table, TableDef};
pub use tx::Tx;
pub use upkeep::{AfterCommit, Next, Upkeep};
pub use watch::{Follow, Watch};
pub use writer::{MUTATION_ATTEMPTS, SLOW_CLOSURE};

// The examples of these pages run as tests. Two of them are no part of the package, whose doc tests
// therefore run only in the workspace.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/store.md")]
struct Guide;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Workspace;
