//! Enqueuing, inside the caller's transaction.

use std::time::Duration;

use loomwork_core::{Fault, Kind, PolicyError, RetryPolicy, Time};
use loomwork_store::{Result, Row, Tx};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::job::Job;
use crate::options::{Due, Options, Repeat};
use crate::payload;
use crate::tables::{JobId, JobRow, Payload, State, StoredCallback};

/// The most bytes that a job's arguments may take as JSON.
pub const MAX_ARGS_BYTES: usize = 1_000_000;

/// The most bytes that a completion's context may take as JSON.
pub const MAX_CONTEXT_BYTES: usize = 1_000_000;

/// The most bytes of arguments that one [`enqueue_all`] takes, since it is one transaction.
pub const MAX_BATCH_BYTES: usize = 8_000_000;

/// The most bytes of a job's or pool's name, of a concurrency key, of a unique key.
pub const MAX_TEXT_BYTES: usize = 200;

/// How far ahead a job may be due: four years.
pub const MAX_AHEAD: Duration = Duration::from_secs(4 * 366 * 24 * 60 * 60);

/// The most attempts that a retry policy may have.
pub const MAX_ATTEMPTS: u32 = 1_000;

/// Why a job is not enqueued. Nothing is written then.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// Arguments or context that are no JSON.
    #[error("the {what} of job {job:?} cannot be written as JSON: {reason}")]
    Unencodable {
        /// The job's name.
        job: &'static str,
        /// Arguments or context.
        what: &'static str,
        /// What serde says.
        reason: String,
    },
    /// Arguments or context beyond their limit.
    #[error(
        "the {what} of job {job:?} take {bytes} bytes; the limit is {limit}, larger data belongs in files"
    )]
    TooLarge {
        /// The job's name.
        job: &'static str,
        /// Arguments, context or batch.
        what: &'static str,
        /// What they take.
        bytes: usize,
        /// What they may take.
        limit: usize,
    },
    /// A name or key that is empty or too long.
    #[error("the {what} of job {job:?} has {bytes} bytes; it must have 1 to {MAX_TEXT_BYTES}")]
    BadText {
        /// The job's name.
        job: &'static str,
        /// Which text.
        what: &'static str,
        /// What it takes.
        bytes: usize,
    },
    /// A job due beyond [`MAX_AHEAD`].
    #[error("job {job:?} would be due at {due}; the latest is {latest}, four years ahead")]
    TooFarAhead {
        /// The job's name.
        job: &'static str,
        /// When it would be due.
        due: Time,
        /// The latest that is taken.
        latest: Time,
    },
    /// An attempt that could take no time.
    #[error("job {job:?} has a timeout of {timeout:?}; give it at least a millisecond, or none")]
    BadTimeout {
        /// The job's name.
        job: &'static str,
        /// The timeout.
        timeout: Duration,
    },
    /// A job whose deadline comes before it may start.
    #[error("job {job:?} has a deadline of {deadline:?} from now, but starts at {due}; end it later")]
    BadDeadline {
        /// The job's name.
        job: &'static str,
        /// The deadline.
        deadline: Duration,
        /// When it may start.
        due: Time,
    },
    /// A retry policy that makes no sense.
    #[error("the retry policy of job {job:?} cannot be kept")]
    BadRetry {
        /// The job's name.
        job: &'static str,
        /// What is wrong with it.
        source: PolicyError,
    },
    /// A retry policy of too many attempts.
    #[error("job {job:?} would be tried {attempts} times; the most is {MAX_ATTEMPTS}")]
    TooManyAttempts {
        /// The job's name.
        job: &'static str,
        /// The attempts.
        attempts: u32,
    },
    /// Several jobs under one unique key.
    #[error("job {job:?} is enqueued {count} times under one unique key; enqueue one, or give each its own")]
    UniqueBatch {
        /// The job's name.
        job: &'static str,
        /// How many there are.
        count: usize,
    },
}

impl Fault for EnqueueError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// Enqueues a job: it will run if and only if the caller's transaction commits.
///
/// While a job of this name with the same [`unique`](Options::unique) text is pending, its
/// [`Repeat`] says what becomes of the two.
///
/// # Errors
/// [`EnqueueError`], and when the store cannot be read or written.
pub fn enqueue<A: Serialize, R>(
    tx: &mut Tx,
    job: &Job<A, R>,
    args: A,
    options: impl Into<Options<R>>,
) -> Result<JobId> {
    let options = options.into();
    let repeat = options.repeat;
    let draft = draft(tx, job, options)?;
    let args = encode_args(job.name, &args)?;
    insert_unless_pending(tx, draft, args, repeat)
}

