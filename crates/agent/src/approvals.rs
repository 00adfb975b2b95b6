//! Approvals: calls of tools that wait until somebody lets them run.
//!
//! A tool says by its [policy](crate::ToolPolicy::needs_approval) which calls wait. Each of these is a row here before
//! anybody hears of it, with its arguments and their digest. [`approve`] and [`deny`] answer it, in a transaction of
//! the caller's, in any process; the last answer that a run waits for lets it go on. [`open_in`] and [`open`] list
//! what is open, live under a watch.
//!
//! An approval is good for one call with these arguments: it is used up by the commit that stores the call's result,
//! so the call is made under one [idempotency key](crate::ToolContext::idempotency_key), and never again. Whoever
//! approves may change the arguments, which then stand in the thread, or let the tool run
//! [always](Approve::always) in this thread: [`grants`] lists that, and [`revoke`] takes it back.
//!
//! Nobody is asked for ever: what is not answered [in time](crate::ToolPolicy::approval_within) is denied, and so is
//! what is open when a new generation begins in the thread. Whoever answers has to be somebody who may: who that is,
//! the application knows.

mod answer;
mod ask;
mod digest;
mod error;
mod grants;
mod upkeep;

use std::time::Duration;

use loomwork_core::Time;
use loomwork_files::Hash;
use loomwork_messages::{RunId, ThreadId};
use loomwork_store::{Id, Result, Row, Table, Tx};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use answer::{Answered, Approve, Deny, approve, deny};
pub(crate) use answer::{auto_deny, deny_by_time};
pub(crate) use ask::{NewApproval, Ruling, apply_changes, ask, cancel, consume, message_of, rulings};
pub use digest::digest;
pub use error::ApprovalError;
pub use grants::{GrantId, GrantRow, grants, revoke};
pub(crate) use grants::{grant, is_granted};
pub(crate) use upkeep::upkeep;

use crate::waiting::CallSite;

/// How long somebody may take to answer where a tool's policy says nothing else.
pub const APPROVAL_WITHIN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The id of an approval.
pub type ApprovalId = Id<ApprovalRow>;

/// A call that waits, or has waited, until somebody lets it run.
///
/// Its rows are kept for 30 days. Once the call has ended they hold none of its arguments: the thread has these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "agent_approvals", id = "approval")]
#[index(unique by_call(run: RunId = ApprovalRow::run, step: u32 = ApprovalRow::step, call: String = ApprovalRow::call))]
#[index(open(run: RunId = ApprovalRow::run), when = ApprovalRow::is_open)]
#[index(open_in(thread: ThreadId = ApprovalRow::thread, created), when = ApprovalRow::is_open)]
#[index(open_of(user: Option<String> = ApprovalRow::user, created), when = ApprovalRow::is_open)]
#[index(due(expires), when = ApprovalRow::is_open)]
#[index(old(created), when = ApprovalRow::is_closed)]
#[non_exhaustive]
pub struct ApprovalRow {
    /// The call.
    pub site: CallSite,
    /// Where it stands.
    pub state: ApprovalState,
    /// The title of the tool, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The arguments with which the tool is to run; none once the call has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// The arguments that the model had given, if whoever approved has changed them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<Value>,
    /// The [digest] of tool and arguments: what is approved is this and nothing else.
    pub digest: Hash,
    /// The schema of the arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// When it was asked.
    pub created: Time,
    /// When it is denied if nobody has answered.
    pub expires: Time,
    /// When it was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered: Option<Time>,
    /// Who answered; nobody where it was denied by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why, in words that the model may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Where an approval stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ApprovalState {
    /// Nobody has answered.
    Open,
    /// The call may run, once.
    Approved,
    /// The call has run, and its result is stored.
    Used,
    /// The call does not run.
    Denied,
    /// Nobody answered in time; the call does not run.
    Expired,
    /// Its run has ended before.
    Cancelled,
}

impl ApprovalState {
    /// Returns its name, as it is in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved => "approved",
            Self::Used => "used",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

impl ApprovalRow {
    fn run(&self) -> RunId {
        self.site.run
    }

    fn step(&self) -> u32 {
        self.site.step
    }

    fn call(&self) -> String {
        self.site.call.clone()
    }

    fn thread(&self) -> ThreadId {
        self.site.thread
    }

    fn user(&self) -> Option<String> {
        self.site.user.clone()
    }

    fn is_open(&self) -> bool {
        self.state == ApprovalState::Open
    }

    fn is_closed(&self) -> bool {
        !matches!(self.state, ApprovalState::Open | ApprovalState::Approved)
    }

    /// Ends it: the thread has what it was about.
    fn close(&mut self, state: ApprovalState) {
        self.state = state;
        (self.input, self.asked, self.schema) = (None, None, None);
    }
}

/// Returns an approval.
///
/// # Errors
/// When the store cannot be read.
pub fn get(tx: &Tx, id: ApprovalId) -> Result<Option<Row<ApprovalRow>>> {
    tx.get(id)
}

/// Returns what is open in a thread, the oldest first.
///
/// # Errors
/// When the store cannot be read.
pub fn open_in(tx: &Tx, thread: ThreadId) -> Result<Vec<Row<ApprovalRow>>> {
    living(tx, tx.scan(ApprovalRow::open_in.eq(thread).readable())?)
}

/// Returns what is open in the runs of a user, or of nobody, the oldest first; `count` at most.
///
/// # Errors
/// When the store cannot be read.
pub fn open_of(tx: &Tx, user: Option<&str>, count: usize) -> Result<Vec<Row<ApprovalRow>>> {
    let user = user.map(str::to_owned);
    living(tx, tx.scan(ApprovalRow::open_of.eq(user).readable().take(count))?)
}

/// Returns what is open in all threads, what expires first in front; `count` at most.
///
/// # Errors
/// When the store cannot be read.
pub fn open(tx: &Tx, count: usize) -> Result<Vec<Row<ApprovalRow>>> {
    living(tx, tx.scan(ApprovalRow::due.all().readable().take(count))?)
}

/// Returns all approvals of a run, step by step.
///
/// # Errors
/// When the store cannot be read.
pub fn of_run(tx: &Tx, run: RunId) -> Result<Vec<Row<ApprovalRow>>> {
    tx.scan(ApprovalRow::by_call.eq(run))
}

pub(crate) fn has_open(tx: &Tx, run: RunId) -> Result<bool> {
    Ok(tx.first(ApprovalRow::open.eq(run))?.is_some())
}

/// Leaves out those whose run was called off: nobody needs to answer them.
fn living(tx: &Tx, rows: Vec<Row<ApprovalRow>>) -> Result<Vec<Row<ApprovalRow>>> {
    let mut living = Vec::with_capacity(rows.len());
    for row in rows {
        if !row.site.is_over(tx)? {
            living.push(row);
        }
    }
    Ok(living)
}
