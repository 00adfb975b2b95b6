//! Threads, messages, runs and live streams of AI agents.

mod chunk;
mod project;
mod reduce;
mod tables;
mod ui;

pub use chunk::{DATA_PREFIX, DataChunk, RESTART_STEP, UiChunk, UnreadChunk};
pub use project::{StepMessages, file_urls};
pub use reduce::{ChunkProblem, ChunksEnd, ReduceError, Reducer};
pub use tables::{
    DeltaRow, Edit, EditChange, EditId, Failure, HostRow, Member, MemberRole, MessageId, MessageRow,
    MessageStatus, Metadata, Position, Responder, Run, RunId, RunStatus, StreamId, StreamRow, StreamStatus,
    Thread, ThreadId, ThreadStatus, tables,
};
pub use ui::{
    GrowthState, ToolName, ToolState, UiApproval, UiCustom, UiFile, UiMessage, UiPart, UiSourceDocument,
    UiSourceUrl, UiStatus, UiText, UiTool,
};
