//! Runs: having an agent answer, and what becomes of that.

use loomwork_agent::durable::{Busy, StartOptions, Started};
use loomwork_core::Kind;
use loomwork_messages::runs::{self, Prompt};
use loomwork_messages::{Failure, MessageId, Metadata, Run, RunId, ThreadId};
use loomwork_models::Message;
use loomwork_store::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::messages::{FailureShape, said};
use super::operation::{Answer, Call, Group, Method, Reading};
use super::shapes::{Shown, shapes};
use super::threads::OneThread;
use crate::auth::{Need, Scope};
use crate::error::{Error, Result};
use crate::reached::{reached, reason};
use crate::runs::{RunAsk, named};

pub(super) fn operations() -> Group {
    Group::new("runs")
        .act(
            "start",
            (Method::Post, "/api/threads/{thread}/runs"),
            Scope::Chat,
            "Has an agent answer, whoever waits for it and whichever process makes it: `/api/threads/{thread}/live` shows \
             how it comes.",
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

/// What becomes of what is asked while an answer is being made in the thread.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WhenBusy {
    /// It is answered behind that.
    #[default]
    Queue,
    /// It is refused, and nothing is saved.
    Reject,
    /// What is being made is called off, and keeps what came.
    Supersede,
    /// It joins the turn that is being answered, whose agent is told of it at its next step.
    Steer,
}

impl From<WhenBusy> for Busy {
    fn from(busy: WhenBusy) -> Self {
        match busy {
            WhenBusy::Queue => Self::Queue,
            WhenBusy::Reject => Self::Reject,
            WhenBusy::Supersede => Self::Supersede,
            WhenBusy::Steer => Self::Steer,
        }
    }
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StartRun {
    /// The thread's id.
    #[schemars(with = "String")]
    thread: ThreadId,
    /// The agent's name; by default the one that the thread was handed to, or the only one there is.
    agent: Option<String>,
    /// A text of the user.
    prompt: Option<String>,
    /// Messages with their roles and parts; users write messages of users alone.
    #[schemars(with = "Option<Vec<Map<String, Value>>>")]
    messages: Option<Vec<Message>>,
    /// Instead of something new: a message that is there, to be answered or to be answered anew.
    #[schemars(with = "Option<String>")]
    prompt_id: Option<MessageId>,
    /// `queue` by default, `reject`, `supersede` or `steer`: what becomes of it while an answer is being made.
    #[serde(default)]
    busy: WhenBusy,
}

/// What became of what was asked.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StartedRun {
    /// The run that answers; absent where a person or nobody is to answer in the thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    /// The message that is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_id: Option<String>,
    /// Whether it has joined what the run was answering already.
    joined: bool,
}

impl From<Started> for StartedRun {
    fn from(started: Started) -> Self {
        Self {
            run: started.run().map(|run| run.to_string()),
            prompt_id: started.prompt().map(|prompt| prompt.to_string()),
            joined: matches!(started, Started::Joined { .. }),
        }
    }
}

async fn start(call: Call, args: StartRun) -> Result<Answer<StartedRun>> {
    let StartRun { thread, agent, prompt, messages, prompt_id, busy } = args;
    let app = call.app.clone();
    let said = match prompt_id {
        None => Some(said(prompt, messages)?),
        Some(_) if prompt.is_none() && messages.is_none() => None,
        Some(_) => {
            let message = "something new and a message that is there; give either";
            return Err(Error::new(Kind::Invalid, message).about("promptId"));
        }
    };
    call.mutate(move |tx, caller| {
        let prompt = match (prompt_id, said) {
            (Some(prompt), _) => Prompt::Message(prompt),
            (None, said) => Prompt::New(named(caller, said.unwrap_or_default())),
        };
        let options = StartOptions { busy: busy.into(), ..StartOptions::default() };
        let ask = RunAsk { agent, options, ..RunAsk::new(thread, prompt) };
        Ok(StartedRun::from(app.start_run(tx, caller, ask)?))
    })
    .await
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
    Ok(Shown::new(reached(reading.tx, reading.caller, args.run, |run| Need::ReadThread(run.thread))?))
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AbortRun {
    /// The run's id.
    #[schemars(with = "String")]
    run: RunId,
    /// Why, for whoever reads the thread; 1,000 bytes at most.
    reason: Option<String>,
}

/// Whether something was called off.
#[derive(Serialize, JsonSchema)]
struct Aborted {
    /// Whether it went on until then.
    aborted: bool,
}

async fn abort(call: Call, args: AbortRun) -> Result<Answer<Aborted>> {
    let reason = reason(args.reason)?.unwrap_or_else(|| "it was called off".to_owned());
    call.mutate(move |tx, caller| {
        let run = reached(tx, caller, args.run, |run| Need::WriteThread(run.thread))?;
        Ok(Aborted { aborted: runs::abort(tx, run.id, Failure::new("aborted", reason))? })
    })
    .await
}
