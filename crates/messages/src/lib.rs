//! Threads, messages, runs and live streams of AI agents.

mod chunk;
mod tables;

pub use chunk::{DATA_PREFIX, DataChunk, RESTART_STEP, UiChunk};
pub use tables::{
    DeltaRow, Edit, EditChange, EditId, Failure, HostRow, Member, MemberRole, MessageId, MessageRow,
    MessageStatus, Metadata, Position, Responder, Run, RunId, RunStatus, StreamId, StreamRow, StreamStatus,
    Thread, ThreadId, ThreadStatus, tables,
};
