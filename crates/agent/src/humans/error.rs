//! Why a question cannot be answered.

use loomwork_core::{Fault, Kind, Time};

use super::{QuestionId, QuestionState};

/// Why a question cannot be claimed or answered. Nothing is written then.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionError {
    /// A question that is not there.
    #[error("there is no {question}; it was never asked, or so long ago that it is forgotten")]
    Unknown {
        /// The question.
        question: QuestionId,
    },
    /// Somebody else is at it.
    #[error("{question} is claimed by {by:?}, who has to release it first")]
    Claimed {
        /// The question.
        question: QuestionId,
        /// Who.
        by: String,
    },
    /// Somebody was quicker.
    #[error("{question} is {} already{}", state.as_str(), by.as_deref().map(|by| format!(", by {by:?}")).unwrap_or_default())]
    Answered {
        /// The question.
        question: QuestionId,
        /// Where it stands.
        state: QuestionState,
        /// Who answered.
        by: Option<String>,
    },
    /// It is too late.
    #[error("{question} has expired at {expired}; the agent has to ask again")]
    Expired {
        /// The question.
        question: QuestionId,
        /// When it did.
        expired: Time,
    },
    /// The run was called off, or its thread deleted.
    #[error("{question} needs no answer any more, since its run has ended")]
    Over {
        /// The question.
        question: QuestionId,
    },
    /// An answer that is not of the form that the tool promises.
    #[error("the answer to {question} does not fit what the tool `{tool}` returns: {faults}")]
    BadAnswer {
        /// The question.
        question: QuestionId,
        /// The tool.
        tool: String,
        /// What is wrong with it.
        faults: String,
    },
}

impl Fault for QuestionError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unknown { .. } => Kind::NotFound,
            Self::Claimed { .. } | Self::Answered { .. } | Self::Expired { .. } | Self::Over { .. } => {
                Kind::Conflict
            }
            Self::BadAnswer { .. } => Kind::Invalid,
        }
    }
}
