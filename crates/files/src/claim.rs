//! The rows of blobs while their objects are being written: the row comes first, so nothing that a
//! crash leaves behind is unknown.

use std::time::Duration;

use loomwork_store::{Id, Result, Row, Tx};

use crate::error::FileError;
use crate::hash::Hash;
use crate::tables::{Blob, BlobState};

/// What a caller with a content of a known hash is to do.
#[derive(Debug)]
pub(crate) enum Claim {
    /// The content is there, and stays for half the lease at least.
    Stored(Row<Blob>),
    /// It is to be written under the id of this row.
    New(Row<Blob>),
}

pub(crate) fn begin(tx: &mut Tx, lease: Duration) -> Result<Row<Blob>> {
    let until = tx.now() + lease;
    tx.insert(Blob::begun(until))
}

pub(crate) fn claim(tx: &mut Tx, hash: Hash, lease: Duration) -> Result<Claim> {
    Ok(match claim_stored(tx, hash, lease)? {
        Some(blob) => Claim::Stored(blob),
        None => Claim::New(begin(tx, lease)?),
    })
}

/// Finds the blob of a content, and keeps it from being given up for a while.
pub(crate) fn claim_stored(tx: &mut Tx, hash: Hash, lease: Duration) -> Result<Option<Row<Blob>>> {
    let Some(blob) = stored(tx, hash)? else { return Ok(None) };
    // Written only when half of it is over: saving the same content often is no write each time.
    if blob.until >= tx.now() + lease / 2 {
        return Ok(Some(blob));
    }
    let until = tx.now() + lease;
    tx.update(blob.id, |blob| blob.until = until).map(Some)
}

/// Extends the lease of an upload.
pub(crate) fn renew(tx: &mut Tx, blob: Id<Blob>, lease: Duration) -> Result<Row<Blob>> {
    let until = tx.now() + lease;
    match tx.get(blob)? {
        Some(row) if row.state == BlobState::Uploading => tx.update(blob, |blob| blob.until = until),
        _ => Err(FileError::Lapsed { hash: None }.into()),
    }
}

/// Gives an upload up, so that its object is removed.
pub(crate) fn abandon(tx: &mut Tx, blob: Id<Blob>) -> Result<()> {
    match tx.get(blob)? {
        Some(row) if row.state == BlobState::Uploading => doom(tx, blob),
        _ => Ok(()),
    }
}

pub(crate) fn doom(tx: &mut Tx, blob: Id<Blob>) -> Result<()> {
    let now = tx.now();
    tx.update(blob, |blob| {
        blob.state = BlobState::Doomed;
        blob.until = now;
    })
    .map(drop)
}

/// Says that a content was written anew over what was damaged.
pub(crate) fn mended(tx: &mut Tx, blob: Id<Blob>) -> Result<()> {
    tx.update(blob, |blob| blob.damaged = false).map(drop)
}

/// Makes an upload the blob of its content, unless another one is that already; returns which is.
pub(crate) fn settle(tx: &mut Tx, own: Id<Blob>, hash: Hash, size: u64) -> Result<Id<Blob>> {
    if let Some(stored) = stored(tx, hash)? {
        if stored.id != own {
            abandon(tx, own)?;
        }
        return Ok(stored.id);
    }
    match tx.get(own)? {
        Some(row) if row.state == BlobState::Uploading => tx
            .update(own, |blob| {
                blob.state = BlobState::Stored;
                blob.hash = Some(hash);
                blob.size = size;
            })
            .map(|row| row.id),
        _ => Err(FileError::Lapsed { hash: Some(hash) }.into()),
    }
}

pub(crate) fn stored(tx: &Tx, hash: Hash) -> Result<Option<Row<Blob>>> {
    tx.first(Blob::by_hash.eq(Some(hash)))
}
