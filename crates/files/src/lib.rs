//! Files beside a store: contents of any size, stored once each, counted by owner and removed when
//! nobody has them. For programs that have a Loomwork store and bytes that do not belong into rows.
//!
//! The crate owns files, their owners, and the objects that hold their contents. It leaves rows to
//! `loomwork-store`, folders and buckets to the crate `object_store`, and serving over HTTP to you.
//!
//! # Example
//!
//! ```
//! use loomwork_files::{Blobs, Files, Options, attach, files_of, register};
//! use loomwork_store::{Result, Store, Table};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Serialize, Deserialize, Table)]
//! #[table(name = "letters", id = "letter")]
//! struct Letter {
//!     text: String,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let tables = [Letter::table()].into_iter().chain(loomwork_files::tables());
//! let store = Store::memory().tables(tables).open().await?;
//! // `Blobs::folder("files")` keeps contents in a folder.
//! let files = Files::new(&store, Blobs::memory(), Options::default());
//!
//! // Bytes first, outside of any transaction; then the letter with its enclosure, or neither.
//! let staged = files.stage("id,name\n1,Ada\n", "people.csv").await?;
//! let (letter, file) = store
//!     .mutate(move |tx| {
//!         let letter = tx.insert(Letter { text: "see the list".into() })?.id;
//!         let file = register(tx, &staged)?;
//!         attach(tx, file.id, letter)?;
//!         Ok((letter, file.id))
//!     })
//!     .await?;
//!
//! let enclosed = store.query(move |tx| files_of(tx, letter)).await?;
//! assert_eq!(enclosed[0].media_type.as_deref(), Some("text/csv"));
//! assert_eq!(files.read(file).await?, "id,name\n1,Ada\n");
//! # Ok(()) }
//! ```
//!
//! # Tour
//!
//! - [`Files`] takes bytes in and gives them out: [`put`](Files::put), [`put_stream`](Files::put_stream) and
//!   [`upload`](Files::upload), [`open`](Files::open), [`open_range`](Files::open_range) and
//!   [`read`](Files::read). [`About`] says what is known besides: name, media type, metadata, expected hash.
//! - [`stage`](Files::stage) is for who has bytes before a transaction: [`register`] makes a [`Staged`]
//!   content a [`File`] inside of it.
//! - An [`Owner`] is any row of any table. [`attach`], [`detach`], [`detach_all`], [`set_owned`] and
//!   [`hand_over`] are plain functions over a `&mut Tx`; [`owners`] and [`files_of`] list.
//! - [`start_vacuum`](Files::start_vacuum) gives up what nobody owns, after a grace; [`delete`] does so by
//!   hand. [`check`](Files::check) counts everything again and finds damage.
//! - [`Link`] is a signed right to read a file until some time.
//! - [`Blobs`] is where contents lie; [`media_type()`] says what bytes are.
//!
//! # Guarantees
//!
//! - **Once.** A [`Hash`](struct@Hash) has one content, however many files, names and uploads at once it has.
//! - **Counted exactly**, in the transaction that attaches or detaches. An owner counts once.
//! - **Checked.** Whole contents are hashed on their way out, and the last piece comes only if the hash is
//!   right. A content that is missing or damaged is an error of the kind
//!   [`Corrupt`](loomwork_core::Kind::Corrupt) that names the file; storing the same bytes again mends it.
//! - **Nothing is lost to a crash.** Whoever has a file's row finds its content, which was synced before. What
//!   a dead process left is known by its row, and removed when the lease of that is over.
//! - **The vacuum takes nothing that is in use.** It decides in transactions, as attaching does, and removes
//!   objects under keys that are never used again.
//! - **No path from outside.** Names and contents choose no key.
//!
//! # Limits
//!
//! A file has [`Options::max_bytes`] at most, a name [`MAX_NAME_BYTES`], metadata [`MAX_METADATA_BYTES`].
//! A stream into a bucket has 10,000 parts of 8 MiB at most. A range cannot be checked against the hash of
//! the whole. Incomplete uploads to a bucket are the bucket's: give it a rule that ends them. A process that
//! stood still for longer than its lease, goes on, and is killed right behind its write, leaves an object
//! that only a check finds.
//!
//! # Features
//!
//! `s3`, `gcs` and `azure` bring the builders of [`object_store`] for [`Blobs::over`]; none is on by default.
//!
//! # Where this differs from the first plan
//!
//! An object's key is not its hash but the id of its row, which is never given again. So a stream goes to its
//! place at once, without a copy when its hash is known, and removing an object never meets one that is being
//! stored anew. The hash is a unique index over the rows.

mod about;
mod blobs;
mod check;
mod claim;
mod delete;
mod error;
mod files;
mod hash;
mod link;
mod media;
mod owners;
mod read;
mod register;
mod tables;
mod upload;
mod vacuum;

pub use about::{About, MAX_MEDIA_TYPE_BYTES, MAX_METADATA_BYTES, MAX_NAME_BYTES};
pub use blobs::Blobs;
pub use check::{CHECK_STEP, CheckOptions, Finding, MAX_FINDINGS, Report};
pub use delete::{IfOwned, delete};
pub use error::FileError;
pub use files::{Files, Options};
pub use hash::Hash;
pub use link::{Disposition, Link, LinkError, MIN_KEY_BYTES};
pub use media::{HEAD_BYTES, media_type};
/// The crate that speaks to folders and buckets, of the version that [`Blobs::over`] takes.
pub use object_store;
pub use owners::{
    MAX_OWNER_ID_BYTES, MAX_OWNER_TABLE_BYTES, Owner, attach, detach, detach_all, files_of, hand_over,
    owners, set_owned,
};
pub use read::{Content, MAX_HELD_BYTES};
pub use register::{Staged, find, register};
pub use tables::{Blob, File, FileId, Reference, tables};
pub use upload::Upload;
pub use vacuum::{VACUUM_PAUSE, VACUUM_STEP, Vacuumed};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/files.md")]
struct Guide;
