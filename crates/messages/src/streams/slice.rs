//! Slices: chunks that are stored and handed on together.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::chunk::UiChunk;
use crate::tables::DeltaRow;

/// How many deltas of one text a slice has room for before it grows.
const USUAL_DELTAS: usize = 8;

/// The largest chunk that is stored.
pub const MAX_CHUNK_BYTES: usize = 1024 * 1024;

/// The chunks of a stream from `start` on, in front of `end`, which is the cursor behind them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Slice {
    /// The number of the first chunk.
    pub start: u64,
    /// The number behind the last chunk. Chunks that grew one text are put together, so there may be fewer.
    pub end: u64,
    /// The chunks, as a JSON list.
    pub chunks: Box<RawValue>,
    /// How many bytes each chunk, as it was written, has added to the one that it was put into.
    #[serde(skip)]
    pub(crate) pieces: Vec<Vec<u32>>,
}

impl Slice {
    pub(crate) fn of(row: DeltaRow) -> Self {
        let DeltaRow { start, end, pieces, chunks, .. } = row;
        Self { start, end, chunks, pieces }
    }

    /// Returns a slice of chunks that are JSON already, none of them put together.
    pub(crate) fn of_texts<'a>(start: u64, texts: impl Iterator<Item = &'a str> + Clone) -> Self {
        // Each of them is followed by a comma or the end.
        let length: usize = texts.clone().map(|text| text.len() + 1).sum();
        let mut list = String::with_capacity(1 + length);
        list.push('[');
        let mut end = start;
        for text in texts {
            if end > start {
                list.push(',');
            }
            list.push_str(text);
            end += 1;
        }
        list.push(']');
        let chunks = RawValue::from_string(list).expect("a list of JSON texts is JSON");
        Self { start, end, chunks, pieces: Vec::new() }
    }

    /// Returns the chunk that tells of a new attempt, which takes all numbers from `start` on in front of `end`.
    pub(crate) fn of_restart(attempt: u32, start: u64, end: u64) -> serde_json::Result<Self> {
        let chunks = serde_json::value::to_raw_value(&[UiChunk::restart_step(attempt)])?;
        Ok(Self { start, end, chunks, pieces: Vec::new() })
    }

    /// Returns the chunks.
    ///
    /// # Errors
    /// When a later version wrote chunks that this one does not know.
    pub fn chunks(&self) -> serde_json::Result<Vec<UiChunk>> {
        serde_json::from_str(self.chunks.get())
    }

    /// Returns what is left from a chunk on; `None` if the slice does not say where that is.
    pub(crate) fn from(self, cursor: u64) -> Option<Self> {
        if cursor <= self.start {
            return Some(self);
        }
        let chunks = self.chunks().ok()?;
        if let [told] = &chunks[..]
            && told.is_restart_step()
        {
            return Some(Self { start: cursor, ..self });
        }
        let singly = || vec![Vec::new(); chunks.len()];
        let pieces = if self.pieces.is_empty() { singly() } else { self.pieces };
        if pieces.len() != chunks.len() {
            return None;
        }
        let mut skip = usize::try_from(cursor - self.start).ok()?;
        let mut rest = Gathered::from(cursor);
        for (chunk, lengths) in chunks.into_iter().zip(pieces) {
            let count = lengths.len().max(1);
            if skip >= count {
                skip -= count;
                continue;
            }
            let gone: u32 = lengths[..skip].iter().sum();
            rest.take_over(chunk.without_first(gone as usize)?, lengths[skip.min(lengths.len())..].to_vec());
            skip = 0;
        }
        rest.slice().ok()
    }
}

/// Chunks on their way into a slice: those that grow the same text are put together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gathered {
    start: u64,
    end: u64,
    chunks: Vec<UiChunk>,
    pieces: Vec<Vec<u32>>,
}

