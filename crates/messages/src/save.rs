//! Saving messages: where they land, and what follows from it, all in the caller's transaction.

mod place;

use loomwork_core::{Fault, Kind};
use loomwork_files::FileId;
use loomwork_models::{FinishReason, Message, ProviderData, Usage, Warning};
use loomwork_search::{Space, vectors};
use loomwork_store::{Result, Row, Tx};

pub use place::{MAX_NUMBER, Place};
use place::{Places, prompt_of};

use crate::attachments::own;
use crate::change::settle;
use crate::content::{INLINE_BYTES, is_of_tools, oversized_part, searchable_text};
use crate::tables::{
    Failure, MessageId, MessageRow, MessageStatus, Metadata, Position, RunId, Thread, ThreadId,
};
use crate::{runs, streams, summaries, threads};

/// A message that is to be saved. A [`Message`] is one, and so is a user's text.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Role and parts.
    pub message: Message,
    /// Where it stands; complete unless this says otherwise.
    pub status: MessageStatus,
    /// Why it failed or was called off.
    pub error: Option<Failure>,
    /// Whose it is; that of the thread if this names nobody.
    pub user: Option<String>,
    /// The agent or person that answers with it.
    pub agent: Option<String>,
    /// The model that made it.
    pub model: Option<String>,
    /// The provider of that model.
    pub provider: Option<String>,
    /// What that provider said of the whole message.
    pub provider_metadata: ProviderData,
    /// What the model call used; on one message of each call.
    pub usage: Option<Usage>,
    /// Why the model stopped.
    pub finish_reason: Option<FinishReason>,
    /// What was asked of the model and could not be done.
    pub warnings: Vec<Warning>,
    /// The files that it owns, besides those whose addresses it holds.
    pub files: Vec<FileId>,
    /// Whether it is found in its thread only, not among all that its user has written.
    pub hidden: bool,
    /// What the application keeps with it.
    pub metadata: Metadata,
    /// Its vector, where the caller has one; else the embedding pipeline makes it.
    pub vector: Option<(Space, Vec<f32>)>,
}

impl NewMessage {
    /// Returns a complete message.
    pub fn new(message: Message) -> Self {
        Self {
            message,
            status: MessageStatus::Success,
            error: None,
            user: None,
            agent: None,
            model: None,
            provider: None,
            provider_metadata: ProviderData::new(),
            usage: None,
            finish_reason: None,
            warnings: Vec::new(),
            files: Vec::new(),
            hidden: false,
            metadata: Metadata::new(),
            vector: None,
        }
    }

    /// Returns an answer that is still to be made.
    pub fn pending() -> Self {
        let message = Message::new(loomwork_models::Role::Assistant, []);
        Self { status: MessageStatus::Pending, ..Self::new(message) }
    }

    /// Returns the answer of a person. Save it at [`Place::Next`], so that it is a turn of its own.
    pub fn by_human(name: impl Into<String>, text: impl Into<String>) -> Self {
        let provider = Some(HUMAN.to_owned());
        Self { agent: Some(name.into()), provider, ..Self::new(Message::assistant(text)) }
    }
}

/// The provider of what people answer.
pub const HUMAN: &str = "human";

impl From<Message> for NewMessage {
    fn from(message: Message) -> Self {
        Self::new(message)
    }
}

impl From<String> for NewMessage {
    fn from(text: String) -> Self {
        Self::new(Message::user(text))
    }
}

impl From<&str> for NewMessage {
    fn from(text: &str) -> Self {
        Self::new(Message::user(text))
    }
}

/// Messages that are to be saved, and where.
#[derive(Clone, Debug, Default)]
pub struct Save {
    /// The messages, in their order.
    pub messages: Vec<NewMessage>,
    /// Where they land.
    pub place: Place,
    /// Whether messages that are still pending are given up first: those of the prompt's turn, or of the
    /// whole thread where there is no prompt. The runs and streams that make them end with them.
    pub restart: bool,
    /// The run that makes them.
    pub run: Option<RunId>,
}

