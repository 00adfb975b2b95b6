//! The app that `loomwork` serves without being told another one: agents that answer offline too. It is an example like
//! any other.

use std::sync::Arc;

use loomwork_agent::{Agent, Options, step_count, tool};
use loomwork_models::LanguageModel;
use loomwork_rag::NewEntry;
use loomwork_rate_limiter::{Limit, MINUTE, SECOND, check_all, estimated_tokens, limit_all};
use loomwork_store::{Result, Tx};
use loomwork_usage::{Budget, Level, Measure, set_budget};
use loomwork_workflow::{Event, Flow, Workflow, start};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{App, Builder, Knowledge, RunAsked, metered, within_budgets, within_tokens};

/// How many messages a user sends.
pub const SEND_MESSAGE: Limit<'static> =
    Limit::fixed_window("send-message", 1, SECOND.saturating_mul(5)).capacity(2);

/// How many messages all users send together.
pub const ALL_MESSAGES: Limit<'static> = Limit::token_bucket("all-messages", 1_000, MINUTE);

/// How many tokens a user uses.
pub const TOKENS: Limit<'static> = Limit::token_bucket("tokens", 2_000, MINUTE).capacity(10_000);

/// How many tokens all users use together.
pub const ALL_TOKENS: Limit<'static> = Limit::token_bucket("all-tokens", 100_000, MINUTE);

/// How many tokens each agent may use in a month.
pub const TOKENS_OF_AGENT: i64 = 10_000_000;

/// A report that waits for somebody to read it before it is done.
pub const RESEARCH: Workflow<String, String> = Workflow::new("research");

/// Whether the report is good.
pub const READ: Event<bool> = Event::new("read");

/// Where the demo keeps what it knows.
pub const HANDBOOK: &str = "handbook";

/// The agents.
const AGENTS: [&str; 4] = ["assistant", "weather", "support", "refunds"];

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

/// Pays money back for an order.
#[tool(needs_approval)]
async fn refund(
    /// The number of the order.
    order: u32,
    /// How much, in euros.
    amount: u32,
) -> String {
    format!("{amount} euros go back for order {order}.")
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Topic {
    /// What the report is about.
    topic: String,
}

/// Describes the demo, in which this model answers: agents for talk, weather, support and refunds, a workflow that
/// researches, a handbook, four limits and a budget.
///
/// # Errors
/// When two tools of an agent have one name.
pub fn describe(builder: Builder, model: Arc<dyn LanguageModel>) -> Result<Builder> {
    let knowledge = Knowledge::default();
    let agent = |name: &str| {
        let admissions = Some(vec![within_tokens(TOKENS, ALL_TOKENS), within_budgets()]);
        let options = Options { on_usage: Some(metered()), admissions, ..Options::default() };
        Agent::new(name, model.clone()).with(options).stop_when(step_count(5))
    };
    let assistant = agent("assistant").instructions("You are a helpful assistant.");
    let forecaster = agent("weather")
        .instructions("You tell people the weather. Ask the tool; never guess.")
        .tool(weather)?;
    let support = agent("support")
        .instructions("You help the customers of a carpet shop. Look into the handbook before you answer.")
        .tool(knowledge.search_tool(HANDBOOK))?;
    let refunds =
        agent("refunds").instructions("You pay customers back; somebody looks at it before.").tool(refund)?;
    let research_knowledge = knowledge.clone();
    Ok(builder
        .knowledge(&knowledge)
        .agent(assistant)
        .agent(forecaster)
        .agent(support)
        .agent(refunds)
        .limit(SEND_MESSAGE)
        .limit(ALL_MESSAGES)
        .limit(TOKENS)
        .limit(ALL_TOKENS)
        .before_run(limited)
        .at_start(|tx| AGENTS.iter().try_for_each(|agent| budgeted(tx, agent)))
        .on_start(async |app| Ok(teach(&app).await?))
        .workflow(RESEARCH, move |flow, topic| research(flow, topic, research_knowledge.clone()))
        .mutation("research.start", |tx, caller, Topic { topic }| {
            let by = caller.as_user().unwrap_or("operator");
            let key = format!("{by}: {topic}");
            Ok(start(tx, &RESEARCH, topic, key.as_str())?.to_string())
        }))
}

/// Puts the handbook into the knowledge of an app.
async fn teach(app: &App) -> Result<()> {
    for (key, title, text) in PAGES {
        app.knowledge().add(HANDBOOK, NewEntry::key(key).titled(title), text).await?;
    }
    Ok(())
}

/// Takes a message from the limits of messages, and refuses it where the tokens for an answer are not there. What the
/// answer really uses is taken in the commit of each step.
fn limited(tx: &mut Tx, asked: &RunAsked<'_>) -> Result<()> {
    let tokens = estimated_tokens(&asked.text(), None);
    let (mut messages, mut answers) = (vec![ALL_MESSAGES.ask(&(), 1)], vec![ALL_TOKENS.ask(&(), tokens)]);
    if let Some(user) = asked.user {
        messages.push(SEND_MESSAGE.ask(user, 1));
        answers.push(TOKENS.ask(user, tokens));
    }
    check_all(tx, &answers)?;
    limit_all(tx, &messages).map(drop)
}

/// Gives an agent its budget, unless it has one: somebody may have changed it.
fn budgeted(tx: &mut Tx, agent: &str) -> Result<()> {
    let name = format!("tokens of {agent}");
    if tx.first(Budget::by_name.eq(&name))?.is_some() {
        return Ok(());
    }
    set_budget(tx, Budget::units(&name, Level::Agent, agent, Measure::Tokens, TOKENS_OF_AGENT)).map(drop)
}

/// Gathers what the handbook says of a topic, writes a report, and waits until somebody has read it.
async fn research(flow: Flow, topic: String, knowledge: Knowledge) -> Result<String> {
    let asked = topic.clone();
    let gathered = flow.effect("gather", move || {
        let (knowledge, asked) = (knowledge.clone(), asked.clone());
        async move { Ok(knowledge.find(HANDBOOK, &asked).await?.text) }
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
