//! What can be wrong with a file, its content and where that lies.

use std::error::Error as StdError;
use std::path::PathBuf;

use loomwork_core::{Fault, Kind};
use loomwork_store::Id;

use crate::about::{MAX_MEDIA_TYPE_BYTES, MAX_METADATA_BYTES, MAX_NAME_BYTES};
use crate::hash::Hash;
use crate::owners::{MAX_OWNER_ID_BYTES, MAX_OWNER_TABLE_BYTES};
use crate::tables::File;

/// A file, a content or a place for contents that is not as it has to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// More bytes than a file may have.
    #[error("the file has {bytes} bytes or more; the limit is {limit}, raise `max_bytes` or store less")]
    TooLarge {
        /// What there was when it was refused.
        bytes: u64,
        /// What there may be.
        limit: u64,
    },
    /// Content that is not what the caller said it would be.
    #[error("the content has the hash {found}, the caller expected {expected}; nothing was stored")]
    Unexpected {
        /// What the caller gave.
        expected: Hash,
        /// What the bytes have.
        found: Hash,
    },
    /// A text that is no hash.
    #[error("{text:?} is no hash; it must be the 64 lower-case hexadecimal digits of a SHA-256")]
    BadHash {
        /// How the text begins.
        text: String,
    },
    /// A media type that is none.
    #[error(
        "{given:?} is no media type; it must be as `image/png`, with {MAX_MEDIA_TYPE_BYTES} bytes at most"
    )]
    BadMediaType {
        /// How what was given begins.
        given: String,
    },
    /// A file name that cannot be one.
    #[error(
        "the file name {given:?} is refused; it must have 1 to {MAX_NAME_BYTES} bytes and no control characters"
    )]
    BadName {
        /// How what was given begins.
        given: String,
    },
    /// Metadata beyond its limit.
    #[error("the metadata of the file takes {bytes} bytes as JSON; the limit is {MAX_METADATA_BYTES}")]
    BadMetadata {
        /// What it takes.
        bytes: usize,
    },
    /// An owner that cannot be one.
    #[error(
        "the owner {given:?} is refused; its table must have 1 to {MAX_OWNER_TABLE_BYTES} bytes, \
         its id 1 to {MAX_OWNER_ID_BYTES}"
    )]
    BadOwner {
        /// How what was given begins.
        given: String,
    },
    /// A range that the file does not have.
    #[error("bytes {start} to {end} are no range of {file}, which has {size} bytes")]
    BadRange {
        /// The file.
        file: Id<File>,
        /// Where the range begins.
        start: u64,
        /// Where it ends, exclusive.
        end: u64,
        /// The file's size.
        size: u64,
    },
    /// A content too large to be read into memory as one piece.
    #[error("{file} has {size} bytes; {limit} at most are read in one piece, stream it with `open`")]
    TooLargeToHold {
        /// The file.
        file: Id<File>,
        /// Its size.
        size: u64,
        /// What is read in one piece.
        limit: u64,
    },
    /// A file that somebody owns was to be deleted.
    #[error("{file} has {owners} owners; detach it first, or delete it with `IfOwned::Detach`")]
    Owned {
        /// The file.
        file: Id<File>,
        /// How many owners it has.
        owners: u64,
    },
    /// An upload or a staged content that was not registered in time.
    #[error("the content {hash:?} was staged too long ago and is given up; stage it again")]
    Lapsed {
        /// Its hash, where it was known already.
        hash: Option<Hash>,
    },
    /// An upload one of whose writes failed or was dropped.
    #[error("an earlier write of this upload did not succeed; begin a new upload")]
    Broken,
    /// The caller's stream failed in the middle of an upload.
    #[error("the source of the upload failed after {bytes} bytes; nothing was stored")]
    Source {
        /// How many bytes had come.
        bytes: u64,
        /// What the stream said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A file whose content is gone.
    #[error("the content of {file} ({hash}) is missing; store the same bytes again to mend it")]
    Missing {
        /// The file.
        file: Id<File>,
        /// The hash of what is missing.
        hash: Hash,
    },
    /// A file whose content has another size than was stored.
    #[error("the content of {file} has {found} bytes, {size} were stored")]
    WrongSize {
        /// The file.
        file: Id<File>,
        /// What was stored.
        size: u64,
        /// What is there.
        found: u64,
    },
    /// A file whose content is not what was stored.
    #[error("the content of {file} has the hash {found}, {hash} was stored")]
    Damaged {
        /// The file.
        file: Id<File>,
        /// What was stored.
        hash: Hash,
        /// What is there.
        found: Hash,
    },
    /// A folder for contents that cannot be used.
    #[error("the folder {} for files cannot be used", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The object store failed.
    #[error("the object store failed to {action}")]
    Blobs {
        /// What it was doing.
        action: &'static str,
        /// What it says.
        source: object_store::Error,
    },
}

impl Fault for FileError {
    fn kind(&self) -> Kind {
        match self {
            Self::TooLarge { .. }
            | Self::Unexpected { .. }
            | Self::BadHash { .. }
            | Self::BadMediaType { .. }
            | Self::BadName { .. }
            | Self::BadMetadata { .. }
            | Self::BadOwner { .. }
            | Self::BadRange { .. }
            | Self::TooLargeToHold { .. }
            | Self::Owned { .. }
            | Self::Broken
            | Self::Folder { .. } => Kind::Invalid,
            Self::Lapsed { .. } => Kind::Conflict,
            Self::Source { .. } => Kind::Unavailable,
            Self::Missing { .. } | Self::WrongSize { .. } | Self::Damaged { .. } => Kind::Corrupt,
            Self::Blobs { source, .. } => blobs_kind(source),
        }
    }
}

fn blobs_kind(error: &object_store::Error) -> Kind {
    use object_store::Error as Blob;
    match error {
        Blob::PermissionDenied { .. } | Blob::Unauthenticated { .. } => Kind::Denied,
        Blob::NotSupported { .. } | Blob::NotImplemented { .. } | Blob::UnknownConfigurationKey { .. } => {
            Kind::Invalid
        }
        _ => Kind::Unavailable,
    }
}

/// The most characters of a text from outside that an error shows.
const SHOWN: usize = 80;

/// How a text from outside begins, which may be of any length.
pub(crate) fn beginning(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
