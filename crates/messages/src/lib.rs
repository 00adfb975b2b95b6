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
mod recover;
pub mod runs;
mod save;
mod size;
pub mod streams;
mod tables;
pub mod threads;

pub use change::{
    ChangeError, DELETE_STEP, MessagePatch, RangeDeleted, delete, delete_range, settle, truncate, update,
};
pub use chunk::{DATA_PREFIX, DataChunk, RESTART_STEP, UiChunk};
pub use content::INLINE_BYTES;
pub use list::{List, ListError, MAX_TURN_REST, MessagePage, PAGE, get_all, last, list};
pub use metadata::{BadMetadata, MAX_METADATA_BYTES, metadata};
pub use save::{HUMAN, MAX_NUMBER, MAX_RESTARTED, NewMessage, Place, Save, SaveError, save};
pub use tables::{
    DeltaRow, Edit, EditChange, EditId, Failure, HostRow, Member, MemberRole, MessageId, MessageRow,
    MessageStatus, Metadata, Position, Responder, Run, RunId, RunStatus, StreamId, StreamRow, StreamStatus,
    Thread, ThreadId, ThreadStatus, tables,
};

#[cfg(doctest)]
#[doc = include_str!("../../../docs/messages.md")]
struct Guide;
