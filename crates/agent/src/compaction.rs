//! Keeping long threads short: what their oldest turns come to is put into a summary.
//!
//! An agent that has a [`Compaction`] looks at its context before each answer. If the turns that are older than the
//! newest few have too many tokens, or are too many, a durable job lets a model summarise them. The context of the
//! answers that follow has the [summary](loomwork_messages::summaries) in their place; the turns stay in the thread
//! as they are, to be shown and searched. The next summary folds the last one in, so each turn is read once. One whose
//! turns were changed is gone, and the job writes another.
//!
//! ```
//! use std::sync::Arc;
//!
//! use loomwork_agent::{Agent, Compaction, CompactionLimits, Runtime, compaction};
//! use loomwork_messages::threads::NewThread;
//! use loomwork_models::OfflineModel;
//! use loomwork_workpool::Workpool;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::memory().await?;
//! let model = Arc::new(OfflineModel::default());
//! let limits = CompactionLimits { keep_turns: 2, above_turns: 4, ..CompactionLimits::default() };
//! let short = Compaction::new("summaries", model.clone()).limits(limits);
//! let pool = short.bind(Workpool::builder(runtime.store()), &runtime).start().await?;
//!
//! let support = Agent::new("support", model).compaction(short);
//! let thread = support.create_thread(&runtime, NewThread::for_user("alice")).await?;
//! thread.generate_text("Hello!").await?;
//! let id = thread.id();
//! let state = runtime.store().query(move |tx| compaction::state(tx, id)).await?; // or `watch`
//! assert!(state.summary.is_none(), "there is little to summarise yet");
//! # pool.shutdown(std::time::Duration::from_secs(5)).await?;
//! # Ok(())
//! # }
//! ```

mod due;
mod job;
mod summariser;
mod work;

use std::sync::Arc;

use loomwork_core::Time;
use loomwork_messages::{RunId, Summary, ThreadId, summaries, threads};
use loomwork_models::LanguageModel;
use loomwork_store::{Result, Row, Table, Tx};
use loomwork_workpool::{
    self as workpool, Completion, Done, Job, JobContext, JobId, Options, Status, enqueue,
};
use serde::{Deserialize, Serialize};

use crate::runtime::Runtime;
use crate::tool::BoxError;
use crate::usage::OnUsage;
use summariser::Summariser;
pub use summariser::{Summarised, ToSummarise};

/// The pool that the jobs are in. It runs as many of them at once as
/// [its options](loomwork_workpool::Builder::pool) say.
pub const POOL: &str = "summaries";

/// The provider that usage of a [function](Compaction::by) is told under; the model is the compaction's name.
pub const FUNCTION: &str = "function";

/// When the oldest turns of threads are put into a summary, and who writes it. Its name is that of its job, which
/// a process runs that [binds](Self::bind) it. A clone is cheap.
#[derive(Clone, Debug)]
pub struct Compaction {
    name: &'static str,
    limits: CompactionLimits,
    summariser: Summariser,
    on_usage: Option<OnUsage>,
}

/// When turns are summarised, and how much of them at once. New fields may come; `..CompactionLimits::default()` is
/// ready for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CompactionLimits {
    /// How many of the newest turns stay as they are, 1 at least. Default: 10.
    pub keep_turns: usize,
    /// How many tokens those that are older may have before they are summarised. Default: 8,000.
    pub above_tokens: u64,
    /// How many of those there may be. Default: 40.
    pub above_turns: usize,
    /// About how many tokens of turns one call summarises; a turn of more is shortened in its middle. Default:
    /// 30,000.
    pub max_input: u64,
    /// The most tokens of a summary. Default: 1,000.
    pub max_output: u64,
}

impl Default for CompactionLimits {
    fn default() -> Self {
        Self { keep_turns: 10, above_tokens: 8_000, above_turns: 40, max_input: 30_000, max_output: 1_000 }
    }
}

/// How far a thread is.
#[derive(Clone, Debug, PartialEq)]
pub struct CompactionState {
    /// What stands in the place of its oldest turns.
    pub summary: Option<Row<Summary>>,
    /// The job that waits or runs.
    pub job: Option<Status>,
}

/// The job of a thread that waits or runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "agent_compactions", id = "compaction")]
#[index(unique by_thread(thread))]
pub(crate) struct CompactionRow {
    thread: ThreadId,
    job: JobId,
    created: Time,
}

impl Compaction {
    /// Returns one whose summaries a model writes.
    pub fn new(name: &'static str, model: Arc<dyn LanguageModel>) -> Self {
        let summariser = Summariser::Model { model, instructions: summariser::INSTRUCTIONS.into() };
        Self { name, limits: CompactionLimits::default(), summariser, on_usage: None }
    }

