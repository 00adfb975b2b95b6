//! Recording what became of a job, and telling whoever asked to know.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use loomwork_core::{RetryPolicy, Time};
use loomwork_store::{Result, Row, Tx};
use serde_json::value::RawValue;

use crate::failure::{Again, AttemptEnd, with_sources};
use crate::judge::{Verdict, judge};
use crate::options::OutcomeKind;
use crate::payload;
use crate::tables::{CompletionRow, Ended, Held, JobId, JobRow, State};

/// How long the outcome of a job is kept that succeeded or was cancelled.
pub const KEEP_SUCCEEDED: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a dead job is kept: one that failed for good or was interrupted.
pub const KEEP_FAILED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The most bytes that a job's result may take as JSON; a larger one is a failure.
pub const MAX_RESULT_BYTES: usize = 1_000_000;

/// How often a completion handler is tried before it is left for a person to look at.
pub const COMPLETION_ATTEMPTS: u32 = 10;

/// What a completion handler is told, encoded.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) job: JobId,
    pub(crate) job_name: String,
    pub(crate) attempts: u32,
    pub(crate) context: Option<Box<RawValue>>,
    pub(crate) kind: OutcomeKind,
    pub(crate) result: Option<Box<RawValue>>,
    pub(crate) error: Option<String>,
}

type CompletionHandler = Arc<dyn Fn(&mut Tx, Told) -> Result<()> + Send + Sync>;

/// The completion handlers of a process, by name.
#[derive(Clone, Default)]
pub(crate) struct Completions(pub(crate) HashMap<&'static str, CompletionHandler>);

impl fmt::Debug for Completions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What became of a job, for counters and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    Ended {
        kind: OutcomeKind,
        error: Option<String>,
    },
    Retried {
        due: Time,
        error: String,
    },
    /// A call from outside will end the attempt, or has done so already.
    HandedOver,
}

/// Judges an ended attempt and records what comes of it.
pub(crate) fn conclude(
    tx: &mut Tx,
    completions: &Completions,
    job: Row<JobRow>,
    end: AttemptEnd,
) -> Result<Settled> {
    match judge(&job, end, tx.now(), tx.random()) {
        Verdict::Retry { due, error } => retry(tx, job, due, error),
        Verdict::HandOver => hand_over(tx, job),
        verdict => finish(tx, completions, job, verdict),
    }
}

fn retry(tx: &mut Tx, job: Row<JobRow>, due: Time, error: String) -> Result<Settled> {
    let Row { id, record: mut job } = job;
    job.attempt += 1;
    job.failures += 1;
    job.state = if due <= tx.now() { State::Ready } else { State::Scheduled };
    job.due = due;
    job.worker = None;
    job.external = false;
    job.expires = job.deadline;
    job.confirmed = false;
    job.last_error = Some(error.clone());
    tx.replace(id, job)?;
    Ok(Settled::Retried { due, error })
}

/// Ends a job that nobody runs, as cancelled.
pub(crate) fn cancel_idle(tx: &mut Tx, completions: &Completions, job: Row<JobRow>) -> Result<()> {
    finish(tx, completions, job, Verdict::Cancelled).map(drop)
}

/// Ends a job whose time is over while nobody runs it.
pub(crate) fn expire(tx: &mut Tx, completions: &Completions, job: Row<JobRow>) -> Result<()> {
    if job.external {
        let end = AttemptEnd::failed("no call from outside has ended it in time", Again::Soon);
        return conclude(tx, completions, job, end).map(drop);
    }
    let error = match &job.last_error {
        Some(error) => format!("its deadline passed before a further attempt; the last one failed: {error}"),
        None => "its deadline passed before it could start".to_owned(),
    };
    finish(tx, completions, job, Verdict::Failed(error)).map(drop)
}

/// Leaves an attempt to a call from outside, which keeps the job's slot.
fn hand_over(tx: &mut Tx, job: Row<JobRow>) -> Result<Settled> {
    let Row { id, record: mut job } = job;
    job.external = true;
    job.worker = None;
    job.expires = job.attempt_ends();
    tx.replace(id, job)?;
    Ok(Settled::HandedOver)
}

