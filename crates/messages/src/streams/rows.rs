//! Streams and their deltas as rows.

use std::ops::{ControlFlow, RangeInclusive};
use std::time::Duration;

use loomwork_core::{Fault, Kind};
use loomwork_store::{Next, Result, Row, Tx, Upkeep};

use super::{Slice, files};
use crate::recover::{Unfinished, amend, end_unfinished};
use crate::runs::{self, Hold};
use crate::tables::{
    DeltaRow, Failure, MessageId, MessageRow, MessageStatus, Run, RunId, RunStatus, StreamId, StreamRow,
    StreamStatus, ThreadId,
};
use crate::threads;

/// After how long a stream without a run is aborted when nobody has written to it.
pub const STREAM_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// How long a stream that has ended stays, for readers who are behind.
pub const KEEP_ENDED: Duration = Duration::from_secs(5 * 60);

/// For how long after its end the writer of a stream that was cut from elsewhere may store the rest of what
/// it had.
pub const LATE: Duration = Duration::from_secs(10);

/// How many deltas one step of the clean-up deletes at most.
pub const DELETE_DELTAS: usize = 500;

/// How many bytes of deltas one step of the clean-up reads, and one look of a reader takes, about.
pub const READ_BYTES: usize = 256 * 1024;

/// How many streams a list has at most.
pub const MAX_LISTED: usize = 100;

/// A stream that is to be opened.
#[derive(Clone, Debug)]
pub struct NewStream {
    /// The message that it becomes.
    pub message: MessageId,
    /// The run that writes it, for streams of a run.
    pub hold: Option<Hold>,
    /// The model that begins it.
    pub model: Option<String>,
    /// The provider of that model.
    pub provider: Option<String>,
}

impl NewStream {
    /// Returns the stream of a message that no run makes.
    pub fn of(message: MessageId) -> Self {
        Self { message, hold: None, model: None, provider: None }
    }
}

/// Opens a stream for a message. A run that has one goes on with it.
///
/// # Errors
/// [`StreamError::NoMessage`]; [`threads::Error::NotFound`] when the thread is being deleted;
/// [`RunError::Lost`](crate::runs::RunError::Lost) when the run is no longer held.
pub fn open(tx: &mut Tx, new: NewStream) -> Result<Row<StreamRow>> {
    let run = new.hold.map(|hold| runs::held(tx, hold)).transpose()?;
    if let Some(open) = run.as_ref().and_then(|run| run.stream) {
        return tx.require(open);
    }
    let message = tx.get(new.message)?.ok_or(StreamError::NoMessage { message: new.message })?;
    threads::require(tx, message.thread)?;
    let expires = tx.now() + STREAM_TIMEOUT;
    let MessageRow { thread, order, step, .. } = message.record;
    let stream = tx.insert(StreamRow {
        thread,
        run: run.as_ref().map(|run| run.id),
        message: message.id,
        order,
        step,
        user: message.record.user,
        agent: message.record.agent,
        model: new.model,
        provider: new.provider,
        status: StreamStatus::Streaming,
        error: None,
        length: None,
        owns_files: false,
        created: tx.now(),
        ended: None,
        expires,
    })?;
    if let Some(run) = run {
        tx.update(run.id, |run| (run.stream, run.step_from) = (Some(stream.id), 0))?;
    }
    Ok(stream)
}

