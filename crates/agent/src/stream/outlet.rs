//! The chunks of an answer on their way to whoever reads it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use loomwork_messages::UiChunk;
use tokio::sync::oneshot;

use crate::reply::Stored;

/// How many chunks may wait for a reader one by one. Behind them texts that follow each other are put together, and
/// of a tool's reports on its way the newest is kept: so a reader may lag, and neither holds the answer up nor fills
/// the memory.
pub const UNREAD_CHUNKS: usize = 256;

/// Returns both ends of a way, and what tells that the answer has begun and where it is stored.
pub(crate) fn outlet() -> (Outlet, Chunks, oneshot::Receiver<Option<Stored>>) {
    let queue = Arc::new(Queue::default());
    let (begins, begun) = oneshot::channel();
    let outlet = Outlet { queue: queue.clone(), begins: Mutex::new(Some(begins)) };
    (outlet, Chunks(queue), begun)
}

/// Where the chunks of an answer go.
#[derive(Debug)]
pub(crate) struct Outlet {
    queue: Arc<Queue>,
    begins: Mutex<Option<oneshot::Sender<Option<Stored>>>>,
}

/// Where the chunks of an answer come from.
#[derive(Debug)]
pub(crate) struct Chunks(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<UiChunk>,
    reader: Option<Waker>,
    /// The answer says no more.
    is_over: bool,
    /// Nobody reads.
    is_unread: bool,
}

/// Wakes the reader, when nothing is held any more that it may want.
fn wake(mut state: MutexGuard<'_, State>) {
    let reader = state.reader.take();
    drop(state);
    if let Some(reader) = reader {
        reader.wake();
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        // It is plain data, which is whole whatever has panicked beside it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outlet {
    /// Says that the answer has begun, and where it is stored.
    pub(crate) fn begun(&self, stored: Option<Stored>) {
        let begins = self.begins.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Nobody may wait for it.
        begins.map(|begins| begins.send(stored));
    }

    /// Hands a chunk on. It never waits.
    pub(crate) fn send(&self, chunk: UiChunk) {
        let mut state = self.queue.state();
        if state.is_unread {
            return;
        }
        if state.waiting.len() < UNREAD_CHUNKS || !put_together(&mut state.waiting, &chunk) {
            state.waiting.push_back(chunk);
        }
        wake(state);
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.is_over = true;
        wake(state);
    }
}

impl Chunks {
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<UiChunk>> {
        let mut state = self.0.state();
        match state.waiting.pop_front() {
            Some(chunk) => Poll::Ready(Some(chunk)),
            None if state.is_over => Poll::Ready(None),
            None => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Option<UiChunk> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_unread = true;
        state.waiting.clear();
    }
}

/// Puts a chunk together with what waits already; says whether it could.
fn put_together(waiting: &mut VecDeque<UiChunk>, chunk: &UiChunk) -> bool {
    match chunk {
        UiChunk::ToolOutputAvailable { preliminary: true, .. } | UiChunk::Data(_) => {
            let former = waiting.iter_mut().rev().take(UNREAD_CHUNKS).find(|former| replaces(chunk, former));
            former.map(|former| former.clone_from(chunk)).is_some()
        }
        _ => waiting.back_mut().is_some_and(|last| grows(last, chunk)),
    }
}

/// Whether a chunk says anew what a former one said.
fn replaces(chunk: &UiChunk, former: &UiChunk) -> bool {
    match (chunk, former) {
        (
            UiChunk::ToolOutputAvailable { tool_call_id, .. },
            UiChunk::ToolOutputAvailable { tool_call_id: of, preliminary: true, .. },
        ) => tool_call_id == of,
        (UiChunk::Data(chunk), UiChunk::Data(former)) => {
            chunk.transient
                && former.transient
                && chunk.id.is_some()
                && chunk.id == former.id
                && chunk.kind() == former.kind()
        }
        _ => false,
    }
}

/// Makes the last chunk grow by the next one, if they are of one text.
fn grows(last: &mut UiChunk, next: &UiChunk) -> bool {
    match (last, next) {
        (
            UiChunk::TextDelta { id, delta, provider_metadata: None },
            UiChunk::TextDelta { id: of, delta: more, provider_metadata: None },
        )
        | (
            UiChunk::ReasoningDelta { id, delta, provider_metadata: None },
            UiChunk::ReasoningDelta { id: of, delta: more, provider_metadata: None },
        )
        | (
            UiChunk::ToolInputDelta { tool_call_id: id, input_text_delta: delta },
            UiChunk::ToolInputDelta { tool_call_id: of, input_text_delta: more },
        ) if id == of => {
            delta.push_str(more);
            true
        }
        _ => false,
    }
}