/// Enqueues a job for each of `args`, with the same options, and returns the ids in their order.
/// If one cannot be enqueued, none is.
///
/// # Errors
/// As [`enqueue`]; [`EnqueueError::TooLarge`] when all arguments together are beyond
/// [`MAX_BATCH_BYTES`].
pub fn enqueue_all<A: Serialize, R>(
    tx: &mut Tx,
    job: &Job<A, R>,
    args: impl IntoIterator<Item = A>,
    options: impl Into<Options<R>>,
) -> Result<Vec<JobId>> {
    let options = options.into();
    let repeat = options.repeat;
    let draft = draft(tx, job, options)?;
    let args: Vec<_> =
        args.into_iter().map(|args| encode_args(job.name, &args)).collect::<Result<_, EnqueueError>>()?;
    let bytes = args.iter().map(|args| args.get().len()).sum();
    check_size(job.name, "arguments of all jobs", bytes, MAX_BATCH_BYTES)?;
    if draft.row.unique.is_some() && args.len() > 1 {
        return Err(EnqueueError::UniqueBatch { job: job.name, count: args.len() }.into());
    }
    args.into_iter().map(|args| insert_unless_pending(tx, draft.clone(), args, repeat)).collect()
}

/// A job that lacks only its arguments.
#[derive(Clone)]
struct Draft {
    row: JobRow,
    context: Option<Box<RawValue>>,
}

fn draft<A, R>(tx: &Tx, job: &Job<A, R>, options: Options<R>) -> Result<Draft, EnqueueError> {
    let now = tx.now();
    check_texts(job, &options)?;
    let due = due_time(job.name, options.due, now)?;
    let retry = retry_policy(job, options.retry)?;
    let deadline =
        options.deadline.map(|deadline| deadline_time(job.name, deadline, due, now)).transpose()?;
    let timeout_ms = options.timeout.map(|timeout| timeout_millis(job.name, timeout)).transpose()?;
    let (on_done, context) = match options.on_done {
        None => (None, None),
        Some(callback) => {
            let context = callback.context.map_err(|reason| EnqueueError::Unencodable {
                job: job.name,
                what: "completion's context",
                reason,
            })?;
            check_size(job.name, "context", context.get().len(), MAX_CONTEXT_BYTES)?;
            let stored = StoredCallback {
                name: callback.name.to_owned(),
                context: crate::tables::Held::Aside,
                except: callback.except,
            };
            (Some(stored), Some(context))
        }
    };
    let row = JobRow {
        pool: job.pool.to_owned(),
        name: job.name.to_owned(),
        state: if due <= now { State::Ready } else { State::Scheduled },
        rank: options.priority.rank(),
        scheduled: due,
        due,
        key: options.key,
        unique: options.unique,
        attempt: 0,
        failures: 0,
        args: crate::tables::Held::Aside,
        retry,
        timeout_ms,
        deadline,
        expires: deadline,
        external: false,
        on_done,
        keep_ms: options.keep.map(|keep| keep.as_millis().try_into().unwrap_or(u64::MAX)),
        cancelled: false,
        confirmed: false,
        worker: None,
        last_error: None,
        ended: None,
        enqueued: now,
        started: None,
        finished: None,
        retained: None,
    };
    Ok(Draft { row, context })
}

fn insert_unless_pending(tx: &mut Tx, draft: Draft, args: Box<RawValue>, repeat: Repeat) -> Result<JobId> {
    match (find_pending(tx, &draft)?, repeat) {
        (None, _) => insert_row(tx, draft.row, draft.context, args),
        (Some(pending), Repeat::Keep) => Ok(pending.id),
        (Some(pending), Repeat::Replace { within }) if pending.state != State::Running => {
            replace(tx, pending, draft, args, within)
        }
        (Some(pending), Repeat::Replace { .. }) => {
            // What runs is too late for these arguments: the next one is the one that waits.
            tx.update(pending.id, |running| running.unique = None)?;
            insert_row(tx, draft.row, draft.context, args)
        }
    }
}

/// Puts a new job in the place of one that waits.
fn replace(
    tx: &mut Tx,
    pending: Row<JobRow>,
    draft: Draft,
    args: Box<RawValue>,
    within: Option<Duration>,
) -> Result<JobId> {
    let Row { id, record: before } = pending;
    let latest = within.map(|within| before.enqueued + within);
    let due = latest.map_or(draft.row.due, |latest| latest.max(tx.now()).min(draft.row.due));
    let state = if due <= tx.now() { State::Ready } else { State::Scheduled };
    let (attempt, enqueued) = (before.attempt, before.enqueued);
    let row = JobRow { due, scheduled: due, state, attempt, enqueued, ..draft.row };
    if before.has_payload() {
        payload::drop_inputs(tx, id)?;
    }
    let (row, payload) = with_inputs(row, draft.context, args);
    tx.replace(id, row)?;
    payload::insert(tx, id, payload)?;
    Ok(id)
}

