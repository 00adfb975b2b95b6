//! What a page asks: something new, another answer, or that an answer goes on.

use loomwork_agent::History;
use loomwork_agent::durable::{StartOptions, Started};
use loomwork_core::Kind;
use loomwork_messages::runs::Prompt;
use loomwork_messages::{
    self as stored, MessageId, Metadata, NewMessage, Run, RunId, ThreadId, UiChunk, UiPart,
};
use loomwork_store::Tx;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::conversation::Conversation;
use super::{go_on, parts};
use crate::api::Args;
use crate::api::answering::{AgainAsk, admit_again};
use crate::app::App;
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::runs::RunAsk;

/// The body of a request; pages send more than is read here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked {
    /// The id of the chat.
    id: String,
    /// The messages, as the page has them. The last one tells what is asked.
    #[serde(default)]
    messages: Vec<Value>,
    /// The last one alone.
    message: Option<Value>,
    #[serde(default)]
    trigger: Trigger,
    message_id: Option<String>,
    /// The agent's name; by default the one that the thread was handed to, or the only one there is.
    agent: Option<String>,
    /// Whose chat it is, for programs to say.
    user: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum Trigger {
    #[default]
    #[serde(rename = "submit-message")]
    Submit,
    #[serde(rename = "regenerate-message")]
    Regenerate,
}

/// A message as a page has it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct PageMessage {
    pub(super) id: Option<String>,
    role: PageRole,
    pub(super) parts: Vec<UiPart>,
    metadata: Option<Metadata>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PageRole {
    System,
    User,
    Assistant,
}

/// An answer that is to be told.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) thread: ThreadId,
    /// The run that makes it; none where nobody answers.
    pub(super) run: Option<RunId>,
    /// The id of its message; that of its run unless it goes on with one.
    pub(super) message: Option<String>,
    /// How many steps of the run the page has.
    pub(super) steps: u32,
    /// What is told before: what the page has lost.
    pub(super) before: Vec<UiChunk>,
}

impl Answer {
    /// Returns one that is told from its beginning.
    fn new(thread: ThreadId, started: &Started) -> Self {
        Self { thread, run: started.run(), message: None, steps: 0, before: Vec::new() }
    }
}

/// Begins what is asked.
pub(super) async fn begin(app: &App, caller: &Caller, asked: Asked) -> Result<Answer> {
    let Asked { id, messages, message, trigger, message_id, agent, user } = asked;
    let chat = Conversation { name: id, user };
    let (last, field) = match (message, messages.len().checked_sub(1)) {
        (Some(message), _) => (Some(message), "message".to_owned()),
        (None, Some(at)) => (messages.into_iter().next_back(), format!("messages[{at}]")),
        (None, None) => (None, "messages".to_owned()),
    };
    if trigger == Trigger::Regenerate {
        return regenerate(app, caller, chat, message_id, agent).await;
    }
    let Some(last) = last else {
        return Err(Error::new(Kind::Invalid, "nothing is said; send `messages`").about(field));
    };
    let last = page_message(last, &field)?;
    match last.role {
        PageRole::Assistant => go_on::go_on(app, caller, chat, last, &field).await,
        PageRole::User => say(app, caller, chat, Said { last, field, message_id, agent }).await,
        PageRole::System => {
            let message = "a system message is no question; send one of the role `user` last";
            Err(Error::new(Kind::Invalid, message).about(format!("{field}.role")))
        }
    }
}

fn page_message(value: Value, field: &str) -> Result<PageMessage> {
    let Value::Object(fields) = value else {
        return Err(Error::new(Kind::Invalid, "a message is an object with `role` and `parts`").about(field));
    };
    let fields: Map<String, Value> = fields;
    Args::from(fields).read().map_err(|error| {
        let field = match error.field() {
            Some(inner) => format!("{field}.{inner}"),
            None => field.to_owned(),
        };
        error.about(field)
    })
}

