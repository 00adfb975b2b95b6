//! What the loops of one process share.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use loomwork_core::{Tasks, crash_point};
use loomwork_store::{Id, Result, Row, Store, Tx};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::claim::{PoolPlan, claim};
use crate::conclude::{Completions, Settled};
use crate::context::{JobContext, has_job};
use crate::counters::Counting;
use crate::failure::{Again, AttemptEnd, with_sources};
use crate::payload;
use crate::run::{Attempt, Handler, Limits, run_limited};
use crate::settle::{ToSettle, Work};
use crate::tables::{JobId, JobRow, WorkerRow};
use crate::worker::{beat, is_entitled};

/// How many ended attempts may wait to be settled before further ones wait in their tasks.
pub(crate) const SETTLE_QUEUE: usize = 1024;

/// One process's part in the work: its worker, its handlers, what it runs.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) store: Store,
    pub(crate) handlers: HashMap<&'static str, Handler>,
    pub(crate) completions: Arc<Completions>,
    pub(crate) counting: Counting,
    looks: watch::Sender<()>,
    worker: Mutex<Worker>,
    running: Mutex<Running>,
    settle: mpsc::Sender<ToSettle>,
}

/// Under which id this process runs jobs.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) id: Id<WorkerRow>,
    /// Its jobs are another's now.
    pub(crate) lost: CancellationToken,
}

#[derive(Debug, Default)]
struct Running {
    /// How to cancel each attempt.
    attempts: HashMap<AttemptKey, CancellationToken>,
    /// The attempts that were last seen to be cancelled.
    cancelled: HashSet<AttemptKey>,
}

/// A job and its fence: an attempt of its own, also where an ended job gets another life.
pub(crate) type AttemptKey = (JobId, u32);

/// A job that was taken, with what it takes to run it.
#[derive(Debug)]
pub(crate) struct Taken {
    row: Row<JobRow>,
    /// Who took it.
    worker: Worker,
    /// `None` when they are gone.
    args: Option<Box<RawValue>>,
}

impl Process {
    pub(crate) fn new(
        store: Store,
        handlers: HashMap<&'static str, Handler>,
        completions: Completions,
        worker: Id<WorkerRow>,
        settle: mpsc::Sender<ToSettle>,
    ) -> Self {
        Self {
            store,
            handlers,
            completions: Arc::new(completions),
            counting: Counting::default(),
            looks: watch::Sender::new(()),
            worker: Mutex::new(Worker { id: worker, lost: CancellationToken::new() }),
            running: Mutex::default(),
            settle,
        }
    }

    /// Has the takers look, whether or not anything else wakes them.
    pub(crate) fn look(&self) {
        self.looks.send_replace(());
    }

    /// Hears of each [`look`](Self::look) from now on.
    pub(crate) fn looks(&self) -> watch::Receiver<()> {
        self.looks.subscribe()
    }

    pub(crate) fn worker(&self) -> Worker {
        self.worker.lock().expect("nothing panics while it holds the worker").clone()
    }

    /// Goes on under another id; what ran under the old one is stopped.
    pub(crate) fn replace_worker(&self, id: Id<WorkerRow>) {
        let new = Worker { id, lost: CancellationToken::new() };
        let old = std::mem::replace(
            &mut *self.worker.lock().expect("nothing panics while it holds the worker"),
            new,
        );
        old.lost.cancel();
    }

    /// Takes jobs of a pool. The commit is relaxed: if a power failure undoes it, the jobs are ready
    /// again, and nothing that they did is on record.
    pub(crate) async fn take(&self, plan: &PoolPlan) -> Result<Vec<Taken>> {
        let worker = self.worker();
        let id = worker.id;
        let mut taken = self.claim(plan, id).await?;
        // A clock that leaps, as after a machine's sleep, ends a lease before its heartbeat is due.
        if taken.is_none() && self.store.mutate(move |tx| beat(tx, id)).relaxed().await? {
            taken = self.claim(plan, id).await?;
        }
        let with_worker = |(row, args)| Taken { row, worker: worker.clone(), args };
        Ok(taken.into_iter().flatten().map(with_worker).collect())
    }

    /// Takes jobs under the worker's lease; `None` when that is over.
    async fn claim(&self, plan: &PoolPlan, worker: Id<WorkerRow>) -> Result<Option<Vec<Claimed>>> {
        let plan = plan.clone();
        let claim = self.store.claim_with(move |tx| {
            if is_entitled(tx, worker)? { take(tx, &plan, worker).map(Some) } else { Ok(None) }
        });
        claim.relaxed().await
    }

    /// Makes sure that no crash forgets the start of a job that may start only once; `false` when it is
    /// no longer this attempt's.
    async fn confirm(&self, attempt: &Attempt) -> Result<bool> {
        let (job, fence) = (attempt.job, attempt.fence());
        let confirmed = self.store.mutate(move |tx| {
            if !tx.get(job)?.is_some_and(|row| has_job(&row, fence)) {
                return Ok(false);
            }
            tx.update(job, |row| row.confirmed = true)?;
            Ok(true)
        });
        confirmed.await
    }

