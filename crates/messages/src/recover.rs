//! What a stream has of a message that was never completed.

use loomwork_models::Message;
use loomwork_store::{Result, Row, Tx};

use crate::change::settle;
use crate::chunk::UiChunk;
use crate::project::StepMessages;
use crate::reduce::Reducer;
use crate::save::{NewMessage, Place, Save, save_in};
use crate::streams::{self, READ_BYTES};
use crate::tables::{Failure, MessageId, MessageStatus, RunId, StreamId, StreamRow};
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
    let said = match stream {
        Some(stream) => said_so_far(tx, ends, stream, from)?,
        None => Vec::new(),
    };
    match home.filter(|_| !said.is_empty()) {
        Some(home) => {
            let filled = Save { run: ends.run, ..Save::all(said).at(Place::Fill(row.id)) };
            save_in(tx, &home, filled).map(drop)
        }
        None => settle(tx, row.id, ends.status, ends.error.clone()).map(drop),
    }
}

/// Returns what a stream has from a chunk on, as messages that have ended so.
pub(crate) fn said_so_far(
    tx: &Tx,
    ends: &Unfinished,
    stream: &Row<StreamRow>,
    from: u64,
) -> Result<Vec<NewMessage>> {
    let said = recover(tx, stream.id, from)?.into_iter().map(|message| NewMessage {
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

fn is_passing(chunk: &UiChunk) -> bool {
    matches!(chunk, UiChunk::Data(data) if data.transient) && !chunk.is_restart_step()
}

fn unreadable(stream: StreamId, error: &dyn std::fmt::Display) -> Vec<Message> {
    tracing::warn!(%stream, %error, "nothing of a stream was recovered, since its chunks do not fit together");
    Vec::new()
}
