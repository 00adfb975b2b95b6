//! Threads: conversations, whose they are, and what is known of them.
//!
//! ```
//! use loomwork_messages::threads::{self, Listing, NewThread, ThreadPatch};
//! use loomwork_store::{Page, Result, Store};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let tables = loomwork_messages::tables().into_iter().chain(loomwork_search::tables());
//! let store = Store::memory().tables(tables).open().await?;
//! store
//!     .mutate(|tx| {
//!         let thread = threads::create(tx, NewThread::for_user("alice"))?;
//!         let title = ThreadPatch { title: Some(Some("Carpets".into())), ..ThreadPatch::default() };
//!         threads::update(tx, thread.id, title)?;
//!         let hers = threads::list(tx, "alice", &Listing::default(), Page::first(20))?;
//!         assert_eq!(hers.rows[0].title.as_deref(), Some("Carpets"));
//!         Ok(())
//!     })
//!     .await
//! # }
//! ```

mod delete;
mod error;
mod list;

use loomwork_core::Time;
use loomwork_store::{Result, Row, Tx};
use serde::{Deserialize, Deserializer, Serialize};

use crate::members;
use crate::metadata::MAX_METADATA_BYTES;
use crate::runs;
use crate::size::json_bytes;
use crate::tables::{
    Failure, Member, MemberRole, Metadata, Position, Responder, Thread, ThreadId, ThreadStatus,
};

pub use delete::{delete, delete_now, delete_user, delete_user_now};
pub use error::Error;
pub use list::{Listing, MAX_LOOKED_AT, Order, Seat, Seats, Which, list, list_by_activity, users};

/// The most bytes of a user's name.
pub const MAX_USER_BYTES: usize = 200;

/// The most bytes of a title.
pub const MAX_TITLE_BYTES: usize = 1_000;

/// The most bytes of a summary.
pub const MAX_SUMMARY_BYTES: usize = 32 << 10;

/// The most tags of a thread.
pub const MAX_TAGS: usize = 64;

/// The most bytes of a tag.
pub const MAX_TAG_BYTES: usize = 100;

/// The code with which the runs of a thread that is archived are aborted.
pub const THREAD_ARCHIVED: &str = "thread_archived";

/// What a new thread is. The default is anonymous and says nothing of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NewThread {
    /// Whose it is; nobody's by default.
    pub user: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// What it is about.
    pub summary: Option<String>,
    /// Words to find it by; each counts once.
    pub tags: Vec<String>,
    /// What the application keeps with it.
    pub metadata: Metadata,
    /// Who answers next; an agent by default.
    pub responder: Responder,
    /// The agent that does; none in particular by default.
    pub agent: Option<String>,
}

impl NewThread {
    /// Returns a thread of a user, which says nothing of itself.
    pub fn for_user(user: impl Into<String>) -> Self {
        Self { user: Some(user.into()), ..Self::default() }
    }
}

/// What shall be different about a thread: `None` leaves a field as it is, and `Some(None)` empties it.
///
/// In JSON, a name that is missing is left as it is, and `null` empties it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ThreadPatch {
    /// Its title.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub title: Option<Option<String>>,
    /// What it is about.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub summary: Option<Option<String>>,
    /// Active or archived; the other states are not for callers to set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<ThreadStatus>,
    /// Whose it is: ownership is passed on as [`members::pass_on`] does.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub user: Option<Option<String>>,
    /// All its tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// All its metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Who answers next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responder: Option<Responder>,
    /// The agent that answers.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub agent: Option<Option<String>>,
}

impl ThreadPatch {
    /// Returns the patch that puts a thread away.
    pub fn archive() -> Self {
        Self { status: Some(ThreadStatus::Archived), ..Self::default() }
    }

    /// Returns the patch that puts a thread into use again.
    pub fn activate() -> Self {
        Self { status: Some(ThreadStatus::Active), ..Self::default() }
    }
}

/// Reads a name that is there: `null` is a value of its own.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// Makes a thread, whose owner is its first member.
///
/// # Errors
/// [`Error::TooLarge`], [`Error::TooManyTags`] and [`Error::Empty`]; when the store cannot be written.
pub fn create(tx: &mut Tx, new: NewThread) -> Result<Row<Thread>> {
    insert(tx, new, ThreadStatus::Active, None)
}

/// Makes a thread that may have been forked from another one, up to a position.
pub(crate) fn insert(
    tx: &mut Tx,
    new: NewThread,
    status: ThreadStatus,
    origin: Option<(ThreadId, Option<Position>)>,
) -> Result<Row<Thread>> {
    let NewThread { user, title, summary, tags, metadata, responder, agent } = new;
    check_text("user", user.as_deref(), MAX_USER_BYTES)?;
    check_text("agent", agent.as_deref(), MAX_USER_BYTES)?;
    check_size("title", title.as_deref(), MAX_TITLE_BYTES)?;
    check_size("summary", summary.as_deref(), MAX_SUMMARY_BYTES)?;
    check_metadata(&metadata)?;
    let tags = checked_tags(tags)?;
    let (parent, forked_at) = origin.map_or((None, None), |(parent, at)| (Some(parent), at));
    let now = tx.now();
    let thread = tx.insert(Thread {
        user: user.clone(),
        title,
        summary,
        status,
        responder,
        agent,
        tags,
        metadata,
        parent,
        forked_at,
        created: now,
        updated: now,
    })?;
    let (role, activity) = (MemberRole::Owner, now);
    tx.insert(Member { thread: thread.id, user, role, status, activity, read: None })?;
    Ok(thread)
}

