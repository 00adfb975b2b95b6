//! What a model is told: instructions, edits, what was found, recent turns, and what is asked.
//!
//! A context is read and then assembled. [`read`] takes from one snapshot all that the store knows, in queries
//! and in mutations; [`search`] finds what is older or elsewhere; [`assemble`] puts both and what the caller
//! [gives](Given) in order, without looking at anything else. So a [`Context`] can be looked at before it is
//! sent: each [`Piece`] says where it comes from, and what was left out says why.
//!
//! ```
//! use loomwork_agent::context::{self, Asked, Given};
//! use loomwork_messages::threads::{self, NewThread};
//! use loomwork_messages::{Save, save};
//! use loomwork_models::Message;
//! use loomwork_store::{Result, Store};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let tables = loomwork_messages::tables().into_iter().chain(loomwork_search::tables());
//! let store = Store::memory().tables(tables).open().await?;
//! let thread = store.mutate(|tx| Ok(threads::create(tx, NewThread::for_user("alice"))?.id)).await?;
//! let said = [Message::user("Where is my parcel?"), Message::assistant("On its way.")];
//! store.mutate(move |tx| save(tx, thread, Save::all(said))).await?;
//!
//! let asked = Asked::thread(thread);
//! let given = Given::prompt("When will it be here?").instructed("Be brief.");
//! let context = context::build(&store, None, &asked, given, &context::Shape::default()).await?;
//! assert_eq!(context.messages().len(), 4);
//! println!("{context}"); // what would be sent, message by message
//! # Ok(())
//! # }
//! ```
//!
//! # The order
//! Instructions, edits, other threads, a summary of the oldest turns, what was found in this one, recent turns, the caller's messages, the
//! prompt, and what the prompt's turn already has behind it. Turns are whole, but for [giant
//! ones](ContextOptions::max_turn).

mod assemble;
mod budget;
pub mod edits;
mod error;
mod expand;
mod ledger;
mod options;
mod piece;
mod read;
mod repair;
mod search;
mod setting;
mod show;
mod turns;

use loomwork_messages::{MessageId, ThreadId};
use loomwork_models::{Message, Part};
use loomwork_search::Search;
use loomwork_store::{Store, Tx};

pub use assemble::{ContextHandler, Shape, assemble};
pub(crate) use edits::defused;
pub use error::ContextError;
pub use expand::MAX_FOUND_MESSAGES;
pub use options::{
    ContextOptions, ContextValues, EditsRule, Layer, MAX_EDITS, MAX_RANGE, MAX_RECENT, RecencyRule,
    SearchOptions, SearchValues,
};
pub use piece::{Context, Denial, DropReason, Dropped, Origin, Piece, Why};
pub use read::{Material, read};
pub use repair::AUTO_DENIED;
pub use search::{Found, FoundThread, FoundTurn, search};
pub use setting::Setting;
pub use turns::Turn;
pub(crate) use turns::Turns;

/// What a context is for.
///
/// Without a thread there are no recent turns; without a user too, there is nothing to search.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// The thread that is answered in.
    pub thread: Option<ThreadId>,
    /// Whose other threads are searched; the thread's owner by default.
    pub user: Option<String>,
    /// The stored message that is answered: the context ends with its turn.
    pub prompt: Option<MessageId>,
    /// What is searched for. By default the text of what is asked.
    pub query: Option<String>,
    /// How the context is built.
    pub values: ContextValues,
}

impl Asked {
    /// Asks for the context of a new message in a thread.
    pub fn thread(thread: ThreadId) -> Self {
        Self { thread: Some(thread), ..Self::default() }
    }

    /// Asks for the context of a stored message.
    pub fn answering(thread: ThreadId, prompt: MessageId) -> Self {
        Self { prompt: Some(prompt), ..Self::thread(thread) }
    }

    /// Asks for the context of a new message of a user, in no thread.
    pub fn user(user: impl Into<String>) -> Self {
        Self { user: Some(user.into()), ..Self::default() }
    }

    /// Builds it as these values say.
    pub fn with(self, values: ContextValues) -> Self {
        Self { values, ..self }
    }
}

/// What the caller gives beside what is stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Given {
    /// What the model is to be; first of all.
    pub instructions: Vec<Message>,
    /// Messages that go before the prompt.
    pub messages: Vec<Message>,
    /// What is asked. It stands in for the stored prompt where there is one.
    pub prompt: Vec<Message>,
}

impl Given {
    /// Returns a prompt of one text.
    pub fn prompt(text: impl Into<String>) -> Self {
        Self { prompt: vec![Message::user(text)], ..Self::default() }
    }

    /// Adds an instruction.
    pub fn instructed(mut self, text: impl Into<String>) -> Self {
        self.instructions.push(Message::system(text));
        self
    }
}

/// Returns the context as far as one snapshot gives it, without a search: in a query, to be shown, counted or
/// watched, or in a mutation.
///
/// # Errors
/// As [`read`].
pub fn fetch_context(tx: &Tx, asked: &Asked) -> loomwork_store::Result<Context> {
    let material = read(tx, asked)?;
    Ok(assemble(asked, material, Found::default(), Given::default(), &Shape::default()))
}

/// Reads, searches if that is asked for, and assembles.
///
/// # Errors
/// As [`read`] and [`search()`]; [`ContextError::NoSearch`] where the values ask for a search and `search`
/// is `None`.
///
/// # Cancel safety
/// It changes nothing and may be dropped at any time.
pub async fn build(
    store: &Store,
    search: Option<&Search>,
    asked: &Asked,
    given: Given,
    shape: &Shape,
) -> Result<Context, ContextError> {
    let owned = asked.clone();
    let material = store.query(move |tx| read(tx, &owned)).await?;
    let found = match search {
        Some(search) => self::search(search, store, asked, &material, &given).await?,
        None if asked.values.needs_search() => return Err(ContextError::NoSearch),
        None => Found::default(),
    };
    Ok(assemble(asked, material, found, given, shape))
}

/// Returns whether a message has nothing that a model reads.
fn is_empty(message: &Message) -> bool {
    message.parts.iter().all(|part| matches!(part, Part::Text(text) if text.text.trim().is_empty()))
}

/// Returns the text of a message that can be searched for.
fn text_of(message: &Message) -> Option<String> {
    let texts = message.parts.iter().filter_map(Part::as_text).map(str::trim);
    let text = texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
    Some(text).filter(|text| !text.is_empty())
}
