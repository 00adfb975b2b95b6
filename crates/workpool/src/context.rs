//! What a running job knows of itself.

use loomwork_core::Time;
use loomwork_store::{Id, Result, Store, Tx};
use tokio_util::sync::CancellationToken;

use crate::external::Token;
use crate::payload::progress_of;
use crate::tables::{JobId, JobRow, Progress, ProgressRow, State, WorkerRow};

/// One attempt of a job, as its handler sees it.
#[derive(Clone, Debug)]
pub struct JobContext {
    pub(crate) store: Store,
    pub(crate) job: JobId,
    pub(crate) worker: Id<WorkerRow>,
    /// How many attempts have ended: the fence.
    pub(crate) ended: u32,
    pub(crate) scheduled: Time,
    pub(crate) deadline: Option<Time>,
    pub(crate) cancel: CancellationToken,
}

impl JobContext {
    /// Returns the job's id.
    pub fn id(&self) -> JobId {
        self.job
    }

    /// Returns the number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.ended + 1
    }

    /// Returns a text that all attempts of this job share and no other job has: give it to a
    /// service that knows idempotency keys, and a repeated attempt repeats no effect.
    pub fn idempotency_key(&self) -> String {
        self.job.to_string()
    }

    /// Returns the time for which the job was enqueued; retries do not move it.
    pub fn scheduled(&self) -> Time {
        self.scheduled
    }

    /// Returns when this attempt is aborted, by the job's timeout or its deadline.
    pub fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// Returns what [`complete`](crate::complete) ends this attempt by.
    pub fn token(&self) -> Token {
        Token { job: self.job, ended: self.ended }
    }

    /// Returns the store that the job is in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns whether the job was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Waits until the job is asked to stop. A handler that then returns an error of kind
    /// [`Cancelled`](loomwork_core::Kind::Cancelled) ends the job as cancelled; one that goes on is
    /// aborted after the pool's [`cancel_grace`](crate::PoolOptions::cancel_grace).
    ///
    /// # Cancel safety
    /// It changes nothing and may be dropped at any time.
    pub async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    /// Says how far the job is: a fraction from 0 to 1, and a text. Anyone can watch it through
    /// [`status`](crate::status()). It may be lost at a power failure.
    ///
    /// # Errors
    /// When the store cannot be written. An attempt that no longer has the job says nothing, and that
    /// is no error.
    pub async fn progress(&self, fraction: f64, text: impl Into<String>) -> Result<()> {
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        let progress = Progress { fraction, text: text.into() };
        let (job, worker, ended) = (self.job, self.worker, self.ended);
        self.store.mutate(move |tx| say_progress(tx, job, (worker, ended), progress)).relaxed().await
    }
}

/// Whether an attempt still has its job.
pub(crate) fn has_job(row: &JobRow, (worker, ended): (Id<WorkerRow>, u32)) -> bool {
    row.state == State::Running && row.worker == Some(worker) && row.attempt == ended
}

fn say_progress(tx: &mut Tx, job: JobId, fence: (Id<WorkerRow>, u32), progress: Progress) -> Result<()> {
    if !tx.get(job)?.is_some_and(|row| has_job(&row, fence)) {
        return Ok(());
    }
    let id = progress_of(job);
    match tx.get(id)? {
        Some(_) => tx.replace(id, ProgressRow { progress })?,
        None => tx.insert_at(id, ProgressRow { progress })?,
    };
    Ok(())
}
