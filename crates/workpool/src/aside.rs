//! Running jobs whose rows cannot be read: they are set aside, so that they keep no slot.

use std::collections::HashSet;
use std::sync::Arc;

use loomwork_core::Time;
use loomwork_store::{Id, Next, Result, Span, Table as _, Tx, Upkeep};

use crate::conclude::{Completions, conclude};
use crate::failure::AttemptEnd;
use crate::tables::{AsideRow, JobId, JobRow, State, TurnRow};

/// A job that ran, is over, and whose row cannot be read, so that nobody can record how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The job.
    pub job: JobId,
    /// The pool that it ran in.
    pub pool: String,
    /// Since when it is set aside.
    pub since: Time,
}

/// Returns the jobs that are set aside because their rows cannot be read: they keep no slot, and go on
/// once they can be read again, as by the newer program that wrote them; `count` at most.
///
/// # Errors
/// When the store cannot be read.
pub fn unreadable(tx: &Tx, count: usize) -> Result<Vec<Unreadable>> {
    let rows = tx.scan(AsideRow::all().readable().take(count))?;
    let shown = rows.into_iter().map(|row| Unreadable {
        job: row.record.job,
        pool: row.record.pool,
        since: row.record.since,
    });
    Ok(shown.collect())
}

fn aside_of(job: JobId) -> Id<AsideRow> {
    Id::from_raw(job.raw())
}

/// Sets those of `jobs` aside that count as running and cannot be read. Their attempts must be over.
pub(crate) fn set_aside(tx: &mut Tx, jobs: &[JobId]) -> Result<()> {
    if jobs.is_empty() {
        return Ok(());
    }
    // A row that cannot be read does not say its pool; each that ever started a job has had its turn.
    for turn in tx.scan(TurnRow::by_pool.all().readable())? {
        let pool = &turn.pool;
        for job in tx.ids(JobRow::running.eq(pool))?.into_iter().filter(|job| jobs.contains(job)) {
            let id = aside_of(job);
            if tx.get_readable(job)?.is_none() && tx.get(id)?.is_none() {
                tracing::error!(%job, pool, "a job that ran cannot be read; it is set aside and keeps no slot");
                let since = tx.now();
                tx.insert_at(id, AsideRow { pool: pool.clone(), job, since })?;
            }
        }
    }
    Ok(())
}

/// Counts the running jobs of a pool in a span that keep a slot, as far as that matters: up to `most`.
pub(crate) fn occupied<K>(tx: &Tx, pool: &str, running: Span<JobRow, K>, most: usize) -> Result<usize> {
    let aside: HashSet<JobId> =
        tx.ids(AsideRow::by_pool.eq(pool))?.into_iter().map(|id| Id::from_raw(id.raw())).collect();
    if aside.is_empty() {
        return tx.count(running.take(most));
    }
    let running = tx.ids(running.take(most.saturating_add(aside.len())))?;
    Ok(running.iter().filter(|job| !aside.contains(job)).count().min(most))
}

/// Takes back what can be read again, and ends the attempts among it that nobody else will end.
pub(crate) fn review(completions: Arc<Completions>) -> Upkeep {
    Upkeep::new("workpool set aside", move |tx| {
        for aside in tx.scan(AsideRow::all().readable())? {
            let Some(job) = tx.get_readable(aside.job)? else {
                if !tx.ids(JobRow::running.eq(&aside.pool))?.contains(&aside.job) {
                    tx.delete(aside.id)?;
                }
                continue;
            };
            tx.delete(aside.id)?;
            let is_abandoned = match job.worker {
                Some(worker) => tx.get_readable(worker)?.is_none(),
                None => false,
            };
            if job.state == State::Running && is_abandoned {
                conclude(tx, &completions, job, AttemptEnd::Lost)?;
            }
        }
        Ok(Next::Idle)
    })
}
