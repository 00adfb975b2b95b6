//! Writing a stream.

use std::sync::Arc;

use loomwork_store::Result;
use tokio::sync::OnceCell;

use super::hub::{Growing, Live, SLICE_BYTES, changed};
use super::{Chunking, NewStream, open, stored};
use crate::chunk::UiChunk;
use crate::tables::StreamId;

/// How many bytes of a stream may wait to be stored before its writer waits too.
pub const MAX_UNSTORED: usize = 1024 * 1024;

/// Writes a stream, chunk by chunk.
///
/// Its row is made with the first chunk. What was pushed is stored also when the writer is dropped; that
/// the stream is complete is said by the transaction that saves the message, see
/// [`step`](crate::runs::step) and [`finish`](super::finish).
#[derive(Debug)]
pub struct StreamWriter {
    live: Live,
    new: NewStream,
    chunking: Chunking,
    growing: OnceCell<Arc<Growing>>,
}

impl Live {
    /// Returns the writer of a stream.
    pub fn write(&self, new: NewStream) -> StreamWriter {
        let (live, chunking) = (self.clone(), Chunking::default());
        StreamWriter { live, new, chunking, growing: OnceCell::new() }
    }
}

impl StreamWriter {
    /// Says where texts are cut before they are handed on.
    pub fn chunking(mut self, chunking: Chunking) -> Self {
        self.chunking = chunking;
        self
    }

    /// Returns the stream's id, and opens it if that is still to be done.
    ///
    /// # Errors
    /// As [`open`].
    pub async fn id(&self) -> Result<StreamId> {
        Ok(self.growing().await?.id)
    }

    /// Returns the stream's id, if a chunk has come.
    pub fn opened(&self) -> Option<StreamId> {
        self.growing.get().map(|growing| growing.id)
    }

    /// Hands a chunk to the readers, and has it stored soon. It waits while too much is still to be stored.
    ///
    /// # Cancel safety
    /// A chunk whose push was dropped may have been handed on, or not.
    ///
    /// # Errors
    /// [`StreamError::Ended`](super::StreamError::Ended) when the stream was cut: stop what makes its
    /// chunks then. As [`open`] for the first chunk.
    pub async fn push(&self, chunk: UiChunk) -> Result<()> {
        let growing = self.growing().await?;
        let ready = || {
            let state = growing.state();
            (state.unstored < MAX_UNSTORED || state.is_lost()).then_some(())
        };
        changed(growing, ready).await;
        growing.lost()?;
        let unstored = growing.push(chunk)?;
        if unstored >= SLICE_BYTES {
            self.live.hub.store_one(growing).await
        } else {
            self.live.hub.is_dirty();
            Ok(())
        }
    }

    /// Tells the readers to drop what came of this step: the model call is made again.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub async fn restart_step(&self, attempt: u32) -> Result<()> {
        self.push(UiChunk::restart_step(attempt)).await
    }

    /// Stores all that was pushed, and returns when it is.
    ///
    /// # Errors
    /// [`StreamError::Ended`](super::StreamError::Ended) when the stream was cut, and what it had could not
    /// be stored any more.
    pub async fn flush(&self) -> Result<()> {
        match self.growing.get() {
            Some(growing) => self.live.hub.store_one(growing).await,
            None => Ok(()),
        }
    }

    async fn growing(&self) -> Result<&Arc<Growing>> {
        let growing = self.growing.get_or_try_init(|| async {
            let new = self.new.clone();
            let hold = new.hold;
            let opened = self.live.hub.store.mutate(move |tx| {
                let row = open(tx, new)?;
                let run = row.run.map(|run| tx.require(run)).transpose()?;
                let end = stored(tx, row.id)?;
                // Someone began the step before: what came of it is told to be dropped.
                let again = run.filter(|run| end > run.step_from).map(|run| run.attempt);
                Ok((row.id, end, again))
            });
            let (id, end, again) = opened.relaxed().await?;
            let growing = self.live.hub.enter(id, hold, end, self.chunking.clone());
            if let Some(attempt) = again {
                growing.push(UiChunk::restart_step(attempt))?;
            }
            Ok::<_, loomwork_store::Error>(growing)
        });
        growing.await
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        if let Some(growing) = self.growing.get() {
            growing.state().is_closed = true;
            growing.changed.notify_waiters();
            self.live.hub.is_dirty();
        }
    }
}
