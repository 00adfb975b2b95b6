//! Reading a stream.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use loomwork_store::{Problem, Result, Row, Tx, Watch};

use super::hub::{Found, Growing, Live};
use super::rows::{of_thread, takes_more};
use super::{READ_BYTES, Slice, StreamError, slices};
use crate::tables::{StreamId, StreamRow, StreamStatus, ThreadId};

/// Reads a stream from any chunk on, to its end.
#[derive(Debug)]
pub struct StreamReader {
    live: Live,
    thread: ThreadId,
    stream: StreamId,
    cursor: u64,
    /// Whether it has handed on something: its cursor is its own then.
    has_begun: bool,
    /// Stored slices that were read ahead.
    ahead: VecDeque<Slice>,
    joined: Option<Joined>,
}

/// The writer of this process that a reader follows.
#[derive(Debug)]
struct Joined {
    growing: Arc<Growing>,
    /// Whether it may still write. It may be there long after the stream has ended, or was taken from it.
    writes: Watch<bool>,
    is_over: bool,
}

impl Live {
    /// Returns a reader of a thread's stream, from a chunk on: 0, or the end of the last slice that its
    /// client has. Whoever calls has made sure that the client may read the thread.
    ///
    /// # Errors
    /// [`StreamError::Elsewhere`] for a stream of another thread; [`StreamError::NoStream`].
    pub async fn read(&self, thread: ThreadId, stream: StreamId, cursor: u64) -> Result<StreamReader> {
        self.hub.store.query(move |tx| of_thread(tx, thread, stream).map(drop)).await?;
        Ok(StreamReader::new(self, thread, stream, cursor))
    }
}

impl StreamReader {
    /// Reads a stream that is known to be of the thread.
    pub(crate) fn new(live: &Live, thread: ThreadId, stream: StreamId, cursor: u64) -> Self {
        let (live, ahead) = (live.clone(), VecDeque::new());
        Self { live, thread, stream, cursor, has_begun: false, ahead, joined: None }
    }

    /// Returns the number of the chunk that comes next.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Returns the next slice, as soon as there is one; `None` when the stream has ended and all of it was
    /// read.
    ///
    /// # Errors
    /// [`StreamError::Ahead`] for a cursor behind the end; [`StreamError::NoStream`] when the stream was
    /// deleted meanwhile; [`Problem::Closed`] when the store was closed before the end.
    ///
    /// # Cancel safety
    /// Nothing is skipped when it is dropped.
    pub async fn next(&mut self) -> Option<Result<Slice>> {
        loop {
            if let Some(slice) = self.ahead.pop_front() {
                return Some(Ok(self.hand_on(slice)));
            }
            match self.in_memory().await {
                Found::Slice(slice) => return Some(Ok(self.hand_on(slice))),
                Found::Ahead(end) => return Some(Err(self.is_ahead(end))),
                Found::Stored | Found::Nothing | Found::Over => {}
            }
            match self.stored().await {
                Ok(Stored::Slices(slices)) => self.ahead = slices.into(),
                Ok(Stored::End) => return None,
                // A writer has come to this process.
                Ok(Stored::Nothing) => {}
                // What it has beyond the end was handed on, and could not be stored any more.
                Err(error) if self.has_begun && is_ahead(&error) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn hand_on(&mut self, slice: Slice) -> Slice {
        (self.cursor, self.has_begun) = (slice.end, true);
        slice
    }

    /// Waits for what memory has at the cursor, or to be sent elsewhere.
    async fn in_memory(&mut self) -> Found {
        let cursor = self.cursor;
        let Some(Joined { growing, writes, is_over }) = self.join() else { return Found::Over };
        let grows = growing.grows(cursor);
        let ends = async { while let Some(Ok(true)) = writes.next().await {} };
        match select(pin!(grows), pin!(ends)).await {
            Either::Left((found, _)) => found,
            Either::Right(((), _)) => {
                *is_over = true;
                Found::Over
            }
        }
    }

    /// Joins the writer of this process, if there is one that may still write.
    fn join(&mut self) -> Option<&mut Joined> {
        // While that one writes it is nobody else's turn, so most tokens need not look who does.
        if !self.joined.as_ref().is_some_and(|joined| joined.growing.is_written()) {
            let growing = self.live.hub.growing(self.stream)?;
            if !self.joined.as_ref().is_some_and(|joined| Arc::ptr_eq(&joined.growing, &growing)) {
                let (stream, hold) = (self.stream, growing.hold);
                let writes = self.live.hub.store.watch(move |tx| takes_more(tx, stream, hold));
                self.joined = Some(Joined { growing, writes, is_over: false });
            }
        }
        self.joined.as_mut().filter(|joined| !joined.is_over)
    }

    /// Returns whether there is a writer of this process to be joined.
    fn may_join(&mut self) -> bool {
        self.join().is_some_and(|joined| joined.growing.is_written())
    }

    /// Reads what is stored at the cursor; without anything there, waits for it.
    async fn stored(&mut self) -> Result<Stored> {
        let (thread, stream, cursor) = (self.thread, self.stream, self.cursor);
        let hub = self.live.hub.clone();
        let mut looks = hub.store.watch(move |tx| look(tx, thread, stream, cursor));
        let mut is_empty = false;
        loop {
            // A writer that is entered from here on is told of, and one that was before is found.
            let mut entered = pin!(hub.entered.notified());
            entered.as_mut().enable();
            if is_empty && self.may_join() {
                return Ok(Stored::Nothing);
            }
            match select(pin!(looks.next()), entered).await {
                Either::Left((Some(Ok(Stored::Nothing)), _)) => is_empty = true,
                Either::Left((Some(found), _)) => return found,
                Either::Left((None, _)) => return Err(Problem::Closed.into()),
                Either::Right(((), _)) => {}
            }
        }
    }

    fn is_ahead(&self, end: u64) -> loomwork_store::Error {
        StreamError::Ahead { stream: self.stream, end, cursor: self.cursor }.into()
    }
}

fn is_ahead(error: &loomwork_store::Error) -> bool {
    matches!(error.downcast_ref(), Some(StreamError::Ahead { .. }))
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
