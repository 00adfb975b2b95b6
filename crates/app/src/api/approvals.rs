//! Approvals: calls of tools that wait until somebody lets them run.

use loomwork_agent::approvals::{
    self, ApprovalId, ApprovalRow, Approve, Deny, GrantId, GrantRow, approve as let_run, deny as let_not,
};
use loomwork_core::Kind;
use loomwork_files::Hash;
use loomwork_store::{Row, Tx};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::operation::{Answer, Call, Group, Method, Reading};
use super::page::page;
use super::shapes::{Shown, shapes};
use super::threads::OneThread;
use crate::app::App;
use crate::auth::access::allow_approval;
use crate::auth::{Caller, Need, Scope, allow};
use crate::error::{Error, Result};
use crate::reached::{reached, reason};

pub(super) fn operations() -> Group {
    Group::new("approvals")
        .get(
            "list",
            "/api/approvals",
            Scope::Read,
            "Lists the calls that wait for somebody's word: of a user's runs, the oldest first, or, for a program that \
             names nobody, of all, what expires first in front.",
            list,
        )
        .get(
            "of_thread",
            "/api/threads/{thread}/approvals",
            Scope::Read,
            "Lists the calls of a thread that wait for somebody's word, the oldest first.",
            of_thread,
        )
        .get("get", "/api/approvals/{approval}", Scope::Read, "Returns an approval.", get)
        .act(
            "approve",
            (Method::Post, "/api/approvals/{approval}/approve"),
            Scope::Chat,
            "Lets a call run, with other arguments if wanted. If its run waits for nobody else, it goes on.",
            approve,
        )
        .act(
            "deny",
            (Method::Post, "/api/approvals/{approval}/deny"),
            Scope::Chat,
            "Lets a call not run; the model reads why. If its run waits for nobody else, it goes on.",
            deny,
        )
        .get(
            "grants",
            "/api/threads/{thread}/grants",
            Scope::Read,
            "Lists which tools run in a thread without anybody being asked, since somebody said so.",
            grants,
        )
        .act(
            "revoke",
            (Method::Delete, "/api/grants/{grant}"),
            Scope::Chat,
            "Takes that back: from the next call on, somebody is asked again.",
            revoke,
        )
}

shapes! {
    /// A call that waits, or has waited, until somebody lets it run.
    ApprovalShape = "Approval" {
        /// Its id.
        id: String,
        /// The call.
        site: CallSiteShape,
        /// `open`, `approved`, `used`, `denied`, `expired` or `cancelled`.
        state: String,
        /// The title of the tool.
        title: Option<String>,
        /// The arguments with which the tool is to run; absent once the call has ended.
        input: Option<Value>,
        /// The arguments that the model had given, if whoever approved has changed them.
        asked: Option<Value>,
        /// What tells tool and arguments from others.
        digest: String,
        /// The schema of the arguments.
        schema: Option<Value>,
        /// When it was asked, in milliseconds since 1970.
        created: i64,
        /// When it is denied if nobody has answered.
        expires: i64,
        /// When it was answered.
        answered: Option<i64>,
        /// Who answered; nobody where it was denied by itself.
        by: Option<String>,
        /// Why.
        reason: Option<String>,
    }

    /// The call of a tool that somebody is asked about.
    CallSiteShape = "CallSite" {
        /// Its run.
        run: String,
        /// The number of the step within the run, from 0.
        step: u32,
        /// The id of the call.
        call: String,
        /// The tool.
        tool: String,
        /// The thread.
        thread: String,
        /// The number of the turn.
        order: u64,
        /// The message that has the call.
        message: String,
        /// The agent.
        agent: String,
        /// Whose the run is.
        user: Option<String>,
    }

    /// A tool that an agent may call in a thread without anybody being asked.
    GrantShape = "Grant" {
        /// Its id.
        id: String,
        /// The thread.
        thread: String,
        /// The agent.
        agent: String,
        /// The tool.
        tool: String,
        /// Who allowed it.
        by: String,
        /// Why.
        reason: Option<String>,
        /// Since when, in milliseconds since 1970.
        created: i64,
    }
}

type ApprovalView = Shown<Row<ApprovalRow>, ApprovalShape>;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListApprovals {
    /// Whose runs; by default the caller's own, or, for a program, everybody's.
    user: Option<String>,
    /// How many, from 1 to 200; 20 by default.
    limit: Option<usize>,
}

fn list(reading: &Reading<'_>, args: &ListApprovals) -> Result<Vec<ApprovalView>> {
    let count = page(args.limit, None)?.size;
    let found = match reading.user_or_own(args.user.as_deref())? {
        Some(user) => approvals::open_of(reading.tx, Some(user), count)?,
        None => approvals::open(reading.tx, count)?,
    };
    Ok(found.into_iter().map(Shown::new).collect())
}

fn of_thread(reading: &Reading<'_>, args: &OneThread) -> Result<Vec<ApprovalView>> {
    reading.allow(Need::ReadThread(args.thread))?;
    Ok(approvals::open_in(reading.tx, args.thread)?.into_iter().map(Shown::new).collect())
}

/// An approval by its id.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneApproval {
    /// The approval's id.
    #[schemars(with = "String")]
    approval: ApprovalId,
}

