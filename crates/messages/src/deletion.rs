//! Deleting threads in the background, in small steps that survive a restart.
//!
//! [`threads::delete`] marks a thread; [`upkeep`] deletes its rows.

mod sweep;

use std::time::Duration;

use loomwork_core::Time;
use loomwork_store::{Next, Result, Row, Table, Tx, Upkeep};

use crate::tables::{
    Deletion, DeltaRow, Failure, Fork, Member, Run, RunStatus, StreamRow, StreamStatus, Thread, ThreadId,
    ThreadStatus, UserDeletion,
};
use crate::{fork, streams, threads};

pub use sweep::{STEP_BYTES, STEP_ROWS};

/// How many threads, and how many memberships, of a user one step ends.
pub const USER_STEP: usize = 64;

/// How long a deletion rests after a step that failed, so that it holds up no others.
pub const RETRY_AFTER: Duration = Duration::from_secs(60);

/// The code with which runs and streams of a deleted thread are aborted.
pub const THREAD_DELETED: &str = "thread_deleted";

/// How far the deletion of a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// When it was asked for.
    pub asked: Time,
    /// How many rows are gone.
    pub rows: u64,
}

/// Returns how far the deletion of a thread is; `None` when it is complete, and where none was asked for.
///
/// # Errors
/// When the store cannot be read.
pub fn progress(tx: &Tx, thread: ThreadId) -> Result<Option<Progress>> {
    let deletion = tx.first(Deletion::by_thread.eq(thread))?;
    Ok(deletion.map(|deletion| Progress { asked: deletion.asked, rows: deletion.rows }))
}

/// Deletes what [`threads::delete`] and [`threads::delete_user`] have marked, in transactions of
/// [`STEP_ROWS`] rows and about [`STEP_BYTES`] bytes.
pub fn upkeep() -> Upkeep {
    Upkeep::new("thread deletions", |tx| {
        let now = tx.now();
        let user = tx.first(UserDeletion::by_due.all().readable())?;
        if let Some(user) = user.as_ref().filter(|user| user.due <= now) {
            let stepped = tx.nested(|tx| user_step(tx, user));
            rest_if_failed(tx, stepped, user, |row, due| row.due = due)?;
            return Ok(Next::More);
        }
        let thread = tx.first(Deletion::by_due.all().readable())?;
        if let Some(thread) = thread.as_ref().filter(|thread| thread.due <= now) {
            let stepped = tx.nested(|tx| step(tx, thread));
            rest_if_failed(tx, stepped, thread, |row, due| row.due = due)?;
            return Ok(Next::More);
        }
        let due = user.map(|user| user.due).into_iter().chain(thread.map(|thread| thread.due)).min();
        Ok(due.map_or(Next::Idle, Next::At))
    })
}

/// Lets a row rest whose step has failed.
pub(crate) fn rest_if_failed<T: Table, R>(
    tx: &mut Tx,
    stepped: Result<R>,
    row: &Row<T>,
    set_due: impl FnOnce(&mut T, Time),
) -> Result<()> {
    let Err(error) = stepped else { return Ok(()) };
    tracing::error!(row = %row.id, %error, "a step failed and will be tried again");
    let due = tx.now() + RETRY_AFTER;
    tx.update(row.id, |record| set_due(record, due)).map(drop)
}

/// Marks a thread as deleted, and says whether there was one.
pub(crate) fn enter(tx: &mut Tx, id: ThreadId) -> Result<bool> {
    if threads::get(tx, id)?.is_none() {
        return Ok(false);
    }
    threads::set_status(tx, id, ThreadStatus::Deleting)?;
    abort_all(tx, id)?;
    if let Some(fork) = tx.first(Fork::by_thread.eq(id))? {
        tx.delete(fork.id)?;
    }
    let now = tx.now();
    tx.insert(Deletion { thread: id, asked: now, due: now, rows: 0 })?;
    Ok(true)
}

/// Ends the right of a thread's runs and streams to write. What came of their answers is not kept, unlike
/// when a run is aborted: it would be written to be deleted.
fn abort_all(tx: &mut Tx, thread: ThreadId) -> Result<()> {
    let now = tx.now();
    let failure = Failure::new(THREAD_DELETED, "the thread was deleted");
    for run in tx.scan(Run::live.eq(thread))? {
        tx.update(run.id, |run| {
            (run.status, run.host, run.ended) = (RunStatus::Aborted, None, Some(now));
            run.error = Some(failure.clone());
        })?;
    }
    for stream in tx.scan(StreamRow::by_thread.eq(thread).eq(StreamStatus::Streaming))? {
        streams::release(tx, stream.id, stream.owns_files)?;
        let last = tx.first(DeltaRow::by_stream.eq(stream.id).desc())?;
        tx.update(stream.id, |stream| {
            (stream.status, stream.ended, stream.expires) = (StreamStatus::Aborted, Some(now), now);
            stream.length = Some(last.map_or(0, |last| last.end));
            stream.error = Some(failure.clone());
            stream.owns_files = false;
        })?;
    }
    Ok(())
}

/// Deletes some of a thread's rows, and says whether a deletion of it was there.
pub(crate) fn step_of(tx: &mut Tx, id: ThreadId) -> Result<bool> {
    let Some(deletion) = tx.first(Deletion::by_thread.eq(id))? else { return Ok(false) };
    step(tx, &deletion)?;
    Ok(true)
}

fn step(tx: &mut Tx, deletion: &Row<Deletion>) -> Result<()> {
    // A copy that was asked for before gets all of what it copies.
    if let Some(fork) = tx.first(Fork::by_source.eq(deletion.thread))? {
        return fork::step(tx, &fork).map(drop);
    }
    let swept = sweep::sweep(tx, deletion.thread)?;
    if swept.is_clean {
        return tx.delete(deletion.id).map(drop);
    }
    tx.update(deletion.id, |row| row.rows += swept.rows as u64).map(drop)
}

/// Marks the threads of a user, the first at once.
pub(crate) fn enter_user(tx: &mut Tx, user: &str) -> Result<()> {
    let now = tx.now();
    let row = match tx.first(UserDeletion::by_user.eq(user))? {
        Some(row) => tx.update(row.id, |row| (row.asked, row.due) = (now, now))?,
        None => tx.insert(UserDeletion { user: user.to_owned(), asked: now, due: now })?,
    };
    user_step(tx, &row)
}

/// Takes a step of a user's deletion, and says whether there is anything left to do.
pub(crate) fn step_of_user(tx: &mut Tx, user: &str) -> Result<bool> {
    if let Some(row) = tx.first(UserDeletion::by_user.eq(user))? {
        user_step(tx, &row)?;
        return Ok(true);
    }
    let deleting = Thread::by_status.eq(user).eq(ThreadStatus::Deleting);
    match tx.first(deleting.readable())? {
        Some(thread) => step_of(tx, thread.id),
        None => Ok(false),
    }
}

fn user_step(tx: &mut Tx, row: &Row<UserDeletion>) -> Result<()> {
    let (user, asked) = (row.user.as_str(), row.asked);
    let threads = tx.scan(Thread::by_user.eq(user).readable().take(USER_STEP))?;
    let mut ended = 0;
    for thread in threads.iter().filter(|thread| thread.created <= asked) {
        enter(tx, thread.id)?;
        ended += 1;
    }
    for place in tx.scan(Member::of_others.eq(user).readable().take(USER_STEP))? {
        tx.delete(place.id)?;
        ended += 1;
    }
    if ended == 0 {
        tx.delete(row.id)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
