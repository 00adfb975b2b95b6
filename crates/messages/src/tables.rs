//! The records of threads, messages, runs, streams and edits.
//!
//! Their fields are public to be read, and their JSON is what a client may be given. They are changed
//! through the functions of this crate, which keep what holds between them.

mod background;
mod edits;
mod summaries;

use loomwork_core::Time;
use loomwork_files::FileId;
use loomwork_models::{FinishReason, Message, ProviderData, Role, Usage, Warning};
use loomwork_store::lease::Lease;
use loomwork_store::{Id, Key, KeyError, Table, TableDef};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

pub(crate) use background::{Deletion, Fork, Stage, UserDeletion};
pub use edits::{Edit, EditChange};
pub(crate) use edits::{EditLog, EditTarget};
pub use summaries::{Summary, SummaryId};

/// The id of a thread.
pub type ThreadId = Id<Thread>;
/// The id of a message.
pub type MessageId = Id<MessageRow>;
/// The id of a run.
pub type RunId = Id<Run>;
/// The id of a stream.
pub type StreamId = Id<StreamRow>;
/// The id of an edit.
pub type EditId = Id<Edit>;

/// What an application keeps with a row: names and JSON.
pub type Metadata = Map<String, Value>;

/// A conversation: a linear history of turns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "threads", id = "thread", feed)]
#[index(by_user(user), when = Thread::is_seen)]
#[index(by_status(user, status))]
#[index(by_parent(parent), when = Thread::is_fork)]
#[non_exhaustive]
pub struct Thread {
    /// Whose it is; nobody's if it is anonymous.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its title, for people; it is found by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is about, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Whether it is in use.
    pub status: ThreadStatus,
    /// Who answers next.
    pub responder: Responder,
    /// The agent that does, where it is to be one in particular.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What the application keeps with it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Metadata,
    /// The thread that it was forked from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<ThreadId>,
    /// The last message of that thread that it has too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forked_at: Option<Position>,
    /// When it was made.
    pub created: Time,
    /// When it was last changed; messages do not change it.
    pub updated: Time,
}

impl Thread {
    /// Whether it is there for anybody, and not being deleted.
    pub(crate) fn is_seen(&self) -> bool {
        self.status != ThreadStatus::Deleting
    }

    fn is_fork(&self) -> bool {
        self.is_seen() && self.parent.is_some()
    }
}

/// Whether a thread is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, Key)]
#[serde(rename_all = "snake_case")]
pub enum ThreadStatus {
    /// It is.
    #[default]
    Active,
    /// It is put away: it is read and found where that is asked for, and takes no messages.
    Archived,
    /// A fork is still being copied into it: it is read, and takes no messages yet.
    Copying,
    /// It is being deleted: nobody sees it.
    Deleting,
}

impl ThreadStatus {
    /// Returns its name, as it is in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Archived => "archived",
            Self::Copying => "copying",
            Self::Deleting => "deleting",
        }
    }
}

/// Who answers next in a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Responder {
    /// An agent.
    #[default]
    Agent,
    /// A person.
    Human,
    /// Nobody.
    None,
}

/// What a person may do in a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Key)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// Read.
    Reader,
    /// Read and write.
    Writer,
    /// Whatever can be done; a thread has one owner.
    Owner,
}

/// A person in a thread, and when something last happened there.
///
/// The owner is a member. An anonymous thread has an owner without a name, so that it stands among
/// the others by its last activity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "thread_members", id = "member")]
#[index(unique by_thread(thread, user))]
#[index(by_activity(user, activity), when = Member::is_seen)]
#[index(by_status(user, status, activity))]
#[index(of_others(user), when = Member::is_of_another)]
#[non_exhaustive]
pub struct Member {
    /// The thread.
    pub thread: ThreadId,
    /// Who it is.
    pub user: Option<String>,
    /// What they may do.
    pub role: MemberRole,
    /// The status of the thread, which its listing needs.
    pub status: ThreadStatus,
    /// When the last turn began, or the thread was made.
    pub activity: Time,
    /// Up to where they have read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<Position>,
}

impl Member {
    fn is_seen(&self) -> bool {
        self.status != ThreadStatus::Deleting
    }

    /// Whether it is in somebody else's thread.
    fn is_of_another(&self) -> bool {
        self.is_seen() && self.role != MemberRole::Owner
    }
}

