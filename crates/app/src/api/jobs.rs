//! Jobs and crons: looking at them, and steering them.

use loomwork_core::{Kind, Time};
use loomwork_workpool::{self as pool, DEFAULT_POOL, JobId, Listed, Status, cron};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::agents::Nothing;
use super::operation::{Answer, Call, Group, Method, Reading};
use super::page::{List, page};
use crate::auth::Scope;
use crate::error::{Error, Result};

pub(super) fn operations() -> Group {
    Group::new("jobs")
        .get("list", "/api/jobs", Scope::Manage, "Lists jobs by where they stand.", list)
        .get("get", "/api/jobs/{job}", Scope::Manage, "Returns a job, with its progress.", get)
        .act("cancel", (Method::Post, "/api/jobs/{job}/cancel"), Scope::Manage, "Asks a job to stop.", cancel)
        .act("retry", (Method::Post, "/api/jobs/{job}/retry"), Scope::Manage, "Runs a dead job again.", retry)
        .get(
            "pool",
            "/api/pools/{pool}",
            Scope::Manage,
            "Returns how many jobs of a pool wait, run and are dead.",
            backlog,
        )
        .act(
            "pause",
            (Method::Post, "/api/pools/{pool}/pause"),
            Scope::Manage,
            "Starts no further job of a pool.",
            pause,
        )
        .act("resume", (Method::Post, "/api/pools/{pool}/resume"), Scope::Manage, "Ends a pause.", resume)
        .get("crons", "/api/crons", Scope::Manage, "Lists what runs by the calendar.", crons)
        .act(
            "pauseCron",
            (Method::Post, "/api/crons/{cron}/pause"),
            Scope::Manage,
            "Fires no further tick.",
            pause_cron,
        )
        .act(
            "resumeCron",
            (Method::Post, "/api/crons/{cron}/resume"),
            Scope::Manage,
            "Ends a pause.",
            resume_cron,
        )
        .act(
            "triggerCron",
            (Method::Post, "/api/crons/{cron}/trigger"),
            Scope::Manage,
            "Runs a cron's job now.",
            trigger,
        )
}

/// A job.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Job")]
struct JobView {
    /// Its id.
    id: String,
    /// Its name.
    name: String,
    /// Its pool.
    pool: String,
    /// `scheduled`, `ready`, `running` or `ended`.
    state: Value,
    /// `urgent`, `high`, `normal` or `low`.
    priority: Value,
    /// The key that it shares a limit under.
    key: Option<String>,
    /// How many attempts have ended.
    attempts: u32,
    /// Whether it was asked to stop.
    cancelling: bool,
    /// When it was enqueued, in milliseconds since 1970.
    enqueued: i64,
    /// When it may start, or could have.
    due: i64,
    /// When its last attempt started.
    started: Option<i64>,
    /// When it ended.
    finished: Option<i64>,
    /// `success`, `failed`, `cancelled` or `interrupted`.
    outcome: Value,
    /// The error of the last attempt that failed.
    last_error: Option<String>,
    /// How far it says it is.
    progress: Option<ProgressView>,
}

/// How far a job is.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Progress")]
struct ProgressView {
    /// From 0 to 1.
    fraction: f64,
    /// In words.
    text: String,
}

impl From<Status> for JobView {
    fn from(job: Status) -> Self {
        Self {
            id: job.id.to_string(),
            name: job.name,
            pool: job.pool,
            state: json_of(job.state),
            priority: json_of(job.priority),
            key: job.key,
            attempts: job.attempts,
            cancelling: job.is_cancelling,
            enqueued: job.enqueued.millis(),
            due: job.due.millis(),
            started: job.started.map(Time::millis),
            finished: job.finished.map(Time::millis),
            outcome: json_of(job.outcome),
            last_error: job.last_error,
            progress: job.progress.map(|done| ProgressView { fraction: done.fraction, text: done.text }),
        }
    }
}