/// Stores the next slice of a stream, and says whether it takes more: not if it was cut from elsewhere and
/// this was the rest that its writer had in hand. `hold` is that of its run, if it has one.
///
/// # Errors
/// [`StreamError::Ended`] when the stream was cut or its run taken over; [`StreamError::Gap`] for a slice
/// that does not begin where the last one ended.
pub fn append(tx: &mut Tx, stream: StreamId, hold: Option<Hold>, slice: Slice) -> Result<bool> {
    let row = tx.get(stream)?.ok_or(StreamError::NoStream { stream })?;
    let run = row.run.map(|run| tx.require(run)).transpose()?;
    let late = is_late(tx, &row, run.as_ref(), hold);
    if !late && !may_write(&row, run.as_ref(), hold) {
        return Err(StreamError::ended(&row).into());
    }
    let end = stored(tx, stream)?;
    if slice.start != end {
        return Err(StreamError::Gap { stream, end, start: slice.start }.into());
    }
    let Slice { start, end, chunks, pieces } = slice;
    // Those of the rest of a stream that was cut are its message's.
    let owns_files = !late && files::own(tx, stream, &chunks)?;
    tx.insert(DeltaRow { stream, start, end, pieces, chunks })?;
    if late {
        let row = tx.update(stream, |row| row.length = Some(end))?;
        // The rest is stored, though the message may have no room for it.
        if let Err(error) = tx.nested(|tx| amend_message(tx, &row)) {
            tracing::warn!(%stream, %error, "a message stays without the rest of its stream");
        }
        return Ok(false);
    }
    if owns_files && !row.owns_files {
        tx.update(stream, |row| row.owns_files = true)?;
    }
    if row.expires < tx.now() + STREAM_TIMEOUT * 3 / 4 {
        refresh(tx, stream)?;
    }
    Ok(true)
}

/// Writes the message of a stream that was cut anew, with the rest that its writer had in hand.
fn amend_message(tx: &mut Tx, row: &Row<StreamRow>) -> Result<()> {
    match row.run {
        Some(run) => runs::amend(tx, run),
        None => amend(tx, &ends_without_run(row, row.error.clone()), row, 0),
    }
}

/// Whether a stream still takes what this writer has.
fn may_write(row: &StreamRow, run: Option<&Row<Run>>, hold: Option<Hold>) -> bool {
    let holds = match (run, hold) {
        (Some(run), Some(hold)) => {
            run.id == hold.run && run.fence == hold.fence && run.status == RunStatus::Running
        }
        (Some(_), None) => false,
        (None, _) => true,
    };
    holds && row.status == StreamStatus::Streaming
}

/// Returns whether a stream still takes what a writer of this hold has.
pub(super) fn takes_more(tx: &Tx, stream: StreamId, hold: Option<Hold>) -> Result<bool> {
    let Some(row) = tx.get(stream)? else { return Ok(false) };
    let run = row.run.map(|run| tx.require(run)).transpose()?;
    Ok(may_write(&row, run.as_ref(), hold))
}

/// Whether the stream was cut from elsewhere just now, while this writer still had something in hand.
fn is_late(tx: &Tx, row: &Row<StreamRow>, run: Option<&Row<Run>>, hold: Option<Hold>) -> bool {
    let was_its_own = match (run, hold) {
        (Some(run), Some(hold)) => {
            run.id == hold.run && run.fence == hold.fence && run.stream == Some(row.id)
        }
        (Some(_), None) => false,
        (None, _) => true,
    };
    was_its_own
        && row.status == StreamStatus::Aborted
        && row.ended.is_some_and(|ended| tx.now() <= ended + LATE)
}

/// Says that a stream's writer is alive though it has nothing to write: a tool runs.
///
/// # Errors
/// [`StreamError::NoStream`]; [`StreamError::Ended`].
pub fn refresh(tx: &mut Tx, stream: StreamId) -> Result<()> {
    let row = tx.get(stream)?.ok_or(StreamError::NoStream { stream })?;
    if row.status != StreamStatus::Streaming {
        return Err(StreamError::ended(&row).into());
    }
    let expires = tx.now() + STREAM_TIMEOUT;
    tx.update(stream, |row| row.expires = expires)?;
    Ok(())
}

/// Returns up to where a stream is stored.
pub(crate) fn stored(tx: &Tx, stream: StreamId) -> Result<u64> {
    let last = tx.first(DeltaRow::by_stream.eq(stream).desc())?;
    Ok(last.map_or(0, |last| last.end))
}

