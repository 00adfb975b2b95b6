//! Jobs that are completed from outside: a service calls back, or a person decides.

use std::fmt;
use std::str::FromStr;

use loomwork_core::{Fault, Kind};
use loomwork_store::{Error, Result, Tx};
use serde::{Deserialize, Serialize};

use crate::conclude::{Completions, conclude};
use crate::failure::{Again, AttemptEnd, JobError};
use crate::job::Job;
use crate::run::encode;
use crate::tables::{JobId, State};

/// Names one attempt of a job to whoever will call [`complete`]. It is text to others, and whoever has it
/// may end the job, so it belongs to nobody but the service that is to call back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Token {
    pub(crate) job: JobId,
    /// How many attempts had ended: the fence.
    pub(crate) ended: u32,
}

impl Token {
    /// Returns the job.
    pub fn job(&self) -> JobId {
        self.job
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.job, self.ended)
    }
}

/// A text that is no [`Token`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no token of a job; it must be one as `JobContext::token` gave it")]
pub struct BadToken {
    text: String,
}

impl Fault for BadToken {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl FromStr for Token {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let bad = || BadToken { text: text.to_owned() };
        let (job, ended) = text.rsplit_once('.').ok_or_else(bad)?;
        Ok(Self { job: job.parse().map_err(|_| bad())?, ended: ended.parse().map_err(|_| bad())? })
    }
}

impl From<Token> for String {
    fn from(token: Token) -> Self {
        token.to_string()
    }
}

impl TryFrom<String> for Token {
    type Error = BadToken;

    fn try_from(text: String) -> Result<Self, BadToken> {
        text.parse()
    }
}

/// Ends the attempt that a token names with its result, or as failed, which a further attempt may
/// follow. `false` when that attempt is over: it was completed before, timed out or was cancelled.
///
/// It may be called before the handler that gave the token away has returned: its slot is free from then
/// on, and what the handler returns counts no more. As with [`cancel`](crate::cancel), a completion is told
/// right behind it.
///
/// # Errors
/// When the token is another job's, when the result is too large or no JSON, and when the store cannot be
/// read or written.
pub fn complete<A, R: Serialize>(
    tx: &mut Tx,
    job: &Job<A, R>,
    token: &Token,
    outcome: Result<R, JobError>,
) -> Result<bool> {
    let Some(row) = tx.get(token.job)? else { return Ok(false) };
    if row.name != job.name {
        let message =
            format!("{} is a job {:?}, not a {:?}; complete it as that", row.id, row.name, job.name);
        return Err(Error::message(Kind::Invalid, message));
    }
    if row.state != State::Running || row.attempt != token.ended {
        return Ok(false);
    }
    let end = match outcome {
        Ok(result) => AttemptEnd::Success(encode(job.name, &result)?),
        Err(error) => AttemptEnd::of_error(&error.into(), Again::of_action),
    };
    conclude(tx, &Completions::default(), row, end)?;
    Ok(true)
}
