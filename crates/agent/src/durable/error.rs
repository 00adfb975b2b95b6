//! Why a durable run is not begun or not taken up.

use loomwork_core::{Fault, Kind};
use loomwork_messages::{RunId, ThreadId};

/// Why a run is not started, or cannot go on as it was started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Another run is being made in the thread, and [`Busy::Reject`](super::Busy::Reject) was asked for.
    #[error("{run} is being made in {thread}; wait for its end, or say what shall become of the two")]
    Busy {
        /// The thread.
        thread: ThreadId,
        /// The run.
        run: RunId,
    },
    /// The options are no JSON.
    #[error("the options of a run of agent {agent:?} cannot be stored: {reason}")]
    Unencodable {
        /// The agent.
        agent: String,
        /// Why.
        reason: String,
    },
    /// What was stored with a run is not what this program takes it for.
    #[error("the options of {run} cannot be read: {reason}")]
    Unreadable {
        /// The run.
        run: RunId,
        /// Why.
        reason: String,
    },
    /// A run names a tool that its agent is not registered with.
    #[error("agent {agent:?} has no tool {tool:?}; it has {known}")]
    NoTool {
        /// The agent.
        agent: String,
        /// The tool.
        tool: String,
        /// The tools that there are.
        known: String,
    },
    /// Nobody answers in the thread but people.
    #[error("no agent answers in {thread}; hand it back to one first")]
    NotTheAgents {
        /// The thread.
        thread: ThreadId,
    },
}

impl Fault for StartError {
    fn kind(&self) -> Kind {
        match self {
            Self::Busy { .. } => Kind::Conflict,
            Self::Unencodable { .. } | Self::NoTool { .. } => Kind::Invalid,
            Self::Unreadable { .. } => Kind::Corrupt,
            Self::NotTheAgents { .. } => Kind::Denied,
        }
    }
}

/// Why agents cannot be registered together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two agents are registered as {agent:?}; a run names its agent, so give each its own name")]
pub struct RegistryError {
    /// The name.
    pub agent: String,
}

impl Fault for RegistryError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}
