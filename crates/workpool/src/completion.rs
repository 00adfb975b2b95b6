//! Completions: what is told when a job has ended, and those that could not be told at once.

use std::sync::Arc;

use loomwork_core::{Kind, Time};
use loomwork_store::{Id, Next, Page, Paged, Result, Row, Tx, Upkeep};
use serde::de::DeserializeOwned;

use crate::conclude::{COMPLETION_ATTEMPTS, Completions, Told, completion_pause};
use crate::failure::with_sources;
use crate::options::OutcomeKind;
use crate::payload;
use crate::tables::{CompletionRow, Ended, Held, JobId};

/// How a job ended that returns `R`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<R> {
    /// It returned this.
    Success(R),
    /// It failed for good; the text is that of the last attempt's error.
    Failed(String),
    /// It was cancelled.
    Cancelled,
    /// It may start only once, and its worker died while it ran: nobody knows how far it got.
    Interrupted,
}

impl<R> Outcome<R> {
    /// Returns the way in which it ended.
    pub fn kind(&self) -> OutcomeKind {
        match self {
            Self::Success(_) => OutcomeKind::Success,
            Self::Failed(_) => OutcomeKind::Failed,
            Self::Cancelled => OutcomeKind::Cancelled,
            Self::Interrupted => OutcomeKind::Interrupted,
        }
    }
}

/// What a completion handler is told.
#[derive(Clone, Debug)]
pub struct Done<C, R> {
    /// The job that ended.
    pub job: JobId,
    /// The job's name.
    pub name: String,
    /// How often it was tried.
    pub attempts: u32,
    /// What the caller gave along.
    pub context: C,
    /// How it ended.
    pub outcome: Outcome<R>,
}

impl<C: DeserializeOwned, R: DeserializeOwned> Done<C, R> {
    pub(crate) fn decode(told: &Told) -> Result<Self> {
        let context = told.context.as_ref().map_or("null", |context| context.get());
        let outcome = match told.kind {
            OutcomeKind::Success => {
                let result = told.result.as_ref().map_or("null", |result| result.get());
                Outcome::Success(decode(&told.job_name, "result", result)?)
            }
            OutcomeKind::Failed => Outcome::Failed(told.error.clone().unwrap_or_default()),
            OutcomeKind::Cancelled => Outcome::Cancelled,
            OutcomeKind::Interrupted => Outcome::Interrupted,
        };
        Ok(Self {
            job: told.job,
            name: told.job_name.clone(),
            attempts: told.attempts,
            context: decode(&told.job_name, "completion's context", context)?,
            outcome,
        })
    }
}

/// Reads a job's JSON as the type that this program takes it for.
pub(crate) fn decode<T: DeserializeOwned>(job: &str, what: &str, json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| {
        let message = format!("the {what} of job {job:?} is not what this program takes it for: {error}");
        loomwork_store::Error::message(Kind::Invalid, message)
    })
}

/// Tells what is due, of the completions that this process has handlers for: one of each name in a step, so
/// that many of one hold up no others.
pub(crate) fn upkeep(completions: Arc<Completions>) -> Upkeep {
    Upkeep::new("workpool completions", move |tx| {
        let mut next: Option<Time> = None;
        let mut told = false;
        for name in completions.0.keys() {
            let due = tx.first(CompletionRow::due.eq(*name).readable())?;
            let Some(row) = due else { continue };
            if row.due <= tx.now() {
                tell_again(tx, &completions, row)?;
                told = true;
                continue;
            }
            next = Some(next.map_or(row.due, |next| next.min(row.due)));
        }
        if told {
            return Ok(Next::More);
        }
        Ok(next.map_or(Next::Idle, Next::At))
    })
}

fn tell_again(tx: &mut Tx, completions: &Completions, row: Row<CompletionRow>) -> Result<()> {
    let Some(handler) = completions.0.get(row.name.as_str()) else { return Ok(()) };
    let told = told(tx, &row)?;
    let Err(error) = tx.nested(|tx| handler(tx, told)) else { return tx.delete(row.id).map(drop) };
    let tries = row.tries + 1;
    let dead = tries >= COMPLETION_ATTEMPTS;
    let due = tx.now() + completion_pause(tx, tries);
    let error = with_sources(&error);
    let (name, job) = (row.name.as_str(), row.job);
    if dead {
        tracing::error!(completion = name, %job, error, "a completion failed too often and is dead");
    } else {
        tracing::warn!(completion = name, %job, error, tries, "a completion failed again");
    }
    tx.update(row.id, |row| {
        row.tries = tries;
        row.dead = dead;
        row.due = due;
        row.last_error = Some(error);
    })
    .map(drop)
}

fn told(tx: &Tx, row: &CompletionRow) -> Result<Told> {
    let context = match &row.context {
        Held::Here(context) => Some(context.clone()),
        Held::Aside => None,
    };
    let (result, error) = match &row.ended {
        Ended::Success(held) => (payload::read(tx, row.job, held, |payload| payload.result)?, None),
        Ended::Failed(error) => (None, Some(error.clone())),
        Ended::Cancelled | Ended::Interrupted => (None, None),
    };
    Ok(Told {
        job: row.job,
        job_name: row.job_name.clone(),
        attempts: row.attempts,
        context,
        kind: row.ended.kind(),
        result,
        error,
    })
}

/// A completion that was not told yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    /// Its id, for [`retry_completion`].
    pub id: Id<CompletionRow>,
    /// The completion's name.
    pub name: String,
    /// The job that ended.
    pub job: JobId,
    /// How often its handler has failed.
    pub tries: u32,
    /// What the handler said last.
    pub last_error: Option<String>,
    /// Whether it is left for a person to look at.
    pub is_dead: bool,
}

impl From<Row<CompletionRow>> for Untold {
    fn from(row: Row<CompletionRow>) -> Self {
        let Row { id, record } = row;
        let CompletionRow { name, job, tries, last_error, dead, .. } = record;
        Self { id, name, job, tries, last_error, is_dead: dead }
    }
}

/// Returns a page of the completions that were tried too often: [`retry_completion`] gives one
/// another life.
///
/// # Errors
/// When the store cannot be read, or the page's cursor is another query's.
pub fn dead_completions(tx: &Tx, page: Page) -> Result<(Vec<Untold>, Option<loomwork_store::Cursor>)> {
    let Paged { rows, next } = tx.page(CompletionRow::dead.all().readable(), page)?;
    Ok((rows.into_iter().map(Untold::from).collect(), next))
}

/// Returns the completions that still wait to be told: their handlers failed, or are not bound in a
/// process that runs; `count` at most.
///
/// # Errors
/// When the store cannot be read.
pub fn waiting_completions(tx: &Tx, count: usize) -> Result<Vec<Untold>> {
    Ok(tx.scan(CompletionRow::due.all().readable().take(count))?.into_iter().map(Untold::from).collect())
}

/// Gives a completion up that is not told yet; says whether there was one of this id.
///
/// # Errors
/// When the store cannot be read or written.
pub fn forget_completion(tx: &mut Tx, id: Id<CompletionRow>) -> Result<bool> {
    Ok(tx.delete(id)?.is_some())
}

/// Has a dead completion tried again, as often as a new one.
///
/// # Errors
/// When there is none of this id.
pub fn retry_completion(tx: &mut Tx, id: Id<CompletionRow>) -> Result<()> {
    let now = tx.now();
    tx.update(id, |row| {
        row.dead = false;
        row.tries = 0;
        row.due = now;
    })
    .map(drop)
}
