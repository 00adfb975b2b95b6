//! Streams: live answers as rows that any number of clients follow from any place, and as a channel that
//! hands tokens on before their slice is stored.
//!
//! A [`StreamWriter`] counts chunks. Each chunk is handed to the readers of this process at once, and stored
//! with others in a slice: every [`FLUSH_EVERY`], or when [`SLICE_BYTES`] have come together. A
//! [`StreamReader`] begins behind any chunk: it takes stored slices up to where the channel begins, then the
//! channel, without a gap and without a repeat. Where the writer is another process, it follows the rows.

mod chunking;
mod files;
mod hub;
mod reader;
mod rows;
mod slice;
mod writer;

pub use chunking::{Chunking, FirstEnd};
pub(crate) use files::release;
pub use hub::{FLUSH_EVERY, Live, RING_BYTES, Rest, RestSlice, SLICE_BYTES};
pub use reader::StreamReader;
pub use rows::{
    DELETE_DELTAS, KEEP_ENDED, LATE, MAX_LISTED, NewStream, READ_BYTES, STREAM_TIMEOUT, StreamError, abort,
    append, delete, deltas, finish, list, of_thread, open, refresh, upkeep,
};
pub(crate) use rows::{cut, cut_of_message, growing, slices, stored};
pub use slice::{MAX_CHUNK_BYTES, Slice};
pub use writer::{MAX_UNSTORED, OpenStream, StreamWriter, begin};
