//! Answering again: what follows a message is superseded, and the message is answered anew.

use loomwork_core::{Fault, Kind};
use loomwork_messages::fork;
use loomwork_messages::runs::{self, Prompt};
use loomwork_messages::{MessageId, MessagePatch, MessageRow, NewMessage, ThreadId, truncate, update};
use loomwork_models::Role;
use loomwork_store::{Result, Row, Store, Tx};

use crate::error::AgentError;
use crate::reply::AgentReply;
use crate::thread::AgentThread;
use crate::waiting;

/// How many times 64 messages one transaction supersedes.
const REWIND_STEPS: usize = 16;

/// What becomes of what a thread has behind a message that is answered again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum History {
    /// It is deleted.
    #[default]
    Delete,
    /// The thread as it was is kept as a [fork](loomwork_messages::fork) beside it.
    Branch,
}

/// A thread that ends with the message that is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewound {
    /// The message. [`Prompt::Message`] answers it.
    pub prompt: MessageId,
    /// The thread that has what was there before, if that is kept.
    pub branch: Option<ThreadId>,
}

/// Why nothing can be answered again. Nothing is written then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RewindError {
    /// A message that the thread does not have.
    #[error("{thread} has no {message}; it was deleted, or is another thread's")]
    NoMessage {
        /// The thread.
        thread: ThreadId,
        /// The message.
        message: MessageId,
    },
    /// A message that answers nothing.
    #[error("{message} answers no message, so it cannot be made again")]
    NoPrompt {
        /// The message.
        message: MessageId,
    },
    /// A message that no user has said.
    #[error("{message} is not a user's, so what follows it cannot be made again from other words")]
    NotAsked {
        /// The message.
        message: MessageId,
    },
}

impl Fault for RewindError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoMessage { .. } => Kind::NotFound,
            Self::NoPrompt { .. } | Self::NotAsked { .. } => Kind::Invalid,
        }
    }
}

impl<S: Send + Sync + 'static> AgentThread<S> {
    /// Answers again what a message answers, or a prompt itself: what is behind the prompt is deleted, of all turns.
    /// To keep it, or to read the new answer as it comes, [`rewind`](Self::rewind) first.
    ///
    /// # Errors
    /// As [`rewind`](Self::rewind) and [`generate_text`](Self::generate_text).
    ///
    /// # Cancel safety
    /// As [`generate_text`](Self::generate_text); what is deleted stays so.
    pub async fn regenerate(&self, message: MessageId) -> std::result::Result<AgentReply, AgentError> {
        let rewound = self.rewind(message, History::Delete).await?;
        self.generate_text(Prompt::Message(rewound.prompt)).await
    }

    /// Ends the thread with what a message answers, or with a prompt itself. Runs behind it are called off, and
    /// nobody needs to approve or answer any more what they wait for.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use loomwork_agent::{Agent, History, Runtime};
    /// # use loomwork_messages::runs::Prompt;
    /// # use loomwork_messages::threads::NewThread;
    /// # use loomwork_models::OfflineModel;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let runtime = Runtime::memory().await?;
    /// # let agent = Agent::new("support", Arc::new(OfflineModel::default()));
    /// let thread = agent.create_thread(&runtime, NewThread::for_user("alice")).await?;
    /// let reply = thread.generate_text("Hello!").await?;
    /// let answer = reply.stored.expect("it is stored").messages[1];
    ///
    /// let rewound = thread.rewind(answer, History::Branch).await?;
    /// let mut again = thread.stream_text(Prompt::Message(rewound.prompt)).await?;
    /// while let Some(text) = again.next_text().await {
    ///     print!("{text}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`rewind`](crate::rewind), in [`AgentError::Store`].
    ///
    /// # Cancel safety
    /// What is deleted by then stays so; call it again.
    pub async fn rewind(
        &self,
        message: MessageId,
        history: History,
    ) -> std::result::Result<Rewound, AgentError> {
        Ok(rewind(self.store(), self.id(), message, history).await?)
    }

    /// Gives what a user has said other words, and ends the thread with it.
    ///
    /// # Errors
    /// As [`rewind_to_edit`], in [`AgentError::Store`].
    ///
    /// # Cancel safety
    /// As [`rewind`](Self::rewind); until what followed is gone, the old words stand.
    pub async fn edit(
        &self,
        message: MessageId,
        words: impl Into<NewMessage>,
        history: History,
    ) -> std::result::Result<Rewound, AgentError> {
        Ok(rewind_to_edit(self.store(), self.id(), message, words, history).await?)
    }
}

