//! What can be wrong with a thread, or with what is said of one.

use loomwork_core::{Fault, Kind};

use super::MAX_TAGS;
use crate::tables::ThreadId;

/// Why a thread is not made, changed or given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A thread that is not there, or is being deleted.
    #[error("there is no thread {thread}: it was never made here, or it was deleted")]
    NotFound {
        /// Its id.
        thread: ThreadId,
    },
    /// A thread that is put away.
    #[error("thread {thread} is archived and takes nothing new; make it active with `threads::update` first")]
    Archived {
        /// Its id.
        thread: ThreadId,
    },
    /// A thread that a fork is still being copied into.
    #[error("thread {thread} is still being copied; `fork::finish` waits until it is whole")]
    Copying {
        /// Its id.
        thread: ThreadId,
    },
    /// A text or metadata beyond its limit.
    #[error("the {what} of a thread takes {bytes} bytes; the limit is {limit}")]
    TooLarge {
        /// Which of them.
        what: &'static str,
        /// What it takes.
        bytes: usize,
        /// What it may take.
        limit: usize,
    },
    /// More tags than a thread may have.
    #[error("a thread has {MAX_TAGS} different tags at most; what has more kinds belongs in metadata")]
    TooManyTags,
    /// A name of no letters.
    #[error("the {what} of a thread is empty; leave it out where there is none")]
    Empty {
        /// Which of them.
        what: &'static str,
    },
    /// A status that is not for callers to set.
    #[error("a thread cannot be made {status:?}; it is active or archived, and `threads::delete` deletes it")]
    BadStatus {
        /// The status.
        status: &'static str,
    },
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } => Kind::NotFound,
            Self::Archived { .. } => Kind::Denied,
            Self::Copying { .. } => Kind::Unavailable,
            Self::TooLarge { .. } | Self::TooManyTags | Self::Empty { .. } | Self::BadStatus { .. } => {
                Kind::Invalid
            }
        }
    }
}