impl Save {
    /// Returns a save of several messages.
    pub fn all<M: Into<NewMessage>>(messages: impl IntoIterator<Item = M>) -> Self {
        Self { messages: messages.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Says where they land.
    pub fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }
}

impl<M: Into<NewMessage>> From<M> for Save {
    fn from(message: M) -> Self {
        Self::all([message])
    }
}

/// How many pending messages a restart gives up at most.
pub const MAX_RESTARTED: usize = 100;

/// Saves messages in a thread, and returns their rows.
///
/// What answers a failed message, and what takes the place of one, is failed too, for the same reason.
///
/// # Errors
/// A [`SaveError`] says what is wrong with the place or a message; a thread that takes no messages says so.
pub fn save(tx: &mut Tx, thread: ThreadId, save: impl Into<Save>) -> Result<Vec<Row<MessageRow>>> {
    let save = save.into();
    let home = match save.place {
        // What was begun is brought to its end, in a thread too that takes no more.
        Place::Fill(_) => threads::require(tx, thread)?,
        _ => threads::require_open(tx, thread)?,
    };
    save_in(tx, &home, save, None)
}

/// As [`save`], in a thread that may take no new messages. `prompt` is what they answer, where the place names
/// no message that does or is answered.
pub(crate) fn save_in(
    tx: &mut Tx,
    home: &Row<Thread>,
    save: Save,
    prompt: Option<MessageId>,
) -> Result<Vec<Row<MessageRow>>> {
    let Save { messages, place, restart, run } = save;
    let thread = home.id;
    for (number, new) in messages.iter().enumerate() {
        check(number, new)?;
    }
    if matches!(place, Place::Exactly(_)) && messages.len() > 1 {
        return Err(SaveError::OneAtATime { messages: messages.len() }.into());
    }
    let (filled, failure) = match place {
        Place::Fill(id) => {
            let filled = pending_of(tx, thread, id)?;
            let failure = filled.1;
            (Some(filled.0), failure)
        }
        Place::Reply(prompt) => (None, failure_of_prompt(tx, thread, prompt)?),
        _ => (None, None),
    };
    if restart {
        give_up(tx, thread, place, filled.as_ref(), run)?;
    }
    let mut places = Places::begin(tx, thread, place, filled.as_ref())?;
    let prompt = match place {
        Place::Reply(prompt) => Some(prompt),
        _ => filled.as_ref().and_then(|filled| filled.prompt).or(prompt),
    };
    let mut filled = filled;
    let mut turns = false;
    let mut rows = Vec::with_capacity(messages.len());
    for mut new in messages {
        if let Some(failure) = &failure {
            (new.status, new.error) = (MessageStatus::Failed, Some(failure.clone()));
        }
        let vector = new.vector.take().filter(|_| new.status != MessageStatus::Failed);
        let row = match filled.take() {
            Some(filled) => {
                new.files = own(tx, filled.id, &new.message, &new.files, &filled.files)?;
                let record = overwritten(tx, &filled, new);
                vectors::delete_for(tx, filled.id)?;
                tx.replace(filled.id, record)?
            }
            None => {
                let position = places.next(tx, new.message.role)?;
                turns |= position.step == 0;
                let id = tx.new_id();
                new.files = own(tx, id, &new.message, &new.files, &[])?;
                let record = record(tx, home, position, new, prompt, run);
                tx.insert_at(id, record)?
            }
        };
        if let Some((space, vector)) = vector {
            vectors::insert(tx, &space, row.id, vector)?;
        }
        rows.push(row);
    }
    if let Some(oldest) = rows.iter().map(|row| row.order).min() {
        summaries::forget(tx, thread, oldest)?;
    }
    if turns {
        threads::touch(tx, thread, tx.now())?;
    }
    Ok(rows)
}

fn record(
    tx: &Tx,
    home: &Row<Thread>,
    position: Position,
    new: NewMessage,
    prompt: Option<MessageId>,
    run: Option<RunId>,
) -> MessageRow {
    MessageRow {
        thread: home.id,
        user: new.user.or_else(|| home.user.clone()),
        order: position.order,
        step: position.step,
        status: new.status,
        error: new.error,
        tool: is_of_tools(&new.message),
        text: searchable_text(&new.message),
        message: new.message,
        agent: new.agent,
        model: new.model,
        provider: new.provider,
        provider_metadata: new.provider_metadata,
        usage: new.usage,
        finish_reason: new.finish_reason,
        warnings: new.warnings,
        run,
        prompt,
        files: new.files,
        hidden: new.hidden,
        metadata: new.metadata,
        created: tx.now(),
        updated: None,
    }
}

/// Returns the record that takes the place of a pending one: whole, but for whose it is and what it answers.
fn overwritten(tx: &Tx, filled: &Row<MessageRow>, new: NewMessage) -> MessageRow {
    MessageRow {
        status: new.status,
        error: new.error,
        user: new.user.or_else(|| filled.user.clone()),
        tool: is_of_tools(&new.message),
        text: searchable_text(&new.message),
        message: new.message,
        agent: new.agent.or_else(|| filled.agent.clone()),
        model: new.model,
        provider: new.provider,
        provider_metadata: new.provider_metadata,
        usage: new.usage,
        finish_reason: new.finish_reason,
        warnings: new.warnings,
        files: new.files,
        hidden: new.hidden || filled.hidden,
        metadata: if new.metadata.is_empty() { filled.metadata.clone() } else { new.metadata },
        updated: Some(tx.now()),
        ..filled.record.clone()
    }
}

/// Returns the message that is to be filled, and why what fills it is failed, if it is.
fn pending_of(tx: &Tx, thread: ThreadId, id: MessageId) -> Result<(Row<MessageRow>, Option<Failure>)> {
    let row = prompt_of(tx, thread, id)?;
    let failure = match row.status {
        MessageStatus::Pending => None,
        MessageStatus::Success => return Err(SaveError::NotPending { message: id }.into()),
        MessageStatus::Failed | MessageStatus::Aborted => {
            let error = row.error.clone().unwrap_or_default();
            let message = format!("{id} had failed before: {}", error.message);
            Some(Failure { message, ..error })
        }
    };
    Ok((row, failure))
}

fn failure_of_prompt(tx: &Tx, thread: ThreadId, id: MessageId) -> Result<Option<Failure>> {
    let prompt = prompt_of(tx, thread, id)?;
    Ok(match prompt.status {
        MessageStatus::Failed | MessageStatus::Aborted => {
            let unsaid =
                || Failure::new("prompt_failed", format!("the message that it answers, {id}, has failed"));
            Some(prompt.record.error.unwrap_or_else(unsaid))
        }
        MessageStatus::Pending | MessageStatus::Success => None,
    })
}

/// Ends what is pending, but for the message that is being filled: runs and streams end with their messages,
/// which keep what they have; others fail.
fn give_up(
    tx: &mut Tx,
    thread: ThreadId,
    place: Place,
    filled: Option<&Row<MessageRow>>,
    own: Option<RunId>,
) -> Result<()> {
    let order = match place {
        Place::Reply(prompt) => Some(prompt_of(tx, thread, prompt)?.order),
        _ => filled.map(|filled| filled.order),
    };
    let pending = MessageRow::pending.eq(thread).ge(Position::start_of(order.unwrap_or(0)));
    let pending = match order {
        Some(order) => pending.le(Position::end_of(order)),
        None => pending,
    };
    for row in tx.scan(pending.desc().take(MAX_RESTARTED))? {
        if Some(row.id) == filled.map(|filled| filled.id) {
            continue;
        }
        match row.run {
            Some(run) if Some(run) != own => {
                runs::abort(tx, run, runs::restarted())?;
            }
            Some(_) => {}
            None => streams::cut_of_message(tx, &row, &runs::restarted())?,
        }
        settle(tx, row.id, MessageStatus::Failed, Some(Failure::new("restarted", "Restarting")))?;
    }
    Ok(())
}

/// Makes sure that a message can stand in a row.
pub(crate) fn check(number: usize, new: &NewMessage) -> Result<(), SaveError> {
    match oversized_part(&new.message) {
        Some((part, bytes)) => {
            let kind = new.message.parts[part].type_name().to_owned();
            Err(SaveError::PartTooLarge { message: number, part, kind, bytes })
        }
        None => Ok(()),
    }
}

/// Why messages cannot be saved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// A message that is not there.
    #[error("there is no {message}; it was deleted, or never saved")]
    NoMessage {
        /// The message.
        message: MessageId,
    },
    /// A message of another thread.
    #[error("{message} is a message of {of}, not of {thread}")]
    Elsewhere {
        /// The message.
        message: MessageId,
        /// The thread that the save is for.
        thread: ThreadId,
        /// The thread that has the message.
        of: ThreadId,
    },
    /// A message that is complete cannot be filled.
    #[error("{message} is complete; only a pending message is filled, and `update` edits a complete one")]
    NotPending {
        /// The message.
        message: MessageId,
    },
    /// A position that another message has.
    #[error(
        "{thread} already has {by} at order {}, stepOrder {}; `Place::Turn` takes the next free step",
        position.order,
        position.step
    )]
    Taken {
        /// The thread.
        thread: ThreadId,
        /// The position.
        position: Position,
        /// The message that has it.
        by: MessageId,
    },
    /// Several messages for one position.
    #[error("`Place::Exactly` is the place of one message, and there are {messages}; save them one by one")]
    OneAtATime {
        /// How many there are.
        messages: usize,
    },
    /// A number beyond [`MAX_NUMBER`].
    #[error("{field} would be {number}; the greatest number of a turn or step is {MAX_NUMBER}")]
    NumberTooLarge {
        /// What it counts.
        field: &'static str,
        /// The number.
        number: u64,
    },
    /// A part above [`INLINE_BYTES`].
    #[error(
        "part {part} of message {message} ({kind}) holds {bytes} bytes, and a row at most {INLINE_BYTES} of \
         one part; call `offload` before the transaction, which puts them into the file store"
    )]
    PartTooLarge {
        /// The place of the message in the save.
        message: usize,
        /// The place of the part in the message.
        part: usize,
        /// The type of the part.
        kind: String,
        /// How many bytes it holds.
        bytes: usize,
    },
}

impl Fault for SaveError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoMessage { .. } => Kind::NotFound,
            Self::NotPending { .. } | Self::Taken { .. } => Kind::Conflict,
            _ => Kind::Invalid,
        }
    }
}