    /// Starts a job that was taken, as a task of its own.
    pub(crate) async fn start(self: &Arc<Self>, attempts: &Tasks, taken: Taken, grace: Duration) {
        let Taken { row, worker, args } = taken;
        let started = row.started.unwrap_or(row.due);
        let attempt =
            Attempt { job: row.id, name: row.name.clone(), worker: worker.id, ended: row.attempt, started };
        let waited = started.since(row.due);
        self.counting.start(waited);
        let number = row.attempt + 1;
        tracing::debug!(job = %row.id, name = row.name, attempt = number, ?waited, "a job starts");
        let (Some(args), Some(handler)) = (args, self.handlers.get(row.name.as_str())) else {
            let end = AttemptEnd::failed("its stored arguments are gone", Again::Never);
            return self.hand_in(ToSettle { attempt, work: Work::Ended(end) }).await;
        };
        match handler.clone() {
            handler @ Handler::Mutation(_) => {
                self.hand_in(ToSettle { attempt, work: Work::Mutation { handler, args } }).await;
            }
            Handler::Action(action) => {
                let cancel = self.enter(&attempt);
                let context = JobContext {
                    store: self.store.clone(),
                    job: row.id,
                    worker: attempt.worker,
                    ended: attempt.ended,
                    scheduled: row.scheduled,
                    deadline: row.attempt_ends(),
                    cancel: cancel.clone(),
                };
                let limits = Limits {
                    clock: self.store.clock().clone(),
                    time: row.attempt_ends().map(|end| {
                        let of = if row.deadline == Some(end) {
                            "what its deadline left,"
                        } else {
                            "its timeout of"
                        };
                        (end.since(started), of)
                    }),
                    cancel,
                    cancel_grace: grace,
                    lost: worker.lost,
                };
                let span = tracing::info_span!("job", id = %row.id, name = row.name, attempt = number);
                let only_once = row.retry.is_none();
                let process = self.clone();
                // Boxed, since a task's future is moved several times before it runs.
                let work = Box::pin(async move {
                    // Made inside, so that a panic before the first await is one of this job.
                    let work = async move { action(context, args).await };
                    if let Some(end) = process.run(&attempt, only_once, run_limited(work, limits)).await {
                        process.hand_in(ToSettle { attempt, work: Work::Ended(end) }).await;
                    } else {
                        process.leave(&attempt, None);
                    }
                });
                attempts.spawn(format!("job {}", row.name), |_| work.instrument(span));
            }
        }
    }

    /// Runs an attempt to its end; `None` when the job is no longer this worker's.
    async fn run(
        &self,
        attempt: &Attempt,
        only_once: bool,
        work: impl Future<Output = Option<AttemptEnd>> + Send,
    ) -> Option<AttemptEnd> {
        if only_once {
            match self.confirm(attempt).await {
                Ok(true) => crash_point("workpool.confirmed"),
                Ok(false) => return None,
                Err(error) => {
                    let message = format!("its start could not be recorded: {}", with_sources(&error));
                    return Some(AttemptEnd::failed(message, Again::Never));
                }
            }
        }
        work.await
    }

    /// Gives an ended attempt to the settler. Where that has ended, the job is taken over from here.
    async fn hand_in(&self, item: ToSettle) {
        let _ = self.settle.send(item).await;
    }

    /// Enters a running attempt and returns what cancels it.
    fn enter(&self, attempt: &Attempt) -> CancellationToken {
        let token = CancellationToken::new();
        let mut running = self.running();
        if running.cancelled.contains(&attempt.key()) {
            token.cancel();
        }
        running.attempts.insert(attempt.key(), token.clone());
        token
    }

    /// Strikes an attempt off, and counts what became of it.
    pub(crate) fn leave(&self, attempt: &Attempt, settled: Option<&Settled>) {
        self.running().attempts.remove(&attempt.key());
        self.counting.stop(self.store.clock().now().since(attempt.started));
        self.counting.settle(settled);
        let (job, name, attempt) = (attempt.job, &attempt.name, attempt.ended + 1);
        match settled {
            None => {
                tracing::warn!(%job, name, attempt, "a late result was dropped: the job is no longer ours");
            }
            Some(Settled::HandedOver) => {
                tracing::debug!(%job, name, attempt, "a job waits for a call from outside");
            }
            Some(Settled::Retried { due, error }) => {
                tracing::info!(%job, name, attempt, %due, error, "a job failed and will be tried again");
            }
            Some(Settled::Ended { kind, error: Some(error) }) => {
                tracing::warn!(%job, name, attempt, ?kind, error, "a job ended");
            }
            Some(Settled::Ended { kind, error: None }) => {
                tracing::debug!(%job, name, attempt, ?kind, "a job ended");
            }
        }
    }

    /// Asks attempts to stop.
    pub(crate) fn cancel(&self, attempts: HashSet<AttemptKey>) {
        let mut running = self.running();
        running.cancelled = attempts;
        let asked: Vec<CancellationToken> = running
            .attempts
            .iter()
            .filter(|(attempt, _)| running.cancelled.contains(attempt))
            .map(|(_, token)| token.clone())
            .collect();
        drop(running);
        asked.iter().for_each(CancellationToken::cancel);
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().expect("nothing panics while it holds what runs")
    }
}

/// A job as a claim returns it, with its arguments.
type Claimed = (Row<JobRow>, Option<Box<RawValue>>);

fn take(tx: &mut Tx, plan: &PoolPlan, worker: Id<WorkerRow>) -> Result<Vec<Claimed>> {
    let rows = claim(tx, plan, worker)?;
    rows.into_iter()
        .map(|row| {
            let args = payload::read(tx, row.id, &row.args, |payload| payload.args)?;
            Ok((row, args))
        })
        .collect()
}
