//! Ends of runs that were not meant: failure, abort, and the death of the process.

use loomwork_core::Time;
use loomwork_search::vectors;
use loomwork_store::{Id, Next, Result, Row, Table, Tx, Upkeep, lease};

use super::{Hold, RunError, held};
use crate::change::settle;
use crate::recover::recover;
use crate::save::{NewMessage, Place, Save, save};
use crate::streams;
use crate::tables::{
    Failure, HostRow, MessageId, MessageRow, MessageStatus, Position, Run, RunId, RunStatus, ThreadId,
};

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

/// Ends a run together with its message and its stream.
pub(crate) fn end(tx: &mut Tx, run: Row<Run>, status: RunStatus, error: Option<Failure>) -> Result<Row<Run>> {
    if let Some(pending) = run.pending {
        keep_partial(tx, &run, pending, message_status(status), error.as_ref())?;
    }
    if let Some(stream) = run.stream {
        streams::cut(tx, stream, error.clone().unwrap_or_default())?;
    }
    let now = tx.now();
    tx.update(run.id, |run| {
        run.status = status;
        run.error = error;
        run.host = None;
        run.ended = Some(now);
    })
}

/// Writes what the stream has of the step that was being made into the pending message.
fn keep_partial(
    tx: &mut Tx,
    run: &Row<Run>,
    pending: MessageId,
    status: MessageStatus,
    error: Option<&Failure>,
) -> Result<()> {
    let Some(row) = tx.get(pending)?.filter(|row| row.status == MessageStatus::Pending) else {
        return Ok(());
    };
    let partial = partial_messages(tx, run, status, error)?;
    if partial.is_empty() {
        settle(tx, row.id, status, error.cloned())?;
        return Ok(());
    }
    let filled = Save { run: Some(run.id), ..Save::all(partial).at(Place::Fill(row.id)) };
    save(tx, run.thread, filled)?;
    Ok(())
}

fn partial_messages(
    tx: &Tx,
    run: &Row<Run>,
    status: MessageStatus,
    error: Option<&Failure>,
) -> Result<Vec<NewMessage>> {
    let Some(stream) = run.stream else { return Ok(Vec::new()) };
    let Some(stream) = tx.get(stream)? else { return Ok(Vec::new()) };
    let messages = recover(tx, stream.id, run.step_from)?;
    let new = messages.into_iter().map(|message| NewMessage {
        status,
        error: error.cloned(),
        agent: run.agent.clone(),
        user: run.user.clone(),
        model: stream.model.clone(),
        provider: stream.provider.clone(),
        ..NewMessage::new(message)
    });
    Ok(new.collect())
}

/// Writes the message of a run that was ended from elsewhere anew, when its writer has stored the rest of
/// what it had.
pub(crate) fn amend(tx: &mut Tx, run: RunId) -> Result<()> {
    let Some(run) = tx.get(run)? else { return Ok(()) };
    let Some(pending) = run.pending else { return Ok(()) };
    let Some(row) = tx.get(pending)?.filter(|row| row.status != MessageStatus::Success) else {
        return Ok(());
    };
    let status = message_status(run.status);
    let mut partial = partial_messages(tx, &run, status, run.error.as_ref())?.into_iter();
    let Some(first) = partial.next() else { return Ok(()) };
    forget_rest(tx, &run, row.position())?;
    let message = Some(first.message);
    crate::change::update(tx, row.id, crate::change::MessagePatch { message, ..Default::default() })?;
    let rest = Save { run: Some(run.id), ..Save::all(partial).at(Place::Turn(run.order)) };
    save(tx, run.thread, rest)?;
    Ok(())
}

/// Deletes what the first settlement wrote behind the pending message.
fn forget_rest(tx: &mut Tx, run: &Row<Run>, pending: Position) -> Result<()> {
    let behind = MessageRow::by_position.eq(run.thread).gt(pending).le(Position::end_of(pending.order));
    for row in tx.scan(behind)? {
        if row.run == Some(run.id) {
            tx.delete(row.id)?;
            vectors::delete_for(tx, row.id)?;
        }
    }
    Ok(())
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
    let runs = tx.scan(Run::by_host.eq(host).take(ORPHAN_STEP))?;
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
            tx.update(run.id, |run| {
                run.status = RunStatus::Queued;
                run.host = None;
                run.attempt += 1;
            })?;
        } else {
            let failure = Failure::new("interrupted", "the process that made the answer is gone");
            end(tx, run, RunStatus::Aborted, Some(failure))?;
        }
    }
    tx.update(host, |host| host.buried = true)?;
    Ok(())
}
