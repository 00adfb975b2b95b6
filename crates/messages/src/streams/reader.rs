//! Reading a stream.

use std::collections::VecDeque;
use std::sync::Arc;

use loomwork_store::{Result, Row, Tx};

use super::hub::{Found, Growing, Live, changed};
use super::rows::of_thread;
use super::{READ_BYTES, Slice, StreamError, slices};
use crate::tables::{StreamId, StreamRow, StreamStatus, ThreadId};

/// Reads a stream from any chunk on, to its end.
#[derive(Debug)]
pub struct StreamReader {
    live: Live,
    thread: ThreadId,
    stream: StreamId,
    cursor: u64,
    /// Stored slices that were read ahead.
    ahead: VecDeque<Slice>,
}

impl Live {
    /// Returns a reader of a thread's stream, from a chunk on: 0, or the end of the last slice that its
    /// client has. Whoever calls has made sure that the client may read the thread.
    ///
    /// # Errors
    /// [`StreamError::Elsewhere`] for a stream of another thread; [`StreamError::NoStream`].
    pub async fn read(&self, thread: ThreadId, stream: StreamId, cursor: u64) -> Result<StreamReader> {
        self.hub.store.query(move |tx| of_thread(tx, thread, stream).map(drop)).await?;
        Ok(StreamReader { live: self.clone(), thread, stream, cursor, ahead: VecDeque::new() })
    }
}

impl StreamReader {
    /// Returns the number of the chunk that comes next.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Returns the next slice, as soon as there is one; `None` when the stream has ended and all of it was
    /// read.
    ///
    /// # Errors
    /// [`StreamError::Ahead`] for a cursor behind the end; [`StreamError::NoStream`] when the stream was
    /// deleted meanwhile.
    ///
    /// # Cancel safety
    /// Nothing is skipped when it is dropped.
    pub async fn next(&mut self) -> Option<Result<Slice>> {
        loop {
            if let Some(slice) = self.ahead.pop_front() {
                self.cursor = slice.end;
                return Some(Ok(slice));
            }
            if let Some(growing) = self.live.hub.growing(self.stream) {
                match self.in_memory(&growing).await {
                    Found::Slice(slice) => {
                        self.cursor = slice.end;
                        return Some(Ok(slice));
                    }
                    Found::Ahead(end) => return Some(Err(self.is_ahead(end))),
                    Found::Stored | Found::Nothing | Found::Over => {}
                }
            }
            match self.stored().await {
                Ok(Stored::Slices(slices)) => self.ahead = slices.into(),
                Ok(Stored::End) => return None,
                // A writer has come to this process.
                Ok(Stored::Nothing) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Waits for what memory has at the cursor, or to be sent elsewhere.
    async fn in_memory(&self, growing: &Arc<Growing>) -> Found {
        changed(growing, || match growing.from(self.cursor) {
            Found::Nothing => None,
            found => Some(found),
        })
        .await
    }

    /// Reads what is stored at the cursor; without anything there, waits for it.
    async fn stored(&self) -> Result<Stored> {
        let (thread, stream, cursor) = (self.thread, self.stream, self.cursor);
        let mut looks = self.live.hub.store.watch(move |tx| look(tx, thread, stream, cursor));
        loop {
            match looks.next().await {
                Some(Ok(Stored::Nothing))
                    if self.live.hub.growing(stream).is_some_and(|growing| is_open(&growing)) =>
                {
                    return Ok(Stored::Nothing);
                }
                Some(Ok(Stored::Nothing)) => {}
                Some(found) => return found,
                // The store is closed.
                None => return Ok(Stored::End),
            }
        }
    }

    fn is_ahead(&self, end: u64) -> loomwork_store::Error {
        StreamError::Ahead { stream: self.stream, end, cursor: self.cursor }.into()
    }
}

fn is_open(growing: &Growing) -> bool {
    !growing.state().is_closed
}

/// What a look at the rows finds.
#[derive(Clone, Debug)]
enum Stored {
    Slices(Vec<Slice>),
    Nothing,
    End,
}

/// Nothing is equal to slices, so that each look that finds some is told.
impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Nothing, Self::Nothing) | (Self::End, Self::End))
    }
}

fn look(tx: &Tx, thread: ThreadId, stream: StreamId, cursor: u64) -> Result<Stored> {
    let row: Row<StreamRow> = of_thread(tx, thread, stream)?;
    let found = slices(tx, stream, cursor, READ_BYTES)?;
    if !found.is_empty() {
        return Ok(Stored::Slices(found));
    }
    match row.length {
        Some(end) if cursor > end => Err(StreamError::Ahead { stream, end, cursor }.into()),
        Some(_) if row.status != StreamStatus::Streaming => Ok(Stored::End),
        _ => Ok(Stored::Nothing),
    }
}
