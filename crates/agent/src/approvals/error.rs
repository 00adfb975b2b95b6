//! Why an approval cannot be answered.

use loomwork_core::{Fault, Kind, Time};

use super::{ApprovalId, ApprovalState};

/// Why an approval cannot be answered. Nothing is written then.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ApprovalError {
    /// An approval that is not there.
    #[error("there is no {approval}; it was never asked for, or so long ago that it is forgotten")]
    Unknown {
        /// The approval.
        approval: ApprovalId,
    },
    /// Somebody was quicker.
    #[error("{approval} is {} already{}", state.as_str(), by.as_deref().map(|by| format!(", by {by:?}")).unwrap_or_default())]
    Answered {
        /// The approval.
        approval: ApprovalId,
        /// Where it stands.
        state: ApprovalState,
        /// Who answered; nobody where it was denied by itself.
        by: Option<String>,
        /// When.
        at: Option<Time>,
    },
    /// It is too late.
    #[error("{approval} has expired at {expired}; the agent has to call again")]
    Expired {
        /// The approval.
        approval: ApprovalId,
        /// When it did.
        expired: Time,
    },
    /// The run was called off, or its thread deleted.
    #[error("{approval} needs no answer any more, since its run has ended")]
    Over {
        /// The approval.
        approval: ApprovalId,
    },
    /// The arguments are others than those that were shown, or the call is no longer there.
    #[error("the call that {approval} is about has changed since it was shown; look at it again")]
    Changed {
        /// The approval.
        approval: ApprovalId,
    },
    /// Arguments that the tool does not take.
    #[error("the changed arguments of {approval} do not fit the tool `{tool}`: {faults}")]
    BadInput {
        /// The approval.
        approval: ApprovalId,
        /// The tool.
        tool: String,
        /// What is wrong with them.
        faults: String,
    },
}

impl Fault for ApprovalError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unknown { .. } => Kind::NotFound,
            Self::Answered { .. } | Self::Expired { .. } | Self::Over { .. } | Self::Changed { .. } => {
                Kind::Conflict
            }
            Self::BadInput { .. } => Kind::Invalid,
        }
    }
}