fn finish(tx: &mut Tx, completions: &Completions, job: Row<JobRow>, verdict: Verdict) -> Result<Settled> {
    let Row { id, record: mut job } = job;
    let (result, error, kind) = match verdict {
        Verdict::Success(result) => (Some(result), None, OutcomeKind::Success),
        Verdict::Failed(error) => (None, Some(error), OutcomeKind::Failed),
        Verdict::Interrupted => (None, None, OutcomeKind::Interrupted),
        Verdict::Cancelled | Verdict::Retry { .. } | Verdict::HandOver => {
            (None, None, OutcomeKind::Cancelled)
        }
    };
    let callback = job.on_done.as_ref().filter(|callback| !callback.except.contains(&kind));
    let told = match callback {
        Some(callback) => {
            let context = payload::read(tx, id, &callback.context, |payload| payload.context)?;
            let attempts = job.attempt + u32::from(job.state == State::Running);
            let (job_name, result, error) = (job.name.clone(), result.clone(), error.clone());
            let told = Told { job: id, job_name, attempts, context, kind, result, error };
            Some((callback.name.clone(), told))
        }
        None => None,
    };
    if !kind.is_dead() && job.has_payload() {
        // A dead job keeps its inputs: a person may want to run it again.
        payload::drop_inputs(tx, id)?;
    }
    job.ended = Some(match (kind, result) {
        (OutcomeKind::Success, Some(result)) => Ended::Success(payload::hold_result(tx, id, result)?),
        (OutcomeKind::Failed, _) => Ended::Failed(error.clone().unwrap_or_default()),
        (OutcomeKind::Interrupted, _) => Ended::Interrupted,
        (OutcomeKind::Cancelled | OutcomeKind::Success, _) => Ended::Cancelled,
    });
    if job.state == State::Running {
        job.attempt += 1;
        job.failures += u32::from(kind != OutcomeKind::Success);
    }
    let now = tx.now();
    let keep = job.keep_ms.map(Duration::from_millis);
    let keep = keep.unwrap_or(if kind.is_dead() { KEEP_FAILED } else { KEEP_SUCCEEDED });
    job.state = State::Ended;
    job.worker = None;
    job.external = false;
    job.finished = Some(now);
    job.retained = Some(now + keep);
    if error.is_some() {
        job.last_error.clone_from(&error);
    }
    tx.replace(id, job)?;
    if let Some((name, told)) = told {
        tell(tx, completions, &name, told)?;
    }
    Ok(Settled::Ended { kind, error })
}

/// Runs a completion in this transaction. If that fails, only its own writes are undone, and it
/// waits as a row for its next attempt.
fn tell(tx: &mut Tx, completions: &Completions, name: &str, told: Told) -> Result<()> {
    let Some(handler) = completions.0.get(name) else { return put_off(tx, name, told, None) };
    let Err(error) = tx.nested(|tx| handler(tx, told.clone())) else { return Ok(()) };
    let error = with_sources(&error);
    tracing::warn!(completion = name, job = %told.job, error, "a completion failed and will be tried again");
    put_off(tx, name, told, Some(error))
}

fn put_off(tx: &mut Tx, name: &str, told: Told, error: Option<String>) -> Result<()> {
    let tries = u32::from(error.is_some());
    let due = if tries == 0 { tx.now() } else { tx.now() + completion_pause(tx, tries) };
    let ended = match (told.kind, told.result) {
        (OutcomeKind::Success, Some(result)) => Ended::Success(Held::Here(result)),
        (OutcomeKind::Failed, _) => Ended::Failed(told.error.unwrap_or_default()),
        (OutcomeKind::Interrupted, _) => Ended::Interrupted,
        (OutcomeKind::Cancelled | OutcomeKind::Success, _) => Ended::Cancelled,
    };
    tx.insert(CompletionRow {
        name: name.to_owned(),
        job: told.job,
        job_name: told.job_name,
        attempts: told.attempts,
        context: told.context.map_or(Held::Aside, Held::Here),
        ended,
        due,
        tries,
        last_error: error,
        dead: false,
    })
    .map(drop)
}

/// The pause after so many tries of a completion.
pub(crate) fn completion_pause(tx: &Tx, tries: u32) -> Duration {
    let policy = RetryPolicy::default().with_initial(Duration::from_secs(1));
    policy.with_ceiling(Duration::from_secs(3600)).delay(tries, tx.random())
}
