//! Looking at jobs. All of it is reading, so all of it can be watched.

use loomwork_core::Time;
use loomwork_store::{Cursor, Page, Paged, Result, Row, Tx};
use serde::de::DeserializeOwned;

use crate::aside::occupied;
use crate::completion::{Outcome, decode};
use crate::job::Job;
use crate::options::{OutcomeKind, Priority};
use crate::payload;
use crate::tables::{Ended, JobId, JobRow, Progress, State};

/// Where a job stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The job.
    pub id: JobId,
    /// Its name.
    pub name: String,
    /// Its pool.
    pub pool: String,
    /// Where it stands.
    pub state: State,
    /// Its priority.
    pub priority: Priority,
    /// The key that it shares a limit under.
    pub key: Option<String>,
    /// How many attempts have ended.
    pub attempts: u32,
    /// Whether it was asked to stop.
    pub is_cancelling: bool,
    /// Whether its attempt waits for a call from outside.
    pub is_external: bool,
    /// By when it must have ended.
    pub deadline: Option<Time>,
    /// When it was enqueued.
    pub enqueued: Time,
    /// When it may start, or could have.
    pub due: Time,
    /// When its last attempt started.
    pub started: Option<Time>,
    /// When it ended.
    pub finished: Option<Time>,
    /// How it ended.
    pub outcome: Option<OutcomeKind>,
    /// The error of the last attempt that failed.
    pub last_error: Option<String>,
    /// How far it says it is.
    pub progress: Option<Progress>,
}

/// Returns where a job stands; `None` for one that never was, or is forgotten.
///
/// # Errors
/// When the store cannot be read, as for all functions here.
pub fn status(tx: &Tx, job: JobId) -> Result<Option<Status>> {
    tx.get(job)?.map(|row| status_of(tx, row)).transpose()
}

/// Returns where jobs stand, in the order asked.
///
/// # Errors
/// As [`status`].
pub fn status_all(tx: &Tx, jobs: &[JobId]) -> Result<Vec<Option<Status>>> {
    jobs.iter().map(|job| status(tx, *job)).collect()
}

/// Returns how a job ended; `None` while it has not, and when it is forgotten.
///
/// # Errors
/// As [`status`], and when the result is no `R`.
pub fn outcome<A, R: DeserializeOwned>(tx: &Tx, job: &Job<A, R>, id: JobId) -> Result<Option<Outcome<R>>> {
    let Some(row) = tx.get(id)? else { return Ok(None) };
    if row.name != job.name {
        return Err(loomwork_store::Error::message(
            loomwork_core::Kind::Invalid,
            format!("{id} is a job {:?}, not a {:?}; ask with its own handle", row.name, job.name),
        ));
    }
    Ok(match &row.ended {
        None => None,
        Some(Ended::Failed(error)) => Some(Outcome::Failed(error.clone())),
        Some(Ended::Cancelled) => Some(Outcome::Cancelled),
        Some(Ended::Interrupted) => Some(Outcome::Interrupted),
        Some(Ended::Success(held)) => {
            let result = payload::read(tx, id, held, |payload| payload.result)?;
            let result = result.as_ref().map_or("null", |result| result.get());
            Some(Outcome::Success(decode(&row.name, "result", result)?))
        }
    })
}

/// Which jobs [`list`] lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed<'a> {
    /// Those that wait for their time, the next one first.
    Scheduled,
    /// Those of a pool that wait for a slot.
    Ready(&'a str),
    /// Those of a pool that run.
    Running(&'a str),
    /// Those of a pool that wait or run, the newest first.
    Pending(&'a str),
    /// Those that ended, the one first that is forgotten first.
    Ended,
    /// Those of a pool that failed for good or were interrupted, the newest first.
    Dead(&'a str),
}

/// Returns a page of jobs.
///
/// # Errors
/// As [`status`], and when the page's cursor is another list's.
pub fn list(tx: &Tx, which: Listed<'_>, page: Page) -> Result<(Vec<Status>, Option<Cursor>)> {
    let Paged { rows, next } = match which {
        Listed::Scheduled => tx.page(JobRow::scheduled.all().readable(), page),
        Listed::Ready(pool) => tx.page(JobRow::ready.eq(pool).readable(), page),
        Listed::Running(pool) => tx.page(JobRow::running.eq(pool).readable(), page),
        Listed::Pending(pool) => tx.page(JobRow::pending.eq(pool).desc().readable(), page),
        Listed::Ended => tx.page(JobRow::retained.all().readable(), page),
        Listed::Dead(pool) => tx.page(JobRow::dead.eq(pool).desc().readable(), page),
    }?;
    let jobs = rows.into_iter().map(|row| status_of(tx, row)).collect::<Result<_>>()?;
    Ok((jobs, next))
}

/// How many jobs of a pool wait and run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many wait for a slot.
    pub ready: usize,
    /// How many run.
    pub running: usize,
    /// How many are dead and still kept.
    pub dead: usize,
}

/// Counts the jobs of a pool, which takes time in proportion to their number.
///
/// # Errors
/// As [`status`].
pub fn backlog(tx: &Tx, pool: &str) -> Result<Backlog> {
    Ok(Backlog {
        ready: tx.count(JobRow::ready.eq(pool))?,
        running: occupied(tx, pool, JobRow::running.eq(pool), usize::MAX)?,
        dead: tx.count(JobRow::dead.eq(pool))?,
    })
}

/// A kind of job that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The pool.
    pub pool: String,
    /// The job's name.
    pub name: String,
}

/// Returns which pools and names have ready jobs, without reading the jobs themselves: what is in
/// here and bound nowhere waits for a program that knows it.
///
/// # Errors
/// As [`status`].
pub fn waiting(tx: &Tx) -> Result<Vec<Waiting>> {
    let mut found: Vec<Waiting> = Vec::new();
    let mut head = tx.first(JobRow::ready.all().readable())?;
    while let Some(row) = head {
        let (pool, name) = (row.record.pool, row.record.name);
        head = match tx.first(JobRow::ready.eq(&pool).gt(&name).readable())? {
            Some(next) => Some(next),
            None => tx.first(JobRow::ready.gt(&pool).readable())?,
        };
        found.push(Waiting { pool, name });
    }
    Ok(found)
}

fn status_of(tx: &Tx, row: Row<JobRow>) -> Result<Status> {
    let progress = tx.get(payload::progress_of(row.id))?.map(|row| row.record.progress);
    let Row { id, record: job } = row;
    Ok(Status {
        id,
        name: job.name,
        pool: job.pool,
        state: job.state,
        priority: Priority::of_rank(job.rank),
        key: job.key,
        attempts: job.attempt,
        is_cancelling: job.cancelled && job.state == State::Running,
        is_external: job.external,
        deadline: job.deadline,
        enqueued: job.enqueued,
        due: job.due,
        started: job.started,
        finished: job.finished,
        outcome: job.ended.as_ref().map(Ended::kind),
        last_error: job.last_error,
        progress,
    })
}
