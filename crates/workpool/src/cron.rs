//! Jobs that run by the calendar: one run per tick, across processes and restarts.
//!
//! A cron is a row: a [`Schedule`], the job that it enqueues, and what to do about ticks that come
//! while the run before has not ended ([`Overlap`]) or that were missed ([`Misfire`]). Any mutation
//! may [`set`] one; each running [`Workpool`](crate::Workpool) fires those that are due. The tick's
//! enqueuing and the move to the next tick are one transaction, so no tick runs twice and none is lost.
//!
//! ```
//! use loomwork_store::{Result, Tx};
//! use loomwork_workpool::{cron, Job, Schedule};
//!
//! const INVOICES: Job<cron::Tick, ()> = Job::new("invoices");
//!
//! /// Sent on the second of each month, for the month before the scheduled time.
//! fn plan(tx: &mut Tx) -> Result<()> {
//!     cron::set(tx, "invoices", &INVOICES, Schedule::monthly(2, 0, 0), (), ())
//! }
//! ```

mod fire;

use std::time::Duration;

use loomwork_core::{Fault, Kind, RetryPolicy, Time};
use loomwork_store::{Result, Row, Table, Tx};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::enqueue::{EnqueueError, draft_row, encode_args};
use crate::job::Job;
use crate::options::{Options, Priority};
use crate::schedule::{Schedule, ScheduleError};
use crate::status::{Status, status};
use crate::tables::{JobId, JobRow};

pub(crate) use fire::upkeep;
pub use fire::{HISTORY, MISSED_AFTER};

/// The most bytes of a cron's name.
pub const MAX_NAME_BYTES: usize = 150;

/// The argument of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick<A = ()> {
    /// The time that the schedule says, whenever the run really starts.
    pub scheduled: Time,
    /// What [`set`] was given.
    pub args: A,
}

/// What to do about a tick while the run before has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Leave it out.
    #[default]
    Skip,
    /// Run it when the one before has ended.
    Queue,
    /// Run it beside the other.
    Allow,
}

/// What to do about ticks that nobody fired, because no process ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Misfire {
    /// Run the latest of them.
    #[default]
    Once,
    /// Leave them out.
    Skip,
    /// Run each of them, one after the other.
    All,
}

/// Options of [`set`]. New fields may come, so end a literal with `..CronOptions::default()`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CronOptions {
    /// What to do while the run before has not ended.
    pub overlap: Overlap,
    /// What to do about missed ticks.
    pub misfire: Misfire,
    /// Starts each run up to so much later, at random.
    pub jitter: Duration,
    /// The priority of the runs.
    pub priority: Priority,
    /// How long one attempt of a run may take.
    pub timeout: Option<Duration>,
    /// Overrides the job's retry policy.
    pub retry: Option<RetryPolicy>,
    /// How long the outcomes of runs are kept.
    pub keep: Option<Duration>,
}

impl From<()> for CronOptions {
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl From<Overlap> for CronOptions {
    fn from(overlap: Overlap) -> Self {
        Self { overlap, ..Self::default() }
    }
}

impl From<Misfire> for CronOptions {
    fn from(misfire: Misfire) -> Self {
        Self { misfire, ..Self::default() }
    }
}

/// Why a cron is not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CronError {
    /// A name that is empty or too long.
    #[error("the cron name {name:?} has {bytes} bytes; it must have 1 to {MAX_NAME_BYTES}", bytes = name.len())]
    BadName {
        /// The name.
        name: String,
    },
    /// A schedule that is wrong.
    #[error("the schedule of cron {name:?} cannot be kept")]
    BadSchedule {
        /// The cron's name.
        name: String,
        /// What is wrong with it.
        source: ScheduleError,
    },
    /// A schedule without any further tick.
    #[error("the schedule of cron {name:?} has no tick after {now}; give it one that lies ahead")]
    NeverFires {
        /// The cron's name.
        name: String,
        /// When it was to be set.
        now: Time,
    },
    /// A cron that is not there.
    #[error("there is no cron {name:?}; set it first")]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
}