/// Returns a thread, or `None`; one that is being deleted is not there.
///
/// # Errors
/// When the store cannot be read.
pub fn get(tx: &Tx, id: ThreadId) -> Result<Option<Row<Thread>>> {
    Ok(tx.get(id)?.filter(|thread| thread.is_seen()))
}

/// Returns a thread.
///
/// # Errors
/// [`Error::NotFound`]; when the store cannot be read.
pub fn require(tx: &Tx, id: ThreadId) -> Result<Row<Thread>> {
    Ok(get(tx, id)?.ok_or(Error::NotFound { thread: id })?)
}

/// Returns a thread that takes messages.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Archived`] and [`Error::Copying`]; when the store cannot be read.
pub fn require_open(tx: &Tx, id: ThreadId) -> Result<Row<Thread>> {
    let thread = require(tx, id)?;
    match thread.status {
        ThreadStatus::Active => Ok(thread),
        ThreadStatus::Archived => Err(Error::Archived { thread: id }.into()),
        ThreadStatus::Copying => Err(Error::Copying { thread: id }.into()),
        ThreadStatus::Deleting => Err(Error::NotFound { thread: id }.into()),
    }
}

/// Changes a thread.
///
/// A thread that is archived has its runs aborted, which keep what they have made so far.
///
/// What is saved from then on is of a new user; what was saved before stays its writer's, and is found
/// among that one's messages.
///
/// # Errors
/// [`Error::NotFound`], [`Error::BadStatus`], what [`create`] refuses, and what [`members::pass_on`] does.
pub fn update(tx: &mut Tx, id: ThreadId, patch: ThreadPatch) -> Result<Row<Thread>> {
    let thread = require(tx, id)?;
    check_text("agent", patch.agent.as_ref().and_then(Option::as_deref), MAX_USER_BYTES)?;
    check_size("title", patch.title.as_ref().and_then(Option::as_deref), MAX_TITLE_BYTES)?;
    check_size("summary", patch.summary.as_ref().and_then(Option::as_deref), MAX_SUMMARY_BYTES)?;
    patch.metadata.as_ref().map_or(Ok(()), check_metadata)?;
    let tags = patch.tags.map(checked_tags).transpose()?;
    if let Some(status) = patch.status.filter(|status| *status != thread.status) {
        if !matches!(status, ThreadStatus::Active | ThreadStatus::Archived) {
            return Err(Error::BadStatus { status: status.as_str() }.into());
        }
        if thread.status == ThreadStatus::Copying {
            return Err(Error::Copying { thread: id }.into());
        }
        if status == ThreadStatus::Archived {
            // Nothing can be saved later, not even how a run has ended.
            let failure = Failure::new(THREAD_ARCHIVED, "the thread was archived");
            runs::abort_all(tx, id, None, &failure)?;
        }
        set_status(tx, id, status)?;
    }
    if let Some(user) = patch.user.filter(|user| *user != thread.user) {
        members::pass_on(tx, id, user.as_deref())?;
    }
    let mut after = tx.require(id)?.record;
    after.title = patch.title.unwrap_or(after.title);
    after.summary = patch.summary.unwrap_or(after.summary);
    after.tags = tags.unwrap_or(after.tags);
    after.metadata = patch.metadata.unwrap_or(after.metadata);
    after.responder = patch.responder.unwrap_or(after.responder);
    after.agent = patch.agent.unwrap_or(after.agent);
    if after != thread.record {
        after.updated = tx.now();
    }
    tx.replace(id, after)
}

/// Says that something happened in a thread: it comes first where threads are listed by their activity. A
/// time before the last one changes nothing.
///
/// # Errors
/// When the store cannot be read or written.
pub fn touch(tx: &mut Tx, id: ThreadId, at: Time) -> Result<()> {
    for member in tx.scan(Member::by_thread.eq(id))? {
        if member.activity < at {
            tx.update(member.id, |member| member.activity = at)?;
        }
    }
    Ok(())
}

/// Puts a thread into another status, and its members with it.
pub(crate) fn set_status(tx: &mut Tx, id: ThreadId, status: ThreadStatus) -> Result<()> {
    tx.update(id, |thread| thread.status = status)?;
    for member in tx.scan(Member::by_thread.eq(id))? {
        tx.update(member.id, |member| member.status = status)?;
    }
    Ok(())
}

/// Refuses a text that is empty or too long.
pub(crate) fn check_text(what: &'static str, text: Option<&str>, limit: usize) -> Result<(), Error> {
    match text {
        Some("") => Err(Error::Empty { what }),
        _ => check_size(what, text, limit),
    }
}

fn check_size(what: &'static str, text: Option<&str>, limit: usize) -> Result<(), Error> {
    let bytes = text.map_or(0, str::len);
    if bytes > limit { Err(Error::TooLarge { what, bytes, limit }) } else { Ok(()) }
}

fn check_metadata(metadata: &Metadata) -> Result<(), Error> {
    let (bytes, limit) = (json_bytes(metadata), MAX_METADATA_BYTES);
    if bytes > limit { Err(Error::TooLarge { what: "metadata", bytes, limit }) } else { Ok(()) }
}

/// Returns each tag once, in their order.
fn checked_tags(tags: Vec<String>) -> Result<Vec<String>, Error> {
    let mut once: Vec<String> = Vec::new();
    for tag in tags {
        check_text("tag", Some(&tag), MAX_TAG_BYTES)?;
        if !once.contains(&tag) {
            once.push(tag);
        }
        if once.len() > MAX_TAGS {
            return Err(Error::TooManyTags);
        }
    }
    Ok(once)
}