/// Ends a stream as complete; says whether it was still open.
///
/// # Errors
/// [`StreamError::NoStream`].
pub fn finish(tx: &mut Tx, stream: StreamId) -> Result<bool> {
    end(tx, stream, StreamStatus::Finished, None)
}

/// Cuts a stream, and ends its message with what it has; says whether it was still open. That of a run is cut
/// with its run, by [`runs::abort`](crate::runs::abort): this is for streams without one.
///
/// # Errors
/// [`StreamError::NoStream`]; [`StreamError::OfRun`].
pub fn abort(tx: &mut Tx, stream: StreamId, failure: Failure) -> Result<bool> {
    let row = tx.get(stream)?.ok_or(StreamError::NoStream { stream })?;
    match row.run {
        _ if row.status != StreamStatus::Streaming => Ok(false),
        Some(run) => Err(StreamError::OfRun { stream, run }.into()),
        None => {
            cut_without_run(tx, &row, failure)?;
            Ok(true)
        }
    }
}

/// Cuts a stream that no run writes, and ends its message.
fn cut_without_run(tx: &mut Tx, row: &Row<StreamRow>, failure: Failure) -> Result<()> {
    end_unfinished(tx, &ends_without_run(row, Some(failure.clone())), Some(row), 0)?;
    cut(tx, row.id, failure).map(drop)
}

fn ends_without_run(row: &StreamRow, error: Option<Failure>) -> Unfinished {
    Unfinished { message: row.message, run: None, status: MessageStatus::Aborted, error }
}

/// Cuts the stream that grows of a message which no run makes, if there is one, and ends the message.
pub(crate) fn cut_of_message(tx: &mut Tx, message: &Row<MessageRow>, failure: &Failure) -> Result<()> {
    let growing = growing(tx, message.thread, message.order..=message.order)?;
    for row in growing.iter().filter(|row| row.message == message.id && row.run.is_none()) {
        cut_without_run(tx, row, failure.clone())?;
    }
    Ok(())
}

pub(crate) fn cut(tx: &mut Tx, stream: StreamId, failure: Failure) -> Result<bool> {
    end(tx, stream, StreamStatus::Aborted, Some(failure))
}

fn end(tx: &mut Tx, stream: StreamId, status: StreamStatus, error: Option<Failure>) -> Result<bool> {
    let row = tx.get(stream)?.ok_or(StreamError::NoStream { stream })?;
    if row.status != StreamStatus::Streaming {
        return Ok(false);
    }
    let now = tx.now();
    // One that is damaged is no reason not to end.
    let last = tx.first(DeltaRow::by_stream.eq(stream).desc().readable())?;
    let length = last.map_or(0, |last| last.end);
    // What is saved of it owns them by now.
    files::release(tx, stream, row.owns_files)?;
    tx.update(stream, |row| {
        row.status = status;
        row.error = error;
        row.owns_files = false;
        row.length = Some(length);
        row.ended = Some(now);
        row.expires = now + KEEP_ENDED;
    })?;
    Ok(true)
}

/// Returns the streams of a thread from a turn on, the newest first: those that grow, or of all statuses.
///
/// # Errors
/// When the store cannot be read.
pub fn list(
    tx: &Tx,
    thread: ThreadId,
    from_order: u64,
    statuses: &[StreamStatus],
) -> Result<Vec<Row<StreamRow>>> {
    let mut streams = Vec::new();
    for status in statuses {
        let span = StreamRow::by_thread.eq(thread).eq(*status).ge(from_order).desc().take(MAX_LISTED);
        streams.extend(tx.scan(span)?);
    }
    streams.sort_by_key(|stream| std::cmp::Reverse((stream.order, stream.step, stream.id)));
    streams.truncate(MAX_LISTED);
    Ok(streams)
}

