//! The loops of a process: taking, settling, the heartbeat, watching for cancellations.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use loomwork_core::{Shutdown, Tasks, crash_point};
use loomwork_store::{Error, Problem, Result};
use tokio::sync::mpsc;

use crate::aside::set_aside;
use crate::claim::{CLAIM_STEP, PoolPlan, is_claimable};
use crate::failure::{Again, with_sources};
use crate::process::{AttemptKey, Process};
use crate::settle::{SETTLE_STEP, ToSettle, settle_all};
use crate::tables::JobRow;
use crate::worker::{HEARTBEAT, LEASE, beat, register};

/// How long a loop waits after the store failed.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// So many heartbeats apart the takers look without being woken: a hint from another node may be lost.
const BEATS_PER_LOOK: u32 = 6;

/// Whether there is something to take. That there is is always news: the same answer twice means
/// that there is more.
#[derive(Clone, Debug)]
struct News(bool);

impl PartialEq for News {
    fn eq(&self, other: &Self) -> bool {
        !self.0 && !other.0
    }
}

/// Takes the jobs of a pool whenever some are ready and slots are free.
pub(crate) async fn take_jobs(process: Arc<Process>, attempts: Tasks, plan: PoolPlan, shutdown: Shutdown) {
    let watched = plan.clone();
    let mut news = process.store.watch(move |tx| is_claimable(tx, &watched).map(News));
    let mut looks = process.looks();
    let mut failed = false;
    loop {
        let looked = tokio::select! {
            biased;
            () = shutdown.requested() => return,
            news = news.next() => match news {
                None => return,
                Some(news) => news.map(|news| news.0),
            },
            _ = looks.changed() => Ok(true),
            () = std::future::ready(()), if failed => Ok(true),
        };
        let took = match looked {
            Ok(true) => take_all(&process, &attempts, &plan, &shutdown).await,
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        failed = took.is_err();
        if let Err(error) = took {
            tracing::error!(pool = plan.pool, %error, "a pool cannot take jobs and will try again");
            tokio::select! {
                () = shutdown.requested() => return,
                () = process.store.clock().sleep(FAILURE_PAUSE) => {}
            }
        }
    }
}

async fn take_all(
    process: &Arc<Process>,
    attempts: &Tasks,
    plan: &PoolPlan,
    shutdown: &Shutdown,
) -> Result<()> {
    while !shutdown.is_requested() {
        let taken = process.take(plan).await?;
        crash_point("workpool.taken");
        let more = taken.len() == CLAIM_STEP;
        for taken in taken {
            process.start(attempts, taken, plan.options.cancel_grace).await;
        }
        if !more {
            return Ok(());
        }
    }
    Ok(())
}

/// Settles ended attempts, those that wait together; at the end, all that are left.
pub(crate) async fn settle_attempts(
    process: Arc<Process>,
    mut ended: mpsc::Receiver<ToSettle>,
    shutdown: Shutdown,
) {
    loop {
        let first = tokio::select! {
            biased;
            first = ended.recv() => first,
            () = shutdown.requested() => ended.try_recv().ok(),
        };
        let Some(first) = first else { return };
        let mut batch = vec![first];
        while batch.len() < SETTLE_STEP
            && let Ok(next) = ended.try_recv()
        {
            batch.push(next);
        }
        if !settle_batch(&process, batch.into(), &shutdown).await {
            return;
        }
    }
}

/// Tries until the batch is recorded: the outcomes are nowhere else. `false` when it is given up.
async fn settle_batch(process: &Process, batch: Arc<[ToSettle]>, shutdown: &Shutdown) -> bool {
    let Err(error) = try_settle(process, batch.clone(), shutdown).await else { return true };
    if is_closed(&error) || shutdown.is_requested() {
        return false;
    }
    // One damaged row must not keep the others from their outcomes.
    for item in batch.iter() {
        if let Err(error) = try_settle(process, [item.clone()].into(), shutdown).await {
            if is_closed(&error) || shutdown.is_requested() {
                return false;
            }
            let (job, error) = (item.attempt.job, with_sources(&error));
            tracing::error!(%job, error, "the outcome of a job can never be recorded and is dropped");
            process.leave(&item.attempt, None);
            if let Err(error) = process.store.mutate(move |tx| set_aside(tx, &[job])).await {
                tracing::error!(%job, %error, "a job keeps its slot, since it cannot be set aside");
            }
        }
    }
    true
}

/// Tries until the batch is recorded, or for an error that stays.
async fn try_settle(process: &Process, batch: Arc<[ToSettle]>, shutdown: &Shutdown) -> Result<()> {
    loop {
        crash_point("workpool.ended");
        let (items, completions) = (batch.clone(), process.completions.clone());
        match process.store.mutate(move |tx| settle_all(tx, &completions, &items)).await {
            Ok(settled) => {
                crash_point("workpool.settled");
                for (item, settled) in batch.iter().zip(&settled) {
                    process.leave(&item.attempt, settled.as_ref());
                }
                return Ok(());
            }
            Err(error) if is_closed(&error) || Again::of_action(error.kind()) == Again::Never => {
                return Err(error);
            }
            Err(error) => {
                tracing::error!(%error, "outcomes cannot be recorded and will be tried again");
                tokio::select! {
                    () = shutdown.requested() => return Err(error),
                    () = process.store.clock().sleep(FAILURE_PAUSE) => {}
                }
            }
        }
    }
}

/// Whether there is no store to go on with.
pub(crate) fn is_closed(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(Problem::Closed))
}

