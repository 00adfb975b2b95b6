//! What a page shows of a thread: its messages, and those that grow before its reader's eyes.

use std::collections::HashMap;
use std::ops::{Bound, RangeBounds as _};
use std::pin::pin;

use futures_util::future::{Either, select, select_all};
use loomwork_store::{Error, Problem, Result, Row, Tx, Watch};
use serde::Serialize;

use crate::list::{List, Part, part};
use crate::streams::{self, Live, Slice, StreamReader};
use crate::tables::{MessageRow, Position, StreamId, StreamRow, ThreadId};
use crate::ui::UiMessage;

/// What a page shows of a thread at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// The messages, from the first to the last; none of them is cut by the border of the page.
    pub messages: Vec<UiMessage>,
    /// The streams that grow there. Each shows the message of its `message` id, from its first chunk on.
    pub streams: Vec<LiveStream>,
    /// Behind which position the next page begins; none where there is nothing left.
    pub next: Option<Position>,
}

/// A stream that grows.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveStream {
    /// Its id.
    pub id: StreamId,
    /// What it is of.
    #[serde(flatten)]
    pub row: StreamRow,
}

/// Returns what a page shows of a thread. It reads no chunk of any stream, so under `watch` it runs when a
/// message begins or ends, and not while one grows.
///
/// # Errors
/// As [`list`](crate::list).
pub fn view(tx: &Tx, thread: ThreadId, asked: &List) -> Result<View> {
    let (page, shown) = part(tx, thread, &List { whole_turns: true, ..asked.clone() })?;
    let mut rows = page.messages;
    rows.sort_by_key(|row| row.position());
    let growing = growing_among(tx, thread, &rows, shown)?;
    let streams = growing.into_iter().map(|row| LiveStream {
        id: row.id,
        // When it is given up is no news to who reads it.
        row: StreamRow { expires: row.created, ..row.record },
    });
    Ok(View { messages: UiMessage::group(&rows), streams: streams.collect(), next: page.next })
}

/// Returns the streams that grow among the positions of a page, and in the turns that it shows: a turn may be
/// so long that several pages show it.
fn growing_among(
    tx: &Tx,
    thread: ThreadId,
    rows: &[Row<MessageRow>],
    shown: Part,
) -> Result<Vec<Row<StreamRow>>> {
    let order = |bound: Bound<Position>, open| match bound {
        Bound::Included(position) | Bound::Excluded(position) => position.order,
        Bound::Unbounded => open,
    };
    let (low, high) = (order(shown.0, 0), order(shown.1, u64::MAX));
    let low = rows.first().map_or(low, |row| row.order.min(low));
    let high = rows.last().map_or(high, |row| row.order.max(high));
    let mut growing = streams::growing(tx, thread, low..=high)?;
    growing.retain(|stream| {
        let position = Position::new(stream.order, stream.step);
        shown.contains(&position) || rows.iter().any(|row| row.order == stream.order)
    });
    Ok(growing)
}

/// What happens in a thread before its reader's eyes.
#[derive(Clone, Debug)]
pub enum ViewEvent {
    /// The messages or the streams are others than before.
    View(View),
    /// A stream has grown.
    Slice {
        /// The stream.
        stream: StreamId,
        /// Its next chunks.
        slice: Slice,
    },
}

/// Follows what a page shows of a thread: the view whenever it changes, and each chunk of its streams once.
#[derive(Debug)]
pub struct ViewFollower {
    live: Live,
    thread: ThreadId,
    views: Watch<View>,
    /// Behind which chunk each stream is read, also one that is read no more.
    cursors: HashMap<StreamId, u64>,
    readers: Vec<(StreamId, StreamReader)>,
}

impl Live {
    /// Follows what a page shows of a thread. `cursors` says what of the streams the reader has already.
    /// Whoever calls has made sure that they may read the thread.
    pub fn follow(&self, thread: ThreadId, asked: List, cursors: HashMap<StreamId, u64>) -> ViewFollower {
        let views = self.store().watch(move |tx| view(tx, thread, &asked));
        ViewFollower { live: self.clone(), thread, views, cursors, readers: Vec::new() }
    }
}

impl ViewFollower {
    /// Returns what happens next; `None` when the store is closed.
    ///
    /// A slice comes before the view that says that its stream has ended.
    ///
    /// # Errors
    /// When the thread or a stream cannot be read; the next call goes on.
    ///
    /// # Cancel safety
    /// Nothing is skipped when it is dropped.
    pub async fn next(&mut self) -> Option<Result<ViewEvent>> {
        loop {
            match self.wait().await {
                Happened::View(None) => return None,
                Happened::View(Some(Err(error))) => return Some(Err(error)),
                Happened::View(Some(Ok(view))) => {
                    self.read_streams_of(&view);
                    return Some(Ok(ViewEvent::View(view)));
                }
                Happened::Slice(place, Some(Ok(slice))) => {
                    let stream = self.readers[place].0;
                    self.cursors.insert(stream, slice.end);
                    return Some(Ok(ViewEvent::Slice { stream, slice }));
                }
                Happened::Slice(_, Some(Err(error))) if is_closed(&error) => return None,
                Happened::Slice(place, Some(Err(error))) => {
                    self.readers.swap_remove(place);
                    return Some(Err(error));
                }
                Happened::Slice(place, None) => {
                    self.readers.swap_remove(place);
                }
            }
        }
    }

    async fn wait(&mut self) -> Happened {
        let Self { views, readers, .. } = self;
        if readers.is_empty() {
            return Happened::View(views.next().await);
        }
        let slices = select_all(readers.iter_mut().map(|(_, reader)| Box::pin(reader.next())));
        // Slices go first: a view may say that the message which they belong to is complete.
        match select(slices, pin!(views.next())).await {
            Either::Left(((slice, place, _), _)) => Happened::Slice(place, slice),
            Either::Right((view, _)) => Happened::View(view),
        }
    }

    /// Begins to read the streams that are new in a view.
    fn read_streams_of(&mut self, view: &View) {
        for stream in &view.streams {
            if self.readers.iter().any(|(id, _)| *id == stream.id) {
                continue;
            }
            let cursor = self.cursors.get(&stream.id).copied().unwrap_or(0);
            self.readers.push((stream.id, StreamReader::new(&self.live, self.thread, stream.id, cursor)));
        }
    }
}

fn is_closed(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(Problem::Closed))
}

enum Happened {
    View(Option<Result<View>>),
    /// By its place among the readers.
    Slice(usize, Option<Result<Slice>>),
}
