//! How a job says that it failed, and whether it is tried again.

use std::time::Duration;

use loomwork_core::{Fault, Kind};
use loomwork_store::Error;

/// A failure that says itself whether the job is tried again.
///
/// A handler returns [`loomwork_store::Result`], so `?` takes any [`Fault`]; its kind decides:
/// invalid, denied, not found and corrupt are final, all others are tried again, and after
/// [`Kind::Limited`] not before its wait is over. A `JobError` is for when that is not what is meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct JobError {
    message: String,
    again: Again,
}

impl JobError {
    /// A failure that a further attempt may not have.
    pub fn retry(message: impl Into<String>) -> Self {
        Self { message: message.into(), again: Again::Soon }
    }

    /// A failure that a further attempt may not have, but not before `wait` is over.
    pub fn retry_after(wait: Duration, message: impl Into<String>) -> Self {
        Self { message: message.into(), again: Again::After(wait) }
    }

    /// A failure that every further attempt would have too.
    pub fn last(message: impl Into<String>) -> Self {
        Self { message: message.into(), again: Again::Never }
    }
}

impl Fault for JobError {
    fn kind(&self) -> Kind {
        match self.again {
            Again::Soon => Kind::Unavailable,
            Again::After(wait) => Kind::Limited { wait },
            Again::Never => Kind::Invalid,
        }
    }
}

/// Whether a failed attempt may be followed by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    Soon,
    After(Duration),
    Never,
}

impl Again {
    /// What the kind of an action's error means.
    pub(crate) fn of_action(kind: Kind) -> Self {
        match kind {
            Kind::Invalid | Kind::Denied | Kind::NotFound | Kind::Corrupt => Self::Never,
            Kind::Limited { wait } => Self::After(wait),
            Kind::Conflict | Kind::Unavailable | Kind::Cancelled | Kind::Internal => Self::Soon,
        }
    }

    /// What the kind of a mutation's error means: it depends on nothing but the store, so only an
    /// error that says "later" is worth another attempt.
    pub(crate) fn of_mutation(kind: Kind) -> Self {
        match kind {
            Kind::Limited { wait } => Self::After(wait),
            Kind::Conflict | Kind::Unavailable => Self::Soon,
            Kind::Invalid | Kind::Denied | Kind::NotFound | Kind::Corrupt => Self::Never,
            Kind::Cancelled | Kind::Internal => Self::Never,
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub(crate) enum AttemptEnd {
    Success(Box<serde_json::value::RawValue>),
    Failure {
        message: String,
        again: Again,
        /// The handler says that it stopped because it was asked to.
        yielded: bool,
    },
    /// The handler has returned, and a call from outside will end the attempt.
    External,
    /// It ignored its cancellation until it was aborted.
    Aborted,
    /// Its worker died, so nobody knows how far it got.
    Lost,
}

/// The longest error text that is kept.
const MAX_MESSAGE_BYTES: usize = 4_000;

impl AttemptEnd {
    pub(crate) fn failed(message: impl Into<String>, again: Again) -> Self {
        Self::Failure { message: shortened(message.into()), again, yielded: false }
    }

    pub(crate) fn of_error(error: &Error, again: impl FnOnce(Kind) -> Again) -> Self {
        let message = shortened(with_sources(error));
        Self::Failure { message, again: again(error.kind()), yielded: error.kind() == Kind::Cancelled }
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
    text
}

fn shortened(mut message: String) -> String {
    if message.len() > MAX_MESSAGE_BYTES {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        message.push('…');
    }
    message
}
