//! Sending events.

use loomwork_core::{Fault, Kind};
use loomwork_store::{Result, Tx};
use serde::Serialize;

use crate::error::shortened;
use crate::limits::{EVENT, MAX_MAIL, MAX_TEXT_BYTES, encode};
use crate::mail::serve;
use crate::tables::{Hears, MailRow, StepRow, StoredFailure, StoredOutcome, WorkflowId};
use crate::workflow::Event;

/// Why an event is not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no such workflow.
    #[error("event {event:?} cannot be sent: there is no {workflow}")]
    Unknown {
        /// The event's name.
        event: String,
        /// Who was to get it.
        workflow: WorkflowId,
    },
    /// The workflow has ended and takes nothing any more.
    #[error("event {event:?} cannot be sent: {workflow} has ended")]
    Ended {
        /// The event's name.
        event: String,
        /// Who was to get it.
        workflow: WorkflowId,
    },
    /// A name that is empty or too long.
    #[error("an event's name has {bytes} bytes; it must have 1 to {MAX_TEXT_BYTES}")]
    BadName {
        /// What it takes.
        bytes: usize,
    },
    /// A value that is no JSON, or too large.
    #[error("event {event:?} cannot be sent: {reason}")]
    BadValue {
        /// The event's name.
        event: String,
        /// What is wrong.
        reason: String,
    },
    /// Too many events wait.
    #[error("{workflow} has {MAX_MAIL} events that it has not taken, the limit `MAX_MAIL`; let it take some")]
    Full {
        /// Who was to get it.
        workflow: WorkflowId,
    },
}

impl Fault for SendError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unknown { .. } => Kind::NotFound,
            Self::Ended { .. } => Kind::Conflict,
            Self::BadName { .. } | Self::BadValue { .. } => Kind::Invalid,
            Self::Full { .. } => Kind::Limited { wait: std::time::Duration::from_secs(1) },
        }
    }
}

/// Sends an event to a workflow, which takes it once: now if it waits for it, else when it comes to that.
/// Several of one name are taken in the order in which they were sent.
///
/// # Errors
/// [`SendError`], and when the store cannot be read or written.
pub fn send<T: Serialize>(
    tx: &mut Tx,
    workflow: WorkflowId,
    event: impl Into<Event<T>>,
    value: &T,
) -> Result<()> {
    let name = event.into().name.into_owned();
    let value = encode("its value", value, EVENT)
        .map_err(|reason| SendError::BadValue { event: name.clone(), reason })?;
    post(tx, workflow, name, StoredOutcome::Success(value))
}

/// Sends an event that makes the wait for it fail, with this message.
///
/// # Errors
/// As [`send`].
pub fn send_failure<T>(
    tx: &mut Tx,
    workflow: WorkflowId,
    event: impl Into<Event<T>>,
    message: impl Into<String>,
) -> Result<()> {
    let failure = StoredFailure::new(Kind::Invalid, shortened(message.into()));
    post(tx, workflow, event.into().name.into_owned(), StoredOutcome::Failed(failure))
}

fn post(tx: &mut Tx, run: WorkflowId, name: String, value: StoredOutcome) -> Result<()> {
    if name.is_empty() || name.len() > MAX_TEXT_BYTES {
        return Err(SendError::BadName { bytes: name.len() }.into());
    }
    let Some(row) = tx.get(run)? else {
        return Err(SendError::Unknown { event: name, workflow: run }.into());
    };
    if row.has_ended() {
        return Err(SendError::Ended { event: name, workflow: run }.into());
    }
    // What comes while a run is blocked or restarted is for the code that goes on with it, wherever that begins.
    let serves = row.hears(row.chapter) == Hears::Now;
    let waits = serves && tx.count(StepRow::waiting.eq(run).eq(row.chapter).eq(&name).take(1))? > 0;
    if !waits && tx.count(MailRow::by_name.eq(run).take(MAX_MAIL))? >= MAX_MAIL {
        return Err(SendError::Full { workflow: run }.into());
    }
    tx.insert(MailRow { run, name: name.clone(), value })?;
    if waits {
        serve(tx, run, row.chapter, &name)?;
    }
    Ok(())
}
