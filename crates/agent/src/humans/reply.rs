//! People who answer in threads themselves.

use loomwork_core::Kind;
use loomwork_messages::threads::{self, ThreadPatch};
use loomwork_messages::{HUMAN, MessageRow, Metadata, NewMessage, Place, Responder, Save, ThreadId, save};
use loomwork_models::{Message, ProviderData};
use loomwork_store::{Error, Result, Row, Tx};

/// What a person says in a thread instead of an agent.
#[derive(Clone, Debug)]
pub struct HumanReply {
    /// Who.
    pub by: String,
    /// What.
    pub message: Message,
    /// What else is known of them, for applications: it stands with the message, and no model reads it.
    pub facts: Metadata,
}

impl HumanReply {
    /// Returns a reply in words.
    pub fn new(by: impl Into<String>, text: impl Into<String>) -> Self {
        Self { by: by.into(), message: Message::assistant(text), facts: Metadata::new() }
    }
}

/// Saves what a person answers, under their name and as a turn of its own: so it is not taken for a part of what an
/// agent says.
///
/// # Errors
/// As [`save`].
pub fn reply(tx: &mut Tx, thread: ThreadId, reply: HumanReply) -> Result<Row<MessageRow>> {
    let HumanReply { by, message, facts } = reply;
    let mut provider_metadata = ProviderData::new();
    if !facts.is_empty() {
        provider_metadata.insert(HUMAN.to_owned(), facts.into());
    }
    let provider = Some(HUMAN.to_owned());
    let new = NewMessage { agent: Some(by), provider, provider_metadata, ..NewMessage::new(message) };
    let mut rows = save(tx, thread, Save::from(new).at(Place::Next))?;
    rows.pop().ok_or_else(|| Error::message(Kind::Internal, "a save of one message has stored none"))
}

/// Says that a person answers next in a thread: no agent begins there by itself.
///
/// # Errors
/// As [`threads::update`].
pub fn take_over(tx: &mut Tx, thread: ThreadId) -> Result<()> {
    answers_next(tx, thread, Responder::Human)
}

/// Says that an agent answers next in a thread.
///
/// # Errors
/// As [`threads::update`].
pub fn hand_over(tx: &mut Tx, thread: ThreadId) -> Result<()> {
    answers_next(tx, thread, Responder::Agent)
}

fn answers_next(tx: &mut Tx, thread: ThreadId, responder: Responder) -> Result<()> {
    let patch = ThreadPatch { responder: Some(responder), ..ThreadPatch::default() };
    threads::update(tx, thread, patch).map(drop)
}
