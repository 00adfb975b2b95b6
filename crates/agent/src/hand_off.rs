//! Handing a thread from one agent to another.

use loomwork_core::{Fault, Kind};
use loomwork_messages::runs::Prompt;
use loomwork_messages::threads::{self, ThreadPatch};
use loomwork_messages::{Responder, Thread, ThreadId};
use loomwork_store::{Result, Row, Tx};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::error::AgentError;
use crate::options::Options;
use crate::reply::AgentReply;
use crate::routes::Routes;
use crate::runtime::Runtime;
use crate::stop::has_successful_tool_call;
use crate::tool::{BoxError, Tool, ToolContext, ToolError, ToolsError};

/// The name of the tool.
pub const HAND_OFF: &str = "hand_off";

/// How often the agents of a team may hand one question on.
pub const MAX_HAND_OFFS: usize = 8;

/// Hands a thread to an agent: whoever asks who answers there is told its name, by
/// [`Thread::agent`](loomwork_messages::Thread::agent).
///
/// # Errors
/// As [`threads::update`].
pub fn hand_off(tx: &mut Tx, thread: ThreadId, agent: &str) -> Result<Row<Thread>> {
    let patch = ThreadPatch {
        responder: Some(Responder::Agent),
        agent: Some(Some(agent.to_owned())),
        ..ThreadPatch::default()
    };
    threads::update(tx, thread, patch)
}

/// Whom a model hands the conversation to.
#[derive(Deserialize, JsonSchema)]
struct Handed {
    to: String,
}

impl<T> Routes<T> {
    /// Returns the tool [`hand_off`](HAND_OFF): the agent that has it hands its thread to the agent of one of these
    /// names, in the transaction that keeps the call. Give it the [condition](has_successful_tool_call) to stop there.
    pub fn hand_off_tool<S: Send + Sync + 'static>(&self) -> Tool<S> {
        let names: Vec<String> = self.names().map(|(name, _)| name.to_owned()).collect();
        let mut description =
            "Hands this conversation to somebody else, who answers from now on:\n".to_owned();
        for (name, about) in self.names() {
            description.push_str(&format!("- {name}: {about}\n"));
        }
        let schema = json!({
            "type": "object",
            "properties": { "to": { "type": "string", "enum": names, "description": "Who answers from now on." } },
            "required": ["to"],
            "additionalProperties": false,
        });
        Tool::dynamic(HAND_OFF, description, schema, |context: ToolContext<S>, input: Value| async move {
            let Handed { to } = serde_json::from_value(input)?;
            let lacks = || ToolError::invalid("only a conversation that is stored can be handed on");
            let thread = context.thread().ok_or_else(lacks)?;
            let named = to.clone();
            context.store().mutate(move |tx| hand_off(tx, thread, &named)).await?;
            Ok::<_, BoxError>(format!("{to} answers from now on"))
        })
    }
}

impl<S: Send + Sync + 'static> Routes<Agent<S>> {
    /// Lets the agent answer that has the thread, or one of them if nobody has it yet, and each one that it is handed
    /// to, until one has answered. All of it is one turn: who takes over reads what was said before it.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use loomwork_agent::{Agent, Routes, Runtime};
    /// use loomwork_messages::threads::{NewThread, create};
    /// use loomwork_models::OfflineModel;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let runtime = Runtime::memory().await?;
    /// let model = Arc::new(OfflineModel::default());
    /// let team = Routes::default()
    ///     .to("reception", "Says hello.", Agent::new("reception", model.clone()))
    ///     .to("billing", "Invoices and refunds.", Agent::new("billing", model));
    /// let thread = runtime.store().mutate(|tx| create(tx, NewThread::for_user("alice"))).await?.id;
    /// let reply = team.answer(&runtime, thread, "reception", "Hello!").await?;
    /// assert!(!reply.text.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`generate_text`](crate::AgentHandle::generate_text); [`HandOffError`] where a person or nobody is to answer
    /// in the thread, where an agent has it who is none of these, and where it is handed on more than
    /// [`MAX_HAND_OFFS`] times.
    ///
    /// # Cancel safety
    /// As [`generate_text`](crate::AgentHandle::generate_text).
    pub async fn answer(
        &self,
        runtime: &Runtime,
        thread: ThreadId,
        first: &str,
        prompt: impl Into<Prompt>,
    ) -> std::result::Result<AgentReply, AgentError> {
        let tool = self.hand_off_tool();
        let mut prompt = prompt.into();
        for _ in 0..=MAX_HAND_OFFS {
            let home = runtime.store().query(move |tx| threads::require(tx, thread)).await?;
            if home.responder != Responder::Agent {
                return Err(HandOffError::NoAgent { thread, responder: home.responder }.failed());
            }
            let name = home.agent.as_deref().unwrap_or(first);
            let unknown = || HandOffError::Unknown { thread, agent: name.to_owned() }.failed();
            let agent = self.named(name).ok_or_else(unknown)?;
            let agent = with_hand_off(agent, &tool)
                .map_err(|source| AgentError::Tools { agent: name.to_owned(), source: Box::new(source) })?;
            let reply = agent.in_thread(runtime, thread).generate_text(prompt).await?;
            let was_handed_on = has_successful_tool_call(HAND_OFF).is_met(&reply.steps);
            match reply.stored.as_ref().and_then(|stored| stored.prompt).filter(|_| was_handed_on) {
                Some(asked) => prompt = Prompt::Message(asked),
                None => return Ok(reply),
            }
        }
        Err(HandOffError::TooOften { thread }.failed())
    }
}

/// Returns an agent that may hand its thread on, and stops when it has.
fn with_hand_off<S: Send + Sync + 'static>(
    agent: &Agent<S>,
    tool: &Tool<S>,
) -> std::result::Result<Agent<S>, ToolsError> {
    let stop = has_successful_tool_call(HAND_OFF);
    let stop_when = match &agent.options.stop_when {
        Some(own) => own.clone().or(stop),
        None => stop,
    };
    let options = Options { stop_when: Some(stop_when), ..Options::default() };
    Ok(agent.clone().tool(tool.clone())?.with(options))
}

/// Why nobody of a team answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandOffError {
    /// A person is to answer, or nobody.
    #[error("in {thread} no agent is to answer: its responder is {responder:?}; hand it to an agent first")]
    NoAgent {
        /// The thread.
        thread: ThreadId,
        /// Who is.
        responder: Responder,
    },
    /// An agent has the thread who is none of the team.
    #[error("{thread} was handed to {agent:?}, who is not of this team; hand it to one that is")]
    Unknown {
        /// The thread.
        thread: ThreadId,
        /// The agent.
        agent: String,
    },
    /// It was handed on too often.
    #[error(
        "one question in {thread} was handed on more than {MAX_HAND_OFFS} times; say more clearly who does what"
    )]
    TooOften {
        /// The thread.
        thread: ThreadId,
    },
}

impl HandOffError {
    fn failed(self) -> AgentError {
        AgentError::Store(self.into())
    }
}

impl Fault for HandOffError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoAgent { .. } | Self::TooOften { .. } => Kind::Conflict,
            Self::Unknown { .. } => Kind::NotFound,
        }
    }
}