    /// Returns one whose summaries a function writes, in the place of a model.
    ///
    /// ```
    /// use loomwork_agent::{Compaction, ToSummarise};
    ///
    /// let last_words = Compaction::by("last words", |what: ToSummarise| async move {
    ///     let last = what.text.lines().last().unwrap_or_default().to_owned();
    ///     Ok(format!("{}\n{last}", what.earlier.unwrap_or_default()))
    /// });
    /// # let _ = last_words;
    /// ```
    pub fn by<F, Fut, T>(name: &'static str, summarise: F) -> Self
    where
        F: Fn(ToSummarise) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = std::result::Result<T, BoxError>> + Send + 'static,
        T: Into<Summarised>,
    {
        let summariser = Summariser::function(summarise);
        Self { name, limits: CompactionLimits::default(), summariser, on_usage: None }
    }

    /// Says when turns are summarised, and how much of them at once.
    #[must_use]
    pub fn limits(self, limits: CompactionLimits) -> Self {
        Self { limits, ..self }
    }

    /// Says what the model is to keep in mind when it writes a summary, in the place of what it is told by default.
    /// A function is told nothing.
    #[must_use]
    pub fn instructions(mut self, text: impl Into<Arc<str>>) -> Self {
        if let Summariser::Model { instructions, .. } = &mut self.summariser {
            *instructions = text.into();
        }
        self
    }

    /// Says who is told what summaries used: once for each call of the model, however it ended, as of answers. The
    /// agent of an event is the compaction's name, its run stands for the job: see [`run_of`].
    #[must_use]
    pub fn on_usage(self, on_usage: OnUsage) -> Self {
        Self { on_usage: Some(on_usage), ..self }
    }

    /// Returns its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Lets a pool run its jobs, on the store of a runtime. Without such a pool they wait.
    #[must_use = "nothing runs before the pool is started"]
    pub fn bind(&self, builder: workpool::Builder, runtime: &Runtime) -> workpool::Builder {
        if let Some(on_usage) = &self.on_usage {
            runtime.outbox.know(on_usage.clone());
        }
        let (compaction, runtime) = (self.clone(), runtime.clone());
        let run = move |job: JobContext, thread: ThreadId| {
            let (compaction, runtime) = (compaction.clone(), runtime.clone());
            async move { job::run(compaction, runtime, job, thread).await }
        };
        builder.on(self.job(), run).on_done(self.done(), |tx, done: Done<ThreadId, ()>| ended(tx, &done))
    }

    fn job(&self) -> Job<ThreadId, ()> {
        Job::new(self.name).in_pool(POOL)
    }

    fn done(&self) -> Completion<ThreadId, ()> {
        Completion::new(self.name)
    }
}

/// Has a thread summarised up to its newest turns, whatever the limits say of its length. Of two jobs of a thread one
/// waits at most.
///
/// # Errors
/// When there is no such thread, or the store cannot be written.
pub fn start(tx: &mut Tx, compaction: &Compaction, thread: ThreadId) -> Result<JobId> {
    threads::require(tx, thread)?;
    let name = Some(thread.to_string());
    let on_done = Some(compaction.done().with(thread));
    let options = Options { key: name.clone(), unique: name, on_done, ..Options::default() };
    let job = enqueue(tx, &compaction.job(), thread, options)?;
    let created = tx.now();
    match tx.first(CompactionRow::by_thread.eq(thread))? {
        Some(row) => tx.update(row.id, |row| (row.job, row.created) = (job, created))?,
        None => tx.insert(CompactionRow { thread, job, created })?,
    };
    Ok(job)
}

/// Returns how far a thread is. A job that has failed for good is no longer there: it is among the
/// [dead ones](loomwork_workpool::Listed::Dead) of the [`POOL`], and the next answer has another one started.
///
/// # Errors
/// When the store cannot be read.
pub fn state(tx: &Tx, thread: ThreadId) -> Result<CompactionState> {
    let summary = summaries::newest(tx, thread, None)?;
    let job = match tx.first(CompactionRow::by_thread.eq(thread))? {
        Some(row) => workpool::status(tx, row.job)?,
        None => None,
    };
    Ok(CompactionState { summary, job })
}

/// Returns the run that stands for a job, in usage events and in the [journal](crate::journal): each call of the model
/// is a step there.
pub fn run_of(job: JobId) -> RunId {
    RunId::from_raw(job.raw())
}

/// Lets go of a job that has ended, however it did.
fn ended(tx: &mut Tx, done: &Done<ThreadId, ()>) -> Result<()> {
    let row = tx.first(CompactionRow::by_thread.eq(done.context))?;
    if let Some(row) = row.filter(|row| row.job == done.job) {
        tx.delete(row.id)?;
    }
    Ok(())
}
