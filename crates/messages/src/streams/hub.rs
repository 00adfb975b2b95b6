//! The streams that this process writes: their newest chunks in memory, and the one loop that stores them.

mod rest;

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use loomwork_core::{Kind, RetryPolicy, Shutdown, Tasks};
use loomwork_files::Files;
use loomwork_store::{Result, Store, Tx};
use tokio::sync::{Notify, OwnedMutexGuard};

use super::rows::takes_more;
use super::slice::Gathered;
use super::{Chunking, MAX_UNSTORED, Slice, StreamError, append, stored};
use crate::chunk::UiChunk;
use crate::runs::Hold;
use crate::tables::StreamId;

pub use rest::{Rest, RestSlice};

/// How often the chunks that came in are stored, all streams together in one transaction.
pub const FLUSH_EVERY: Duration = Duration::from_millis(100);

/// How many bytes of chunks make a slice before its time.
pub const SLICE_BYTES: usize = 4 * 1024;

/// How many bytes of a stream's stored chunks stay in memory for readers who are a little behind.
pub const RING_BYTES: usize = 16 * 1024;

/// The streams that this process writes, and the way to read any.
#[derive(Clone, Debug)]
pub struct Live {
    pub(super) hub: Arc<Hub>,
    pub(super) files: Option<Files>,
}

#[derive(Debug)]
pub(super) struct Hub {
    pub(super) store: Store,
    growing: Mutex<HashMap<StreamId, Arc<Growing>>>,
    /// Something waits to be stored.
    dirty: Notify,
    /// A stream was entered: for readers who have found nothing of it.
    pub(super) entered: Notify,
}

impl Live {
    /// Starts the loop that stores what is written.
    pub fn start(store: &Store, tasks: &Tasks) -> Self {
        let hub = Arc::new(Hub {
            store: store.clone(),
            growing: Mutex::default(),
            dirty: Notify::new(),
            entered: Notify::new(),
        });
        let storing = hub.clone();
        tasks.spawn("storing streams", |shutdown| async move { storing.store_until(shutdown).await });
        Self { hub, files: None }
    }

    /// Gives writers a file store: what a chunk holds above [`INLINE_BYTES`](crate::INLINE_BYTES) goes there,
    /// and its address in its place, as [`offload`](crate::offload) does for a message.
    #[must_use]
    pub fn with_files(self, files: Files) -> Self {
        Self { files: Some(files), ..self }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.hub.store
    }

    /// Returns how many streams this process writes now.
    pub fn writing(&self) -> usize {
        self.hub.lock().len()
    }
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, HashMap<StreamId, Arc<Growing>>> {
        self.growing.lock().expect("nothing panics while the map is held")
    }

    /// Returns a stream that this process writes.
    pub(super) fn growing(&self, stream: StreamId) -> Option<Arc<Growing>> {
        self.lock().get(&stream).cloned()
    }

    /// Enters a stream that grows from `stored` on, in place of one that an earlier writer left.
    pub(super) fn enter(
        &self,
        id: StreamId,
        hold: Option<Hold>,
        stored: u64,
        chunking: Chunking,
    ) -> Arc<Growing> {
        let growing = Arc::new(Growing::new(id, hold, stored, chunking));
        let former = self.lock().insert(id, growing.clone());
        if let Some(former) = former {
            former.is_succeeded();
            former.close();
        }
        self.entered.notify_waiters();
        growing
    }

    fn leave(&self, growing: &Arc<Growing>) {
        let mut map = self.lock();
        if map.get(&growing.id).is_some_and(|entered| Arc::ptr_eq(entered, growing)) {
            map.remove(&growing.id);
        }
        drop(map);
        growing.grown.notify_waiters();
        growing.room.notify_waiters();
    }

    pub(super) fn is_dirty(&self) {
        self.dirty.notify_one();
    }

