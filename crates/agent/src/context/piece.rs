//! A context, piece by piece.

use loomwork_messages::{EditId, MessageId, Position, SummaryId, ThreadId};
use loomwork_models::{Message, ModelName, Usage};
use serde::Serialize;

/// A message for the model, and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Piece {
    /// Where it comes from.
    pub origin: Origin,
    /// The thread, if it is of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<ThreadId>,
    /// Its id, if it is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<MessageId>,
    /// Its place in the thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// How many tokens it has.
    pub tokens: u64,
    /// The message.
    pub message: Message,
}

/// Where a piece comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "from", rename_all = "camelCase")]
#[non_exhaustive]
pub enum Origin {
    /// It is an instruction.
    Instructions,
    /// It tells of edits.
    Edits {
        /// Which ones.
        edits: Vec<EditId>,
    },
    /// It says where what was found in another thread begins or ends.
    Label,
    /// It was found in another thread of the user.
    OtherThread {
        /// Why; `None` if it only stands beside what was found.
        why: Option<Why>,
    },
    /// It was found in this thread.
    Search {
        /// Why; `None` if it only stands beside what was found.
        why: Option<Why>,
    },
    /// It stands in the place of the oldest turns.
    Summary {
        /// The summary.
        summary: SummaryId,
        /// The first turn that it covers.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// It is recent.
    Recent,
    /// The caller gave it, to go before the prompt.
    Input,
    /// It is what is asked.
    Prompt,
    /// It is what the prompt's turn already has behind it.
    Response,
    /// It denies what nobody has approved.
    Denial,
    /// A handler added it.
    Added,
}

impl Origin {
    /// Returns its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Edits { .. } => "edits",
            Self::Label => "label",
            Self::OtherThread { .. } => "other thread",
            Self::Search { .. } => "search",
            Self::Summary { .. } => "summary",
            Self::Recent => "recent",
            Self::Input => "input",
            Self::Prompt => "prompt",
            Self::Response => "response",
            Self::Denial => "denial",
            Self::Added => "added",
        }
    }

    /// Returns why it was found, if it was.
    pub const fn why(&self) -> Option<Why> {
        match self {
            Self::OtherThread { why } | Self::Search { why } => *why,
            _ => None,
        }
    }
}

/// Why a message was found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    /// Its score after fusion and recency.
    pub score: f64,
    /// Its rank among those found by their words, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<usize>,
    /// Its rank among those found by their vectors, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector: Option<usize>,
    /// The cosine of its vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cosine: Option<f32>,
}

impl Piece {
    pub(super) fn new(origin: Origin, message: Message) -> Self {
        Self { origin, thread: None, id: None, position: None, tokens: 0, message }
    }

    /// Returns a piece for a handler to add.
    pub fn added(message: Message) -> Self {
        Self::new(Origin::Added, message)
    }

    pub(super) fn is_foreign(&self) -> bool {
        matches!(self.origin, Origin::OtherThread { .. })
    }
}

/// What was left out of a context.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dropped {
    /// What it was.
    pub origin: Origin,
    /// Its thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<ThreadId>,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<MessageId>,
    /// Its place in the thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Why.
    pub reason: DropReason,
}

/// Why something was left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "because", rename_all = "camelCase")]
#[non_exhaustive]
pub enum DropReason {
    /// It says nothing.
    Empty,
    /// A call in it has neither result nor approval request; the rest of it may still be there.
    NoResult {
        /// The call.
        call: String,
    },
    /// A result in it has no call before it; the rest of it may still be there.
    NoCall {
        /// The call that is missing.
        call: String,
    },
    /// An approval request in it has no call or is there twice, or an answer has no request; the rest of it may
    /// still be there.
    NoRequest {
        /// The request.
        request: String,
    },
    /// There are too many tokens.
    Budget {
        /// How many it had.
        tokens: u64,
    },
    /// Its turn has too many messages: those behind this one, up to the next that is there, are missing.
    TurnTooLong,
}

/// The answer to approval requests that nobody has answered before a new generation began. It is part of
/// the context; who generates stores it too, so that nobody approves them later.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Denial {
    /// The thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<ThreadId>,
    /// The message that asks, if it is stored: the answer belongs into its turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<MessageId>,
    /// The place of that message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The requests.
    pub requests: Vec<String>,
    /// The answer.
    pub message: Message,
}

/// What a model is told, in its order, and what was left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    /// The pieces.
    pub pieces: Vec<Piece>,
    /// What was left out.
    pub dropped: Vec<Dropped>,
    /// Answers to requests that nobody has answered, to be stored.
    pub denials: Vec<Denial>,
    /// The most tokens that were allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// Where the stored prompt stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Position>,
    /// What was used to embed what was searched for, by model.
    #[serde(skip)]
    pub embedded: Vec<(ModelName, Usage)>,
}

impl Context {
    /// Returns the messages for the model.
    pub fn messages(&self) -> Vec<Message> {
        self.pieces.iter().map(|piece| piece.message.clone()).collect()
    }

    /// Takes the messages for the model.
    pub fn into_messages(self) -> Vec<Message> {
        self.pieces.into_iter().map(|piece| piece.message).collect()
    }

    /// Returns how many tokens the messages have.
    pub fn tokens(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.tokens).sum()
    }

    /// Returns whether there are more tokens than allowed, though all that may be dropped is.
    pub fn exceeds_budget(&self) -> bool {
        self.max_tokens.is_some_and(|most| self.tokens() > most)
    }
}
