//! Conversations: threads by the names that clients of other protocols give them.

use loomwork_core::Kind;
use loomwork_messages::ThreadId;
use loomwork_messages::threads::{self, NewThread};
use loomwork_store::{Table, Tx};
use serde::{Deserialize, Serialize};

use crate::auth::{Caller, Need, allow};
use crate::error::{Error, Result};

/// The most bytes of a client's name for a conversation.
pub const MAX_CONVERSATION_BYTES: usize = 200;

/// A thread, by its client's name for it. Each user has names of their own, and so have programs that name no user.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "app_conversations", id = "conversation")]
#[index(unique by_name(user, name))]
pub(crate) struct ConversationRow {
    user: Option<String>,
    name: String,
    thread: ThreadId,
}

/// Which conversation a client means.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    /// The client's name for it, or the id of a thread.
    pub(super) name: String,
    /// Whose it is, for programs to say; by default the caller's.
    pub(super) user: Option<String>,
}

impl Conversation {
    /// Returns its thread, if there is one. Whether the caller may read it is still to be asked.
    pub(super) fn find(&self, tx: &Tx, caller: &Caller) -> Result<Option<ThreadId>> {
        if let Ok(thread) = self.name.parse::<ThreadId>() {
            return Ok(threads::get(tx, thread)?.map(|_| thread));
        }
        let row = tx.first(ConversationRow::by_name.eq(self.owner(tx, caller)?).eq(self.name.clone()))?;
        let Some(row) = row else { return Ok(None) };
        Ok(threads::get(tx, row.thread)?.map(|_| row.thread))
    }

    /// Returns its thread, which begins now if there is none, or none any more.
    pub(super) fn open(&self, tx: &mut Tx, caller: &Caller) -> Result<ThreadId> {
        if let Some(thread) = self.find(tx, caller)? {
            return Ok(thread);
        }
        let Self { name, .. } = self;
        if name.is_empty() || name.len() > MAX_CONVERSATION_BYTES {
            let message = format!(
                "the name of a conversation has {} bytes; give 1 to {MAX_CONVERSATION_BYTES}",
                name.len()
            );
            return Err(Error::new(Kind::Invalid, message).about("id"));
        }
        if name.parse::<ThreadId>().is_ok() {
            return Err(Error::new(Kind::NotFound, format!("there is no {name}")).about("id"));
        }
        let user = self.owner(tx, caller)?;
        allow(tx, caller, Need::ActFor(user.as_deref()))?;
        let thread = threads::create(tx, NewThread { user: user.clone(), ..NewThread::default() })?.id;
        match tx.first(ConversationRow::by_name.eq(user.clone()).eq(name.clone()))? {
            Some(row) => tx.update(row.id, |row| row.thread = thread).map(drop)?,
            None => tx.insert(ConversationRow { user, name: name.clone(), thread }).map(drop)?,
        }
        Ok(thread)
    }

    /// Returns whose it is.
    pub(super) fn owner(&self, tx: &Tx, caller: &Caller) -> Result<Option<String>> {
        let Some(user) = &self.user else { return Ok(caller.as_user().map(str::to_owned)) };
        allow(tx, caller, Need::ReadUser(Some(user)))?;
        Ok(Some(user.clone()))
    }
}
