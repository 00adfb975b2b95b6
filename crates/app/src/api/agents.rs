//! Agents: who can be asked, and what they would be told.

use loomwork_agent::context::Context;
use loomwork_messages::ThreadId;
use loomwork_models::ToolSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::operation::{Answer, Call, Group, Method, Reading};
use super::shapes::{Shown, shapes};
use crate::agents::Asking;
use crate::auth::{Need, Scope};
use crate::error::Result;

pub(super) fn operations() -> Group {
    Group::new("agents")
        .get("list", "/api/agents", Scope::Read, "Lists the agents that can be asked.", list)
        .act(
            "preview",
            (Method::Post, "/api/threads/{thread}/context"),
            Scope::Manage,
            "Shows what an agent would send to its model, with where each message comes from; nothing is stored and \
             no model is asked to answer.",
            preview,
        )
}

/// No arguments.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// An agent.
#[derive(Serialize, JsonSchema)]
struct AgentView {
    /// Its name.
    name: String,
}

fn list(reading: &Reading<'_>, _: &Nothing) -> Result<Vec<AgentView>> {
    reading.allow(Need::Scope(Scope::Read))?;
    let names = reading.agents.names();
    Ok(names.map(|name| AgentView { name: name.to_owned() }).collect())
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Preview {
    /// The thread's id.
    #[schemars(with = "String")]
    thread: ThreadId,
    /// The agent's name; may be left out where there is one.
    agent: Option<String>,
    /// What would be asked.
    prompt: String,
}

/// What would be sent to a model.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PreviewView {
    /// The agent.
    agent: String,
    /// The provider and the model.
    model: String,
    /// The tools that would be offered.
    tools: Vec<String>,
    /// Whether the model would be asked again behind a step that has called tools.
    goes_on: bool,
    /// The messages in their order, what is left out, and how many tokens that is.
    context: Shown<Context, ContextShape>,
    /// All of it, for people.
    text: String,
}

shapes! {
    /// What a model would be told.
    ContextShape = "Context" {
        /// The messages, each with where it comes from (`origin`) and how many `tokens` it has.
        pieces: Vec<Map<String, Value>>,
    }
}

async fn preview(call: Call, args: Preview) -> Result<Answer<PreviewView>> {
    call.allow(Need::Scope(Scope::Manage)).await?;
    call.allow(Need::WriteThread(args.thread)).await?;
    let (_, agent) = call.app.inner().agents.find(args.agent.as_deref())?;
    let user = call.caller.as_user().map(str::to_owned);
    let asking = Asking { thread: args.thread, user, prompt: args.prompt.into() };
    let run = agent.dry_run(call.app.runtime(), asking).await.map_err(loomwork_store::Error::from)?;
    Answer::of(&PreviewView {
        agent: run.agent.clone(),
        model: run.model.to_string(),
        tools: run.tools.iter().map(name_of).collect(),
        goes_on: run.goes_on,
        text: run.to_string(),
        context: Shown::new(run.context),
    })
}

fn name_of(tool: &ToolSpec) -> String {
    match tool {
        ToolSpec::Function { name, .. } => name.clone(),
        ToolSpec::Provider { id, .. } => id.clone(),
        _ => "?".to_owned(),
    }
}
