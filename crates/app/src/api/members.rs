//! Who takes part in a thread.

use loomwork_messages::members;
use loomwork_messages::{Member, MemberRole, ThreadId};
use loomwork_store::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::operation::{Answer, Call, Group, Method, Reading};
use super::page::{List, page};
use super::shapes::{Shown, shapes};
use crate::auth::{Need, Scope, allow};
use crate::error::Result;

pub(super) fn operations() -> Group {
    Group::new("members")
        .get(
            "list",
            "/api/threads/{thread}/members",
            Scope::Read,
            "Lists who takes part in a thread, by their names.",
            list,
        )
        .act(
            "add",
            (Method::Post, "/api/threads/{thread}/members"),
            Scope::Chat,
            "Lets somebody read a thread, or write in it too: for its owner to say.",
            add,
        )
        .act(
            "change",
            (Method::Patch, "/api/threads/{thread}/members/{user}"),
            Scope::Chat,
            "Says what a member may do.",
            change,
        )
        .act(
            "remove",
            (Method::Delete, "/api/threads/{thread}/members/{user}"),
            Scope::Chat,
            "Ends a membership, and what they follow of the thread. Members may leave by themselves.",
            remove,
        )
}

shapes! {
    /// Somebody who takes part in a thread.
    MemberShape = "Member" {
        /// The membership's id.
        id: String,
        /// The thread.
        thread: String,
        /// Who it is; absent for the owner of an anonymous thread.
        user: Option<String>,
        /// What they may do: `reader`, `writer` or `owner`.
        role: String,
        /// The status of the thread.
        status: String,
        /// When its last turn began, in milliseconds since 1970.
        activity: i64,
        /// Up to where they have read.
        read: Option<serde_json::Value>,
    }
}

type MemberView = Shown<Row<Member>, MemberShape>;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListMembers {
    /// The thread's id.
    #[schemars(with = "String")]
    thread: ThreadId,
    /// How many; 20 by default, 200 at most.
    limit: Option<usize>,
    /// Where the page begins: `next` of the page before.
    after: Option<String>,
}

fn list(reading: &Reading<'_>, args: &ListMembers) -> Result<List<MemberView>> {
    reading.allow(Need::ReadThread(args.thread))?;
    let found = members::list(reading.tx, args.thread, page(args.limit, args.after.as_deref())?)?;
    Ok(List::new(found.rows.into_iter().map(Shown::new).collect(), found.next))
}

/// What a member may do.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Role {
    /// Read.
    Reader,
    /// Read and write.
    Writer,
}

impl From<Role> for MemberRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Reader => Self::Reader,
            Role::Writer => Self::Writer,
        }
    }
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MemberAs {
    /// The thread's id.
    #[schemars(with = "String")]
    thread: ThreadId,
    /// Who it is.
    user: String,
    /// What they may do.
    role: Role,
}

async fn add(call: Call, args: MemberAs) -> Result<Answer<MemberView>> {
    call.mutate(move |tx, caller| {
        allow(tx, caller, Need::OwnThread(args.thread))?;
        Ok(Shown::new(members::add(tx, args.thread, &args.user, args.role.into())?))
    })
    .await
}

async fn change(call: Call, args: MemberAs) -> Result<Answer<MemberView>> {
    call.mutate(move |tx, caller| {
        allow(tx, caller, Need::OwnThread(args.thread))?;
        Ok(Shown::new(members::change_role(tx, args.thread, &args.user, args.role.into())?))
    })
    .await
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneMember {
    /// The thread's id.
    #[schemars(with = "String")]
    thread: ThreadId,
    /// Who it is.
    user: String,
}

/// Whether there was something to end.
#[derive(Serialize, JsonSchema)]
struct Removed {
    /// Whether they were a member.
    removed: bool,
}

async fn remove(call: Call, args: OneMember) -> Result<Answer<Removed>> {
    call.mutate(move |tx, caller| {
        let is_self = caller.as_user() == Some(args.user.as_str());
        let need = if is_self { Need::ReadThread } else { Need::OwnThread };
        allow(tx, caller, need(args.thread))?;
        // What whoever only reads may change is that they do no more.
        allow(tx, caller, Need::Scope(Scope::Chat))?;
        Ok(Removed { removed: members::remove(tx, args.thread, &args.user)? })
    })
    .await
}
