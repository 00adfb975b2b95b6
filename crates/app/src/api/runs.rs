//! Runs: having an agent answer, and what becomes of that.

use loomwork_agent::Stored;
use loomwork_core::Kind;
use loomwork_messages::runs::{self, Prompt};
use loomwork_messages::{Failure, MessageId, Metadata, NewMessage, Run, RunId, Save, ThreadId, save};
use loomwork_models::Message;
use loomwork_store::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::messages::{FailureShape, Said};
use super::operation::{Answer, Call, Group, Method, Reading};
use super::shapes::{Shown, shapes};
use super::threads::OneThread;
use crate::agents::Asking;
use crate::auth::{Need, Scope, allow};
use crate::error::{Error, Result};

pub(super) fn operations() -> Group {
    Group::new("runs")
        .act(
            "start",
            (Method::Post, "/api/threads/{thread}/runs"),
            Scope::Chat,
            "Has an agent answer, in the background: `/api/threads/{thread}/live` shows how it comes.",
            start,
        )
        .get(
            "live",
            "/api/threads/{thread}/runs",
            Scope::Read,
            "Lists the runs of a thread that go on.",
            live,
        )
        .get("get", "/api/runs/{run}", Scope::Read, "Returns a run.", get)
        .act(
            "abort",
            (Method::Post, "/api/runs/{run}/abort"),
            Scope::Chat,
            "Calls a run off; what came is kept.",
            abort,
        )
}

shapes! {
    /// One generation: it owns its pending message and its stream.
    RunShape = "Run" {
        /// Its id.
        id: String,
        /// Its thread.
        thread: String,
        /// The message that it answers.
        prompt: Option<String>,
        /// The number of its turn.
        order: u64,
        /// Whose it is.
        user: Option<String>,
        /// The agent that answers.
        agent: Option<String>,
        /// `queued`, `running`, `waiting`, `success`, `failed` or `aborted`.
        status: String,
        /// Whether another process goes on where a dead one stopped.
        durable: bool,
        /// Its first message.
        first: String,
        /// The message that is being made.
        pending: Option<String>,
        /// The stream that grows, or grew last.
        stream: Option<String>,
        /// How many steps are complete.
        steps: u32,
        /// How often the present step was begun.
        attempt: u32,
        /// What the application keeps with it.
        values: Option<Metadata>,
        /// Why it failed or was called off.
        error: Option<FailureShape>,
        /// When it began, in milliseconds since 1970.
        created: i64,
        /// When it ended.
        ended: Option<i64>,
    }
}

type RunView = Shown<Row<Run>, RunShape>;

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StartRun {
    /// The thread's id.
    #[schemars(with = "String")]
    thread: ThreadId,
    /// The agent's name; may be left out where there is one.
    agent: Option<String>,
    /// A text of the user.
    prompt: Option<String>,
    /// Messages with their roles and parts; users write messages of users alone.
    #[schemars(with = "Option<Vec<Map<String, Value>>>")]
    messages: Option<Vec<Message>>,
    /// Instead of something new: a message that is there, to be answered or to be answered anew.
    #[schemars(with = "Option<String>")]
    prompt_id: Option<MessageId>,
}

/// A run that was started.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Started {
    /// The run.
    run: String,
    /// The message that it answers.
    prompt_id: String,
}

async fn start(call: Call, args: StartRun) -> Result<Answer<Started>> {
    let StartRun { thread, agent, prompt, messages, prompt_id } = args;
    let agent = call.app.inner().agents.find(agent.as_deref())?;
    let said = match prompt_id {
        Some(_) if prompt.is_none() && messages.is_none() => Vec::new(),
        Some(_) => {
            let message = "something new and a message that is there; give either";
            return Err(Error::new(Kind::Invalid, message).about("promptId"));
        }
        None => Said { prompt, messages }.messages(&call.caller)?,
    };
    let caller = call.caller.clone();
    let user = caller.as_user().map(str::to_owned);
    let asks = user.clone();
    let prompt = call.app.store().try_mutate(move |tx| {
        allow(tx, &caller, Need::WriteThread(thread))?;
        if let Some(prompt) = prompt_id {
            let row = tx.require(prompt)?;
            return if row.thread == thread { Ok(prompt) } else { Err(not_there(prompt, thread)) };
        }
        let named = said.into_iter().map(|message| {
            let new = NewMessage::new(message);
            NewMessage { user: user.clone(), ..new }
        });
        let rows = save(tx, thread, Save::all(named))?;
        rows.last().map(|row| row.id).ok_or_else(|| Error::new(Kind::Invalid, "nothing is said"))
    });
    let prompt = prompt.await?;

    let asking = Asking { thread, user: asks, prompt: Prompt::Message(prompt) };
    // Whoever is refused hears of it; an answer that has begun is followed in the thread.
    let answering = agent.stream_text(call.app.runtime(), asking).await;
    let run = run_of(answering.map_err(loomwork_store::Error::from)?.stored())?;
    Answer::of(&Started { run: run.to_string(), prompt_id: prompt.to_string() })
}

fn run_of(stored: Option<&Stored>) -> Result<RunId> {
    stored.map(|stored| stored.run).ok_or_else(|| {
        let message = "the agent stores nothing of its answers, so there is no run to follow";
        Error::new(Kind::Invalid, message).about("agent")
    })
}

fn not_there(message: MessageId, thread: ThreadId) -> Error {
    Error::new(Kind::NotFound, format!("there is no {message} in {thread}")).about("promptId")
}

fn live(reading: &Reading<'_>, args: &OneThread) -> Result<Vec<RunView>> {
    reading.allow(Need::ReadThread(args.thread))?;
    Ok(runs::live(reading.tx, args.thread)?.into_iter().map(Shown::new).collect())
}

/// A run by its id.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneRun {
    /// The run's id.
    #[schemars(with = "String")]
    run: RunId,
}

fn get(reading: &Reading<'_>, args: &OneRun) -> Result<RunView> {
    let run = reading.tx.require(args.run)?;
    reading.allow(Need::ReadThread(run.thread))?;
    Ok(Shown::new(run))
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AbortRun {
    /// The run's id.
    #[schemars(with = "String")]
    run: RunId,
    /// Why, for whoever reads the thread.
    reason: Option<String>,
}

/// Whether something was called off.
#[derive(Serialize, JsonSchema)]
struct Aborted {
    /// Whether it went on until then.
    aborted: bool,
}

async fn abort(call: Call, args: AbortRun) -> Result<Answer<Aborted>> {
    call.mutate(move |tx, caller| {
        let run = tx.require(args.run)?;
        allow(tx, caller, Need::WriteThread(run.thread))?;
        let reason = args.reason.unwrap_or_else(|| "it was called off".to_owned());
        Ok(Aborted { aborted: runs::abort(tx, run.id, Failure::new("aborted", reason))? })
    })
    .await
}