fn get(reading: &Reading<'_>, args: &OneApproval) -> Result<ApprovalView> {
    let (tx, caller) = (reading.tx, reading.caller);
    Ok(Shown::new(reached(tx, caller, args.approval, |row| Need::ReadThread(row.site.thread))?))
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ApproveCall {
    /// The approval's id.
    #[schemars(with = "String")]
    approval: ApprovalId,
    /// The arguments to run it with, in the place of the model's. They have to fit the schema.
    input: Option<Value>,
    /// Why, in words that the model may read; 1,000 bytes at most.
    reason: Option<String>,
    /// Whether the agent may call the tool in this thread from now on without asking.
    #[serde(default)]
    always: bool,
    /// The digest of what the person has seen: if the arguments are others by now, it is refused.
    digest: Option<String>,
    /// Who approves, for programs to say; by default the caller.
    by: Option<String>,
}

/// An approval that was answered.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AnsweredApproval {
    /// The approval, as it is now.
    approval: ApprovalView,
    /// Whether its run waits for nobody any more.
    goes_on: bool,
}

impl From<approvals::Answered> for AnsweredApproval {
    fn from(answered: approvals::Answered) -> Self {
        Self { approval: Shown::new(answered.approval), goes_on: answered.goes_on }
    }
}

async fn approve(call: Call, args: ApproveCall) -> Result<Answer<AnsweredApproval>> {
    let ApproveCall { approval, input, reason: why, always, digest, by } = args;
    let why = reason(why)?;
    let seen = digest.map(|digest| digest.parse::<Hash>()).transpose().map_err(|_| {
        Error::new(Kind::Invalid, "that is no digest; pass on the one of the approval").about("digest")
    })?;
    let app = call.app.clone();
    call.mutate(move |tx, caller| {
        may_answer(tx, &app, caller, approval)?;
        let mut approve = Approve::by(speaks_for(tx, caller, by)?);
        if let Some(input) = input {
            approve = approve.with_input(input);
        }
        if let Some(why) = why {
            approve = approve.because(why);
        }
        if let Some(seen) = seen {
            approve = approve.seen(seen);
        }
        if always {
            approve = approve.always();
        }
        Ok(let_run(tx, approval, approve)?.into())
    })
    .await
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DenyCall {
    /// The approval's id.
    #[schemars(with = "String")]
    approval: ApprovalId,
    /// Why, in words that the model reads; 1,000 bytes at most.
    reason: Option<String>,
    /// Who denies, for programs to say; by default the caller.
    by: Option<String>,
}

async fn deny(call: Call, args: DenyCall) -> Result<Answer<AnsweredApproval>> {
    let DenyCall { approval, reason: why, by } = args;
    let why = reason(why)?;
    let app = call.app.clone();
    call.mutate(move |tx, caller| {
        may_answer(tx, &app, caller, approval)?;
        let mut deny = Deny::by(speaks_for(tx, caller, by)?);
        if let Some(why) = why {
            deny = deny.because(why);
        }
        Ok(let_not(tx, approval, deny)?.into())
    })
    .await
}

/// Makes sure that a caller may answer an approval. One that they may neither answer nor see is not there for them.
pub(crate) fn may_answer(tx: &Tx, app: &App, caller: &Caller, id: ApprovalId) -> Result<()> {
    let missing = || Error::new(Kind::NotFound, format!("there is no {id}"));
    let row = approvals::get(tx, id)?.ok_or_else(missing)?;
    match allow_approval(tx, caller, &row, app.inner().approvers.as_deref()) {
        Ok(()) => Ok(()),
        Err(refused) => match allow(tx, caller, Need::ReadThread(row.site.thread)) {
            Err(unseen) if unseen.kind() == Kind::NotFound => Err(missing()),
            _ => Err(refused.into()),
        },
    }
}

/// Returns who answers: the caller, or, if that is a program, whomever it names.
pub(super) fn speaks_for(tx: &Tx, caller: &Caller, by: Option<String>) -> Result<String> {
    match by {
        Some(by) => {
            allow(tx, caller, Need::ActFor(Some(&by)))?;
            Ok(by)
        }
        None => Ok(caller.as_user().unwrap_or_else(|| caller.name()).to_owned()),
    }
}

fn grants(reading: &Reading<'_>, args: &OneThread) -> Result<Vec<Shown<Row<GrantRow>, GrantShape>>> {
    reading.allow(Need::ReadThread(args.thread))?;
    Ok(approvals::grants(reading.tx, args.thread)?.into_iter().map(Shown::new).collect())
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneGrant {
    /// The grant's id.
    #[schemars(with = "String")]
    grant: GrantId,
}

/// Whether there was something to take back.
#[derive(Serialize, JsonSchema)]
struct Revoked {
    /// Whether it held until then.
    revoked: bool,
}

async fn revoke(call: Call, args: OneGrant) -> Result<Answer<Revoked>> {
    call.mutate(move |tx, caller| {
        reached(tx, caller, args.grant, |row| Need::WriteThread(row.thread))?;
        Ok(Revoked { revoked: approvals::revoke(tx, args.grant)? })
    })
    .await
}
