//! A process's part in running jobs, from start to shutdown.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use loomwork_core::Tasks;
use loomwork_store::{Result, Store};
use tokio::sync::mpsc;

use crate::builder::Builder;
use crate::claim::PoolPlan;
use crate::counters::Counters;
use crate::loops::{keep_alive, settle_attempts, take_jobs, watch_cancellations};
use crate::process::{Process, SETTLE_QUEUE};
use crate::report::report;
use crate::slots::SlotPlan;
use crate::status::{Waiting, waiting};
use crate::worker::{bury, recovery, register};
use crate::{aside, completion, cron, upkeep};

/// How long a shutdown waits for the loops themselves, which have nothing long to do.
const LOOP_DEADLINE: Duration = Duration::from_secs(5);

/// Runs the jobs of a store in this process. One is enough for all pools; others, in this process
/// or another, share the work and the limits.
///
/// [`shutdown`](Self::shutdown) ends it. When it is dropped instead, no further job is started, and what
/// runs is stopped at its next await and taken over when the worker's lease ends, as after a crash.
pub struct Workpool {
    process: Arc<Process>,
    pools: Vec<&'static str>,
    /// Take jobs. They end first.
    takers: Tasks,
    /// Run them.
    attempts: Tasks,
    /// Settle and look after them. They end last.
    loops: Tasks,
}

impl fmt::Debug for Workpool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workpool")
            .field("jobs", &self.process.handlers.keys())
            .field("running", &self.attempts.running().len())
            .finish_non_exhaustive()
    }
}

impl Workpool {
    /// Begins to describe what this process runs.
    pub fn builder(store: &Store) -> Builder {
        Builder::new(store.clone())
    }

    pub(crate) async fn start(builder: Builder) -> Result<Self> {
        let Builder { store, pools, handlers, completions, .. } = builder;
        let worker = store.mutate(register).await?;
        let (settle, ended) = mpsc::channel(SETTLE_QUEUE);
        let names: Arc<[&'static str]> = handlers.keys().copied().collect();
        let process = Arc::new(Process::new(store.clone(), handlers, completions, worker, settle));
        let pool = Self {
            process,
            pools: pools.keys().copied().collect(),
            takers: Tasks::new(),
            attempts: Tasks::new(),
            loops: Tasks::new(),
        };
        pool.start_loops(ended);
        for (name, options) in &pools {
            let slots = SlotPlan::of(name, &pools);
            let plan = PoolPlan { pool: name, options: *options, slots, names: names.clone() };
            let (process, attempts) = (pool.process.clone(), pool.attempts.clone());
            pool.takers
                .spawn(format!("workpool {name}"), |shutdown| take_jobs(process, attempts, plan, shutdown));
        }
        Ok(pool)
    }

    fn start_loops(&self, ended: mpsc::Receiver<crate::settle::ToSettle>) {
        let spawn = |name: &str| (name.to_owned(), self.process.clone());
        let (name, process) = spawn("workpool settling");
        self.loops.spawn(name, |shutdown| settle_attempts(process, ended, shutdown));
        let (name, process) = spawn("workpool heartbeat");
        self.loops.spawn(name, |shutdown| keep_alive(process, shutdown));
        let (name, process) = spawn("workpool cancellation");
        self.loops.spawn(name, |shutdown| watch_cancellations(process, shutdown));
        let ((name, process), pools) = (spawn("workpool report"), self.pools.clone());
        self.loops.spawn(name, |shutdown| report(process, pools, shutdown));
        let completions = self.process.completions.clone();
        let upkeeps = [
            upkeep::promotion(),
            upkeep::expiry(completions.clone()),
            upkeep::retention(),
            cron::upkeep(),
            completion::upkeep(completions.clone()),
            aside::review(completions),
            recovery(self.process.clone()),
        ];
        for upkeep in upkeeps {
            self.process.store.start_upkeep(&self.loops, upkeep);
        }
    }

    /// Returns what this process has done since it was started.
    pub fn counters(&self) -> Counters {
        self.process.counting.read()
    }

    /// Returns which ready jobs this process leaves alone, since it has no handler for their name or
    /// does not run their pool: they wait for one that does, and hold up nothing.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn unregistered(&self) -> Result<Vec<Waiting>> {
        let mut found = self.process.store.query(waiting).await?;
        found.retain(|waiting| {
            !self.process.handlers.contains_key(waiting.name.as_str())
                || !self.pools.contains(&waiting.pool.as_str())
        });
        Ok(found)
    }

    /// Starts no further job, waits for those that run, and aborts after `deadline` (real time) those
    /// that do not end; that is a failed attempt, which others follow up as the job's retry policy says.
    ///
    /// # Cancel safety
    /// The request to end stays; call again to wait again.
    ///
    /// # Errors
    /// When the store cannot be written: then jobs that were aborted are taken over when the worker's
    /// lease ends.
    pub async fn shutdown(&self, deadline: Duration) -> Result<()> {
        let log = |ended: Result<(), loomwork_core::StillRunning>| {
            if let Err(error) = ended {
                tracing::warn!(%error, "a workpool's shutdown had to abort");
            }
        };
        log(self.takers.shutdown(LOOP_DEADLINE).await);
        log(self.attempts.shutdown(deadline).await);
        log(self.loops.shutdown(LOOP_DEADLINE).await);
        let worker = self.process.worker().id;
        loop {
            let completions = self.process.completions.clone();
            match self.process.store.mutate(move |tx| bury(tx, &completions, worker)).await? {
                Some(lost) => self.process.counting.take_over(&lost),
                None => return Ok(()),
            }
        }
    }
}
