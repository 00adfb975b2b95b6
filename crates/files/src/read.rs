//! Reading contents, and checking them on the way.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use loomwork_store::{Error, Result, Row};

use crate::blobs::{Found, Pieces};
use crate::error::FileError;
use crate::files::Files;
use crate::hash::Hashing;
use crate::tables::{File, FileId};

/// The most bytes that [`Files::read`] returns in one piece.
pub const MAX_HELD_BYTES: u64 = 64 << 20;

/// A content, or a range of one, as a stream of pieces. An error is the last item.
pub struct Content {
    file: Row<File>,
    range: Range<u64>,
    pieces: BoxStream<'static, Result<Bytes>>,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("file", &self.file)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

impl Content {
    /// Returns the file that is read.
    pub fn file(&self) -> &Row<File> {
        &self.file
    }

    /// Returns which bytes of it are read.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }
}

impl Stream for Content {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.poll_next_unpin(context)
    }
}

pub(crate) async fn read_whole(files: &Files, id: FileId) -> Result<Content> {
    let file = files.store.query(move |tx| tx.require(id)).await?;
    let found = get(files, &file, None).await?;
    let range = 0..file.size;
    let pieces = checked(file.clone(), found.pieces);
    Ok(Content { file, range, pieces })
}

pub(crate) async fn read_range(files: &Files, id: FileId, range: Range<u64>) -> Result<Content> {
    let file = files.store.query(move |tx| tx.require(id)).await?;
    if range.start > range.end || range.end > file.size {
        return Err(
            FileError::BadRange { file: id, start: range.start, end: range.end, size: file.size }.into()
        );
    }
    // Object stores refuse a range without bytes.
    let pieces = if range.is_empty() {
        futures_util::stream::empty().boxed()
    } else {
        let found = get(files, &file, Some(range.clone())).await?;
        found.pieces.map_err(Error::from).boxed()
    };
    Ok(Content { file, range, pieces })
}

pub(crate) async fn read_held(files: &Files, id: FileId) -> Result<Bytes> {
    let size = files.store.query(move |tx| tx.require(id)).await?.size;
    if size > MAX_HELD_BYTES {
        return Err(FileError::TooLargeToHold { file: id, size, limit: MAX_HELD_BYTES }.into());
    }
    let content = read_whole(files, id).await?;
    let mut held = BytesMut::with_capacity(size as usize);
    let mut pieces = content.pieces;
    while let Some(piece) = pieces.try_next().await? {
        held.extend_from_slice(&piece);
    }
    Ok(held.freeze())
}

/// Begins to read, if there is an object of the file's size.
async fn get(files: &Files, file: &Row<File>, range: Option<Range<u64>>) -> Result<Found> {
    let id = file.id;
    let Some(found) = files.blobs.get(file.blob, range).await? else {
        // Either it was deleted just now, which is no damage, or its content is lost.
        files.store.query(move |tx| tx.require(id)).await?;
        return Err(FileError::Missing { file: id, hash: file.hash }.into());
    };
    if found.size != file.size {
        return Err(FileError::WrongSize { file: id, size: file.size, found: found.size }.into());
    }
    Ok(found)
}

/// Holds each piece back until the next one is there, so that the last one is handed on only if the
/// hash of all is right.
fn checked(file: Row<File>, pieces: Pieces) -> BoxStream<'static, Result<Bytes>> {
    let reading = Reading { file, pieces, hashing: Hashing::default(), held: None };
    futures_util::stream::try_unfold(Some(reading), |reading| async {
        match reading {
            Some(reading) => reading.next().await,
            None => Ok(None),
        }
    })
    .boxed()
}

struct Reading {
    file: Row<File>,
    pieces: Pieces,
    hashing: Hashing,
    held: Option<Bytes>,
}

impl Reading {
    /// Returns the next piece, and what is left of the reading.
    async fn next(mut self) -> Result<Option<(Bytes, Option<Self>)>> {
        while let Some(piece) = self.pieces.try_next().await? {
            self.hashing.update(&piece).await;
            if let Some(ready) = self.held.replace(piece) {
                return Ok(Some((ready, Some(self))));
            }
        }
        let found = self.hashing.finish();
        if found != self.file.hash {
            return Err(FileError::Damaged { file: self.file.id, hash: self.file.hash, found }.into());
        }
        Ok(self.held.map(|last| (last, None)))
    }
}
