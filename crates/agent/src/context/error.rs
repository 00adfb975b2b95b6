//! Why there is no context.

use loomwork_core::{Fault, Kind};
use loomwork_messages::{MessageId, ThreadId};

/// Why there is no context.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// An option that makes no sense.
    #[error("the context option `{option}` is {found}; it has to be {right}")]
    BadOption {
        /// Which one.
        option: &'static str,
        /// What was given.
        found: String,
        /// What is possible.
        right: String,
    },
    /// A prompt that is not there, or is another thread's.
    #[error("{thread} has no {prompt} to answer; name one of its messages, or none and give a prompt")]
    NoPrompt {
        /// The message.
        prompt: MessageId,
        /// The thread.
        thread: ThreadId,
    },
    /// A stored prompt without its thread.
    #[error("{prompt} is to be answered in no thread; name its thread too")]
    PromptWithoutThread {
        /// The message.
        prompt: MessageId,
    },
    /// A search is asked for where there is none.
    #[error(
        "the context is to search, and there is nothing to search with; hand a `Search` over, or set no search"
    )]
    NoSearch,
    /// The search failed.
    #[error(transparent)]
    Search(#[from] loomwork_search::Error),
    /// The store failed.
    #[error(transparent)]
    Store(loomwork_store::Error),
}

impl Fault for ContextError {
    fn kind(&self) -> Kind {
        match self {
            Self::BadOption { .. } | Self::PromptWithoutThread { .. } | Self::NoSearch => Kind::Invalid,
            Self::NoPrompt { .. } => Kind::NotFound,
            Self::Search(error) => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }
}

/// Takes out of a transaction's error what this crate put in.
impl From<loomwork_store::Error> for ContextError {
    fn from(error: loomwork_store::Error) -> Self {
        error.downcast().unwrap_or_else(Self::Store)
    }
}
