//! Beginning a run.

use loomwork_store::{Result, Row, Tx};

use super::{RunError, end, restarted};
use crate::save::{NewMessage, Place, Save, save};
use crate::tables::{MessageId, MessageRow, MessageStatus, Metadata, Run, RunId, RunStatus, ThreadId};

/// What a run answers.
#[derive(Clone, Debug)]
pub enum Prompt {
    /// A message that is there. Whatever is still being made in its turn is given up.
    Message(MessageId),
    /// Messages that are saved with the run; the last one is what it answers.
    New(Vec<NewMessage>),
}

impl<M: Into<NewMessage>> From<M> for Prompt {
    fn from(message: M) -> Self {
        Self::New(vec![message.into()])
    }
}

/// A run that is to begin.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// What it answers.
    pub prompt: Prompt,
    /// The agent that answers.
    pub agent: Option<String>,
    /// Whose it is; that of the thread if this names nobody.
    pub user: Option<String>,
    /// Whether another process goes on where a dead one stopped. One that is not is settled instead, with
    /// what it had written.
    pub durable: bool,
    /// The caller's name for it: beginning it again finds the one that there is.
    pub key: Option<String>,
    /// What who takes it up needs to know.
    pub values: Metadata,
}

impl NewRun {
    /// Returns a run that ends with its process.
    pub fn answering(prompt: impl Into<Prompt>) -> Self {
        let prompt = prompt.into();
        Self { prompt, agent: None, user: None, durable: false, key: None, values: Metadata::new() }
    }
}

/// A run that has begun.
#[derive(Clone, Debug)]
pub struct Begun {
    /// The run.
    pub run: Row<Run>,
    /// The messages that were saved with it.
    pub inputs: Vec<Row<MessageRow>>,
    /// Whether it has begun now; not if its key was known.
    pub is_new: bool,
}

/// Begins a run: saves its prompt and the pending answer, and queues it.
///
/// # Errors
/// [`RunError::PromptFailed`] before anything is written, so that no model is paid for it;
/// [`RunError::KeyTaken`] for a key of another prompt; else as [`save`].
pub fn begin(tx: &mut Tx, thread: ThreadId, new: NewRun) -> Result<Begun> {
    let NewRun { prompt, agent, user, durable, key, values } = new;
    if let Some(key) = &key
        && let Some(run) = tx.first(Run::by_key.eq(thread).eq(Some(key.clone())))?
    {
        let is_same = match prompt {
            Prompt::Message(prompt) => run.prompt == Some(prompt),
            Prompt::New(_) => true,
        };
        if !is_same {
            return Err(RunError::KeyTaken { key: key.clone(), run: run.id }.into());
        }
        return Ok(Begun { run, inputs: Vec::new(), is_new: false });
    }
    let (prompt, inputs) = match prompt {
        Prompt::Message(prompt) => (prompt, Vec::new()),
        Prompt::New(messages) => {
            let named =
                messages.into_iter().map(|new| NewMessage { user: new.user.or_else(|| user.clone()), ..new });
            let inputs = save(tx, thread, Save::all(named))?;
            let last = inputs.last().ok_or(RunError::NoPrompt { thread })?;
            refuse_failed(last)?;
            (last.id, inputs)
        }
    };
    let id = tx.new_id::<Run>();
    let pending = pending_for(tx, thread, prompt, id, agent.clone(), user.clone(), inputs.is_empty())?;
    let run = Run {
        thread,
        prompt: Some(prompt),
        order: pending.order,
        user: pending.user.clone(),
        agent,
        status: RunStatus::Queued,
        durable,
        key,
        first: pending.id,
        pending: Some(pending.id),
        stream: None,
        step_from: 0,
        steps: 0,
        attempt: 1,
        host: None,
        fence: 0,
        values,
        error: None,
        created: tx.now(),
        ended: None,
    };
    let run = tx.insert_at(id, run)?;
    Ok(Begun { run, inputs, is_new: true })
}

/// Saves the answer that is to be made, in place of any that is being made in the same turn.
fn pending_for(
    tx: &mut Tx,
    thread: ThreadId,
    prompt: MessageId,
    run: RunId,
    agent: Option<String>,
    user: Option<String>,
    restart: bool,
) -> Result<Row<MessageRow>> {
    if restart {
        give_up(tx, thread, prompt)?;
    }
    let pending = NewMessage { agent, user, ..NewMessage::pending() };
    let save_pending = Save { restart, run: Some(run), ..Save::all([pending]).at(Place::Reply(prompt)) };
    let mut rows = save(tx, thread, save_pending)?;
    rows.pop().ok_or_else(|| RunError::NoPrompt { thread }.into())
}

fn refuse_failed(prompt: &Row<MessageRow>) -> Result<()> {
    if !matches!(prompt.status, MessageStatus::Failed | MessageStatus::Aborted) {
        return Ok(());
    }
    let unsaid = || "without saying why".to_owned();
    let failure = prompt.error.as_ref().map_or_else(unsaid, |error| error.message.clone());
    Err(RunError::PromptFailed { message: prompt.id, failure }.into())
}

/// Ends what runs in the prompt's turn, and refuses a prompt that has failed.
fn give_up(tx: &mut Tx, thread: ThreadId, prompt: MessageId) -> Result<()> {
    let Some(row) = tx.get(prompt)?.filter(|row| row.thread == thread) else {
        // The save says what is wrong with it.
        return Ok(());
    };
    refuse_failed(&row)?;
    for run in tx.scan(Run::live.eq(thread).eq(row.order))? {
        end(tx, run, RunStatus::Aborted, Some(restarted()))?;
    }
    // It may itself have been one of the answers that are given up.
    refuse_failed(&tx.require(prompt)?)
}
