//! Writing a stream.

use std::sync::Arc;

use loomwork_store::{Result, Tx};
use tokio::sync::OnceCell;

use super::files::offload_chunk;
use super::hub::{Growing, Live, Rest, SLICE_BYTES};
use super::{Chunking, NewStream, Slice, StreamError, append, open, stored};
use crate::chunk::UiChunk;
use crate::tables::StreamId;

/// How many bytes of a stream may wait to be stored before its writer waits too.
pub const MAX_UNSTORED: usize = 1024 * 1024;

/// How many numbers the chunk takes that tells of a new attempt: more than a writer hands on before it waits
/// for the store. A reader may have chunks of the attempt before that were never stored, and finds that one
/// at its cursor too.
const UNSEEN: u64 = MAX_UNSTORED as u64;

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

/// A stream that a transaction of the caller's has opened, for the [writer](Live::go_on) that comes behind its commit.
#[derive(Clone, Debug)]
pub struct OpenStream {
    id: StreamId,
    new: NewStream,
    /// The number of its next chunk.
    end: u64,
    is_new: bool,
}

impl OpenStream {
    /// Whether nobody has opened it before.
    pub fn is_new(&self) -> bool {
        self.is_new
    }
}

impl Live {
    /// Returns the writer of a stream.
    pub fn write(&self, new: NewStream) -> StreamWriter {
        let (live, chunking) = (self.clone(), Chunking::default());
        StreamWriter { live, new, chunking, growing: OnceCell::new() }
    }

    /// Returns the writer of a stream that [`begin`] has opened, its texts cut as they are sent. An earlier writer of
    /// it writes nothing any more.
    pub fn go_on(&self, opened: OpenStream) -> StreamWriter {
        let OpenStream { id, new, end, .. } = opened;
        let chunking = Chunking::default();
        let growing = self.hub.enter(id, new.hold, end, chunking.clone());
        StreamWriter { live: self.clone(), new, chunking, growing: OnceCell::new_with(Some(growing)) }
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
    /// chunks then. As [`open`] for the first chunk. When the file store fails, where there is one.
    pub async fn push(&self, mut chunk: UiChunk) -> Result<()> {
        if let Some(files) = &self.live.files {
            offload_chunk(files, &mut chunk).await?;
        }
        let growing = self.growing().await?;
        growing.has_room().await;
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

    /// Takes what waits to be stored, so that a transaction of the caller's stores it; `None` if nothing does. What
    /// is given comes behind it, and no reader sees that before it is committed; of those chunks, one above
    /// [`MAX_CHUNK_BYTES`](super::MAX_CHUNK_BYTES) is left out.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub async fn rest(&mut self, mut behind: Vec<UiChunk>) -> Result<Option<Rest<'_>>> {
        if self.growing.get().is_none() && behind.is_empty() {
            return Ok(None);
        }
        if let Some(files) = &self.live.files {
            for chunk in &mut behind {
                offload_chunk(files, chunk).await?;
            }
        }
        let growing = self.growing().await?;
        Rest::take(&self.live.hub, growing, behind).await
    }

    async fn growing(&self) -> Result<&Arc<Growing>> {
        let growing = self.growing.get_or_try_init(|| async {
            let (hub, new) = (&self.live.hub, self.new.clone());
            if let Some(former) = self.former().await? {
                hub.succeed(&former).await?;
            }
            let opened = hub.store.mutate(move |tx| begin(tx, new));
            let OpenStream { id, new, end, .. } = opened.relaxed().await?;
            Ok::<_, loomwork_store::Error>(hub.enter(id, new.hold, end, self.chunking.clone()))
        });
        growing.await
    }

    /// Returns what an earlier writer of this process has left of the run's stream.
    async fn former(&self) -> Result<Option<Arc<Growing>>> {
        let Some(hold) = self.new.hold else { return Ok(None) };
        let hub = &self.live.hub;
        let stream = hub.store.query(move |tx| Ok(tx.get(hold.run)?.and_then(|run| run.stream))).await?;
        Ok(stream.and_then(|stream| hub.growing(stream)))
    }
}

/// Opens a stream as [`open`] does, in the transaction that takes its run, so that its writer need not. Where somebody
/// has begun the step before, readers are told to drop what came of it.
///
/// # Errors
/// As [`open`].
pub fn begin(tx: &mut Tx, new: NewStream) -> Result<OpenStream> {
    let run = new.hold.map(|hold| tx.require(hold.run)).transpose()?;
    let is_new = run.as_ref().is_none_or(|run| run.stream.is_none());
    let id = open(tx, new.clone())?.id;
    let end = stored(tx, id)?;
    // What came of a step that is made again is told to be dropped.
    let cut = run.filter(|run| run.stream.is_some() && (end > run.step_from || run.attempt > 1));
    let Some(run) = cut else { return Ok(OpenStream { id, new, end, is_new }) };
    let told = Slice::of_restart(run.attempt, end, end + UNSEEN);
    let told = told.map_err(|error| StreamError::BadChunk { reason: error.to_string() })?;
    let end = told.end;
    append(tx, id, new.hold, told)?;
    Ok(OpenStream { id, new, end, is_new })
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        if let Some(growing) = self.growing.get() {
            growing.close();
            self.live.hub.is_dirty();
        }
    }
}