/// Returns the streams that grow in some turns of a thread, the newest first.
pub(crate) fn growing(tx: &Tx, thread: ThreadId, turns: RangeInclusive<u64>) -> Result<Vec<Row<StreamRow>>> {
    let growing = StreamRow::by_thread.eq(thread).eq(StreamStatus::Streaming);
    tx.scan(growing.ge(*turns.start()).le(*turns.end()).desc().take(MAX_LISTED))
}

/// Returns a stream, if it is one of this thread: who may read a thread may read its streams, and no others.
///
/// # Errors
/// [`StreamError::Elsewhere`], which does not say of which thread it is; [`StreamError::NoStream`].
pub fn of_thread(tx: &Tx, thread: ThreadId, stream: StreamId) -> Result<Row<StreamRow>> {
    let row = tx.get(stream)?.ok_or(StreamError::NoStream { stream })?;
    if row.thread != thread || threads::get(tx, thread)?.is_none() {
        return Err(StreamError::Elsewhere { stream, thread }.into());
    }
    Ok(row)
}

/// Returns the stored slices of a stream from a chunk on, [`READ_BYTES`] of them and one more at most. One
/// that begins before `from` is cut there.
///
/// # Errors
/// As [`of_thread`]; [`StreamError::Damaged`] for a slice that cannot be cut.
pub fn deltas(tx: &Tx, thread: ThreadId, stream: StreamId, from: u64) -> Result<Vec<Slice>> {
    of_thread(tx, thread, stream)?;
    slices(tx, stream, from, READ_BYTES)
}