    async fn store_until(&self, shutdown: Shutdown) {
        let pauses = RetryPolicy::default();
        let mut failures = 0;
        loop {
            tokio::select! {
                () = shutdown.requested() => {}
                () = self.dirty.notified() => tokio::select! {
                    () = shutdown.requested() => {}
                    () = self.store.clock().sleep(FLUSH_EVERY) => {}
                },
            }
            let is_last = shutdown.is_requested();
            match self.store_all().await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures += 1;
                    let pause = pauses.delay(failures, &loomwork_core::Random::system());
                    tracing::warn!(%error, ?pause, is_last, "streams could not be stored");
                    tokio::select! {
                        () = shutdown.requested() => {}
                        () = self.store.clock().sleep(pause) => {}
                    }
                    self.is_dirty();
                }
            }
            if is_last {
                return;
            }
        }
    }

    /// Stores what all streams have, in one transaction. One that is being stored already is left out.
    async fn store_all(&self) -> Result<()> {
        let streams: Vec<_> = self.lock().values().cloned().collect();
        let mut taken = Vec::new();
        for growing in streams {
            let Ok(turn) = growing.storing.clone().try_lock_owned() else {
                // Whoever stores it has not seen what came since.
                self.is_dirty();
                continue;
            };
            // Asked first: what is pushed before the writer goes is then among what is taken.
            let is_closed = growing.state().is_closed;
            match growing.take() {
                Some(batch) => taken.push(Taken::new(growing, batch, turn)),
                None if is_closed => self.leave(&growing),
                None => {}
            }
        }
        self.store_taken(taken).await
    }

    /// Stores what one stream has, and returns when all that was pushed before is stored.
    pub(super) async fn store_one(&self, growing: &Arc<Growing>) -> Result<()> {
        self.store_rest(growing).await?;
        growing.lost()
    }

    /// Takes a stream from an earlier writer of this process, when what that one had in hand is stored.
    pub(super) async fn succeed(&self, former: &Arc<Growing>) -> Result<()> {
        former.is_succeeded();
        self.store_rest(former).await
    }

    async fn store_rest(&self, growing: &Arc<Growing>) -> Result<()> {
        // Should the caller be dropped on the way, then the loop stores it.
        self.is_dirty();
        let turn = growing.storing.clone().lock_owned().await;
        match growing.take() {
            Some(batch) => self.store_taken(vec![Taken::new(growing.clone(), batch, turn)]).await,
            None => Ok(()),
        }
    }

    async fn store_taken(&self, taken: Vec<Taken>) -> Result<()> {
        let mut slices = Vec::with_capacity(taken.len());
        for taken in &taken {
            let slice = taken.batch().gathered.slice();
            let slice = slice.map_err(|error| StreamError::BadChunk { reason: error.to_string() })?;
            slices.push((taken.growing.id, taken.growing.hold, slice, taken.batch().is_unsure));
        }
        if slices.is_empty() {
            return Ok(());
        }
        let stored = self.store.mutate(move |tx| {
            let each = slices.into_iter().map(|(stream, hold, slice, is_unsure)| {
                let appended = tx.nested(|tx| append_part(tx, stream, hold, slice, is_unsure));
                // That one stream has ended is no reason not to store the others.
                match appended {
                    Ok(true) => Ok(Outcome::Stored),
                    Ok(false) => Ok(Outcome::StoredLast(StreamError::ended(&tx.require(stream)?))),
                    Err(error) => refused(stream, error),
                }
            });
            each.collect::<Result<Vec<_>>>()
        });
        // On an error, what was taken goes back where it came from.
        let outcomes = stored.relaxed().await?;
        for (taken, outcome) in taken.into_iter().zip(outcomes) {
            let (growing, end) = taken.decided();
            let over = match outcome {
                Outcome::Stored => {
                    if growing.acknowledge(end) {
                        self.leave(&growing);
                    }
                    continue;
                }
                Outcome::StoredLast(why) => {
                    growing.acknowledge(end);
                    why
                }
                Outcome::Refused(why) => why,
            };
            growing.state().lost = Some(over);
            self.leave(&growing);
        }
        Ok(())
    }
}

/// As [`append`], of a slice whose first chunks this writer may have stored before, if that is not known.
fn append_part(
    tx: &mut Tx,
    stream: StreamId,
    hold: Option<Hold>,
    slice: Slice,
    is_unsure: bool,
) -> Result<bool> {
    let end = if is_unsure { stored(tx, stream)? } else { slice.start };
    if slice.start >= end {
        return append(tx, stream, hold, slice);
    }
    if slice.end > end {
        let rest = slice.from(end).ok_or(StreamError::Damaged { stream, start: end })?;
        return append(tx, stream, hold, rest);
    }
    takes_more(tx, stream, hold)
}

/// What became of a stream's slice.
#[derive(Clone, Debug)]
enum Outcome {
    Stored,
    /// It was the rest of a stream that was cut from elsewhere.
    StoredLast(StreamError),
    Refused(StreamError),
}

/// A store that fails concerns all streams; what is wrong with one concerns no other.
fn refused(stream: StreamId, error: loomwork_store::Error) -> Result<Outcome> {
    match error.downcast::<StreamError>() {
        Ok(error) => Ok(Outcome::Refused(error)),
        Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Internal) => Err(error),
        Err(error) => Ok(Outcome::Refused(StreamError::Ended { stream, why: error.to_string() })),
    }
}

/// What was taken of a stream to be stored.
#[derive(Debug)]
struct Batch {
    gathered: Gathered,
    /// It was taken before, and whether it was stored then is not known.
    is_unsure: bool,
}

