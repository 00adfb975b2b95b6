//! What a stream has of a message that was never completed.

use loomwork_models::Message;
use loomwork_store::{Result, Row, Tx};

use crate::change::{MessagePatch, delete, settle, update};
use crate::chunk::UiChunk;
use crate::content::oversized_part;
use crate::project::StepMessages;
use crate::reduce::Reducer;
use crate::save::{NewMessage, Place, Save, save_in};
use crate::streams::{self, READ_BYTES};
use crate::tables::{Failure, MessageId, MessageRow, MessageStatus, Position, RunId, StreamId, StreamRow};
use crate::threads;

/// How a message ends that was never completed.
#[derive(Clone, Debug)]
pub(crate) struct Unfinished {
    /// The message.
    pub(crate) message: MessageId,
    /// The run that made it.
    pub(crate) run: Option<RunId>,
    /// How it ends.
    pub(crate) status: MessageStatus,
    /// Why.
    pub(crate) error: Option<Failure>,
}

/// Ends a pending message with what its stream has from a chunk on. One that has ended stays as it is.
///
/// What a row does not hold, or what is damaged, is left out: it must not keep its run from ending.
pub(crate) fn end_unfinished(
    tx: &mut Tx,
    ends: &Unfinished,
    stream: Option<&Row<StreamRow>>,
    from: u64,
) -> Result<()> {
    let Some(row) = tx.get(ends.message)?.filter(|row| row.status == MessageStatus::Pending) else {
        return Ok(());
    };
    let home = threads::get(tx, row.thread)?;
    if let (Some(home), Some(stream)) = (home, stream) {
        let filled = tx.nested(|tx| {
            let said = said_so_far(tx, ends, stream, from)?;
            let is_something = !said.is_empty();
            if is_something {
                let said = Save { run: ends.run, ..Save::all(said).at(Place::Fill(row.id)) };
                save_in(tx, &home, said, row.prompt)?;
            }
            Ok(is_something)
        });
        match filled {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(message = %row.id, %error, "a message ends without what its stream has");
            }
        }
    }
    settle(tx, row.id, ends.status, ends.error.clone()).map(drop)
}

/// Writes a message anew that ended with what its stream had, when its writer has stored the rest of it.
pub(crate) fn amend(tx: &mut Tx, ends: &Unfinished, stream: &Row<StreamRow>, from: u64) -> Result<()> {
    let was_ended_so = |row: &Row<MessageRow>| row.status == ends.status && row.error == ends.error;
    let Some(row) = tx.get(ends.message)?.filter(was_ended_so) else { return Ok(()) };
    let Some(home) = threads::get(tx, row.thread)? else { return Ok(()) };
    let mut said = said_so_far(tx, ends, stream, from)?.into_iter().peekable();
    if said.peek().is_none() {
        return Ok(());
    }
    let behind = MessageRow::by_position.eq(row.thread).gt(row.position()).le(Position::end_of(row.order));
    let behind = tx.scan(behind)?;
    // What the end of the message wrote, each in its place: another run may have begun behind it.
    let is_of_it = |behind: &Row<MessageRow>| match ends.run {
        Some(run) => behind.run == Some(run),
        None => behind.run.is_none() && Some(behind.created) == stream.ended && was_ended_so(behind),
    };
    let written = behind.iter().filter(|behind| is_of_it(behind)).map(|behind| behind.id);
    for id in std::iter::once(row.id).chain(written) {
        match said.next() {
            Some(new) => {
                update(tx, id, MessagePatch { message: Some(new.message), ..MessagePatch::default() })?;
            }
            None => drop(delete(tx, &[id])?),
        }
    }
    if behind.iter().all(is_of_it) {
        let rest = Save { run: ends.run, ..Save::all(said).at(Place::Turn(row.order)) };
        save_in(tx, &home, rest, row.prompt)?;
    }
    Ok(())
}

/// Returns what a stream has from a chunk on, as messages that have ended so.
fn said_so_far(tx: &Tx, ends: &Unfinished, stream: &Row<StreamRow>, from: u64) -> Result<Vec<NewMessage>> {
    let said = recover(tx, stream.id, from)?.into_iter().map(without_large_parts).map(|message| NewMessage {
        status: ends.status,
        error: ends.error.clone(),
        agent: stream.agent.clone(),
        user: stream.user.clone(),
        model: stream.model.clone(),
        provider: stream.provider.clone(),
        ..NewMessage::new(message)
    });
    Ok(said.collect())
}

/// Returns the messages that a stream's chunks make from one of them on, however long they are.
///
/// A stream that cannot be read gives nothing: half of a broken answer may say the opposite of the whole.
fn recover(tx: &Tx, stream: StreamId, from: u64) -> Result<Vec<Message>> {
    let mut reducer = Reducer::strict();
    let mut cursor = from;
    loop {
        let slices = streams::slices(tx, stream, cursor, READ_BYTES)?;
        let Some(last) = slices.last() else { break };
        cursor = last.end;
        for slice in slices {
            let chunks = match slice.chunks() {
                Ok(chunks) => chunks,
                Err(error) => return Ok(unreadable(stream, &error)),
            };
            // What an application says in passing is no part of the message.
            let said = chunks.into_iter().filter(|chunk| !is_passing(chunk));
            if let Err(error) = reducer.extend(said) {
                return Ok(unreadable(stream, &error));
            }
        }
    }
    let steps = StepMessages::from_parts(reducer.into_parts());
    Ok(steps.into_iter().flat_map(StepMessages::into_messages).collect())
}

/// Leaves out what belongs in the file store and did not come there.
fn without_large_parts(mut message: Message) -> Message {
    while let Some((part, bytes)) = oversized_part(&message) {
        tracing::warn!(bytes, "a part of an unfinished message is left out, since it is too large for a row");
        message.parts.remove(part);
    }
    message
}

fn is_passing(chunk: &UiChunk) -> bool {
    matches!(chunk, UiChunk::Data(data) if data.transient) && !chunk.is_restart_step()
}

fn unreadable(stream: StreamId, error: &dyn std::fmt::Display) -> Vec<Message> {
    tracing::warn!(%stream, %error, "nothing of a stream was recovered, since its chunks do not fit together");
    Vec::new()
}
