//! Changing what was said: other words, another answer, and threads that go on in another way.

use loomwork_agent::{History, Rewound, rewind, rewind_to_edit};
use loomwork_core::Kind;
use loomwork_messages::fork::{self, At, Target};
use loomwork_messages::runs::Prompt;
use loomwork_messages::threads::{self, NewThread};
use loomwork_messages::{
    self as stored, MessageId, MessagePatch, MessageRow, MessageStatus, Metadata, Thread, ThreadId,
};
use loomwork_models::{Message, Role};
use loomwork_store::{Row, Tx};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::operation::{Answer, Call, Group, Method};
use super::runs::StartedRun;
use super::shapes::Shown;
use super::threads::{Deleted, ThreadShape};
use crate::app::App;
use crate::auth::{Caller, Need, Refused, Scope, allow};
use crate::error::{Error, Result};
use crate::reached::reached;
use crate::runs::{AdmittedRun, RunAsk};
use crate::said::check;

pub(super) fn operations() -> Group {
    Group::new("messages")
        .act(
            "update",
            (Method::Patch, "/api/messages/{message}"),
            Scope::Chat,
            "Gives a message other words, or other metadata; what follows it stays. Users change what they have said \
             themselves.",
            update,
        )
        .act(
            "delete",
            (Method::Delete, "/api/messages/{message}"),
            Scope::Chat,
            "Deletes a message. Users delete what they have said themselves, and owners whatever is in their threads.",
            delete,
        )
        .act(
            "answer_again",
            (Method::Post, "/api/messages/{message}/again"),
            Scope::Chat,
            "Has a prompt answered again, that of an answer or itself, in other words if wanted: the thread ends there \
             first, and goes on with a new answer.",
            again,
        )
        .act(
            "fork",
            (Method::Post, "/api/threads/{thread}/fork"),
            Scope::Chat,
            "Makes a thread that begins as another one did, up to a message or to its end.",
            fork,
        )
}

/// Other words: a text, or a message with its parts.
fn words(prompt: Option<String>, message: Option<Message>) -> Result<Option<Message>> {
    match (prompt, message) {
        (Some(_), Some(_)) => {
            let text = "the words are given twice; give either `prompt` or `content`";
            Err(Error::new(Kind::Invalid, text).about("prompt"))
        }
        (Some(text), None) => Ok(Some(Message::user(text))),
        (None, message) => Ok(message),
    }
}

/// Returns a message that the caller may change: users what they have said themselves.
fn own(tx: &Tx, caller: &Caller, id: MessageId) -> Result<Row<MessageRow>> {
    let row = reached(tx, caller, id, |row| Need::WriteThread(row.thread))?;
    if is_own(caller, &row) { Ok(row) } else { Err(Refused::Author { message: id }.into()) }
}

fn is_own(caller: &Caller, row: &MessageRow) -> bool {
    let Some(user) = caller.as_user().filter(|_| caller.scope() < Scope::Manage) else { return true };
    row.role() == Role::User && row.user.as_deref() == Some(user)
}

