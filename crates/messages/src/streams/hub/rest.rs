//! What a writer has in hand, stored by a transaction of the caller's.

use std::marker::PhantomData;
use std::sync::Arc;

use loomwork_store::{Result, Tx};

use super::super::{MAX_CHUNK_BYTES, Slice, StreamError};
use super::{Gathered, Growing, Hub, Taken, append_part};
use crate::chunk::UiChunk;
use crate::runs::Hold;
use crate::tables::StreamId;

/// What a [writer](super::super::StreamWriter::rest) has in hand, to be stored by a transaction of its owner's. Unless
/// that says that it [is stored](Self::is_stored), all of it goes back to the writer, which stores it as what was pushed.
#[derive(Debug)]
pub struct Rest<'a> {
    /// Until it is known what became of it.
    taken: Option<Taken>,
    slice: RestSlice,
    /// What no reader has seen yet.
    behind: Vec<Box<str>>,
    /// Its writer hands on nothing meanwhile.
    writer: PhantomData<&'a mut ()>,
}

/// The chunks of a [`Rest`], for the transaction.
#[derive(Clone, Debug)]
pub struct RestSlice {
    stream: StreamId,
    hold: Option<Hold>,
    slice: Slice,
    is_unsure: bool,
}

impl RestSlice {
    /// Stores it, and says whether the stream takes more, as [`append`](super::super::append) does.
    ///
    /// # Errors
    /// As [`append`](super::super::append).
    pub fn store(self, tx: &mut Tx) -> Result<bool> {
        append_part(tx, self.stream, self.hold, self.slice, self.is_unsure)
    }
}

impl Rest<'_> {
    /// Takes what waits to be stored, when whoever stores some of it now has done so.
    pub(in super::super) async fn take(
        hub: &Hub,
        growing: &Arc<Growing>,
        behind: Vec<UiChunk>,
    ) -> Result<Option<Self>> {
        // Should it come back, then the loop stores it.
        hub.is_dirty();
        let turn = growing.storing.clone().lock_owned().await;
        growing.lost()?;
        let bad = |error: serde_json::Error| StreamError::BadChunk { reason: error.to_string() };
        let mut texts: Vec<Box<str>> = Vec::with_capacity(behind.len());
        let mut kept = Vec::with_capacity(behind.len());
        for chunk in behind {
            let text = serde_json::to_string(&chunk).map_err(bad)?;
            if text.len() > MAX_CHUNK_BYTES {
                let error = StreamError::ChunkTooLarge { bytes: text.len() };
                tracing::warn!(stream = %growing.id, %error, "a chunk is left out of a stream");
                continue;
            }
            texts.push(text.into());
            kept.push(chunk);
        }
        let mut batch = growing.take_all();
        let is_unsure = batch.is_unsure;
        kept.into_iter().for_each(|chunk| batch.gathered.push(chunk));
        if batch.gathered.is_empty() {
            return Ok(None);
        }
        let (stream, hold, slice) = (growing.id, growing.hold, batch.gathered.slice().map_err(bad)?);
        let slice = RestSlice { stream, hold, slice, is_unsure };
        let taken = Some(Taken::new(growing.clone(), batch, turn));
        Ok(Some(Self { taken, slice, behind: texts, writer: PhantomData }))
    }

    /// Returns the chunks, for the transaction.
    pub fn slice(&self) -> RestSlice {
        self.slice.clone()
    }

    /// Says that the transaction is committed: readers see all of it now.
    pub fn is_stored(mut self) {
        let Some(taken) = self.taken.take() else { return };
        self.hand_on(&taken.growing);
        let (growing, end) = taken.decided();
        growing.state().gathered = Gathered::from(end);
        growing.acknowledge(end);
        growing.grown.notify_waiters();
    }

    /// Lets readers see what they have not seen yet.
    fn hand_on(&mut self, growing: &Growing) {
        let mut state = growing.state();
        for text in self.behind.drain(..) {
            state.end += 1;
            state.unstored += text.len();
            state.ring_bytes += text.len();
            state.ring.push_back(text);
        }
    }
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        let Some(taken) = self.taken.take() else { return };
        let growing = taken.growing.clone();
        self.hand_on(&growing);
        drop(taken);
        growing.grown.notify_waiters();
    }
}
