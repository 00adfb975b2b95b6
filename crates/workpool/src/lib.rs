//! Durable jobs: work that is enqueued in the transaction that needs it, runs until it has succeeded
//! or failed for good, survives a crash, and starts by the calendar if it should. For programs that
//! have a Loomwork store and no wish for a queue beside it.
//!
//! The crate owns jobs and their attempts, the limits they run under, completions, and crons. It leaves
//! storage to `loomwork-store` and what a job does to you.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//!
//! use loomwork_store::{Result, Store};
//! use loomwork_workpool::{enqueue, outcome, Completion, Done, Job, JobContext, Outcome, Workpool};
//!
//! // Names with types are constants: whoever enqueues needs no pool at hand.
//! const GREET: Job<String, String> = Job::new("greet");
//! const GREETED: Completion<u32, String> = Completion::new("greeted");
//!
//! async fn greet(job: JobContext, name: String) -> Result<String> {
//!     job.progress(0.5, "clearing my throat").await?;
//!     Ok(format!("Hello {name}"))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let store = Store::memory().tables(loomwork_workpool::tables()).open().await?;
//! let pool = Workpool::builder(&store)
//!     .pool("default", 4)
//!     .on(GREET, greet)
//!     .on_done(GREETED, |_tx, done: Done<u32, String>| {
//!         assert_eq!(done.context, 7);
//!         Ok(()) // what is written here commits together with the outcome
//!     })
//!     .start()
//!     .await?;
//!
//! let job = store.mutate(|tx| enqueue(tx, &GREET, "Ada".into(), GREETED.with(7))).await?;
//!
//! let mut live = store.watch(move |tx| outcome(tx, &GREET, job));
//! let ended = loop {
//!     if let Some(ended) = live.next().await.expect("the store is open")? {
//!         break ended;
//!     }
//! };
//! assert_eq!(ended, Outcome::Success("Hello Ada".to_owned()));
//! pool.shutdown(Duration::from_secs(5)).await
//! # }
//! ```
//!
//! # Tour
//!
//! - A [`Job`] is a name with types. [`enqueue`] and [`enqueue_all`] are plain functions over a `&mut Tx`;
//!   [`Options`] say when, how urgently, under which key, how often, and whom to tell.
//! - A [`Workpool`] runs them in this process: [`on`](Builder::on) binds an action,
//!   [`on_mutation`](Builder::on_mutation) a mutation. [`PoolOptions`] limit how many run at once, in all and
//!   per key. A pool with `parallel: None` is a retrier: durable runs without a limit.
//! - An action gets a [`JobContext`]: its attempt, its idempotency key, its progress, its cancellation. It
//!   fails by kind, or says with a [`JobError`] whether it is tried again.
//! - A [`Completion`] is told [how it ended](Done), in the transaction that records it. What fails there is
//!   tried again by itself, and ends among the [`dead_completions`].
//! - With a [`unique`](Options::unique) text there is one job of it, and [`Repeat`] says whether the first or the
//!   last of a burst stays. A [`deadline`](Options::deadline) is for all attempts together.
//! - [`status`], [`outcome`], [`list`] and [`waiting`] look at jobs; under `watch` they are live.
//!   [`unreadable`] names those whose rows are damaged.
//! - [`cancel`], [`cancel_all`], [`retry_dead`], [`pause`], [`pause_key`] and [`set_parallel`] steer them.
//! - [`on_external`](Builder::on_external) is for work that another service does: the job runs until that
//!   calls back and [`complete`] ends it.
//! - [`cron`] enqueues jobs by a [`Schedule`]: at an interval, at times of the calendar in any time zone, or
//!   as a cron expression says. A schedule is pure and serves without any of this.
//!
//! # Guarantees
//!
//! - **Enqueued** exactly if the caller's transaction commits.
//! - An **action** runs at least once, one attempt at a time for each lease; [`once`](Job::once) makes it at
//!   most once, and a crash then ends it as interrupted. A **mutation** takes effect exactly once.
//! - A **completion** takes effect exactly once. Its error loses neither the outcome nor itself.
//! - **Limits** hold over all processes of a store, except right after they were lowered.
//! - Inside a priority, **keys take turns**; jobs of one key start in the order in which they were due. One of
//!   [`PATIENT_SHARE`] starts goes to the less urgent in turn, so that none starves.
//! - The jobs of a **dead** process are taken over: at once when the store it owned is opened again, when its
//!   [`LEASE`] ends where others share it. A late result is dropped, with all that it would have written.
//! - **Idle** pools do not poll: commits and timers wake them. A heartbeat and one look each half a minute
//!   remain.
//!
//! # Where this differs from the first plan
//!
//! - Handlers return the store's `Result`, whose error takes any fault, instead of an error type of their own:
//!   `?` then works on the store's functions too.
//! - There is no ageing that rewrites waiting rows. A share of the starts belongs to the less urgent, which
//!   costs nothing while nobody waits.
//! - A claim is relaxed: if a power failure undoes it, the job is ready again and nothing it did is on record.
//!   Only jobs that may start once wait for stable storage.
//! - The completion of a job that is cancelled while it waits is committed as a row, and told right behind it:
//!   `cancel` is a function of any process, which need not have the handler.
//! - A [`Workpool`] starts its own upkeep, so none is exported.

mod aside;
mod builder;
mod cancel;
mod claim;
mod completion;
mod conclude;
mod context;
mod counters;
pub mod cron;
mod enqueue;
mod external;
mod failure;
mod job;
mod judge;
mod loops;
mod operate;
mod options;
mod payload;
mod pool;
mod process;
mod report;
mod run;
mod schedule;
mod settle;
mod slots;
mod status;
mod tables;
mod upkeep;
mod worker;

pub use aside::{Unreadable, unreadable};
pub use builder::{Builder, MANY_PARALLEL, MAX_PARALLEL, PoolOptions, StartError};
pub use cancel::{CANCEL_STEP, cancel, cancel_all};
pub use claim::{CLAIM_STEP, PATIENT_SHARE};
pub use completion::{
    Done, Outcome, Untold, dead_completions, forget_completion, retry_completion, waiting_completions,
};
pub use conclude::{COMPLETION_ATTEMPTS, KEEP_FAILED, KEEP_SUCCEEDED, MAX_RESULT_BYTES};
pub use context::JobContext;
pub use counters::{BUCKETS, Counters, Histogram};
pub use enqueue::{
    EnqueueError, MAX_AHEAD, MAX_ARGS_BYTES, MAX_ATTEMPTS, MAX_BATCH_BYTES, MAX_CONTEXT_BYTES,
    MAX_TEXT_BYTES, enqueue, enqueue_all,
};
pub use external::{BadToken, Token, complete};
pub use failure::JobError;
pub use job::{Completion, DEFAULT_POOL, Job};
pub use operate::{
    OperateError, is_paused, pause, pause_key, paused_keys, resume, resume_key, retry_dead, set_parallel,
};
pub use options::{Callback, Due, Options, OutcomeKind, Priority, Repeat};
pub use payload::INLINE_BYTES;
pub use pool::Workpool;
pub use report::{REPORT_EVERY, REPORTED_BACKLOG};
pub use schedule::{Schedule, ScheduleError, Weekday};
pub use settle::SETTLE_STEP;
pub use status::{Backlog, Listed, Status, Waiting, backlog, list, outcome, status, status_all, waiting};
pub use tables::{CompletionRow, JobId, JobRow, Progress, State, WorkerRow, tables};
pub use upkeep::UPKEEP_STEP;
pub use worker::{HEARTBEAT, LEASE, RECOVERY_STEP};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/workpool.md")]
struct Guide;
