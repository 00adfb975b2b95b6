//! Ends of runs that were not meant: failure, abort, and the death of the process.

use loomwork_core::Time;
use loomwork_store::{Id, Next, Result, Row, Table, Tx, Upkeep, lease};

use super::{Hold, RunError, held, to_be_taken};
use crate::recover::{self, Unfinished, end_unfinished};
use crate::streams;
use crate::tables::{Failure, HostRow, MessageStatus, Run, RunId, RunStatus, StreamRow, ThreadId};

/// How many runs of a dead process one step takes from it.
pub const ORPHAN_STEP: usize = 16;

/// Fails or aborts a run that is held: its message keeps what its stream has.
///
/// Let the stream's writer flush before.
///
/// # Errors
/// [`RunError::Lost`] when the run is no longer held.
pub fn fail(tx: &mut Tx, hold: Hold, status: MessageStatus, failure: Failure) -> Result<Row<Run>> {
    let run = held(tx, hold)?;
    let status = match status {
        MessageStatus::Aborted => RunStatus::Aborted,
        MessageStatus::Pending | MessageStatus::Success | MessageStatus::Failed => RunStatus::Failed,
    };
    end(tx, run, status, Some(failure))
}

/// Aborts a run, whoever drives it: its message keeps what its stream has, and its process hears of it, in
/// the middle of a tool too. Says whether there was something to abort.
///
/// # Errors
/// [`RunError::NoRun`].
pub fn abort(tx: &mut Tx, run: RunId, failure: Failure) -> Result<bool> {
    let row = tx.get(run)?.ok_or(RunError::NoRun { run })?;
    if row.status.has_ended() {
        return Ok(false);
    }
    end(tx, row, RunStatus::Aborted, Some(failure))?;
    Ok(true)
}

/// Aborts all runs of a thread, or of one of its turns, and returns how many there were.
///
/// # Errors
/// When the store cannot be read or written.
pub fn abort_all(tx: &mut Tx, thread: ThreadId, order: Option<u64>, failure: &Failure) -> Result<usize> {
    let runs = match order {
        Some(order) => tx.scan(Run::live.eq(thread).eq(order))?,
        None => tx.scan(Run::live.eq(thread))?,
    };
    let count = runs.len();
    for run in runs {
        end(tx, run, RunStatus::Aborted, Some(failure.clone()))?;
    }
    Ok(count)
}

/// Why what was pending in a turn ends when the turn is begun again.
pub(crate) fn restarted() -> Failure {
    Failure::new("restarted", "the turn was begun again")
}

/// Ends a run together with its message and its stream.
pub(crate) fn end(tx: &mut Tx, run: Row<Run>, status: RunStatus, error: Option<Failure>) -> Result<Row<Run>> {
    let stream = stream_of(tx, &run)?;
    if let Some(message) = run.pending {
        let ends =
            Unfinished { message, run: Some(run.id), status: message_status(status), error: error.clone() };
        end_unfinished(tx, &ends, stream.as_ref(), run.step_from)?;
    }
    if let Some(stream) = stream {
        streams::cut(tx, stream.id, error.clone().unwrap_or_default())?;
    }
    end_alone(tx, run.id, status, error)
}

fn end_alone(tx: &mut Tx, run: RunId, status: RunStatus, error: Option<Failure>) -> Result<Row<Run>> {
    let now = tx.now();
    tx.update(run, |run| {
        run.status = status;
        run.error = error;
        run.host = None;
        run.ended = Some(now);
    })
}

fn stream_of(tx: &Tx, run: &Run) -> Result<Option<Row<StreamRow>>> {
    match run.stream {
        Some(stream) => tx.get(stream),
        None => Ok(None),
    }
}

/// Writes the message of a run that was ended from elsewhere anew, when its writer has stored the rest of
/// what it had.
pub(crate) fn amend(tx: &mut Tx, run: RunId) -> Result<()> {
    let Some(run) = tx.get(run)? else { return Ok(()) };
    let (Some(message), Some(stream)) = (run.pending, stream_of(tx, &run)?) else { return Ok(()) };
    let status = message_status(run.status);
    let ends = Unfinished { message, run: Some(run.id), status, error: run.error.clone() };
    recover::amend(tx, &ends, &stream, run.step_from)
}

const fn message_status(status: RunStatus) -> MessageStatus {
    match status {
        RunStatus::Failed => MessageStatus::Failed,
        _ => MessageStatus::Aborted,
    }
}

/// Returns the upkeep that takes runs from processes that are gone: a durable run waits for another one, any
/// other is aborted with what it had written.
///
/// `own` is the process that asks.
pub(super) fn settle_orphans(own: impl Fn() -> Id<HostRow> + Send + Sync + 'static) -> Upkeep {
    Upkeep::new("runs of dead processes", move |tx| {
        let own = own();
        let mut next: Option<Time> = None;
        for host in tx.scan(HostRow::all().readable())? {
            if host.id == own {
                continue;
            }
            if host.buried || lease::check(tx, &host.lease).is_err() {
                bury(tx, host.id)?;
                return Ok(Next::More);
            }
            let expires = host.lease.expires;
            next = Some(next.map_or(expires, |next| next.min(expires)));
        }
        Ok(next.map_or(Next::Idle, Next::At))
    })
}

/// Takes some runs from a dead process; without any, forgets the process.
fn bury(tx: &mut Tx, host: Id<HostRow>) -> Result<()> {
    let runs = tx.scan(Run::by_host.eq(host).readable().take(ORPHAN_STEP))?;
    if runs.is_empty() {
        if let Some(host) = tx.delete(host)? {
            let _ = lease::release(tx, &host.lease);
        }
        return Ok(());
    }
    tracing::warn!(%host, runs = runs.len(), "taking the runs of a process that is gone");
    for run in runs {
        if run.durable {
            // The cut model call is made again, so its text starts anew.
            to_be_taken(tx, run.id)?;
        } else {
            let failure = Failure::new("interrupted", "the process that made the answer is gone");
            let (id, told) = (run.id, failure.clone());
            if let Err(error) = tx.nested(|tx| end(tx, run, RunStatus::Aborted, Some(told))) {
                tracing::error!(run = %id, %error, "a run ends without its message and its stream");
                end_alone(tx, id, RunStatus::Aborted, Some(failure))?;
            }
        }
    }
    tx.update(host, |host| host.buried = true)?;
    Ok(())
}