/// Refuses a message that is being made.
fn require_settled(row: &Row<MessageRow>) -> Result<()> {
    if row.status != MessageStatus::Pending {
        return Ok(());
    }
    Err(Error::new(Kind::Conflict, format!("{} is being made; abort its run first", row.id)))
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UpdateMessage {
    /// The message's id.
    #[schemars(with = "String")]
    message: MessageId,
    /// Another text of the user.
    prompt: Option<String>,
    /// In its place: role and parts.
    #[schemars(with = "Option<Map<String, Value>>")]
    content: Option<Message>,
    /// All its metadata.
    metadata: Option<Metadata>,
}

/// A message that was changed.
#[derive(Serialize, JsonSchema)]
struct Updated {
    /// Its id.
    id: String,
}

async fn update(call: Call, args: UpdateMessage) -> Result<Answer<Updated>> {
    let UpdateMessage { message: id, prompt, content, metadata } = args;
    let said = words(prompt, content)?;
    call.mutate(move |tx, caller| {
        let row = own(tx, caller, id)?;
        require_settled(&row)?;
        check(tx, caller, &said)?;
        let patch = MessagePatch { message: said, metadata, ..MessagePatch::default() };
        Ok(Updated { id: stored::update(tx, id, patch)?.id.to_string() })
    })
    .await
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneMessage {
    /// The message's id.
    #[schemars(with = "String")]
    message: MessageId,
}

async fn delete(call: Call, args: OneMessage) -> Result<Answer<Deleted>> {
    call.mutate(move |tx, caller| {
        let row = reached(tx, caller, args.message, |row| Need::WriteThread(row.thread))?;
        if !is_own(caller, &row) {
            allow(tx, caller, Need::OwnThread(row.thread))?;
        }
        require_settled(&row)?;
        Ok(Deleted { deleted: !stored::delete(tx, &[args.message])?.is_empty() })
    })
    .await
}

/// What becomes of what the thread has behind the prompt.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WhatFollows {
    /// It is deleted.
    #[default]
    Delete,
    /// The thread as it was is kept beside it.
    Branch,
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AnswerAgain {
    /// The message's id: a prompt, or an answer to one.
    #[schemars(with = "String")]
    message: MessageId,
    /// The agent's name; by default the one that the thread was handed to, or the only one there is.
    agent: Option<String>,
    /// Other words for the prompt: a text.
    prompt: Option<String>,
    /// In its place: role and parts.
    #[schemars(with = "Option<Map<String, Value>>")]
    content: Option<Message>,
    /// `delete` by default, or `branch`: what becomes of what follows.
    #[serde(default)]
    history: WhatFollows,
}

/// An answer that is made again.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Again {
    /// What became of it.
    #[serde(flatten)]
    started: StartedRun,
    /// The thread that has what was there before, if that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<String>,
}

async fn again(call: Call, args: AnswerAgain) -> Result<Answer<Again>> {
    let AnswerAgain { message, agent, prompt, content, history } = args;
    let history = match history {
        WhatFollows::Delete => History::Delete,
        WhatFollows::Branch => History::Branch,
    };
    let ask = AgainAsk { message, agent, words: words(prompt, content)?, history };
    let (admitted, rewound) = admit_again(&call.app, &call.caller, ask).await?;
    call.mutate(move |tx, _| {
        let started = admitted.answering(rewound.prompt).start(tx)?;
        Ok(Again { started: started.into(), branch: rewound.branch.map(|thread| thread.to_string()) })
    })
    .await
}

/// What is to be answered again.
#[derive(Debug)]
pub(crate) struct AgainAsk {
    /// A prompt, or an answer to one.
    pub(crate) message: MessageId,
    pub(crate) agent: Option<String>,
    /// Other words for the prompt.
    pub(crate) words: Option<Message>,
    pub(crate) history: History,
}

/// Winds a thread back to a prompt that is to be answered again. Whoever is refused keeps their thread as it is.
pub(crate) async fn admit_again(app: &App, caller: &Caller, ask: AgainAsk) -> Result<(AdmittedRun, Rewound)> {
    let AgainAsk { message, agent, words, history } = ask;
    let (starting, caller, other_words) = (app.clone(), caller.clone(), words.clone());
    let admit = move |tx: &mut Tx| {
        let row = match &other_words {
            Some(_) => own(tx, &caller, message)?,
            None => reached(tx, &caller, message, |row| Need::WriteThread(row.thread))?,
        };
        check(tx, &caller, &other_words)?;
        let ask = RunAsk { agent, ..RunAsk::new(row.thread, Prompt::Message(message)) };
        Ok::<_, Error>((row.thread, starting.admit_run(tx, &caller, ask)?))
    };
    let store = app.store();
    let (thread, admitted) = store.try_mutate(admit).await?;
    let rewound = match words {
        Some(words) => rewind_to_edit(store, thread, message, words, history).await?,
        None => rewind(store, thread, message, history).await?,
    };
    Ok((admitted, rewound))
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fork {
    /// The thread's id.
    #[schemars(with = "String")]
    thread: ThreadId,
    /// The last message that is copied, to the end of its turn; by default all are.
    #[schemars(with = "Option<String>")]
    message: Option<MessageId>,
    /// Whose the copy is; by default the caller's, or, for a program, whose the thread is.
    user: Option<String>,
    /// Its title; by default that of the thread.
    title: Option<String>,
}

async fn fork(call: Call, args: Fork) -> Result<Answer<Shown<Row<Thread>, ThreadShape>>> {
    call.mutate(move |tx, caller| {
        let Fork { thread, message, user, title } = args;
        allow(tx, caller, Need::ReadThread(thread))?;
        let Thread { user: owner, title: old_title, summary, tags, metadata, responder, agent, .. } =
            threads::require(tx, thread)?.record;
        let own = caller.as_user().map(str::to_owned);
        let user = user.or_else(|| own.clone()).or_else(|| owner.filter(|_| own.is_none()));
        allow(tx, caller, Need::ActFor(user.as_deref()))?;
        let title = title.or(old_title);
        let new = NewThread { user, title, summary, tags, metadata, responder, agent };
        let at = message.map_or(At::End, At::Turn);
        let options = fork::Options { target: Target::New(new), ..fork::Options::default() };
        Ok(Shown::new(fork::start(tx, thread, at, options)?))
    })
    .await
}