/// Returns the row of a job without its arguments, for whoever enqueues it later.
pub(crate) fn draft_row<A, R>(tx: &Tx, job: &Job<A, R>, options: Options<R>) -> Result<JobRow, EnqueueError> {
    draft(tx, job, options).map(|draft| draft.row)
}

/// Stores a job with its arguments.
pub(crate) fn insert_row(
    tx: &mut Tx,
    row: JobRow,
    context: Option<Box<RawValue>>,
    args: Box<RawValue>,
) -> Result<JobId> {
    let (row, payload) = with_inputs(row, context, args);
    let row = tx.insert(row)?;
    payload::insert(tx, row.id, payload)?;
    tracing::debug!(job = %row.id, name = row.name, pool = row.pool, due = %row.due, "a job is enqueued");
    Ok(row.id)
}

fn with_inputs(mut row: JobRow, context: Option<Box<RawValue>>, args: Box<RawValue>) -> (JobRow, Payload) {
    let (args, context, payload) = payload::split(args, context);
    row.args = args;
    if let (Some(callback), Some(context)) = (&mut row.on_done, context) {
        callback.context = context;
    }
    (row, payload)
}

fn find_pending(tx: &Tx, draft: &Draft) -> Result<Option<Row<JobRow>>> {
    let Some(unique) = &draft.row.unique else { return Ok(None) };
    tx.first(JobRow::by_unique.eq(draft.row.name.as_str()).eq(unique.as_str()))
}

pub(crate) fn encode_args<A: Serialize>(job: &'static str, args: &A) -> Result<Box<RawValue>, EnqueueError> {
    let json = serde_json::value::to_raw_value(args).map_err(|error| EnqueueError::Unencodable {
        job,
        what: "arguments",
        reason: error.to_string(),
    })?;
    check_size(job, "arguments", json.get().len(), MAX_ARGS_BYTES)?;
    Ok(json)
}

fn check_size(job: &'static str, what: &'static str, bytes: usize, limit: usize) -> Result<(), EnqueueError> {
    if bytes > limit { Err(EnqueueError::TooLarge { job, what, bytes, limit }) } else { Ok(()) }
}

fn check_texts<A, R>(job: &Job<A, R>, options: &Options<R>) -> Result<(), EnqueueError> {
    let texts = [
        ("name", Some(job.name)),
        ("pool", Some(job.pool)),
        ("key", options.key.as_deref()),
        ("unique key", options.unique.as_deref()),
        ("completion", options.on_done.as_ref().map(|callback| callback.name)),
    ];
    for (what, text) in texts {
        let bytes = text.map_or(1, str::len);
        if bytes == 0 || bytes > MAX_TEXT_BYTES {
            return Err(EnqueueError::BadText { job: job.name, what, bytes });
        }
    }
    Ok(())
}

/// A time that is over counts as now, so that an old one cannot jump the queue.
fn due_time(job: &'static str, due: Due, now: Time) -> Result<Time, EnqueueError> {
    let due = match due {
        Due::Now => now,
        Due::After(wait) => now + wait,
        Due::At(time) => time.max(now),
    };
    let latest = now + MAX_AHEAD;
    if due > latest { Err(EnqueueError::TooFarAhead { job, due, latest }) } else { Ok(due) }
}

fn retry_policy<A, R>(
    job: &Job<A, R>,
    wanted: Option<RetryPolicy>,
) -> Result<Option<RetryPolicy>, EnqueueError> {
    if job.once {
        return Ok(None);
    }
    let policy = wanted.or(job.retry).unwrap_or_default();
    policy.validate().map_err(|source| EnqueueError::BadRetry { job: job.name, source })?;
    if policy.attempts > MAX_ATTEMPTS {
        return Err(EnqueueError::TooManyAttempts { job: job.name, attempts: policy.attempts });
    }
    Ok(Some(policy))
}

/// A deadline before the first attempt would be no job at all.
fn deadline_time(job: &'static str, deadline: Duration, due: Time, now: Time) -> Result<Time, EnqueueError> {
    let end = now + deadline;
    if end <= due { Err(EnqueueError::BadDeadline { job, deadline, due }) } else { Ok(end) }
}

fn timeout_millis(job: &'static str, timeout: Duration) -> Result<u64, EnqueueError> {
    match timeout.as_millis().try_into() {
        Ok(millis @ 1..) => Ok(millis),
        _ => Err(EnqueueError::BadTimeout { job, timeout }),
    }
}