/// What is being stored of a stream, and the turn to do so. It goes back to the stream unless somebody
/// learns what became of it: the caller may be dropped, and a commit may fail.
#[derive(Debug)]
struct Taken {
    growing: Arc<Growing>,
    batch: Option<Batch>,
    _turn: OwnedMutexGuard<()>,
}

impl Taken {
    fn new(growing: Arc<Growing>, batch: Batch, turn: OwnedMutexGuard<()>) -> Self {
        Self { growing, batch: Some(batch), _turn: turn }
    }

    fn batch(&self) -> &Batch {
        self.batch.as_ref().expect("it is there until it is decided")
    }

    /// Returns whose it is and where it ends.
    fn decided(mut self) -> (Arc<Growing>, u64) {
        let end = self.batch().gathered.end();
        self.batch = None;
        (self.growing.clone(), end)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Some(batch) = self.batch.take() else { return };
        let mut state = self.growing.state();
        let since = std::mem::replace(&mut state.gathered, batch.gathered);
        state.gathered.absorb(since);
        state.is_unsure = true;
    }
}

/// A stream that this process writes.
#[derive(Debug)]
pub(super) struct Growing {
    pub(super) id: StreamId,
    pub(super) hold: Option<Hold>,
    chunking: Chunking,
    state: Mutex<State>,
    /// Whose turn it is to store it.
    storing: Arc<tokio::sync::Mutex<()>>,
    /// It has grown, or is over: for readers, of whom there are many.
    grown: Notify,
    /// It was stored, or is over: for a writer who waits for room.
    room: Notify,
}

#[derive(Debug)]
struct State {
    /// How many chunks there are.
    end: u64,
    /// What waits to be stored.
    gathered: Gathered,
    /// Whether the first of it may be stored already.
    is_unsure: bool,
    /// How many bytes are not stored yet.
    unstored: usize,
    /// Up to where it is stored.
    stored: u64,
    /// The newest chunks, as JSON, with the number of the first one. All that is not stored is here.
    ring: VecDeque<Box<str>>,
    ring_start: u64,
    ring_bytes: usize,
    /// Texts whose last chunk has no end yet.
    held: Vec<UiChunk>,
    /// Its writer is gone.
    is_closed: bool,
    /// Why it takes no more.
    lost: Option<StreamError>,
}

/// What a reader finds in memory.
pub(super) enum Found {
    /// Chunks.
    Slice(Slice),
    /// Its place is in the stored slices.
    Stored,
    /// Nothing new.
    Nothing,
    /// Its place is behind the end.
    Ahead(u64),
    /// Nothing new, and nothing will come.
    Over,
}

impl Growing {
    fn new(id: StreamId, hold: Option<Hold>, stored: u64, chunking: Chunking) -> Self {
        let state = State {
            end: stored,
            gathered: Gathered::from(stored),
            is_unsure: false,
            unstored: 0,
            stored,
            ring: VecDeque::new(),
            ring_start: stored,
            ring_bytes: 0,
            held: Vec::new(),
            is_closed: false,
            lost: None,
        };
        let storing = Arc::default();
        let (grown, room) = (Notify::new(), Notify::new());
        Self { id, hold, chunking, state: Mutex::new(state), storing, grown, room }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Only a chunking of the application's own panics while it is held: then its chunk is lost, and no other.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails if the stream takes no more.
    pub(super) fn lost(&self) -> Result<()> {
        self.state().lost.clone().map_or(Ok(()), |lost| Err(lost.into()))
    }

    /// Says that another writer has taken the place of its own.
    fn is_succeeded(&self) {
        let why = "another writer has taken its place".to_owned();
        self.state().lost.get_or_insert(StreamError::Ended { stream: self.id, why });
    }

    /// Whether its writer is there, and has not heard that it takes no more.
    pub(super) fn is_written(&self) -> bool {
        let state = self.state();
        !state.is_closed && state.lost.is_none()
    }

    /// Says that its writer is gone.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.grown.notify_waiters();
        self.room.notify_waiters();
    }

    /// Waits while too much is still to be stored.
    pub(super) async fn has_room(&self) {
        let look = || {
            let state = self.state();
            (state.unstored < MAX_UNSTORED || state.lost.is_some()).then_some(())
        };
        seen(&self.room, look).await;
    }

    /// Adds a chunk, and returns how many bytes wait to be stored.
    pub(super) fn push(&self, chunk: UiChunk) -> Result<usize, StreamError> {
        let mut state = self.state();
        if let Some(lost) = &state.lost {
            return Err(lost.clone());
        }
        state.push_in_chunks(chunk, &self.chunking)?;
        let unstored = state.unstored;
        drop(state);
        self.grown.notify_waiters();
        Ok(unstored)
    }

