//! What operators do: pools are paused and widened, dead jobs get another life.

use loomwork_core::{Fault, Kind};
use loomwork_store::{Result, Tx};

use crate::builder::MAX_PARALLEL;
use crate::enqueue::MAX_TEXT_BYTES;
use crate::tables::{JobId, JobRow, PausedKey, PoolRow, State};

/// What an operator cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OperateError {
    /// A limit beyond [`MAX_PARALLEL`].
    #[error("pool {pool:?} would run {parallel} jobs at once; the most is {MAX_PARALLEL}, and 0 pauses it")]
    TooParallel {
        /// The pool.
        pool: String,
        /// The limit that was asked for.
        parallel: u32,
    },
    /// A key that no job can have.
    #[error("the key has {bytes} bytes; it must have 1 to {MAX_TEXT_BYTES}")]
    BadKey {
        /// What it takes.
        bytes: usize,
    },
    /// A job that is not dead.
    #[error("{job} is not dead, so there is nothing to retry; only failed and interrupted jobs are")]
    NotDead {
        /// The job.
        job: JobId,
    },
}

impl Fault for OperateError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// Starts no further job of a pool until [`resume`]; what runs goes on.
///
/// # Errors
/// When the store cannot be read or written, as for all functions here.
pub fn pause(tx: &mut Tx, pool: &str) -> Result<()> {
    set(tx, pool, |row| row.paused = true)
}

/// Ends a [`pause`].
///
/// # Errors
/// As [`pause`].
pub fn resume(tx: &mut Tx, pool: &str) -> Result<()> {
    set(tx, pool, |row| row.paused = false)
}

/// Starts no further job of a key in a pool until [`resume_key`]; what runs goes on.
///
/// # Errors
/// [`OperateError::BadKey`] for a key that no job can have.
pub fn pause_key(tx: &mut Tx, pool: &str, key: &str) -> Result<()> {
    if key.is_empty() || key.len() > MAX_TEXT_BYTES {
        return Err(OperateError::BadKey { bytes: key.len() }.into());
    }
    if tx.first(PausedKey::by_key.eq(pool).eq(key))?.is_none() {
        tx.insert(PausedKey { pool: pool.to_owned(), key: key.to_owned() })?;
    }
    Ok(())
}

/// Ends a [`pause_key`].
///
/// # Errors
/// As [`pause`].
pub fn resume_key(tx: &mut Tx, pool: &str, key: &str) -> Result<()> {
    match tx.first(PausedKey::by_key.eq(pool).eq(key))? {
        Some(row) => tx.delete(row.id).map(drop),
        None => Ok(()),
    }
}

/// Returns the paused keys of a pool, in their order.
///
/// # Errors
/// As [`pause`].
pub fn paused_keys(tx: &Tx, pool: &str) -> Result<Vec<String>> {
    Ok(tx.scan(PausedKey::by_key.eq(pool))?.into_iter().map(|row| row.record.key).collect())
}

/// Sets how many jobs of a pool run at once, whatever the code says; `None` goes back to that.
/// Lowering it stops nothing that runs.
///
/// # Errors
/// [`OperateError::TooParallel`] beyond [`MAX_PARALLEL`]; nothing is written then.
pub fn set_parallel(tx: &mut Tx, pool: &str, parallel: Option<u32>) -> Result<()> {
    if let Some(parallel) = parallel.filter(|parallel| *parallel > MAX_PARALLEL) {
        return Err(OperateError::TooParallel { pool: pool.to_owned(), parallel }.into());
    }
    set(tx, pool, |row| row.parallel = parallel)
}

/// Returns whether a pool is paused.
///
/// # Errors
/// As [`pause`].
pub fn is_paused(tx: &Tx, pool: &str) -> Result<bool> {
    Ok(tx.first(PoolRow::by_name.eq(pool))?.is_some_and(|row| row.paused))
}

/// An unchanged value writes nothing, so it wakes nobody.
fn set(tx: &mut Tx, pool: &str, change: impl FnOnce(&mut PoolRow)) -> Result<()> {
    match tx.first(PoolRow::by_name.eq(pool))? {
        Some(row) => tx.update(row.id, change)?,
        None => {
            let mut row = PoolRow { name: pool.to_owned(), ..PoolRow::default() };
            change(&mut row);
            tx.insert(row)?
        }
    };
    Ok(())
}

/// Gives a dead job another life, with as many attempts as a new one. When it ends, its completion
/// is told again.
///
/// # Errors
/// [`OperateError::NotDead`] for a job that did not fail; when another job took its unique key.
pub fn retry_dead(tx: &mut Tx, job: JobId) -> Result<()> {
    let row = tx.require(job)?;
    let is_dead = row.ended.as_ref().is_some_and(|ended| ended.kind().is_dead());
    if !is_dead {
        return Err(OperateError::NotDead { job }.into());
    }
    let now = tx.now();
    let mut job: JobRow = row.record;
    job.state = State::Ready;
    job.due = now;
    job.failures = 0;
    job.cancelled = false;
    job.confirmed = false;
    job.ended = None;
    job.finished = None;
    job.retained = None;
    // Its deadline was that of its first life.
    job.deadline = None;
    job.expires = None;
    tx.replace(row.id, job).map(drop)
}
