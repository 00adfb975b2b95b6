//! Why a generation fails.

use std::time::Duration;

use loomwork_core::{Fault, Kind};
use loomwork_messages::runs::RunError;
use loomwork_messages::{Failure, MessageId};
use loomwork_models::ErrorKind;

use crate::admission::Refused;
use crate::context::ContextError;
use crate::tool::{BoxError, ToolsError};

/// Why a generation has failed. What it had made is stored by then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The model failed.
    #[error("the model of agent {agent:?} failed: {source}")]
    Model {
        /// The agent.
        agent: String,
        /// What the model said.
        #[source]
        source: Box<loomwork_models::Error>,
    },
    /// The context could not be built; nothing was stored.
    #[error("the context of agent {agent:?} could not be built: {source}")]
    Context {
        /// The agent.
        agent: String,
        /// Why.
        #[source]
        source: Box<ContextError>,
    },
    /// Somebody ended the run, or took it over.
    #[error(transparent)]
    Ended(Box<RunError>),
    /// An agent without a model.
    #[error("agent {agent:?} has no model; give it one, or give one with the call")]
    NoModel {
        /// The agent.
        agent: String,
    },
    /// A limit or budget does not let it be asked. `retry_after` says how long to wait, if waiting helps.
    #[error("agent {agent:?} was refused by {admission}: {source}")]
    Refused {
        /// The agent.
        agent: String,
        /// The admission that refused.
        admission: &'static str,
        /// How long to wait.
        retry_after: Option<Duration>,
        /// The prompt, if it is stored: it can be answered later.
        prompt: Option<MessageId>,
        /// What the admission says, as its own type too.
        #[source]
        source: Box<loomwork_store::Error>,
    },
    /// A guard does not let something pass. What it has blocked is stored nowhere but in the prompt.
    #[error("{guard} does not let {what} of agent {agent:?} pass: {reason}")]
    Blocked {
        /// The agent.
        agent: String,
        /// The guard.
        guard: &'static str,
        /// What it has blocked: the input or the answer.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// What changes steps before they are made has failed.
    #[error("step {step} of agent {agent:?} could not be prepared: {source}")]
    Prepare {
        /// The agent.
        agent: String,
        /// The number of the step.
        step: usize,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The tools cannot be offered together, or not be listed; nothing was stored.
    #[error("the tools of agent {agent:?} cannot be offered: {source}")]
    Tools {
        /// The agent.
        agent: String,
        /// Why.
        #[source]
        source: Box<ToolsError>,
    },
    /// Something is asked for without what it needs; nothing was stored.
    #[error("agent {agent:?} cannot {what}: {lacks}")]
    Lacks {
        /// The agent.
        agent: String,
        /// What it was to do.
        what: &'static str,
        /// What is missing, and where it comes from.
        lacks: &'static str,
    },
    /// The store refused or failed.
    #[error(transparent)]
    Store(loomwork_store::Error),
}

impl From<loomwork_store::Error> for AgentError {
    fn from(error: loomwork_store::Error) -> Self {
        match error.downcast::<RunError>() {
            Ok(ended @ RunError::Lost { .. }) => Self::Ended(Box::new(ended)),
            Ok(error) => Self::Store(error.into()),
            Err(error) => Self::Store(error),
        }
    }
}

impl AgentError {
    pub(crate) fn refused(agent: &str, refused: Refused, prompt: Option<MessageId>) -> Self {
        let Refused { admission, source } = refused;
        let retry_after = match source.kind() {
            Kind::Limited { wait } => Some(wait),
            _ => None,
        };
        Self::Refused { agent: agent.to_owned(), admission, retry_after, prompt, source }
    }

    /// Returns what is stored of it with the message that it cut.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Ended(ended) => match &**ended {
                RunError::Lost { error: Some(why), .. } => why.clone(),
                other => Failure::new("ended", other.to_string()),
            },
            Self::Refused { .. } => Failure::new("refused", self.to_string()),
            Self::Blocked { .. } => Failure::new("blocked", self.to_string()),
            Self::Model { source, .. } => {
                let mut failure = Failure::new(source.kind().as_str(), told_to_readers(source));
                let mut tell = |name: &str, value: Option<serde_json::Value>| {
                    if let Some(value) = value {
                        failure.details.insert(name.to_owned(), value);
                    }
                };
                tell("provider", Some(source.provider().into()));
                tell("model", Some(source.model().into()));
                tell("status", source.status().map(Into::into));
                tell("code", source.code().map(Into::into));
                tell("requestId", source.request_id().map(Into::into));
                failure
            }
            other => Failure::new("failed", other.to_string()),
        }
    }
}

/// What a provider says of our key or account is not for those who read a thread: it may hold parts of the key.
fn told_to_readers(error: &loomwork_models::Error) -> &str {
    match error.kind() {
        ErrorKind::Auth | ErrorKind::Quota => {
            tracing::error!(%error, "a provider refuses the account");
            "the provider refuses the account that asks it; the log of whoever asks has more"
        }
        _ => error.message(),
    }
}

impl Fault for AgentError {
    fn kind(&self) -> Kind {
        match self {
            Self::Model { source, .. } => Fault::kind(source.as_ref()),
            Self::Context { source, .. } => Fault::kind(source.as_ref()),
            Self::Ended(error) => Fault::kind(error.as_ref()),
            Self::Refused { source, .. } => source.kind(),
            Self::Tools { source, .. } => Fault::kind(source.as_ref()),
            Self::NoModel { .. } | Self::Lacks { .. } => Kind::Invalid,
            Self::Blocked { .. } => Kind::Denied,
            Self::Prepare { .. } => Kind::Internal,
            Self::Store(error) => error.kind(),
        }
    }
}