/// A place in a thread: turn and step. Messages are in the order of their positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The number of the turn, from 0.
    pub order: u64,
    /// The place within the turn, from 0.
    #[serde(rename = "stepOrder")]
    pub step: u64,
}

impl Position {
    /// The first place of a thread.
    pub const FIRST: Self = Self::new(0, 0);

    /// Returns a position.
    pub const fn new(order: u64, step: u64) -> Self {
        Self { order, step }
    }

    /// Returns the first place of a turn.
    pub const fn start_of(order: u64) -> Self {
        Self::new(order, 0)
    }

    /// Returns a place behind all of a turn.
    pub const fn end_of(order: u64) -> Self {
        Self::new(order, u64::MAX)
    }
}

/// Turn and step make one part of a key, so that a range of positions is a range of the index.
impl Key for Position {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), KeyError> {
        self.order.write(out)?;
        self.step.write(out)
    }

    fn read(input: &mut &[u8]) -> Result<Self, KeyError> {
        Ok(Self { order: u64::read(input)?, step: u64::read(input)? })
    }
}

/// Where a message stands. A pending one becomes one of the others, which never change again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Key)]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    /// It is being made.
    Pending,
    /// It is complete.
    Success,
    /// It could not be made; what came is kept.
    Failed,
    /// It was called off; what came is kept.
    Aborted,
}

/// One message of a thread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "messages", id = "message", feed)]
#[index(unique by_position(thread, position: Position = MessageRow::position))]
#[index(visible(thread, position: Position = MessageRow::position), when = MessageRow::is_visible)]
#[index(pending(thread, position: Position = MessageRow::position), when = MessageRow::is_pending)]
#[non_exhaustive]
pub struct MessageRow {
    /// Its thread.
    pub thread: ThreadId,
    /// Whose it is: that of the thread, if the save named nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The number of its turn.
    pub order: u64,
    /// Its place within the turn.
    #[serde(rename = "stepOrder")]
    pub step: u64,
    /// Where it stands.
    pub status: MessageStatus,
    /// Why it failed or was called off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Role and parts.
    pub message: Message,
    /// Whether it calls a tool or holds a tool's result.
    pub tool: bool,
    /// Its texts, which find it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The agent that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The model that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The provider of that model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// What that provider said of the whole message.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub provider_metadata: ProviderData,
    /// What the model call used; on one message of each call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Why the model stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<FinishReason>,
    /// What was asked of the model and could not be done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// The run that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The message that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<MessageId>,
    /// The files that it owns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileId>,
    /// It is found in its thread only, not among all that its user has written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// What the application keeps with it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Metadata,
    /// When it was saved.
    pub created: Time,
    /// When it was last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated: Option<Time>,
}

impl MessageRow {
    /// Returns its place in the thread.
    pub fn position(&self) -> Position {
        Position::new(self.order, self.step)
    }

    /// Returns who says it.
    pub fn role(&self) -> Role {
        self.message.role
    }

    /// Whether it is complete and what was said, not what tools did.
    fn is_visible(&self) -> bool {
        self.status == MessageStatus::Success && !self.tool
    }

    fn is_pending(&self) -> bool {
        self.status == MessageStatus::Pending
    }
}

/// Why something failed or was called off, as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// A short stable name for it: `timeout`, `interrupted`, `rate_limited`, `aborted`.
    pub code: String,
    /// What happened, in words.
    pub message: String,
    /// The provider's status, request id and the like.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Metadata,
}

impl Failure {
    /// Returns a failure.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), details: Metadata::new() }
    }
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Key)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// It waits to be taken up: it is new, or the process that drove it is gone.
    Queued,
    /// A process drives it.
    Running,
    /// It waits for a person or an event; nobody drives it.
    Waiting,
    /// It is complete.
    Success,
    /// It failed.
    Failed,
    /// It was called off.
    Aborted,
}

impl RunStatus {
    /// Returns whether it has ended.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Aborted)
    }
}

