//! How a step says that it did not succeed.

use std::fmt;

use loomwork_core::{Fault, Kind};

use crate::tables::{StepKind, StoredFailure, StoredOutcome};

/// A step that did not succeed. The workflow's code gets it as any other error: `?` passes it on, `match`
/// catches it, and what the code then does is recorded like everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepError {
    /// The step's number in its workflow.
    pub number: u32,
    /// What the step is.
    pub step: StepKind,
    /// The step's name.
    pub name: String,
    /// What happened.
    pub failure: Failure,
}

/// Why a step did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// It failed, after all the attempts that it had.
    Failed {
        /// What the error says that a caller can do.
        kind: Kind,
        /// The error's text.
        message: String,
    },
    /// The job or workflow that it waited for was cancelled.
    Cancelled,
    /// The event did not come in time.
    TimedOut,
    /// It may start only once, and its process died, or its run came to an end, while it ran: nobody knows how far
    /// it got.
    Interrupted,
}

impl StepError {
    /// Returns whether it waited for an event that did not come in time.
    pub fn is_timeout(&self) -> bool {
        self.failure == Failure::TimedOut
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, step, name, failure } = self;
        write!(f, "step {number}, the {} {name:?}, ", step.as_str())?;
        match failure {
            Failure::Failed { message, .. } => write!(f, "failed: {message}"),
            Failure::Cancelled => f.write_str("was cancelled"),
            Failure::TimedOut => f.write_str("timed out"),
            Failure::Interrupted => f.write_str(
                "was interrupted: it may start only once, and its process or its run ended while it ran",
            ),
        }
    }
}

impl std::error::Error for StepError {}

impl Fault for StepError {
    fn kind(&self) -> Kind {
        match &self.failure {
            Failure::Failed { kind, .. } => *kind,
            Failure::Cancelled => Kind::Cancelled,
            Failure::TimedOut => Kind::Unavailable,
            Failure::Interrupted => Kind::Internal,
        }
    }
}

/// The error's text and those of its causes: in a row it is all that is left of them.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    shortened(text)
}

/// The longest error text that is kept.
const MAX_MESSAGE_BYTES: usize = 4_000;

pub(crate) fn shortened(mut message: String) -> String {
    if message.len() > MAX_MESSAGE_BYTES {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        message.push('…');
    }
    message
}

/// A failed outcome that says what an error says.
pub(crate) fn failed(error: &loomwork_store::Error) -> StoredOutcome {
    StoredOutcome::Failed(StoredFailure::new(error.kind(), with_sources(error)))
}
