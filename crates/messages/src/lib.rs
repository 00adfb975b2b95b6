//! Threads, messages, runs and live streams of AI agents.

mod chunk;
pub mod deletion;
pub mod edits;
pub mod find;
pub mod fork;
pub mod members;
mod metadata;
mod positions;
mod size;
mod tables;
pub mod threads;

pub use chunk::{DATA_PREFIX, DataChunk, RESTART_STEP, UiChunk};
pub use metadata::{BadMetadata, MAX_METADATA_BYTES, metadata};
pub use tables::{
    DeltaRow, Edit, EditChange, EditId, Failure, HostRow, Member, MemberRole, MessageId, MessageRow,
    MessageStatus, Metadata, Position, Responder, Run, RunId, RunStatus, StreamId, StreamRow, StreamStatus,
    Thread, ThreadId, ThreadStatus, tables,
};