impl Fault for CronError {
    fn kind(&self) -> Kind {
        match self {
            Self::BadName { .. } | Self::BadSchedule { .. } | Self::NeverFires { .. } => Kind::Invalid,
            Self::Unknown { .. } => Kind::NotFound,
        }
    }
}

/// A cron as stored.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "crons", id = "cron")]
#[index(unique by_name(name))]
#[index(due(next), when = CronRow::is_active)]
pub(crate) struct CronRow {
    name: String,
    schedule: Schedule,
    /// From when intervals are counted.
    anchor: Time,
    /// The job of each run, without its arguments and times.
    template: JobRow,
    args: Box<RawValue>,
    overlap: Overlap,
    misfire: Misfire,
    jitter_ms: u64,
    paused: bool,
    next: Option<Time>,
    last: Option<Time>,
    last_job: Option<JobId>,
    /// How many ticks were left out.
    skipped: u64,
}

impl CronRow {
    fn is_active(&self) -> bool {
        !self.paused && self.next.is_some()
    }
}

/// One run of a cron, for its history.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "cron_runs", id = "cronrun")]
#[index(by_cron(cron, scheduled))]
pub(crate) struct RunRow {
    cron: String,
    scheduled: Time,
    job: JobId,
}

/// Sets a cron: enters it, or changes the one of this name. A change keeps the last run, the history
/// and a pause; while the schedule stays the same it also keeps the next tick, so a program may set
/// its crons at each start without forgetting what it missed.
///
/// The job's first tick is the first one after now; an interval's, one interval from now.
///
/// # Errors
/// [`CronError`] and [`EnqueueError`]; when the store cannot be read or written.
pub fn set<A: Serialize, R>(
    tx: &mut Tx,
    name: &str,
    job: &Job<Tick<A>, R>,
    schedule: Schedule,
    args: A,
    options: impl Into<CronOptions>,
) -> Result<()> {
    let options = options.into();
    check(name, &schedule)?;
    let args = encode_args(job.name, &args)?;
    let template = template(tx, job, &options)?;
    let found = tx.first(CronRow::by_name.eq(name))?;
    let kept = found.as_ref().filter(|row| row.schedule == schedule);
    let now = tx.now();
    let (anchor, next) = match kept {
        Some(row) => (row.anchor, row.next),
        None => (now, schedule.next_after(now, now)),
    };
    if next.is_none() && kept.is_none() {
        return Err(CronError::NeverFires { name: name.to_owned(), now }.into());
    }
    let last = found.as_ref().map(|row| &row.record);
    let row = CronRow {
        name: name.to_owned(),
        schedule,
        anchor,
        template,
        args,
        overlap: options.overlap,
        misfire: options.misfire,
        jitter_ms: options.jitter.as_millis().try_into().unwrap_or(u64::MAX),
        paused: last.is_some_and(|row| row.paused),
        next,
        last: last.and_then(|row| row.last),
        last_job: last.and_then(|row| row.last_job),
        skipped: last.map_or(0, |row| row.skipped),
    };
    match found {
        Some(found) => tx.replace(found.id, row)?,
        None => tx.insert(row)?,
    };
    Ok(())
}

fn check(name: &str, schedule: &Schedule) -> Result<(), CronError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(CronError::BadName { name: name.to_owned() });
    }
    schedule.validate().map_err(|source| CronError::BadSchedule { name: name.to_owned(), source })
}

fn template<A, R>(tx: &Tx, job: &Job<A, R>, options: &CronOptions) -> Result<JobRow, EnqueueError> {
    let options = Options {
        priority: options.priority,
        timeout: options.timeout,
        retry: options.retry,
        keep: options.keep,
        ..Options::<R>::default()
    };
    draft_row(tx, job, options)
}

