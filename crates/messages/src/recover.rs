//! What a stream has of a message that was never completed.

use loomwork_models::Message;
use loomwork_store::{Result, Tx};

use crate::chunk::UiChunk;
use crate::project::StepMessages;
use crate::reduce::Reducer;
use crate::streams::{self, READ_BYTES};
use crate::tables::StreamId;

/// Returns the messages that a stream's chunks make from one of them on, however long they are.
///
/// A stream that cannot be read gives nothing: half of a broken answer may say the opposite of the whole.
pub(crate) fn recover(tx: &Tx, stream: StreamId, from: u64) -> Result<Vec<Message>> {
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