struct Said {
    last: PageMessage,
    field: String,
    /// The message that it takes the place of.
    message_id: Option<String>,
    agent: Option<String>,
}

/// Has something new answered, or something said before in other words.
async fn say(app: &App, caller: &Caller, chat: Conversation, said: Said) -> Result<Answer> {
    let Said { last, field, message_id, agent } = said;
    let PageMessage { id, parts, metadata, .. } = last;
    let message = parts::said(parts).map_err(|error| error.about(format!("{field}.parts")))?;
    if let Some(edited) = message_id {
        let (asking, named) = (caller.clone(), chat.clone());
        let found = app.store().try_query(move |tx| {
            let Some(thread) = named.find(tx, &asking)? else { return Ok::<_, Error>(None) };
            Ok(prompt_of(tx, thread, &edited)?.map(|prompt| (thread, prompt)))
        });
        if let Some((thread, prompt)) = found.await? {
            let ask = AgainAsk { message: prompt, agent, words: Some(message), history: History::Delete };
            return again(app, caller, thread, ask).await;
        }
    }
    let new = NewMessage { metadata: metadata.unwrap_or_default(), ..NewMessage::new(message) };
    let (app, caller) = (app.clone(), caller.clone());
    let store = app.store().clone();
    let starting = store.try_mutate(move |tx| {
        let thread = chat.open(tx, &caller)?;
        let options = StartOptions {
            // A page that did not hear our answer asks again: it is asked once.
            key: id.map(|id| key_of(&id)),
            user: chat.owner(tx, &caller)?,
            ..StartOptions::default()
        };
        let ask = RunAsk { agent, options, ..RunAsk::new(thread, Prompt::New(vec![new])) };
        Ok::<_, Error>((thread, app.start_run(tx, &caller, ask)?))
    });
    let (thread, started) = starting.await?;
    Ok(Answer::new(thread, &started))
}

/// The key of the run that answers a message, by the page's id for it.
fn key_of(message: &str) -> String {
    format!("chat:{message}")
}

/// Returns a message that a page means: by our id, or by the page's, which the run that answers it is known by.
fn prompt_of(tx: &Tx, thread: ThreadId, id: &str) -> Result<Option<MessageId>> {
    if let Ok(id) = id.parse::<MessageId>() {
        return Ok(tx.get(id)?.filter(|row| row.thread == thread).map(|row| row.id));
    }
    let run = tx.first(Run::by_key.eq(thread).eq(Some(key_of(id))))?;
    let Some(prompt) = run.and_then(|run| run.prompt) else { return Ok(None) };
    Ok(tx.get(prompt)?.map(|row| row.id))
}

/// Has a prompt answered again: the one of the message that is named, or the last.
async fn regenerate(
    app: &App,
    caller: &Caller,
    chat: Conversation,
    message: Option<String>,
    agent: Option<String>,
) -> Result<Answer> {
    let asking = caller.clone();
    let found = app.store().try_query(move |tx| {
        let nothing = || Error::new(Kind::NotFound, "the chat has nothing that could be answered again");
        let thread = chat.find(tx, &asking)?.ok_or_else(nothing)?;
        let named = message.as_deref().map(|id| prompt_of(tx, thread, id)).transpose()?.flatten();
        let message = match named {
            Some(message) => message,
            None => stored::last(tx, thread)?.ok_or_else(nothing)?.id,
        };
        Ok::<_, Error>((thread, message))
    });
    let (thread, message) = found.await?;
    again(app, caller, thread, AgainAsk { message, agent, words: None, history: History::Delete }).await
}

async fn again(app: &App, caller: &Caller, thread: ThreadId, ask: AgainAsk) -> Result<Answer> {
    let (admitted, rewound) = admit_again(app, caller, ask).await?;
    let starting = app.store().try_mutate(move |tx| admitted.answering(rewound.prompt).start(tx));
    Ok(Answer::new(thread, &starting.await?))
}
