//! How a workflow ended, typed.

use loomwork_core::Kind;
use loomwork_store::{Error, Result, Tx};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::completion::Told;
use crate::payload;
use crate::tables::{Ended, WorkflowId};
use crate::workflow::Workflow;

/// How a workflow ended that returns `R`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<R> {
    /// It returned this.
    Success(R),
    /// It failed; the text is that of its error.
    Failed(String),
    /// It was cancelled.
    Cancelled,
}

/// The ways in which a workflow can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// It returned a result.
    Success,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl<R> Outcome<R> {
    /// Returns the way in which it ended.
    pub fn kind(&self) -> OutcomeKind {
        match self {
            Self::Success(_) => OutcomeKind::Success,
            Self::Failed(_) => OutcomeKind::Failed,
            Self::Cancelled => OutcomeKind::Cancelled,
        }
    }
}

impl Ended {
    pub(crate) fn kind(&self) -> OutcomeKind {
        match self {
            Self::Success(_) => OutcomeKind::Success,
            Self::Failed(_) => OutcomeKind::Failed,
            Self::Cancelled => OutcomeKind::Cancelled,
        }
    }
}

/// What a completion handler is told.
#[derive(Clone, Debug)]
pub struct Done<C, R> {
    /// The workflow that ended.
    pub workflow: WorkflowId,
    /// Its name.
    pub name: String,
    /// What the starter gave along.
    pub context: C,
    /// How it ended.
    pub outcome: Outcome<R>,
}

impl<C: DeserializeOwned, R: DeserializeOwned> Done<C, R> {
    pub(crate) fn decode(told: &Told) -> Result<Self> {
        let result = told.result.as_ref().map_or("null", |result| result.get());
        let context = decode(&told.name, "completion's context", told.context.get())?;
        let outcome = typed(&told.name, &told.ended, result)?;
        Ok(Self { workflow: told.workflow, name: told.name.clone(), context, outcome })
    }
}

/// Returns how a workflow ended; `None` while it has not, and when there is none of this id.
///
/// # Errors
/// When the id is another workflow's, when its result is no `R` or is gone, and when the store cannot be read.
pub fn outcome<I, R: DeserializeOwned>(
    tx: &Tx,
    workflow: &Workflow<I, R>,
    id: WorkflowId,
) -> Result<Option<Outcome<R>>> {
    let Some(row) = tx.get(id)? else { return Ok(None) };
    if row.name != workflow.name {
        let message =
            format!("{id} is a workflow {:?}, not a {:?}; ask for it as that", row.name, workflow.name);
        return Err(Error::message(Kind::Invalid, message));
    }
    let Some(ended) = &row.ended else { return Ok(None) };
    let result = result_of(tx, id, ended)?;
    typed(&row.name, ended, result.as_ref().map_or("null", |result| result.get())).map(Some)
}

/// What a workflow returned, if it did.
pub(crate) fn result_of(tx: &Tx, id: WorkflowId, ended: &Ended) -> Result<Option<Box<RawValue>>> {
    match ended {
        Ended::Success(held) => payload::read(tx, id, held, |payload| payload.result).map(Some),
        Ended::Failed(_) | Ended::Cancelled => Ok(None),
    }
}

fn typed<R: DeserializeOwned>(name: &str, ended: &Ended, result: &str) -> Result<Outcome<R>> {
    Ok(match ended {
        Ended::Success(_) => Outcome::Success(decode(name, "result", result)?),
        Ended::Failed(failure) => Outcome::Failed(failure.message.clone()),
        Ended::Cancelled => Outcome::Cancelled,
    })
}

fn decode<T: DeserializeOwned>(name: &str, what: &str, json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| {
        let message =
            format!("the {what} of workflow {name:?} is not what this program takes it for: {error}");
        Error::message(Kind::Invalid, message)
    })
}