fn find(tx: &Tx, name: &str) -> Result<Row<CronRow>> {
    let found = tx.first(CronRow::by_name.eq(name))?;
    found.ok_or_else(|| CronError::Unknown { name: name.to_owned() }.into())
}

/// Removes a cron and its history; runs that were enqueued go on. Says whether it was there.
///
/// # Errors
/// When the store cannot be read or written, as for all functions here.
pub fn remove(tx: &mut Tx, name: &str) -> Result<bool> {
    let Some(row) = tx.first(CronRow::by_name.eq(name))? else { return Ok(false) };
    for run in tx.scan(RunRow::by_cron.eq(name))? {
        tx.delete(run.id)?;
    }
    tx.delete(row.id)?;
    Ok(true)
}

/// Fires no further tick until [`resume`].
///
/// # Errors
/// [`CronError::Unknown`].
pub fn pause(tx: &mut Tx, name: &str) -> Result<()> {
    let row = find(tx, name)?;
    tx.update(row.id, |row| row.paused = true).map(drop)
}

/// Ends a [`pause`]; the ticks that it covered are not run.
///
/// # Errors
/// [`CronError::Unknown`].
pub fn resume(tx: &mut Tx, name: &str) -> Result<()> {
    let row = find(tx, name)?;
    if !row.paused {
        return Ok(());
    }
    let next = row.schedule.next_after(tx.now(), row.anchor);
    tx.update(row.id, |row| {
        row.paused = false;
        row.next = next;
    })
    .map(drop)
}

/// Runs a cron's job now, beside its schedule, with the present time as the scheduled one.
///
/// # Errors
/// [`CronError::Unknown`].
pub fn trigger(tx: &mut Tx, name: &str) -> Result<JobId> {
    let row = find(tx, name)?;
    let now = tx.now();
    fire::start(tx, &row, now)
}

/// A cron, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    /// Its name.
    pub name: String,
    /// The name of the job that it runs.
    pub job: String,
    /// When it runs.
    pub schedule: Schedule,
    /// Its next tick.
    pub next: Option<Time>,
    /// The tick that was run last.
    pub last: Option<Time>,
    /// Whether it is paused.
    pub is_paused: bool,
    /// How many ticks were left out, by [`Overlap::Skip`] and [`Misfire`].
    pub skipped: u64,
}

impl From<CronRow> for Cron {
    fn from(row: CronRow) -> Self {
        let CronRow { name, schedule, template, paused, next, last, skipped, .. } = row;
        Self { name, job: template.name, schedule, next, last, is_paused: paused, skipped }
    }
}

/// Returns a cron, or `None`.
///
/// # Errors
/// When the store cannot be read.
pub fn get(tx: &Tx, name: &str) -> Result<Option<Cron>> {
    Ok(tx.first(CronRow::by_name.eq(name))?.map(|row| row.record.into()))
}

/// Returns all crons, by name.
///
/// # Errors
/// When the store cannot be read.
pub fn list(tx: &Tx) -> Result<Vec<Cron>> {
    Ok(tx.scan(CronRow::by_name.all())?.into_iter().map(|row| row.record.into()).collect())
}

/// A run of a cron.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The tick.
    pub scheduled: Time,
    /// The job that ran for it.
    pub job: JobId,
    /// How that stands; `None` once it is forgotten.
    pub status: Option<Status>,
}

/// Returns the last runs of a cron, newest first; [`HISTORY`] are kept.
///
/// # Errors
/// When the store cannot be read.
pub fn history(tx: &Tx, name: &str, count: usize) -> Result<Vec<Run>> {
    let runs = tx.scan(RunRow::by_cron.eq(name).desc().take(count))?;
    runs.into_iter()
        .map(|run| Ok(Run { scheduled: run.scheduled, job: run.job, status: status(tx, run.job)? }))
        .collect()
}
