//! Threads.

use loomwork_core::Time;
use loomwork_store::{Result, Row, Tx};

use crate::tables::{Member, MemberRole, Metadata, Responder, Thread, ThreadId, ThreadStatus};

/// What a new thread is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewThread {
    /// Whose it is.
    pub user: Option<String>,
}

impl NewThread {
    /// Returns a thread of a user.
    pub fn for_user(user: impl Into<String>) -> Self {
        Self { user: Some(user.into()) }
    }
}

/// Makes a thread.
///
/// # Errors
/// When the store cannot be written.
pub fn create(tx: &mut Tx, new: NewThread) -> Result<Row<Thread>> {
    let now = tx.now();
    let thread = tx.insert(Thread {
        user: new.user.clone(),
        title: None,
        summary: None,
        status: ThreadStatus::Active,
        responder: Responder::Agent,
        tags: Vec::new(),
        metadata: Metadata::new(),
        parent: None,
        forked_at: None,
        created: now,
        updated: now,
    })?;
    tx.insert(Member {
        thread: thread.id,
        user: new.user,
        role: MemberRole::Owner,
        status: ThreadStatus::Active,
        activity: now,
        read: None,
    })?;
    Ok(thread)
}

pub(crate) fn require_open(tx: &Tx, id: ThreadId) -> Result<Row<Thread>> {
    tx.require(id)
}

pub(crate) fn touch(tx: &mut Tx, thread: ThreadId, at: Time) -> Result<()> {
    for member in tx.scan(Member::by_thread.eq(thread))? {
        tx.update(member.id, |member| member.activity = at)?;
    }
    Ok(())
}
