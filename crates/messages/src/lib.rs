//! Threads, messages, runs and live streams of AI agents.

mod change;
mod chunk;
mod content;
pub mod deletion;
pub mod edits;
pub mod find;
pub mod fork;
mod list;
pub mod members;
mod metadata;
mod project;
mod recover;
mod reduce;
pub mod runs;
mod save;
mod size;
pub mod streams;
mod tables;
pub mod threads;
mod translate;
mod ui;
mod view;

pub use change::{
    ChangeError, DELETE_STEP, MessagePatch, RangeDeleted, delete, delete_range, settle, truncate, update,
};
pub use chunk::{DATA_PREFIX, DataChunk, RESTART_STEP, UiChunk, UnreadChunk};
pub use content::INLINE_BYTES;
pub use list::{List, ListError, MAX_TURN_REST, MessagePage, PAGE, get_all, last, list};
pub use metadata::{BadMetadata, MAX_METADATA_BYTES, metadata};
pub use project::{StepMessages, file_urls};
pub use reduce::{ChunkProblem, ChunksEnd, ReduceError, Reducer};
pub use save::{HUMAN, MAX_NUMBER, MAX_RESTARTED, NewMessage, Place, Save, SaveError, save};
pub use tables::{
    DeltaRow, Edit, EditChange, EditId, Failure, HostRow, Member, MemberRole, MessageId, MessageRow,
    MessageStatus, Metadata, Position, Responder, Run, RunId, RunStatus, StreamId, StreamRow, StreamStatus,
    Thread, ThreadId, ThreadStatus, tables,
};
pub use translate::Translator;
pub use ui::{
    GrowthState, ToolName, ToolState, UiApproval, UiCustom, UiFile, UiMessage, UiPart, UiSourceDocument,
    UiSourceUrl, UiStatus, UiText, UiTool,
};
pub use view::{LiveStream, View, ViewEvent, ViewFollower, view};

#[cfg(doctest)]
#[doc = include_str!("../../../docs/messages.md")]
struct Guide;
