//! Reading an answer as it comes, from its first chunk or from where a reader left.

use std::fmt;
use std::str::FromStr;

use loomwork_core::Kind;
use loomwork_messages::streams::{Live, Slice, StreamReader};
use loomwork_messages::{Run, RunId, RunStatus, StreamId, StreamRow, ThreadId};
use loomwork_store::{Error as StoreError, Result as StoreResult, Row, Store, Tx};

use crate::app::App;
use crate::error::{Error, Result};

/// Up to where a reader has an answer: a stream of its run, and a chunk there. As text it is the id of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunCursor {
    /// The stream.
    pub stream: StreamId,
    /// The number of the chunk that comes next.
    pub chunk: u64,
}

impl fmt::Display for RunCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.stream, self.chunk)
    }
}

impl FromStr for RunCursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once(':').and_then(|(stream, chunk)| {
            Some(Self { stream: stream.parse().ok()?, chunk: chunk.parse().ok()? })
        });
        parts.ok_or_else(|| {
            let message = format!("{text:?} is no place in an answer; pass on the id of the last event");
            Error::new(Kind::Invalid, message)
        })
    }
}

/// An answer as it comes: slices of chunks, until it is complete, has ended otherwise, or waits for somebody. It is
/// read from the store, so any number of readers follow it in any process, and it goes on behind a restart.
///
/// An answer that has ended is there for [some minutes](loomwork_messages::streams::KEEP_ENDED); later, its thread has
/// it.
#[derive(Debug)]
pub struct RunFollower {
    store: Store,
    live: Live,
    run: RunId,
    thread: ThreadId,
    first: String,
    reader: Option<StreamReader>,
    /// The stream that is read, or was last.
    stream: Option<StreamId>,
    /// The run as it was when there was nothing more to read.
    ended: Option<Row<Run>>,
}

impl App {
    /// Follows a run from its beginning, or from a cursor. Whoever calls has made sure that the reader may read its
    /// thread.
    ///
    /// # Errors
    /// When there is no such run, or the cursor is of another one.
    pub async fn follow_run(&self, run: RunId, from: Option<RunCursor>) -> Result<RunFollower> {
        let look = move |tx: &Tx| {
            let row = tx.require(run)?;
            let stream = match from {
                Some(from) => tx.get(from.stream)?,
                None => None,
            };
            Ok((row, stream))
        };
        let (row, found) = self.store().query(look).await?;
        let (store, live) = (self.store().clone(), self.runtime().live().clone());
        let first = row.first.to_string();
        let mut follower = RunFollower {
            store,
            live,
            run,
            thread: row.thread,
            first,
            reader: None,
            stream: None,
            ended: None,
        };
        if let Some(from) = from {
            if found.is_none_or(|stream| stream.run != Some(run)) {
                let message = format!("{run} has no {}; follow it from its beginning", from.stream);
                return Err(Error::new(Kind::NotFound, message));
            }
            follower.read(from.stream, from.chunk).await?;
        }
        Ok(follower)
    }
}

/// What there is to read of a run.
#[derive(Clone, Debug, PartialEq)]
enum Look {
    Stream(StreamId),
    Nothing,
    Over(Box<Row<Run>>),
}

impl RunFollower {
    /// Returns the run.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// Returns the id of the message that the answer becomes.
    pub fn message(&self) -> &str {
        &self.first
    }

    /// Returns up to where the answer was read.
    pub fn cursor(&self) -> Option<RunCursor> {
        let reader = self.reader.as_ref()?;
        Some(RunCursor { stream: self.stream?, chunk: reader.cursor() })
    }

    /// Returns the run as it was when [`next`](Self::next) had nothing more: complete, ended otherwise, or waiting.
    pub fn ended(&self) -> Option<&Row<Run>> {
        self.ended.as_ref()
    }

    /// Returns the next chunks; `None` behind the last ones.
    ///
    /// # Errors
    /// When the run is deleted, or the store is closed.
    ///
    /// # Cancel safety
    /// Nothing is skipped when it is dropped.
    pub async fn next(&mut self) -> Option<StoreResult<Slice>> {
        loop {
            if let Some(reader) = &mut self.reader {
                match reader.next().await {
                    Some(slice) => return Some(slice),
                    None => self.reader = None,
                }
            }
            match self.look().await {
                Ok(Look::Stream(stream)) => {
                    if let Err(error) = self.read(stream, 0).await {
                        return Some(Err(error));
                    }
                }
                Ok(Look::Nothing) => {}
                Ok(Look::Over(run)) => {
                    self.ended = Some(*run);
                    return None;
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    async fn read(&mut self, stream: StreamId, chunk: u64) -> StoreResult<()> {
        self.reader = Some(self.live.read(self.thread, stream, chunk).await?);
        self.stream = Some(stream);
        Ok(())
    }

    /// Waits until there is another stream to read, or nothing more to come.
    async fn look(&mut self) -> StoreResult<Look> {
        let (run, last) = (self.run, self.stream);
        let mut looks = self.store.watch(move |tx| look(tx, run, last));
        while let Some(look) = looks.next().await {
            match look? {
                Look::Nothing => {}
                found => return Ok(found),
            }
        }
        Err(StoreError::message(Kind::Unavailable, "the store is closed"))
    }
}

fn look(tx: &Tx, run: RunId, last: Option<StreamId>) -> StoreResult<Look> {
    let row = tx.require(run)?;
    let streams: Vec<Row<StreamRow>> = tx.scan(StreamRow::by_run.eq(run))?;
    // Their ids are in the order in which they were made.
    let next = streams.iter().map(|stream| stream.id).filter(|stream| Some(*stream) > last).min();
    Ok(match (next, row.status) {
        (Some(stream), _) => Look::Stream(stream),
        (None, RunStatus::Queued | RunStatus::Running) => Look::Nothing,
        (None, _) => Look::Over(Box::new(row)),
    })
}