/// One generation: it owns its pending message and its stream, and one process at a time drives it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "runs", id = "run")]
#[index(by_thread(thread, order))]
#[index(live(thread, order), when = Run::is_live)]
#[index(by_host(host), when = Run::is_driven)]
#[index(queued(created), when = Run::is_queued)]
#[index(unique by_key(thread, key), when = Run::has_key)]
#[non_exhaustive]
pub struct Run {
    /// Its thread.
    pub thread: ThreadId,
    /// The message that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<MessageId>,
    /// The turn that it writes.
    pub order: u64,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Where it stands.
    pub status: RunStatus,
    /// Whether another process goes on where a dead one stopped. One that is not is settled instead.
    pub durable: bool,
    /// The caller's name for it: a second begin with the same key finds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its first reply row, whose id its UI message has.
    pub first: MessageId,
    /// The reply row that is being made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<MessageId>,
    /// Its stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamId>,
    /// The number of the chunk with which the step that is being made begins.
    pub step_from: u64,
    /// How many steps are complete.
    pub steps: u32,
    /// Counts the attempts at the step that is being made, from 1.
    pub attempt: u32,
    /// The process that drives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Id<HostRow>>,
    /// Grows with each process that takes it up.
    pub fence: u64,
    /// What the run's values are, for who takes it up.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub values: Metadata,
    /// Why it failed or was called off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// When it began.
    pub created: Time,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Time>,
}

impl Run {
    fn is_live(&self) -> bool {
        !self.status.has_ended()
    }

    fn is_queued(&self) -> bool {
        self.status == RunStatus::Queued
    }

    fn is_driven(&self) -> bool {
        self.status == RunStatus::Running
    }

    fn has_key(&self) -> bool {
        self.key.is_some()
    }
}

/// A process that drives runs. Its lease is that of all of them.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "run_hosts", id = "host")]
pub struct HostRow {
    pub(crate) lease: Lease,
    /// Its runs are being taken from it; it must not come back under this id.
    pub(crate) buried: bool,
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Key)]
#[serde(rename_all = "snake_case")]
pub enum StreamStatus {
    /// It grows.
    Streaming,
    /// It is complete.
    Finished,
    /// It was cut; what came is there.
    Aborted,
}

/// A live answer, whose chunks are [deltas](DeltaRow).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "streams", id = "stream")]
#[index(by_thread(thread, status, order, step))]
#[index(by_run(run), when = StreamRow::has_run)]
#[index(expiring(expires))]
#[non_exhaustive]
pub struct StreamRow {
    /// Its thread.
    pub thread: ThreadId,
    /// The run that writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The message that it becomes, whose id its UI message has from the start.
    pub message: MessageId,
    /// The turn of that message.
    pub order: u64,
    /// The place within the turn.
    #[serde(rename = "stepOrder")]
    pub step: u64,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The model that began it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The provider of that model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Where it stands.
    pub status: StreamStatus,
    /// Why it was cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Whether it owns files: those whose addresses its chunks hold, until it ends and its messages do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub owns_files: bool,
    /// The number behind its last chunk, as soon as it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// When it began.
    pub created: Time,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Time>,
    /// When it is aborted if nobody refreshes it, and, once it has ended, when it is deleted.
    pub expires: Time,
}

impl StreamRow {
    fn has_run(&self) -> bool {
        self.run.is_some()
    }
}

/// A slice of a stream: the chunks from `start` on, in front of `end`.
///
/// Chunks are counted as they were written, before those that only grow a text were put together. So
/// there may be fewer than `end - start`.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "stream_deltas", id = "delta", clustered = by_stream)]
#[index(unique by_stream(stream, start))]
#[non_exhaustive]
pub struct DeltaRow {
    /// Its stream.
    pub stream: StreamId,
    /// The number of its first chunk.
    pub start: u64,
    /// The number behind its last chunk.
    pub end: u64,
    /// How many bytes each chunk, as it was written, has added to the one that it was put into: for a
    /// reader who stopped between them. Empty where none were put together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<Vec<u32>>,
    /// The chunks, as a JSON list that is handed on as it is.
    pub chunks: Box<RawValue>,
}

/// The crate's tables, for [`Store::builder`](loomwork_store::Store::builder).
pub fn tables() -> [TableDef; 14] {
    [
        Thread::table(),
        Member::table(),
        MessageRow::table(),
        Run::table(),
        HostRow::table(),
        StreamRow::table(),
        DeltaRow::table(),
        Edit::table(),
        EditTarget::table(),
        EditLog::table(),
        Summary::table(),
        Fork::table(),
        Deletion::table(),
        UserDeletion::table(),
    ]
}