    /// Waits for what there is from a chunk on.
    pub(super) async fn grows(&self, cursor: u64) -> Found {
        let look = || match self.from(cursor) {
            Found::Nothing => None,
            found => Some(found),
        };
        seen(&self.grown, look).await
    }

    /// Takes what waits to be stored, if there is something.
    fn take(&self) -> Option<Batch> {
        Some(self.take_all()).filter(|batch| !batch.gathered.is_empty())
    }

    /// Takes what waits to be stored, be it nothing.
    fn take_all(&self) -> Batch {
        let mut state = self.state();
        let held = !state.held.is_empty();
        state.release_held();
        let end = state.end;
        let gathered = std::mem::replace(&mut state.gathered, Gathered::from(end));
        let is_unsure = std::mem::take(&mut state.is_unsure);
        drop(state);
        if held {
            self.grown.notify_waiters();
        }
        Batch { gathered, is_unsure }
    }

    /// Lets go of what is stored; says whether its writer has gone and all of it is.
    fn acknowledge(&self, stored: u64) -> bool {
        let mut state = self.state();
        state.stored = stored;
        let waiting = state.end.saturating_sub(stored);
        let waiting = usize::try_from(waiting).unwrap_or(usize::MAX).min(state.ring.len());
        state.unstored = state.ring.iter().rev().take(waiting).map(|text| text.len()).sum();
        state.trim();
        let is_done = state.is_closed && state.gathered.is_empty() && state.held.is_empty();
        drop(state);
        self.room.notify_waiters();
        is_done
    }

    /// Returns what there is from a chunk on.
    fn from(&self, cursor: u64) -> Found {
        let state = self.state();
        if cursor > state.end {
            return Found::Ahead(state.end);
        }
        if cursor < state.ring_start {
            return Found::Stored;
        }
        let skip = usize::try_from(cursor - state.ring_start).unwrap_or(usize::MAX);
        if skip < state.ring.len() {
            let texts = state.ring.iter().skip(skip).map(|text| &**text);
            return Found::Slice(Slice::of_texts(cursor, texts));
        }
        if state.is_closed || state.lost.is_some() { Found::Over } else { Found::Nothing }
    }
}

impl State {
    /// Adds a chunk, its text cut where it should be.
    fn push_in_chunks(&mut self, chunk: UiChunk, chunking: &Chunking) -> Result<(), StreamError> {
        if matches!(chunking, Chunking::AsSent) {
            return self.push(chunk);
        }
        if !chunk.is_cut() {
            // What is said next comes behind what is held, whatever text that is of.
            self.release_held();
            return self.push(chunk);
        }
        let mut chunk = match self.held.iter().position(|held| held.grows_with(&chunk)) {
            Some(place) => {
                let mut held = self.held.swap_remove(place);
                held.grow_by(&chunk);
                held
            }
            None => chunk,
        };
        while let Some(end) = chunk.delta().and_then(|text| chunking.first_end(text)) {
            let Some((first, rest)) = chunk.split(end) else { return Ok(()) };
            self.push(first)?;
            match rest {
                Some(rest) => chunk = rest,
                None => return Ok(()),
            }
        }
        if chunk.delta().is_some_and(|text| text.len() >= SLICE_BYTES) {
            // It would be stored by now.
            return self.push(chunk);
        }
        self.held.push(chunk);
        Ok(())
    }

    fn release_held(&mut self) {
        for held in std::mem::take(&mut self.held) {
            // It is far smaller than the largest chunk.
            let _ = self.push(held);
        }
    }

    fn push(&mut self, chunk: UiChunk) -> Result<(), StreamError> {
        let text = serde_json::to_string(&chunk)
            .map_err(|error| StreamError::BadChunk { reason: error.to_string() })?;
        if text.len() > super::MAX_CHUNK_BYTES {
            return Err(StreamError::ChunkTooLarge { bytes: text.len() });
        }
        self.unstored += text.len();
        self.ring_bytes += text.len();
        self.ring.push_back(text.into());
        self.gathered.push(chunk);
        self.end += 1;
        self.trim();
        Ok(())
    }

    /// Lets go of what is stored, beyond what stays for readers who are a little behind.
    fn trim(&mut self) {
        while self.ring_bytes > RING_BYTES && self.ring_start < self.stored {
            let Some(first) = self.ring.pop_front() else { return };
            self.ring_bytes -= first.len();
            self.ring_start += 1;
        }
    }
}

/// Waits until `look` sees something; `changes` tells when it may.
async fn seen<T>(changes: &Notify, mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = look() {
            return found;
        }
        // What changes from here on is told, and what has changed before is found by a second look.
        let mut told = pin!(changes.notified());
        told.as_mut().enable();
        if let Some(found) = look() {
            return found;
        }
        told.await;
    }
}
