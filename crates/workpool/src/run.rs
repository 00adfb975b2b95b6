//! Running one attempt.

use std::any::Any;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use loomwork_core::{Clock, Time};
use loomwork_store::{Id, Result, Tx};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use crate::completion::decode;
use crate::conclude::MAX_RESULT_BYTES;
use crate::context::JobContext;
use crate::failure::{Again, AttemptEnd, JobError};
use crate::process::AttemptKey;
use crate::tables::{JobId, WorkerRow};

type Action =
    dyn Fn(JobContext, Box<RawValue>) -> Pin<Box<dyn Future<Output = AttemptEnd> + Send>> + Send + Sync;
type Mutation = dyn Fn(&mut Tx, &RawValue) -> Result<Box<RawValue>> + Send + Sync;

/// What runs the jobs of one name.
#[derive(Clone)]
pub(crate) enum Handler {
    Action(Arc<Action>),
    Mutation(Arc<Mutation>),
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Action(_) => "Action",
            Self::Mutation(_) => "Mutation",
        })
    }
}

pub(crate) fn action<A, R, F, W>(job: &'static str, handler: F) -> Handler
where
    A: DeserializeOwned + Send + 'static,
    R: Serialize + 'static,
    F: Fn(JobContext, A) -> W + Send + Sync + 'static,
    W: Future<Output = Result<R>> + Send + 'static,
{
    Handler::Action(with_json(job, handler))
}

/// An action between the JSON of its arguments and that of its result.
fn with_json<A, R, F, W>(job: &'static str, handler: F) -> Arc<Action>
where
    A: DeserializeOwned + Send + 'static,
    R: Serialize + 'static,
    F: Fn(JobContext, A) -> W + Send + Sync + 'static,
    W: Future<Output = Result<R>> + Send + 'static,
{
    let handler = Arc::new(handler);
    Arc::new(move |context, args| {
        let handler = handler.clone();
        Box::pin(async move {
            let args = match decode::<A>(job, "arguments", args.get()) {
                Ok(args) => args,
                Err(error) => return AttemptEnd::of_error(&error, Again::of_action),
            };
            // Called inside, so that a panic before the first await is caught like any other.
            let ended = handler(context, args).await;
            match ended.and_then(|result| encode(job, &result)) {
                Ok(result) => AttemptEnd::Success(result),
                Err(error) => AttemptEnd::of_error(&error, Again::of_action),
            }
        })
    })
}

/// An action whose result comes from outside.
pub(crate) fn external<A, F, W>(job: &'static str, handler: F) -> Handler
where
    A: DeserializeOwned + Send + 'static,
    F: Fn(JobContext, A) -> W + Send + Sync + 'static,
    W: Future<Output = Result<()>> + Send + 'static,
{
    let set_in_motion = with_json(job, handler);
    Handler::Action(Arc::new(move |context, args| {
        let started = set_in_motion(context, args);
        Box::pin(async move {
            match started.await {
                AttemptEnd::Success(_) => AttemptEnd::External,
                failed => failed,
            }
        })
    }))
}

pub(crate) fn mutation<A, R, F>(job: &'static str, handler: F) -> Handler
where
    A: DeserializeOwned + 'static,
    R: Serialize + 'static,
    F: Fn(&mut Tx, A) -> Result<R> + Send + Sync + 'static,
{
    Handler::Mutation(Arc::new(move |tx, args| {
        let args = decode::<A>(job, "arguments", args.get())?;
        encode(job, &handler(tx, args)?)
    }))
}

pub(crate) fn encode<R: Serialize>(job: &str, result: &R) -> Result<Box<RawValue>> {
    let json = serde_json::value::to_raw_value(result).map_err(|error| {
        JobError::last(format!("the result of job {job:?} cannot be written as JSON: {error}"))
    })?;
    let bytes = json.get().len();
    if bytes > MAX_RESULT_BYTES {
        let message =
            format!("the result of job {job:?} takes {bytes} bytes; the limit is {MAX_RESULT_BYTES}");
        return Err(JobError::last(message).into());
    }
    Ok(json)
}

/// An attempt: who has which job, and the fence.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) job: JobId,
    pub(crate) name: String,
    pub(crate) worker: Id<WorkerRow>,
    /// How many attempts have ended.
    pub(crate) ended: u32,
    pub(crate) started: Time,
}

impl Attempt {
    pub(crate) fn key(&self) -> AttemptKey {
        (self.job, self.ended)
    }

    /// Who must still have the job when the attempt ends.
    pub(crate) fn fence(&self) -> (Id<WorkerRow>, u32) {
        (self.worker, self.ended)
    }
}

/// What may end an attempt before its handler does.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) clock: Clock,
    /// How long it may take, and what says so.
    pub(crate) time: Option<(Duration, &'static str)>,
    pub(crate) cancel: CancellationToken,
    pub(crate) cancel_grace: Duration,
    /// The worker lost its lease: the job is another one's.
    pub(crate) lost: CancellationToken,
}

/// Runs a handler to its end or to a limit; `None` when the job is no longer this worker's.
pub(crate) async fn run_limited(
    work: impl Future<Output = AttemptEnd> + Send,
    limits: Limits,
) -> Option<AttemptEnd> {
    let Limits { clock, time, cancel, cancel_grace, lost } = limits;
    let too_long = async {
        match time {
            Some((time, of)) => {
                clock.sleep(time).await;
                format!("it took longer than {of} {time:?}")
            }
            None => pending().await,
        }
    };
    let cancelled_for_good = async {
        cancel.cancelled().await;
        clock.sleep(cancel_grace).await;
    };
    tokio::select! {
        biased;
        ended = catch_panic(work) => Some(ended),
        () = lost.cancelled() => None,
        () = cancelled_for_good => Some(AttemptEnd::Aborted),
        message = too_long => Some(AttemptEnd::failed(message, Again::Soon)),
    }
}

/// Asserts unwind safety because work that panicked is never polled again, only dropped.
async fn catch_panic(work: impl Future<Output = AttemptEnd> + Send) -> AttemptEnd {
    let mut work = pin!(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(poll) => poll,
        Err(panic) => {
            Poll::Ready(AttemptEnd::failed(format!("it panicked: {}", message(&*panic)), Again::Soon))
        }
    })
    .await
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("not a text")
}
