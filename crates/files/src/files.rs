//! The handle: bytes in, bytes out.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use loomwork_core::{Time, crash_point};
use loomwork_store::{Id, Result, Row, Store};

use crate::about::About;
use crate::blobs::Blobs;
use crate::claim::{self, Claim};
use crate::error::FileError;
use crate::hash::Hashing;
use crate::media;
use crate::read::{Content, read_whole};
use crate::register::{Staged, register};
use crate::tables::{Blob, File, FileId};
use crate::upload::Upload;

/// What holds for all files of a store. New fields may come: fill up with `..Options::default()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The most bytes that a file may have: 1 GiB.
    pub max_bytes: u64,
    /// How long a file without owners stays: a day.
    pub grace: Duration,
    /// How long an upload may stand still: an hour. A staged content waits half as long at least.
    pub lease: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_bytes: 1 << 30,
            grace: Duration::from_secs(24 * 60 * 60),
            lease: Duration::from_secs(60 * 60),
        }
    }
}

/// The files of a store: their rows there, their contents in [`Blobs`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Files {
    pub(crate) store: Store,
    pub(crate) blobs: Blobs,
    pub(crate) options: Arc<Options>,
}

impl Files {
    /// Files whose rows are in `store`, which was opened with [`tables`](crate::tables()).
    pub fn new(store: &Store, blobs: Blobs, options: Options) -> Self {
        Self { store: store.clone(), blobs, options: Arc::new(options) }
    }

    /// Returns the options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Stores bytes that are at hand as a file, which has no owner yet.
    ///
    /// # Errors
    /// As [`stage`](Self::stage).
    pub async fn put(&self, content: impl Into<Bytes>, about: impl Into<About>) -> Result<Row<File>> {
        let staged = self.stage(content, about).await?;
        self.register(staged).await
    }

