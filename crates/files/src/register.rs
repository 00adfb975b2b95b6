//! From staged bytes to a file, in the caller's transaction.

use loomwork_store::{Id, Result, Row, Tx};
use serde_json::Value;

use crate::claim::settle;
use crate::hash::Hash;
use crate::tables::{Blob, File};

/// A content that lies in the object store and is no file yet: [`register`] makes it one, in a
/// transaction of your choice. Who never does that need not tell: it is given up after
/// [`Options::lease`](crate::Options::lease).
#[derive(Clone, Debug, PartialEq)]
pub struct Staged {
    pub(crate) blob: Id<Blob>,
    pub(crate) hash: Hash,
    pub(crate) size: u64,
    pub(crate) media_type: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) metadata: Option<Value>,
}

impl Staged {
    /// Returns the hash of the content.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Returns how many bytes it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns what it is, if that is known.
    pub fn media_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }

    fn is_like(&self, file: &File) -> bool {
        let is_compatible = match (&self.media_type, &file.media_type) {
            (Some(staged), Some(stored)) => staged == stored,
            _ => true,
        };
        is_compatible && self.metadata == file.metadata
    }
}

/// Makes a staged content a file. It has no owner yet; [`attach`](crate::attach) it, else it goes when
/// its grace is over.
///
/// A file with the same content, name and metadata, and a media type that is the same or unknown to one
/// of the two, is that file: it is returned, and its grace begins anew. Else a new one shares the content.
///
/// # Errors
/// [`FileError::Lapsed`](crate::FileError::Lapsed), a conflict, when it was staged too long ago.
pub fn register(tx: &mut Tx, staged: &Staged) -> Result<Row<File>> {
    let blob = settle(tx, staged.blob, staged.hash, staged.size)?;
    let now = tx.now();
    let namesakes = tx.scan(File::by_content.eq(staged.hash).eq(&staged.name))?;
    if let Some(same) = namesakes.iter().find(|file| staged.is_like(file)) {
        return tx.update(same.id, |file| {
            file.touched = now;
            if file.media_type.is_none() {
                file.media_type.clone_from(&staged.media_type);
            }
        });
    }
    tx.update(blob, |blob| blob.files += 1)?;
    tx.insert(File {
        hash: staged.hash,
        size: staged.size,
        media_type: staged.media_type.clone(),
        name: staged.name.clone(),
        metadata: staged.metadata.clone(),
        created: now,
        owners: 0,
        touched: now,
        blob,
    })
}

/// Returns all files with a content, oldest first.
///
/// # Errors
/// When the store cannot be read.
pub fn find(tx: &Tx, hash: Hash) -> Result<Vec<Row<File>>> {
    let mut files = tx.scan(File::by_content.eq(hash))?;
    files.sort_by_key(|file| file.id);
    Ok(files)
}
