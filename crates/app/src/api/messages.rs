//! Messages: what a page shows of a thread.

use std::fmt;
use std::str::FromStr;

use loomwork_core::Kind;
use loomwork_messages::{
    self as stored, LiveStream, Metadata, Position, Save, ThreadId, UiMessage, View, view,
};
use loomwork_models::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::operation::{Answer, Call, Group, Method, Reading};
use super::page::MAX_ROWS;
use super::shapes::{Shown, shapes};
use crate::auth::{Need, Scope, allow};
use crate::error::{Error, Result};
use crate::runs::named;
use crate::said::check;

/// How many messages a page has, unless the request says so.
const DEFAULT_MESSAGES: usize = 50;

pub(super) fn operations() -> Group {
    Group::new("messages")
        .get(
            "list",
            "/api/threads/{thread}/messages",
            Scope::Read,
            "Returns what a page shows of a thread: messages, whole turns at a time, and the streams that grow there.",
            list,
        )
        .act(
            "save",
            (Method::Post, "/api/threads/{thread}/messages"),
            Scope::Chat,
            "Saves messages without having them answered.",
            save,
        )
}

shapes! {
    /// A message as a page shows it: one of a user, or all that one run has answered.
    MessageShape = "Message" {
        /// The id of its first row, which it has from its first chunk on.
        id: String,
        /// The place of its first row: `<thread>-<order>-<step>`.
        key: String,
        /// Its thread.
        thread_id: String,
        /// `system`, `user` or `assistant`.
        role: String,
        /// Its parts: text, reasoning, files, sources, calls of tools with their results.
        parts: Vec<Map<String, Value>>,
        /// What the application keeps with it.
        metadata: Option<Metadata>,
        /// The number of its turn.
        order: u64,
        /// The place of its first row within the turn.
        step_order: u64,
        /// `streaming`, `pending`, `success`, `failed` or `aborted`.
        status: String,
        /// The agent or person that made it.
        agent_name: Option<String>,
        /// Whose it is.
        user_id: Option<String>,
        /// The run that made it.
        run_id: Option<String>,
        /// Its texts, joined by a space.
        text: String,
        /// When its first row was saved, in milliseconds since 1970.
        creation_time: i64,
        /// The model that made it.
        model: Option<String>,
        /// The provider of that model.
        provider: Option<String>,
        /// What its model calls used.
        usage: Option<Map<String, Value>>,
        /// Why the model stopped.
        finish_reason: Option<Value>,
        /// Why it failed or was called off.
        error: Option<FailureShape>,
    }

    /// Why something failed or was called off.
    FailureShape = "Failure" {
        /// For programs.
        code: String,
        /// For people.
        message: String,
        /// What else is known.
        details: Option<Map<String, Value>>,
    }

    /// A stream that grows.
    StreamShape = "Stream" {
        /// Its id.
        id: String,
        /// Its thread.
        thread: String,
        /// The message that it becomes.
        message: String,
        /// The number of its turn.
        order: u64,
        /// `streaming`.
        status: String,
    }
}

/// What a page shows of a thread.
#[derive(Serialize, JsonSchema)]
pub(crate) struct MessagePage {
    /// The messages, from the first to the last.
    messages: Vec<Shown<UiMessage, MessageShape>>,
    /// The streams that grow there; `/api/threads/{thread}/live` has what they say.
    streams: Vec<Shown<LiveStream, StreamShape>>,
    /// Behind which place the next page begins: the `after` of its request. Absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl From<View> for MessagePage {
    fn from(view: View) -> Self {
        Self {
            messages: view.messages.into_iter().map(Shown::new).collect(),
            streams: view.streams.into_iter().map(Shown::new).collect(),
            next: view.next.map(|next| Place(next).to_string()),
        }
    }
}

/// A position as a text: `3-1`.
struct Place(Position);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.order, self.0.step)
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = text
            .split_once('-')
            .and_then(|(order, step)| Some(Position::new(order.parse().ok()?, step.parse().ok()?)));
        let wrong = || {
            let message = format!("{text:?} is no place in a thread; pass on the `next` of the page before");
            Error::new(Kind::Invalid, message).about("after")
        };
        numbers.map(Self).ok_or_else(wrong)
    }
}

/// Which messages of a thread.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ListMessages {
    /// The thread's id.
    #[schemars(with = "String")]
    pub(crate) thread: ThreadId,
    /// Whether pages go from the first message on, and not from the last one back.
    #[serde(default)]
    oldest_first: bool,
    /// How many, from 1 to 200; 50 by default, and whatever is left of their last turn.
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

impl ListMessages {
    /// Returns the list that is asked for.
    pub(crate) fn list(&self) -> Result<stored::List> {
        let size = self.limit.unwrap_or(DEFAULT_MESSAGES);
        if size == 0 || size > MAX_ROWS {
            let message = format!("a page of {size} messages; ask for 1 to {MAX_ROWS}");
            return Err(Error::new(Kind::Invalid, message).about("limit"));
        }
        let after = self.after.as_deref().map(str::parse::<Place>).transpose()?;
        let after = after.map(|place| place.0);
        Ok(stored::List { newest_first: !self.oldest_first, after, size, ..stored::List::default() })
    }
}

fn list(reading: &Reading<'_>, args: &ListMessages) -> Result<MessagePage> {
    reading.allow(Need::ReadThread(args.thread))?;
    Ok(view(reading.tx, args.thread, &args.list()?)?.into())
}

/// Returns what is said: a text of the user, or messages.
pub(super) fn said(prompt: Option<String>, messages: Option<Vec<Message>>) -> Result<Vec<Message>> {
    match (prompt, messages) {
        (Some(text), None) => Ok(vec![Message::user(text)]),
        (None, Some(messages)) if !messages.is_empty() => Ok(messages),
        _ => {
            let message = "nothing is said, or twice; give either `prompt` or `messages`";
            Err(Error::new(Kind::Invalid, message).about("prompt"))
        }
    }
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SaveMessages {
    /// The thread's id.
    #[schemars(with = "String")]
    thread: ThreadId,
    /// A text of the user.
    prompt: Option<String>,
    /// Messages with their roles and parts; users write messages of users alone.
    #[schemars(with = "Option<Vec<Map<String, Value>>>")]
    messages: Option<Vec<Message>>,
}

/// The messages that were saved.
#[derive(Serialize, JsonSchema)]
struct Saved {
    /// Their ids, in their order.
    ids: Vec<String>,
}

async fn save(call: Call, args: SaveMessages) -> Result<Answer<Saved>> {
    let SaveMessages { thread, prompt, messages } = args;
    let said = said(prompt, messages)?;
    call.mutate(move |tx, caller| {
        allow(tx, caller, Need::WriteThread(thread))?;
        check(tx, caller, &said)?;
        let rows = stored::save(tx, thread, Save::all(named(caller, said)))?;
        Ok(Saved { ids: rows.iter().map(|row| row.id.to_string()).collect() })
    })
    .await
}
