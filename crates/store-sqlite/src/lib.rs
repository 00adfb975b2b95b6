//! Loomwork's embedded store engine: one SQLite file, for programs that want their database inside.
//!
//! The crate owns the file: its layout, its lock, its write-ahead log and backups. Everything with
//! meaning is `loomwork-store`'s, whose transactions, live queries and feed work over it unchanged.
//!
//! ```
//! use loomwork_store::{Result, Store, Table};
//! use loomwork_store_sqlite::OpenSqlite as _;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Debug, Serialize, Deserialize, Table)]
//! #[table(name = "notes", id = "note")]
//! struct Note {
//!     text: String,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! # let folder = tempfile::tempdir().expect("a folder");
//! # let path = folder.path().join("app.db");
//! let store = Store::open(&path)?.tables([Note::table()]).open().await?;
//! store.mutate(|tx| tx.insert(Note { text: "kept".into() })).await?;
//! # Ok(()) }
//! ```
//!
//! # Reading the file
//! `sqlite3 app.db 'select id, created, record from notes'`: each table is a view of its name with
//! the id as the program shows it, the time it was made, and the record. The rows themselves are in
//! `_notes`. Reading beside a running program is fine; write only through the program.
//!
//! # Guarantees
//! - **Durable.** An answered mutation is on stable storage (`synchronous = FULL`, one sync for all
//!   that wait); a relaxed one after the next durable commit or checkpoint.
//! - **Atomic.** A process that is killed at any moment leaves every mutation whole or absent.
//! - **Owned.** One process writes; another is refused with a word on who holds the file. Opening
//!   begins a new epoch, so what a dead process had claimed is free.
//!
//! # Limits
//! The log of writes grows to about [`CHECKPOINT_PAGES`] pages between checkpoints, beyond
//! [`LARGEST_LOG`] bytes only while a reader holds an old snapshot; it is emptied after [`IDLE`].

mod backup;
mod checkpoint;
mod fault;
mod lock;
mod owner;
mod private;
mod schema;
mod session;
mod sql;
mod sqlite;
mod view;

pub use checkpoint::{CHECKPOINT_PAGES, IDLE, LARGEST_LOG};
pub use fault::SqliteError;
pub use sqlite::{MOST_WRONG, OpenSqlite, Sqlite, SqliteOptions};

#[cfg(doctest)]
#[doc = include_str!("../../../docs/store-sqlite.md")]
struct Guide;