/// Renews the worker's lease until the pool or its store ends. Whatever runs then is stopped: nobody would
/// record how it ends, and others go on with it.
pub(crate) async fn keep_alive(process: Arc<Process>, shutdown: Shutdown) {
    keep_leased(&process, shutdown).await;
    process.worker().lost.cancel();
}

/// Goes on under a new id when the lease was lost.
async fn keep_leased(process: &Process, shutdown: Shutdown) {
    let clock = process.store.clock().clone();
    let mut renewed = clock.now();
    let mut beats = 0;
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = clock.sleep(HEARTBEAT) => {}
        }
        let worker = process.worker();
        match process.store.mutate(move |tx| beat(tx, worker.id)).relaxed().await {
            Ok(true) => renewed = clock.now(),
            Ok(false) => {
                tracing::error!(worker = %worker.id, "this worker's jobs were taken over; it goes on as a new one");
                worker.lost.cancel();
            }
            Err(error) if is_closed(&error) => return,
            Err(error) => tracing::error!(worker = %worker.id, %error, "a worker's lease cannot be renewed"),
        }
        // Before the lease is over: whoever takes over must find the old attempts stopped.
        if clock.now().since(renewed) >= LEASE - HEARTBEAT {
            worker.lost.cancel();
        }
        if worker.lost.is_cancelled()
            && let Ok(id) = process.store.mutate(register).await
        {
            renewed = clock.now();
            process.replace_worker(id);
            process.look();
        }
        beats += 1;
        if beats % BEATS_PER_LOOK == 0 {
            process.look();
        }
    }
}

/// Asks running jobs to stop when somebody cancels them.
pub(crate) async fn watch_cancellations(process: Arc<Process>, shutdown: Shutdown) {
    let mut looks = process.looks();
    loop {
        let worker = process.worker();
        let mut cancelled = process.store.watch(move |tx| {
            let jobs = tx.scan(JobRow::cancelling.eq(worker.id).readable())?;
            Ok(jobs.into_iter().map(|row| (row.id, row.attempt)).collect::<HashSet<AttemptKey>>())
        });
        loop {
            let jobs = tokio::select! {
                () = shutdown.requested() => return,
                () = worker.lost.cancelled() => break,
                jobs = cancelled.next() => jobs,
            };
            match jobs {
                None => return,
                Some(Ok(jobs)) => process.cancel(jobs),
                Some(Err(error)) => tracing::error!(%error, "cancellations cannot be seen"),
            }
        }
        tokio::select! {
            () = shutdown.requested() => return,
            _ = looks.changed() => {}
        }
    }
}
