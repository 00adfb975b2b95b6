//! The app that `loomwork` serves without being told another one: agents that answer offline too.

use std::sync::Arc;

use loomwork_agent::{Agent, Options, step_count, tool};
use loomwork_models::LanguageModel;
use loomwork_rag::NewEntry;
use loomwork_rate_limiter::{Limit, MINUTE, SECOND};
use loomwork_store::Result;
use loomwork_workflow::{Event, Flow, Workflow, start};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Builder, Knowledge, metered};

/// How many messages a user sends.
const SEND_MESSAGE: Limit<'static> =
    Limit::fixed_window("send-message", 1, SECOND.saturating_mul(5)).capacity(2);

/// How many tokens a user uses.
const TOKENS: Limit<'static> = Limit::token_bucket("tokens", 2_000, MINUTE).capacity(10_000);

/// A report that waits for somebody to read it before it is done.
const RESEARCH: Workflow<String, String> = Workflow::new("research");

/// Whether the report is good.
const READ: Event<bool> = Event::new("read");

/// Where the demo keeps what it knows.
const HANDBOOK: &str = "handbook";

/// What the handbook says.
const PAGES: [(&str, &str, &str); 3] = [
    ("returns", "Returns", "Carpets may be sent back within 30 days. Sending them back costs nothing."),
    (
        "delivery",
        "Delivery",
        "Parcels take two to four days. We deliver to every country that has a post office.",
    ),
    ("care", "Care", "Wool is cleaned dry or with cold water, and never in a dryer."),
];

/// Tells the weather of a place.
#[tool]
async fn weather(
    /// The place.
    place: String,
) -> String {
    // Made up from the name, so that it is the same each time and asks nobody.
    let warmth = place.bytes().map(u32::from).sum::<u32>() % 30;
    format!("It is {warmth} degrees in {place}, with a light wind.")
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Topic {
    /// What the report is about.
    topic: String,
}

/// Describes the demo, in which this model answers.
pub(crate) fn describe(builder: Builder, model: Arc<dyn LanguageModel>) -> Result<Builder> {
    let knowledge = Knowledge::default();
    let options = || Options { on_usage: Some(metered()), ..Options::default() };
    let assistant = Agent::new("assistant", model.clone()).instructions("You are a helpful assistant.");
    let forecaster = Agent::new("weather", model.clone())
        .instructions("You tell people the weather. Ask the tool; never guess.")
        .tool(weather)?
        .stop_when(step_count(5));
    let support = Agent::new("support", model)
        .instructions("You help the customers of a carpet shop. Look into the handbook before you answer.")
        .tool(knowledge.search_tool(HANDBOOK))?
        .stop_when(step_count(5));
    let research_knowledge = knowledge.clone();
    Ok(builder
        .knowledge(&knowledge)
        .agent(assistant.with(options()))
        .agent(forecaster.with(options()))
        .agent(support.with(options()))
        .limit(SEND_MESSAGE)
        .limit(TOKENS)
        .on_start(async |app| {
            for (key, title, text) in PAGES {
                app.knowledge().add(HANDBOOK, NewEntry::key(key).titled(title), text).await?;
            }
            Ok(())
        })
        .workflow(RESEARCH, move |flow, topic| research(flow, topic, research_knowledge.clone()))
        .mutation("research.start", |tx, caller, Topic { topic }| {
            let by = caller.as_user().unwrap_or("operator");
            let key = format!("{by}: {topic}");
            Ok(start(tx, &RESEARCH, topic, key.as_str())?.to_string())
        }))
}

/// Gathers what the handbook says of a topic, writes a report, and waits until somebody has read it.
async fn research(flow: Flow, topic: String, knowledge: Knowledge) -> Result<String> {
    let asked = topic.clone();
    let gathered = flow.effect("gather", move || {
        let (knowledge, asked) = (knowledge.clone(), asked.clone());
        async move { knowledge.find(HANDBOOK, &asked).await }
    });
    let gathered = gathered.await?;
    let is_good = flow.event(READ).await?;
    let verdict = if is_good { "It was read and found good." } else { "It was read, and sent back." };
    Ok(format!("On {topic}: {gathered} {verdict}"))
}

/// Returns what the demo's server says when it begins.
pub(crate) fn greeting(model: &str, address: &str, key: Option<&str>) -> String {
    let key = key.map(|key| format!("  export KEY={key}\n")).unwrap_or_default();
    format!(
        "  model  {model}

Three things to try, each in a thread of yours:
{key}  THREAD=$(curl -sH \"Authorization: Bearer $KEY\" --json '{{\"user\":\"me\"}}' {address}/api/threads | grep -o 'thread_[a-z0-9]*')
  1. curl -H \"Authorization: Bearer $KEY\" --json '{{\"agent\":\"weather\",\"prompt\":\"Use weather with place Oslo.\"}}' {address}/api/threads/$THREAD/runs
  2. curl -N -H \"Authorization: Bearer $KEY\" {address}/api/threads/$THREAD/live
  3. curl -H \"Authorization: Bearer $KEY\" --json '{{\"topic\":\"returns\"}}' {address}/api/mutation/research.start
"
    )
}