/// Returns a plain value as JSON.
pub(super) fn json_of(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListJobs {
    /// Which ones: `pending` (those that wait or run) by default, `scheduled`, `ready`, `running`, `ended` or `dead`.
    #[serde(default)]
    which: WhichJobs,
    /// The pool; `default` by default. Those that are scheduled and ended are of all pools.
    pool: Option<String>,
    /// How many, from 1 to 200; 20 by default.
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum WhichJobs {
    #[default]
    Pending,
    Scheduled,
    Ready,
    Running,
    Ended,
    Dead,
}

fn list(reading: &Reading<'_>, args: &ListJobs) -> Result<List<JobView>> {
    let name = args.pool.as_deref().unwrap_or(DEFAULT_POOL);
    let which = match args.which {
        WhichJobs::Pending => Listed::Pending(name),
        WhichJobs::Scheduled => Listed::Scheduled,
        WhichJobs::Ready => Listed::Ready(name),
        WhichJobs::Running => Listed::Running(name),
        WhichJobs::Ended => Listed::Ended,
        WhichJobs::Dead => Listed::Dead(name),
    };
    let (jobs, next) = pool::list(reading.tx, which, page(args.limit, args.after.as_deref())?)?;
    Ok(List::new(jobs.into_iter().map(JobView::from).collect(), next))
}

/// A job by its id.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneJob {
    /// The job's id.
    #[schemars(with = "String")]
    job: JobId,
}

fn get(reading: &Reading<'_>, args: &OneJob) -> Result<JobView> {
    let job = pool::status(reading.tx, args.job)?;
    let gone = || {
        let message = format!("there is no {}; it never was, or is forgotten", args.job);
        Error::new(Kind::NotFound, message).about("job")
    };
    Ok(job.ok_or_else(gone)?.into())
}

/// That it was done.
#[derive(Serialize, JsonSchema)]
pub(super) struct Done {
    /// Whether there was something to do.
    pub(super) done: bool,
}

async fn cancel(call: Call, args: OneJob) -> Result<Answer<Done>> {
    call.mutate(move |tx, _| Ok(Done { done: pool::cancel(tx, args.job)? })).await
}

async fn retry(call: Call, args: OneJob) -> Result<Answer<Done>> {
    call.mutate(move |tx, _| {
        pool::retry_dead(tx, args.job)?;
        Ok(Done { done: true })
    })
    .await
}

/// A pool by its name.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OnePool {
    /// The pool's name.
    pool: String,
}

/// How many jobs of a pool there are.
#[derive(Serialize, JsonSchema)]
struct Backlog {
    /// How many wait for a slot.
    ready: usize,
    /// How many run.
    running: usize,
    /// How many are dead and still kept.
    dead: usize,
    /// Whether it is paused.
    paused: bool,
}

fn backlog(reading: &Reading<'_>, args: &OnePool) -> Result<Backlog> {
    let pool::Backlog { ready, running, dead } = pool::backlog(reading.tx, &args.pool)?;
    Ok(Backlog { ready, running, dead, paused: pool::is_paused(reading.tx, &args.pool)? })
}

async fn pause(call: Call, args: OnePool) -> Result<Answer<Done>> {
    call.mutate(move |tx, _| {
        pool::pause(tx, &args.pool)?;
        Ok(Done { done: true })
    })
    .await
}

async fn resume(call: Call, args: OnePool) -> Result<Answer<Done>> {
    call.mutate(move |tx, _| {
        pool::resume(tx, &args.pool)?;
        Ok(Done { done: true })
    })
    .await
}

/// What runs by the calendar.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Cron")]
struct CronView {
    /// Its name.
    name: String,
    /// The job that it runs.
    job: String,
    /// When it runs.
    schedule: Value,
    /// Its next tick, in milliseconds since 1970.
    next: Option<i64>,
    /// The tick that was run last.
    last: Option<i64>,
    /// Whether it is paused.
    paused: bool,
    /// How many ticks were left out.
    skipped: u64,
}

fn crons(reading: &Reading<'_>, _: &Nothing) -> Result<Vec<CronView>> {
    let crons = cron::list(reading.tx)?.into_iter();
    Ok(crons
        .map(|cron| CronView {
            name: cron.name,
            job: cron.job,
            schedule: json_of(cron.schedule),
            next: cron.next.map(Time::millis),
            last: cron.last.map(Time::millis),
            paused: cron.is_paused,
            skipped: cron.skipped,
        })
        .collect())
}

/// A cron by its name.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneCron {
    /// The cron's name.
    cron: String,
}

async fn pause_cron(call: Call, args: OneCron) -> Result<Answer<Done>> {
    call.mutate(move |tx, _| {
        cron::pause(tx, &args.cron)?;
        Ok(Done { done: true })
    })
    .await
}

async fn resume_cron(call: Call, args: OneCron) -> Result<Answer<Done>> {
    call.mutate(move |tx, _| {
        cron::resume(tx, &args.cron)?;
        Ok(Done { done: true })
    })
    .await
}

/// A job that was enqueued.
#[derive(Serialize, JsonSchema)]
struct Triggered {
    /// Its id.
    job: String,
}

async fn trigger(call: Call, args: OneCron) -> Result<Answer<Triggered>> {
    call.mutate(move |tx, _| Ok(Triggered { job: cron::trigger(tx, &args.cron)?.to_string() })).await
}