/// As [`deltas`], of a stream that may be read.
pub(crate) fn slices(tx: &Tx, stream: StreamId, from: u64, bytes: usize) -> Result<Vec<Slice>> {
    let mut slices: Vec<Slice> = Vec::new();
    // The slice that holds the first chunk may begin before it.
    let holding = tx.first(DeltaRow::by_stream.eq(stream).lt(from).desc())?;
    if let Some(row) = holding.filter(|row| row.end > from) {
        let cut = Slice::of(row.record).from(from).ok_or(StreamError::Damaged { stream, start: from })?;
        slices.push(cut);
    }
    let mut left = bytes;
    tx.each(DeltaRow::by_stream.eq(stream).ge(from), |row| {
        let slice = Slice::of(row.record);
        left = left.saturating_sub(slice.chunks.get().len());
        slices.push(slice);
        Ok(if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(slices)
}

/// Deletes a stream that has ended, [`DELETE_DELTAS`] deltas a call; says whether it is gone.
///
/// # Errors
/// [`StreamError::Grows`] for one that has not ended.
pub fn delete(tx: &mut Tx, stream: StreamId) -> Result<bool> {
    if tx.get_readable(stream)?.is_some_and(|row| row.status == StreamStatus::Streaming) {
        return Err(StreamError::Grows { stream }.into());
    }
    let mut ids = Vec::new();
    let mut left = READ_BYTES;
    // One that cannot be read stays: it must not keep the others.
    tx.each(DeltaRow::by_stream.eq(stream).readable().take(DELETE_DELTAS), |row| {
        left = left.saturating_sub(row.chunks.get().len());
        ids.push(row.id);
        Ok(if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    let is_last = ids.len() < DELETE_DELTAS && left > 0;
    for id in ids {
        tx.delete(id)?;
    }
    if is_last {
        tx.delete(stream)?;
    }
    Ok(is_last)
}

/// Returns the upkeep that aborts streams whose writer is gone, and deletes those that ended some time ago.
pub fn upkeep() -> Upkeep {
    Upkeep::new("streams", |tx| {
        let Some(first) = tx.first(StreamRow::expiring.all().readable())? else { return Ok(Next::Idle) };
        if first.expires > tx.now() {
            return Ok(Next::At(first.expires));
        }
        match (first.status, first.run) {
            // The run's host answers for it.
            (StreamStatus::Streaming, Some(_)) => refresh(tx, first.id)?,
            (StreamStatus::Streaming, None) => {
                let timeout = Failure::new("timeout", "nobody has written to the stream for too long");
                cut_without_run(tx, &first, timeout)?;
            }
            (StreamStatus::Finished | StreamStatus::Aborted, _) => drop(delete(tx, first.id)?),
        }
        Ok(Next::More)
    })
}

/// Why a stream cannot be written or read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// A stream that is not there.
    #[error("there is no {stream}; streams that have ended are deleted after {} minutes", KEEP_ENDED.as_secs() / 60)]
    NoStream {
        /// The stream.
        stream: StreamId,
    },
    /// A message that is not there.
    #[error("there is no {message} to stream")]
    NoMessage {
        /// The message.
        message: MessageId,
    },
    /// A stream of another thread.
    #[error("{thread} has no {stream}")]
    Elsewhere {
        /// The stream.
        stream: StreamId,
        /// The thread.
        thread: ThreadId,
    },
    /// A stream that has ended, or is another writer's.
    #[error("{stream} takes no more: {why}")]
    Ended {
        /// The stream.
        stream: StreamId,
        /// Why.
        why: String,
    },
    /// A stream that has not ended cannot be deleted.
    #[error("{stream} still grows, so it cannot be deleted; finish it, or abort it or its run")]
    Grows {
        /// The stream.
        stream: StreamId,
    },
    /// A stream that is cut with its run.
    #[error("{stream} belongs to {run}; abort the run, which ends its message too")]
    OfRun {
        /// The stream.
        stream: StreamId,
        /// The run.
        run: RunId,
    },
    /// A slice that does not follow the last one.
    #[error("{stream} is stored up to chunk {end}, and the slice begins at {start}")]
    Gap {
        /// The stream.
        stream: StreamId,
        /// Where the last slice ended.
        end: u64,
        /// Where this one begins.
        start: u64,
    },
    /// A cursor behind the end of the stream.
    #[error("{stream} has {end} chunks, so it cannot be read from chunk {cursor} on")]
    Ahead {
        /// The stream.
        stream: StreamId,
        /// How many chunks it has.
        end: u64,
        /// The cursor.
        cursor: u64,
    },
    /// A slice whose chunks do not fit what is said of them.
    #[error("the slice of {stream} that holds chunk {start} is damaged")]
    Damaged {
        /// The stream.
        stream: StreamId,
        /// The chunk.
        start: u64,
    },
    /// A chunk above [`MAX_CHUNK_BYTES`](super::MAX_CHUNK_BYTES).
    #[error(
        "a chunk of {bytes} bytes; the most is {}, and large outputs belong in the file store: give it to `Live::with_files`",
        super::MAX_CHUNK_BYTES
    )]
    ChunkTooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A chunk that is no JSON.
    #[error("a chunk cannot be written: {reason}")]
    BadChunk {
        /// Why.
        reason: String,
    },
}

impl StreamError {
    pub(crate) fn ended(row: &Row<StreamRow>) -> Self {
        let why = match (&row.error, row.status) {
            (Some(error), _) => format!("{} ({})", error.message, error.code),
            (None, StreamStatus::Streaming) => "its run was taken over".to_owned(),
            (None, StreamStatus::Finished | StreamStatus::Aborted) => "it has ended".to_owned(),
        };
        Self::Ended { stream: row.id, why }
    }
}

impl Fault for StreamError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoStream { .. } | Self::NoMessage { .. } | Self::Elsewhere { .. } => Kind::NotFound,
            Self::Ended { .. } => Kind::Cancelled,
            Self::Gap { .. } | Self::Grows { .. } => Kind::Conflict,
            Self::Damaged { .. } => Kind::Corrupt,
            Self::OfRun { .. } | Self::Ahead { .. } | Self::ChunkTooLarge { .. } | Self::BadChunk { .. } => {
                Kind::Invalid
            }
        }
    }
}
