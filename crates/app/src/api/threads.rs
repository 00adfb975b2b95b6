//! Threads and their members.

use loomwork_messages::threads::{self, Listing, NewThread, Order, ThreadPatch, Which};
use loomwork_messages::{Metadata, Responder, Thread, ThreadId, ThreadStatus};
use loomwork_store::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::operation::{Answer, Call, Group, Method, Reading};
use super::page::{List, page};
use super::shapes::{Shown, given, shapes};
use crate::auth::{Need, Scope, allow};
use crate::error::Result;

pub(super) fn operations() -> Group {
    Group::new("threads")
        .get(
            "list",
            "/api/threads",
            Scope::Read,
            "Lists the threads that a user owns, or that they are in.",
            list,
        )
        .get("get", "/api/threads/{thread}", Scope::Read, "Returns a thread.", get)
        .act("create", (Method::Post, "/api/threads"), Scope::Chat, "Makes a thread.", create)
        .act("update", (Method::Patch, "/api/threads/{thread}"), Scope::Chat, "Changes a thread.", update)
        .act(
            "delete",
            (Method::Delete, "/api/threads/{thread}"),
            Scope::Chat,
            "Deletes a thread with all that is in it.",
            delete,
        )
}

shapes! {
    /// A conversation.
    ThreadShape = "Thread" {
        /// Its id.
        id: String,
        /// Whose it is; absent if it is anonymous.
        user: Option<String>,
        /// Its title.
        title: Option<String>,
        /// What it is about.
        summary: Option<String>,
        /// `active`, `archived` or `copying`.
        status: String,
        /// Who answers next: `agent`, `human` or `none`.
        responder: String,
        /// The agent that answers, where it is to be one in particular.
        agent: Option<String>,
        /// Words to find it by.
        tags: Option<Vec<String>>,
        /// What the application keeps with it.
        metadata: Option<Metadata>,
        /// The thread that it was forked from.
        parent: Option<String>,
        /// The last message of that thread that it has too.
        forked_at: Option<PositionShape>,
        /// When it was made, in milliseconds since 1970.
        created: i64,
        /// When it was last changed; messages do not change it.
        updated: i64,
    }

    /// A place in a thread.
    PositionShape = "Position" {
        /// The number of the turn, from 0.
        order: u64,
        /// The place within the turn, from 0.
        step_order: u64,
    }
}

type ThreadView = Shown<Row<Thread>, ThreadShape>;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListThreads {
    /// Whose threads; by default the caller's own, or, for a program, nobody's.
    user: Option<String>,
    /// `active` by default; `archived` or `all`.
    #[serde(default)]
    which: WhichThreads,
    /// `newest` by default, or `oldest`.
    #[serde(default)]
    order: ThreadOrder,
    /// Only those with this tag.
    tag: Option<String>,
    /// How many, from 1 to 200; 20 by default.
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum WhichThreads {
    #[default]
    Active,
    Archived,
    All,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum ThreadOrder {
    #[default]
    Newest,
    Oldest,
}

fn list(reading: &Reading<'_>, args: &ListThreads) -> Result<List<ThreadView>> {
    let user = reading.user_or_own(args.user.as_deref())?;
    let which = match args.which {
        WhichThreads::Active => Which::Active,
        WhichThreads::Archived => Which::Archived,
        WhichThreads::All => Which::All,
    };
    let order = match args.order {
        ThreadOrder::Newest => Order::Newest,
        ThreadOrder::Oldest => Order::Oldest,
    };
    let listing = Listing { which, order, tag: args.tag.clone() };
    let found = threads::list(reading.tx, user, &listing, page(args.limit, args.after.as_deref())?)?;
    Ok(List::new(found.rows.into_iter().map(Shown::new).collect(), found.next))
}

/// A thread by its id.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OneThread {
    /// The thread's id.
    #[schemars(with = "String")]
    pub(super) thread: ThreadId,
}

fn get(reading: &Reading<'_>, args: &OneThread) -> Result<ThreadView> {
    reading.allow(Need::ReadThread(args.thread))?;
    Ok(Shown::new(threads::require(reading.tx, args.thread)?))
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateThread {
    /// Whose it is; by default the caller's, or, for a program, nobody's.
    user: Option<String>,
    /// Its title.
    title: Option<String>,
    /// What it is about.
    summary: Option<String>,
    /// Words to find it by.
    #[serde(default)]
    tags: Vec<String>,
    /// What the application keeps with it.
    #[serde(default)]
    metadata: Metadata,
    /// Who answers next: `agent` by default, `human` or `none`.
    #[serde(default)]
    #[schemars(with = "String")]
    responder: Responder,
    /// The agent that answers; nobody in particular by default.
    agent: Option<String>,
}

async fn create(call: Call, args: CreateThread) -> Result<Answer<ThreadView>> {
    if args.agent.is_some() {
        call.app.inner().agents.find(args.agent.as_deref())?;
    }
    call.mutate(move |tx, caller| {
        let CreateThread { user, title, summary, tags, metadata, responder, agent } = args;
        let user = user.or_else(|| caller.as_user().map(str::to_owned));
        allow(tx, caller, Need::ActFor(user.as_deref()))?;
        let new = NewThread { user, title, summary, tags, metadata, responder, agent };
        Ok(Shown::new(threads::create(tx, new)?))
    })
    .await
}

/// What shall be different about a thread: names that are missing stay as they are, `null` empties one.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UpdateThread {
    /// The thread's id.
    #[schemars(with = "String")]
    thread: ThreadId,
    /// Its title.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<String>")]
    title: Option<Option<String>>,
    /// What it is about.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<String>")]
    summary: Option<Option<String>>,
    /// `active` or `archived`: for its owner to say.
    #[schemars(with = "Option<String>")]
    status: Option<ThreadStatus>,
    /// Whose it is: its owner passes it on.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<String>")]
    user: Option<Option<String>>,
    /// All its tags.
    tags: Option<Vec<String>>,
    /// All its metadata.
    metadata: Option<Metadata>,
    /// Who answers next: `agent`, `human` or `none`.
    #[schemars(with = "Option<String>")]
    responder: Option<Responder>,
    /// The agent that answers: the thread is handed to it.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<String>")]
    agent: Option<Option<String>>,
}

async fn update(call: Call, args: UpdateThread) -> Result<Answer<ThreadView>> {
    if let Some(Some(agent)) = &args.agent {
        call.app.inner().agents.find(Some(agent))?;
    }
    call.mutate(move |tx, caller| {
        let UpdateThread { thread, title, summary, status, user, tags, metadata, responder, agent } = args;
        let is_of_owner = user.is_some() || status.is_some();
        let need = if is_of_owner { Need::OwnThread } else { Need::WriteThread };
        allow(tx, caller, need(thread))?;
        let patch = ThreadPatch { title, summary, status, user, tags, metadata, responder, agent };
        Ok(Shown::new(threads::update(tx, thread, patch)?))
    })
    .await
}

/// Whether there was something to do.
#[derive(Serialize, JsonSchema)]
pub(super) struct Deleted {
    /// Whether it was there.
    pub(super) deleted: bool,
}

async fn delete(call: Call, args: OneThread) -> Result<Answer<Deleted>> {
    call.mutate(move |tx, caller| {
        allow(tx, caller, Need::OwnThread(args.thread))?;
        Ok(Deleted { deleted: threads::delete(tx, args.thread)? })
    })
    .await
}
