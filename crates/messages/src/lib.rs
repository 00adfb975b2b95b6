//! Threads, messages, runs and live streams of AI agents, as rows of a Loomwork store. For programs that
//! keep conversations beside their own data and want them in one transaction with it.
//!
//! The crate owns threads and members, messages, the runs that make them, streams, and edits. It leaves
//! storage to `loomwork-store`, vectors to `loomwork-search`, what messages are made of to
//! `loomwork-models`, and whom to ask for an answer to whoever drives the runs.
//!
//! # Example
//!
//! ```
//! use loomwork_core::Tasks;
//! use loomwork_messages::runs::{self, Host, NewRun, Step, Then};
//! use loomwork_messages::streams::{Live, NewStream};
//! use loomwork_messages::threads::{self, NewThread};
//! use loomwork_messages::{List, NewMessage, UiChunk, UiStatus, view};
//! use loomwork_models::Message;
//! use loomwork_store::Store;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tables = loomwork_messages::tables().into_iter().chain(loomwork_search::tables());
//! let store = Store::memory().tables(tables).open().await?;
//! let tasks = Tasks::new();
//! let host = Host::start(&store, &tasks).await?; // this process drives runs
//! let live = Live::start(&store, &tasks); // and writes streams
//!
//! let run = store
//!     .mutate(|tx| {
//!         let thread = threads::create(tx, NewThread::for_user("alice"))?.id;
//!         runs::begin(tx, thread, NewRun::answering("Where is my parcel?"))
//!     })
//!     .await?
//!     .run;
//! let (thread, reply) = (run.thread, run.first);
//! let hold = host.take(run.id).await?.expect("nobody else has it");
//!
//! let writer = live.write(NewStream { hold: Some(hold), ..NewStream::of(reply) });
//! writer.push(UiChunk::StartStep).await?;
//! writer.push(UiChunk::TextStart { id: "1".into(), provider_metadata: None }).await?;
//! let delta = "On its way.".to_owned();
//! writer.push(UiChunk::TextDelta { id: "1".into(), delta, provider_metadata: None }).await?;
//!
//! let mut reader = live.read(thread, writer.id().await?, 0).await?;
//! let slice = reader.next().await.expect("there is more")?; // before it is stored
//! assert_eq!((slice.start, slice.end), (0, 3));
//!
//! writer.flush().await?;
//! let messages = vec![NewMessage::new(Message::assistant("On its way."))];
//! store.mutate(move |tx| runs::step(tx, hold, Step { messages, then: Then::End })).await?;
//!
//! let page = store.query(move |tx| view(tx, thread, &List::newest(20))).await?;
//! assert_eq!(page.messages[1].id, reply.to_string()); // the id that it had as it grew
//! assert_eq!(page.messages[1].status, UiStatus::Success);
//! # drop(writer);
//! # tasks.shutdown(std::time::Duration::from_secs(5)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Tour
//! - [`threads`] and their [`members`]; [`fork`], [`deletion`]; [`edits`] of documents beside the conversation;
//!   [`summaries`] of the oldest turns.
//! - [`save`] puts messages where a [`Place`] says; [`list`], [`update`], [`settle`], [`delete`].
//! - [`runs`] are generations: [`begin`](runs::begin), [`take`](runs::take), [`step`](runs::step),
//!   [`abort`](runs::abort). A [`Host`](runs::Host) is a process that drives them.
//! - [`streams`] are live answers: a [`Live`](streams::Live) writes and reads them; a [`Translator`] makes
//!   their chunks from a model's.
//! - [`view`] is what a page shows, [`Live::follow`](streams::Live::follow) what happens on it. A [`Reducer`]
//!   makes parts from chunks, [`UiMessage`] groups rows and merges what is stored with what grows.
//! - [`offload`] puts large parts into a file store, [`Live::with_files`](streams::Live::with_files) those of
//!   streams; [`file_part`] is a part that addresses a stored file.
//! - [`find`] declares what is searched.
//!
//! # Guarantees
//! - **One place.** No two messages of a thread have the same position, whoever saves at once.
//! - **One owner.** A run is written by the process that holds it and by no other; what one that was thought
//!   dead still writes is refused.
//! - **One end.** A run, its message and its stream end in one transaction, however they end. What was
//!   streamed of an answer that was never completed is kept in its message.
//! - **One id.** A message has its id, and its stream names it, before its first chunk.
//! - **No gap and no repeat.** A stream is read from any chunk on, across slices, restarts and processes.
//! - **Linear.** A growing stream costs each follower what it grows by.

mod attachments;
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
pub mod summaries;
mod tables;
pub mod threads;
mod translate;
mod ui;
mod view;

pub use attachments::{FILE_SCHEME, file_of_url, file_part, file_url, offload, offload_result};
pub use change::{
    ChangeError, DELETE_STEP, MessagePatch, RangeDeleted, delete, delete_range, settle, truncate, update,
};
pub use chunk::{DATA_PREFIX, DataChunk, RESTART_STEP, UiChunk, UnreadChunk};
pub use content::INLINE_BYTES;
pub use list::{List, ListError, MAX_PASSED_OVER, MAX_TURN_REST, MessagePage, PAGE, get_all, last, list};
pub use metadata::{BadMetadata, MAX_METADATA_BYTES, metadata};
pub use project::{StepMessages, file_urls};
pub use reduce::{ChunkProblem, ChunksEnd, ReduceError, Reducer};
pub use save::{HUMAN, MAX_NUMBER, MAX_RESTARTED, NewMessage, Place, Save, SaveError, save};
pub use tables::{
    DeltaRow, Edit, EditChange, EditId, Failure, HostRow, Member, MemberRole, MessageId, MessageRow,
    MessageStatus, Metadata, Position, Responder, Run, RunId, RunStatus, StreamId, StreamRow, StreamStatus,
    Summary, SummaryId, Thread, ThreadId, ThreadStatus, tables,
};
pub use translate::Translator;
pub use ui::{
    GrowthState, ToolName, ToolState, UiApproval, UiCustom, UiFile, UiMessage, UiPart, UiSourceDocument,
    UiSourceUrl, UiStatus, UiText, UiTool,
};
pub use view::{LiveStream, View, ViewEvent, ViewFollower, view};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/messages.md")]
struct Guide;
