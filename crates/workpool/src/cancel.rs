//! Calling jobs off.

use loomwork_core::Time;
use loomwork_store::{Cursor, Page, Paged, Result, Store, Tx};

use crate::conclude::{Completions, cancel_idle};
use crate::tables::{JobId, JobRow, State};

/// How many jobs one step of [`cancel_all`] cancels.
pub const CANCEL_STEP: usize = 64;

/// Cancels a job, and says whether there was anything to cancel.
///
/// A job that waits, also for a call from outside, ends at once, as cancelled, and its completion is
/// committed with that. A
/// running one is asked to stop ([`JobContext::cancelled`]) and is not tried again: if it still
/// succeeds, it succeeded; if it fails where another attempt would have followed, it is cancelled; if
/// it fails for good, it failed. An unknown or ended job, and one that was asked before, stay as
/// they are.
///
/// [`JobContext::cancelled`]: crate::JobContext::cancelled
///
/// # Errors
/// When the store cannot be read or written.
pub fn cancel(tx: &mut Tx, job: JobId) -> Result<bool> {
    let Some(row) = tx.get(job)? else { return Ok(false) };
    match row.state {
        State::Ended => Ok(false),
        State::Running if row.cancelled => Ok(false),
        State::Running if !row.external => {
            tx.update(job, |row| row.cancelled = true)?;
            Ok(true)
        }
        // The completion's handler is not at hand here: it is told by whoever has it.
        State::Scheduled | State::Ready | State::Running => {
            cancel_idle(tx, &Completions::default(), row)?;
            Ok(true)
        }
    }
}

/// Cancels all jobs of a pool that are there now, newest first, in steps of [`CANCEL_STEP`]; jobs that
/// are enqueued meanwhile stay. Returns how many were cancelled or asked to stop.
///
/// # Cancel safety
/// Dropping the future leaves the rest as it is; calling again goes on.
///
/// # Errors
/// When the store cannot be read or written; what was cancelled before stays so.
pub async fn cancel_all(store: &Store, pool: &str) -> Result<usize> {
    let started = store.clock().now();
    let mut page = Page::first(CANCEL_STEP);
    let mut cancelled = 0;
    loop {
        let pool = pool.to_owned();
        let step = store.mutate(move |tx| cancel_step(tx, &pool, started, page)).await?;
        cancelled += step.cancelled;
        match step.next {
            Some(next) => page = Page::after(next, CANCEL_STEP),
            None => return Ok(cancelled),
        }
    }
}

struct Step {
    cancelled: usize,
    next: Option<Cursor>,
}

fn cancel_step(tx: &mut Tx, pool: &str, started: Time, page: Page) -> Result<Step> {
    let Paged { rows, next } = tx.page(JobRow::pending.eq(pool).le(started).desc(), page)?;
    let mut cancelled = 0;
    for row in rows {
        cancelled += usize::from(cancel(tx, row.id)?);
    }
    Ok(Step { cancelled, next })
}