    /// Stores a stream of bytes as a file, which has no owner yet. Memory holds a few parts of it at most.
    ///
    /// # Errors
    /// [`FileError::Source`] when the stream fails; else as [`stage`](Self::stage). Nothing is stored then.
    pub async fn put_stream<S, E>(&self, content: S, about: impl Into<About>) -> Result<Row<File>>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut upload = self.upload(about).await?;
        let mut content = std::pin::pin!(content);
        while let Some(piece) = content.next().await {
            let written = match piece {
                Ok(piece) => upload.write(piece).await,
                Err(error) => Err(FileError::Source { bytes: upload.size(), source: error.into() }.into()),
            };
            if let Err(error) = written {
                upload.abort().await;
                return Err(error);
            }
        }
        upload.finish().await
    }

    /// Brings bytes to the object store, to be [registered](register) in a transaction of the caller's.
    /// A content that is there already is not written again.
    ///
    /// # Errors
    /// [`FileError`]: too large, not the expected hash, a bad name, media type or metadata, or an object
    /// store that fails.
    ///
    /// # Cancel safety
    /// What a dropped future leaves is found and removed when its lease is over.
    pub async fn stage(&self, content: impl Into<Bytes>, about: impl Into<About>) -> Result<Staged> {
        let (content, about) = (content.into(), about.into().checked()?);
        let size = content.len() as u64;
        let limit = self.limit(&about);
        if size > limit {
            return Err(FileError::TooLarge { bytes: size, limit }.into());
        }
        let mut hashing = Hashing::default();
        hashing.update(&content).await;
        let hash = hashing.finish();
        about.check_hash(hash)?;
        let lease = self.options.lease;
        let claimed = self.store.mutate(move |tx| claim::claim(tx, hash, lease)).await?;
        crash_point("files.claimed");
        let media_type = about.media_type.or_else(|| media::media_type(&content, about.name.as_deref()));
        let blob = match claimed {
            Claim::Stored(blob) => {
                if !self.is_intact(&blob).await? {
                    self.blobs.put(blob.id, content).await?;
                    self.store.mutate(move |tx| claim::mended(tx, blob.id)).await?;
                }
                blob.id
            }
            Claim::New(blob) => {
                if let Err(error) = self.blobs.put(blob.id, content).await {
                    self.abandon(blob.id).await;
                    return Err(self.unless_lapsed(error, blob.until).into());
                }
                self.confirm(blob.id, blob.until).await?;
                blob.id
            }
        };
        crash_point("files.written");
        Ok(Staged { blob, hash, size, media_type, name: about.name, metadata: about.metadata })
    }

    /// Begins an upload that is written piece by piece.
    ///
    /// # Errors
    /// [`FileError`] when something is wrong with `about`.
    pub async fn upload(&self, about: impl Into<About>) -> Result<Upload> {
        let about = about.into().checked()?;
        let lease = self.options.lease;
        let blob = self.store.mutate(move |tx| claim::begin(tx, lease)).await?;
        crash_point("files.claimed");
        Ok(Upload::begin(self.clone(), blob, about))
    }

    /// Opens a file's content for reading. Its hash is checked on the way: the last piece comes only
    /// when it is right.
    ///
    /// # Errors
    /// When there is no such file; [`FileError::Missing`] and [`FileError::WrongSize`] when its content is
    /// not what was stored.
    pub async fn open(&self, file: FileId) -> Result<Content> {
        read_whole(self, file).await
    }

    /// Opens a range of a file's content. A part cannot be checked against the hash of the whole.
    ///
    /// # Errors
    /// [`FileError::BadRange`] beyond the file's end; else as [`open`](Self::open).
    pub async fn open_range(&self, file: FileId, range: Range<u64>) -> Result<Content> {
        crate::read::read_range(self, file, range).await
    }

    /// Returns a file's content in one piece, up to [`MAX_HELD_BYTES`](crate::MAX_HELD_BYTES).
    ///
    /// # Errors
    /// [`FileError::TooLargeToHold`]; [`FileError::Damaged`] when the hash is not what was stored; else as
    /// [`open`](Self::open).
    pub async fn read(&self, file: FileId) -> Result<Bytes> {
        crate::read::read_held(self, file).await
    }

    pub(crate) async fn register(&self, staged: Staged) -> Result<Row<File>> {
        let registered = self.store.mutate(move |tx| register(tx, &staged)).await;
        crash_point("files.registered");
        registered
    }

    pub(crate) fn limit(&self, about: &About) -> u64 {
        about.max_bytes.map_or(self.options.max_bytes, |own| own.min(self.options.max_bytes))
    }

    /// Whether a content is there as far as a look from outside can tell.
    pub(crate) async fn is_intact(&self, blob: &Row<Blob>) -> Result<bool> {
        Ok(!blob.damaged && self.blobs.size(blob.id).await? == Some(blob.size))
    }

    /// Makes sure that an object which is complete now has a row. Where its lease ended meanwhile, the
    /// vacuum may have removed the row, and then nobody else knows of the object.
    pub(crate) async fn confirm(&self, blob: Id<Blob>, until: Time) -> Result<()> {
        if self.store.clock().now() < until {
            return Ok(());
        }
        let lease = self.options.lease;
        if let Err(error) = self.store.mutate(move |tx| claim::renew(tx, blob, lease)).await {
            self.blobs.remove(blob).await?;
            return Err(error);
        }
        Ok(())
    }

    /// Says why a write failed: behind the end of its lease, the vacuum may have taken away what it wrote.
    pub(crate) fn unless_lapsed(&self, error: FileError, until: Time) -> FileError {
        if self.store.clock().now() < until { error } else { FileError::Lapsed { hash: None } }
    }

    /// Gives an upload up. If that fails, its lease does the same later.
    pub(crate) async fn abandon(&self, blob: Id<Blob>) {
        if let Err(error) = self.store.mutate(move |tx| claim::abandon(tx, blob)).await {
            tracing::warn!(%blob, %error, "an upload could not be given up at once");
        }
    }
}