impl Gathered {
    /// Begins behind a chunk.
    pub(crate) fn from(start: u64) -> Self {
        Self { start, end: start, chunks: Vec::new(), pieces: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Adds the next chunk.
    pub(crate) fn push(&mut self, chunk: UiChunk) {
        self.end += 1;
        let length = chunk.delta().map_or(0, |delta| u32::try_from(delta.len()).unwrap_or(u32::MAX));
        if let (Some(last), Some(pieces)) = (self.chunks.last_mut(), self.pieces.last_mut())
            && last.grow_by(&chunk)
        {
            pieces.push(length);
            return;
        }
        let mut lengths = Vec::new();
        if chunk.delta().is_some() {
            lengths.reserve_exact(USUAL_DELTAS);
            lengths.push(length);
        }
        if self.chunks.is_empty() {
            // Most slices are one text that grows.
            self.chunks.reserve_exact(1);
            self.pieces.reserve_exact(1);
        }
        self.chunks.push(chunk);
        self.pieces.push(lengths);
    }

    /// Adds what other chunks have been put together to.
    fn take_over(&mut self, chunk: UiChunk, pieces: Vec<u32>) {
        self.end += pieces.len().max(1) as u64;
        self.chunks.push(chunk);
        self.pieces.push(pieces);
    }

    /// Adds what has come behind it.
    pub(crate) fn absorb(&mut self, next: Self) {
        for (chunk, pieces) in next.chunks.into_iter().zip(next.pieces) {
            self.take_over(chunk, pieces);
        }
    }

    /// Returns the slice.
    pub(crate) fn slice(&self) -> serde_json::Result<Slice> {
        let chunks = serde_json::value::to_raw_value(&self.chunks)?;
        let is_plain = self.pieces.iter().all(|pieces| pieces.len() <= 1);
        let pieces = if is_plain { Vec::new() } else { self.pieces.clone() };
        Ok(Slice { start: self.start, end: self.end, chunks, pieces })
    }
}

impl UiChunk {
    /// Returns by what a chunk makes a text, thoughts or a call's arguments grow.
    pub(crate) fn delta(&self) -> Option<&str> {
        match self {
            Self::TextDelta { delta, .. } | Self::ReasoningDelta { delta, .. } => Some(delta),
            Self::ToolInputDelta { input_text_delta, .. } => Some(input_text_delta),
            _ => None,
        }
    }

    /// Takes in what another chunk makes the same text grow by; says whether it was the same.
    pub(super) fn grow_by(&mut self, next: &Self) -> bool {
        let (text, more) = match (self, next) {
            (
                Self::TextDelta { id, delta, provider_metadata: None },
                Self::TextDelta { id: next, delta: more, provider_metadata: None },
            )
            | (
                Self::ReasoningDelta { id, delta, provider_metadata: None },
                Self::ReasoningDelta { id: next, delta: more, provider_metadata: None },
            )
            | (
                Self::ToolInputDelta { tool_call_id: id, input_text_delta: delta },
                Self::ToolInputDelta { tool_call_id: next, input_text_delta: more },
            ) if id == next => (delta, more),
            _ => return false,
        };
        if text.capacity() - text.len() < more.len() {
            text.reserve(more.len() * USUAL_DELTAS);
        }
        text.push_str(more);
        true
    }

    /// Returns whether it is text that readers see grow, and that may be cut where that reads well.
    pub(super) fn is_cut(&self) -> bool {
        matches!(
            self,
            Self::TextDelta { provider_metadata: None, .. }
                | Self::ReasoningDelta { provider_metadata: None, .. }
        )
    }

    /// Returns whether another chunk makes the same text grow.
    pub(super) fn grows_with(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::TextDelta { id, .. }, Self::TextDelta { id: next, .. })
            | (Self::ReasoningDelta { id, .. }, Self::ReasoningDelta { id: next, .. }) => id == next,
            _ => false,
        }
    }

    /// Returns the chunk up to a byte of its delta, and what is behind it, if anything is; `None` if it has
    /// no delta.
    pub(super) fn split(self, end: usize) -> Option<(Self, Option<Self>)> {
        let length = self.delta()?.len();
        if end >= length {
            return Some((self, None));
        }
        let rest = self.clone().without_first(end);
        let mut first = self;
        if let Self::TextDelta { delta, .. } | Self::ReasoningDelta { delta, .. } = &mut first {
            delta.truncate(end);
        }
        Some((first, rest))
    }

    /// Returns the chunk without the first bytes of its delta; `None` if it does not have them.
    fn without_first(mut self, bytes: usize) -> Option<Self> {
        if bytes == 0 {
            return Some(self);
        }
        let delta = match &mut self {
            Self::TextDelta { delta, .. } | Self::ReasoningDelta { delta, .. } => delta,
            Self::ToolInputDelta { input_text_delta, .. } => input_text_delta,
            _ => return None,
        };
        *delta = delta.get(bytes..)?.to_owned();
        Some(self)
    }
}