/// Ends a thread with what a message answers, or with a prompt itself, as [`AgentThread::rewind`] does: whoever starts
/// a run there then names the prompt.
///
/// # Errors
/// A [`RewindError`]; when the store cannot be written.
///
/// # Cancel safety
/// What is deleted by then stays so; call it again.
pub async fn rewind(
    store: &Store,
    thread: ThreadId,
    message: MessageId,
    history: History,
) -> Result<Rewound> {
    let prompt = store.query(move |tx| prompt_of(tx, thread, message)).await?.id;
    let branch = branch(store, thread, history).await?;
    supersede(store, thread, prompt).await?;
    Ok(Rewound { prompt, branch })
}

/// Gives what a user has said in a thread other words, and ends the thread with it, as [`AgentThread::edit`] does.
///
/// # Errors
/// As [`rewind`].
///
/// # Cancel safety
/// As [`rewind`]; until what followed is gone, the old words stand.
pub async fn rewind_to_edit(
    store: &Store,
    thread: ThreadId,
    message: MessageId,
    words: impl Into<NewMessage>,
    history: History,
) -> Result<Rewound> {
    let is_asked = move |tx: &Tx| match message_of(tx, thread, message)?.role() {
        Role::User => Ok(()),
        _ => Err(RewindError::NotAsked { message }.into()),
    };
    store.query(is_asked).await?;
    let branch = branch(store, thread, history).await?;
    supersede(store, thread, message).await?;
    let NewMessage { message: said, metadata, .. } = words.into();
    let metadata = (!metadata.is_empty()).then_some(metadata);
    let patch = MessagePatch { message: Some(said), metadata, ..MessagePatch::default() };
    store.mutate(move |tx| update(tx, message, patch)).await?;
    Ok(Rewound { prompt: message, branch })
}

fn message_of(tx: &Tx, thread: ThreadId, message: MessageId) -> Result<Row<MessageRow>> {
    let row = tx.get(message)?.filter(|row| row.thread == thread);
    Ok(row.ok_or(RewindError::NoMessage { thread, message })?)
}

/// Returns the prompt of a message's turn.
fn prompt_of(tx: &Tx, thread: ThreadId, message: MessageId) -> Result<Row<MessageRow>> {
    let row = message_of(tx, thread, message)?;
    if row.role() == Role::User {
        return Ok(row);
    }
    let prompt = match row.prompt {
        Some(prompt) => tx.get(prompt)?.filter(|prompt| prompt.thread == thread),
        None => None,
    };
    Ok(prompt.ok_or(RewindError::NoPrompt { message })?)
}

/// Keeps the thread as it is, if that is wanted.
async fn branch(store: &Store, thread: ThreadId, history: History) -> Result<Option<ThreadId>> {
    if history == History::Delete {
        return Ok(None);
    }
    let copy =
        store.mutate(move |tx| fork::start(tx, thread, fork::At::End, fork::Options::default())).await?.id;
    // It copies from what is deleted next.
    fork::finish(store, copy).await?;
    Ok(Some(copy))
}

/// Deletes what is behind a message, and calls off the runs that write there.
async fn supersede(store: &Store, thread: ThreadId, prompt: MessageId) -> Result<()> {
    let some = move |tx: &mut Tx| {
        let behind = message_of(tx, thread, prompt)?.position();
        for run in runs::live(tx, thread)?.iter().filter(|run| run.order >= behind.order) {
            waiting::supersede(tx, run)?;
        }
        for _ in 0..REWIND_STEPS {
            if truncate(tx, thread, behind)?.done {
                return Ok(true);
            }
        }
        Ok(false)
    };
    while !store.mutate(some).await? {}
    Ok(())
}
