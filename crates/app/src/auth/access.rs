//! Whether a caller may do what it asks: decided here, and nowhere else.

use loomwork_agent::approvals::ApprovalRow;
use loomwork_core::{Fault, Kind};
use loomwork_messages::members::role_of;
use loomwork_messages::threads;
use loomwork_messages::{MemberRole, MessageId, ThreadId};
use loomwork_store::{Result, Tx};

use super::{Caller, Scope, keys};

/// What a caller wants to do, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need<'a> {
    /// Something that takes a scope alone.
    Scope(Scope),
    /// Read a thread, with its messages, runs, streams and files.
    ReadThread(ThreadId),
    /// Write to a thread, or have an agent answer there.
    WriteThread(ThreadId),
    /// Let a call of a tool run in a thread, or not. [`Builder::approvers`](crate::Builder::approvers) may say who that is.
    Approve(ThreadId),
    /// Answer what a person or a group is asked, or anybody.
    AnswerFor(Option<&'a str>),
    /// Delete a thread, or change who is in it.
    OwnThread(ThreadId),
    /// Read what is a user's: threads, limits, usage. Nobody's is read by whoever manages, and by programs.
    ReadUser(Option<&'a str>),
    /// Act for a user.
    ActFor(Option<&'a str>),
}

/// Says whether a caller may do something, on the rows of a transaction: so whoever asks under a live query hears of
/// it when that changes.
///
/// A thread that a user is no member of is not there for them.
///
/// # Errors
/// [`Refused`]; what [`threads::require`] returns; when the store cannot be read.
pub fn allow(tx: &Tx, caller: &Caller, need: Need<'_>) -> Result<()> {
    require_present(tx, caller)?;
    require_scope(caller, need.scope())?;
    match need {
        Need::Scope(_) => Ok(()),
        Need::ReadThread(thread) => of_thread(tx, caller, thread, MemberRole::Reader),
        Need::WriteThread(thread) | Need::Approve(thread) => {
            of_thread(tx, caller, thread, MemberRole::Writer)
        }
        Need::OwnThread(thread) => of_thread(tx, caller, thread, MemberRole::Owner),
        Need::ReadUser(user) | Need::ActFor(user) | Need::AnswerFor(user) => of_user(caller, user),
    }
}

impl Need<'_> {
    fn scope(self) -> Scope {
        match self {
            Self::Scope(scope) => scope,
            Self::ReadThread(_) | Self::ReadUser(_) => Scope::Read,
            Self::WriteThread(_)
            | Self::Approve(_)
            | Self::AnswerFor(_)
            | Self::OwnThread(_)
            | Self::ActFor(_) => Scope::Chat,
        }
    }
}

/// An application's own rule of who approves what.
pub(crate) type Approvers = dyn Fn(&Tx, &Caller, &ApprovalRow) -> Result<bool> + Send + Sync;

/// Says whether a caller may answer an approval. Where the application has a rule, that decides for users, in the thread
/// or not; programs and whoever manages may always.
pub(crate) fn allow_approval(
    tx: &Tx,
    caller: &Caller,
    approval: &ApprovalRow,
    rule: Option<&Approvers>,
) -> Result<()> {
    let Some(rule) = rule.filter(|_| bound_user(caller).is_some()) else {
        return allow(tx, caller, Need::Approve(approval.site.thread));
    };
    allow(tx, caller, Need::Scope(Scope::Chat))?;
    if rule(tx, caller, approval)? { Ok(()) } else { Err(Refused::Approver.into()) }
}

/// Refuses a caller whose key or token has ended since it came in.
fn require_present(tx: &Tx, caller: &Caller) -> Result<()> {
    if caller.ends().is_some_and(|end| end <= tx.now()) {
        return Err(Refused::Over.into());
    }
    caller.proof().map_or(Ok(()), |proof| keys::require_open(tx, proof))
}

/// Whether a caller has a scope, which takes no store.
pub(crate) fn require_scope(caller: &Caller, needed: Scope) -> Result<(), Refused> {
    let has = caller.scope();
    if has >= needed { Ok(()) } else { Err(Refused::Scope { has, needed }) }
}

fn of_thread(tx: &Tx, caller: &Caller, thread: ThreadId, needed: MemberRole) -> Result<()> {
    let Some(user) = bound_user(caller) else { return threads::require(tx, thread).map(drop) };
    match role_of(tx, thread, user)? {
        Some(role) if role >= needed => Ok(()),
        Some(_) => Err(Refused::Role { thread, needed }.into()),
        None => Err(threads::Error::NotFound { thread }.into()),
    }
}

fn of_user(caller: &Caller, user: Option<&str>) -> Result<()> {
    match (bound_user(caller), user) {
        (None, _) => Ok(()),
        (Some(own), Some(asked)) if own == asked => Ok(()),
        (Some(own), _) => Err(Refused::User { own: own.to_owned() }.into()),
    }
}

/// Returns the user whose rows are all that a caller sees; whoever looks after the whole sees all.
fn bound_user(caller: &Caller) -> Option<&str> {
    caller.as_user().filter(|_| caller.scope() < Scope::Manage)
}

/// Why a caller may not do what it asks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// A scope that is too small.
    #[error("this takes the scope `{}`, and the caller has `{}`; use a key that has it", needed.as_str(), has.as_str())]
    Scope {
        /// What the caller has.
        has: Scope,
        /// What it takes.
        needed: Scope,
    },
    /// A role that is too small.
    #[error("this takes more than the caller may do in {thread}: {}", match needed {
        MemberRole::Reader => "they must be in it",
        MemberRole::Writer => "readers do not write; ask its owner for the role of a writer",
        MemberRole::Owner => "only its owner may",
    })]
    Role {
        /// The thread.
        thread: ThreadId,
        /// The role that it takes.
        needed: MemberRole,
    },
    /// A key or token that was good and is not any more.
    #[error("the key or token of the caller is over; come with another")]
    Over,
    /// A message that somebody else has said.
    #[error("{message} is not the caller's; users change what they have said themselves")]
    Author {
        /// The message.
        message: MessageId,
    },
    /// An approval that is for others to answer.
    #[error("the caller may not approve or deny this; somebody else has to")]
    Approver,
    /// What is somebody else's.
    #[error("the caller is {own:?} and may ask for themselves alone; leave the user out, or name that one")]
    User {
        /// Who the caller is.
        own: String,
    },
}

impl Fault for Refused {
    fn kind(&self) -> Kind {
        Kind::Denied
    }
}
