//! Uploads that come piece by piece.

use std::fmt;

use bytes::Bytes;
use loomwork_core::Time;
use loomwork_store::{Id, Result, Row};
use object_store::buffered::BufWriter;
use tokio::io::AsyncWriteExt as _;

use crate::about::About;
use crate::blobs::failed;
use crate::claim;
use crate::error::FileError;
use crate::files::Files;
use crate::hash::{Hash, Hashing};
use crate::media::{self, HEAD_BYTES};
use crate::register::Staged;
use crate::tables::{Blob, File};

/// An upload under way: [`write`](Self::write) its pieces, then [`finish`](Self::finish) it, or
/// [`stage`](Self::stage) it for a transaction of your own.
///
/// One that is dropped before stores nothing; what it has written goes when its lease is over, or at
/// once by [`abort`](Self::abort).
pub struct Upload {
    files: Files,
    blob: Id<Blob>,
    /// When the lease ends.
    until: Time,
    writer: BufWriter,
    hashing: Hashing,
    head: Vec<u8>,
    size: u64,
    about: About,
    /// A write has begun and not succeeded: hash and object may have parted.
    is_broken: bool,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("about", &self.about)
            .field("size", &self.size)
            .field("is_broken", &self.is_broken)
            .finish_non_exhaustive()
    }
}

impl Upload {
    pub(crate) fn begin(files: Files, blob: Row<Blob>, about: About) -> Self {
        Self {
            writer: files.blobs.writer(blob.id),
            blob: blob.id,
            until: blob.until,
            files,
            hashing: Hashing::default(),
            head: Vec::new(),
            size: 0,
            about,
            is_broken: false,
        }
    }

    /// Returns how many bytes were written so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds the next piece; it waits while enough parts are under way.
    ///
    /// # Errors
    /// [`FileError::TooLarge`], [`FileError::Lapsed`] when the upload stood still for longer than its
    /// lease, [`FileError::Blobs`]; [`FileError::Broken`] ever after.
    ///
    /// # Cancel safety
    /// A write that is dropped breaks the upload.
    pub async fn write(&mut self, piece: impl Into<Bytes>) -> Result<()> {
        let piece = piece.into();
        self.check_whole()?;
        self.is_broken = true;
        let (size, limit) = (self.size + piece.len() as u64, self.files.limit(&self.about));
        if size > limit {
            return Err(FileError::TooLarge { bytes: size, limit }.into());
        }
        self.renew().await?;
        let missing = HEAD_BYTES.saturating_sub(self.head.len()).min(piece.len());
        self.head.extend_from_slice(&piece[..missing]);
        self.hashing.update(&piece).await;
        let written = self.writer.put(piece).await.map_err(failed("write an object"));
        written.map_err(|error| self.files.unless_lapsed(error, self.until))?;
        self.size = size;
        self.is_broken = false;
        Ok(())
    }

    /// Ends the upload and stores it as a file, which has no owner yet.
    ///
    /// # Errors
    /// As [`stage`](Self::stage).
    pub async fn finish(self) -> Result<Row<File>> {
        let files = self.files.clone();
        let staged = self.stage().await?;
        files.register(staged).await
    }

    /// Ends the upload, to be [registered](crate::register) in a transaction of the caller's.
    ///
    /// # Errors
    /// [`FileError::Unexpected`] when the content is not the expected one, [`FileError::Broken`] after a
    /// write that failed, and when the object store fails. Nothing is stored then.
    pub async fn stage(mut self) -> Result<Staged> {
        let hashing = std::mem::take(&mut self.hashing);
        let hash = hashing.finish();
        if let Err(error) = self.check_whole().and_then(|()| self.about.check_hash(hash)) {
            self.abort().await;
            return Err(error.into());
        }
        if let Err(error) = self.settle(hash).await {
            self.files.abandon(self.blob).await;
            return Err(error);
        }
        loomwork_core::crash_point("files.written");
        let About { name, media_type, metadata, .. } = self.about;
        let media_type = media_type.or_else(|| media::media_type(&self.head, name.as_deref()));
        Ok(Staged { blob: self.blob, hash, size: self.size, media_type, name, metadata })
    }

    /// Gives the upload up and removes what it has written.
    pub async fn abort(mut self) {
        if let Err(error) = self.writer.abort().await {
            tracing::warn!(blob = %self.blob, %error, "the parts of an upload could not be removed");
        }
        self.files.abandon(self.blob).await;
    }

    fn check_whole(&self) -> Result<(), FileError> {
        if self.is_broken { Err(FileError::Broken) } else { Ok(()) }
    }

    /// Completes the object. Where the content is stored already and its object is damaged, this one
    /// takes its place.
    async fn settle(&mut self, hash: Hash) -> Result<()> {
        self.renew().await?;
        let completed = self.writer.shutdown().await.map_err(|error| FileError::Blobs {
            action: "complete an object",
            source: object_store::Error::Generic { store: "upload", source: error.into() },
        });
        completed.map_err(|error| self.files.unless_lapsed(error, self.until))?;
        self.files.confirm(self.blob, self.until).await?;
        let store = &self.files.store;
        let Some(stored) = store.query(move |tx| claim::stored(tx, hash)).await? else { return Ok(()) };
        if self.files.is_intact(&stored).await? {
            return Ok(());
        }
        let lease = self.files.options.lease;
        if let Some(stored) = store.mutate(move |tx| claim::claim_stored(tx, hash, lease)).await? {
            self.files.blobs.copy(self.blob, stored.id).await?;
            store.mutate(move |tx| claim::mended(tx, stored.id)).await?;
        }
        Ok(())
    }

    /// Extends the lease when half of it is over.
    async fn renew(&mut self) -> Result<()> {
        let lease = self.files.options.lease;
        if self.files.store.clock().now() + lease / 2 < self.until {
            return Ok(());
        }
        let blob = self.blob;
        let renewed = self.files.store.mutate(move |tx| claim::renew(tx, blob, lease));
        self.until = renewed.await?.until;
        Ok(())
    }
}
