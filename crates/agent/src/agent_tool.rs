//! Agents as tools of other agents.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use loomwork_messages::runs::Prompt;
use loomwork_messages::threads::{NewThread, create};
use loomwork_messages::{Metadata, Run, RunId, RunStatus, ThreadId};
use loomwork_models::{ToolOutput, Usage};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::admission::Admission;
use crate::agent::Agent;
use crate::call_off::CallOff;
use crate::error::AgentError;
use crate::generate::{Generation, Target};
use crate::options::Options;
use crate::reply::{AgentReply, StepReply};
use crate::stream::Pending;
use crate::tool::{BoxError, IntoTool, ParentRun, Tool, ToolContext, ToolError, ToolPolicy};
use crate::waiting;

/// How deep agents may call each other as tools: an agent that calls itself comes to an end.
pub const MAX_AGENT_DEPTH: u32 = 8;

/// How long an agent that is a tool may take, unless it [is given](AgentTool::with_timeout) another time.
pub const AGENT_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// The name under which a run's values, and the metadata of a thread that was made for it, keep its [`ParentRun`].
pub const PARENT: &str = "parent";

/// What an agent that is a tool is told, unless it [takes](AgentTool::taking) something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Task {
    /// What is to be done, with all that one needs to know for it: nothing of this conversation is seen.
    pub task: String,
}

/// Where the run of an agent that is a tool is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Home {
    /// Nowhere: its answer alone is kept, as the tool's result.
    #[default]
    Nowhere,
    /// In a thread of its own for each call, which belongs to the user and names the run that called.
    NewThread,
    /// In this thread.
    Thread(ThreadId),
}

/// An agent as a tool of another one. The run that it makes knows the run that called, ends when that is called
/// off, and what it uses is [told](crate::AgentReply::delegated) with what that uses. Its usage goes to the handler of
/// its own agent, else to that of the one that called; it belongs to the first of all.
///
/// Where it is stored in a thread, its own tools may need approval, and people may be its tools: the call waits for
/// them, as long as its [time](Self::with_timeout) lasts, and nobody is asked any more behind that.
///
/// ```
/// use std::sync::Arc;
///
/// use loomwork_agent::{Agent, Home, step_count};
/// use loomwork_models::OfflineModel;
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Question {
///     /// What to find out.
///     about: String,
/// }
///
/// # fn main() -> Result<(), loomwork_agent::ToolsError> {
/// let model = Arc::new(OfflineModel::default());
/// let librarian = Agent::new("librarian", model.clone()).instructions("You know all books.");
/// let ask = librarian
///     .as_tool("ask_librarian", "Finds out what books say.")
///     .taking(|question: Question| format!("What do books say about {}?", question.about))
///     .stored(Home::NewThread);
/// let editor = Agent::new("editor", model).tool(ask)?.stop_when(step_count(5));
/// # Ok(())
/// # }
/// ```
pub struct AgentTool<S, A = Task> {
    agent: Agent<S>,
    name: String,
    description: String,
    home: Home,
    timeout: Option<Duration>,
    prompt: Arc<dyn Fn(A) -> Prompt + Send + Sync>,
    takes: PhantomData<fn(A)>,
}

impl<S: Send + Sync + 'static> Agent<S> {
    /// Returns the agent as a tool of others, that takes a [`Task`]. Their state and its own need not be the same.
    ///
    /// Whoever calls it off ends it, and so does its [time](AgentTool::with_timeout). Who lets the caller begin is asked
    /// about its run and its calls too, beside those whom it asks itself: no budget is gone around by a tool.
    pub fn as_tool(&self, name: impl Into<String>, description: impl Into<String>) -> AgentTool<S> {
        AgentTool {
            agent: self.clone(),
            name: name.into(),
            description: description.into(),
            home: Home::Nowhere,
            timeout: Some(AGENT_TIMEOUT),
            prompt: Arc::new(|task: Task| task.task.into()),
            takes: PhantomData,
        }
    }
}

impl<S: Send + Sync + 'static, A> AgentTool<S, A> {
    /// Takes arguments of another type, and makes of them what the agent is asked.
    #[must_use]
    pub fn taking<B, P: Into<Prompt>>(
        self,
        prompt: impl Fn(B) -> P + Send + Sync + 'static,
    ) -> AgentTool<S, B> {
        let Self { agent, name, description, home, timeout, .. } = self;
        let prompt = Arc::new(move |args| prompt(args).into());
        AgentTool { agent, name, description, home, timeout, prompt, takes: PhantomData }
    }

    /// Says how long it may take; `None` is for ever. By default it is [`AGENT_TIMEOUT`].
    #[must_use]
    pub fn with_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self { timeout: timeout.into(), ..self }
    }

    /// Says where its runs are stored.
    #[must_use]
    pub fn stored(self, home: Home) -> Self {
        Self { home, ..self }
    }
}

impl<S, T, A> IntoTool<T> for AgentTool<S, A>
where
    S: Send + Sync + 'static,
    T: Send + Sync + 'static,
    A: DeserializeOwned + JsonSchema + Send + 'static,
{
    fn into_tool(self) -> Tool<T> {
        let Self { agent, name, description, home, timeout, prompt, .. } = self;
        let handler = move |context: ToolContext<T>, args: A| {
            let (agent, prompt) = (agent.clone(), prompt(args));
            async move { call(agent, home, prompt, context.without_state()).await }
        };
        let policy = ToolPolicy { timeout, ..ToolPolicy::default() };
        Tool::new(name, description, handler).with_policy(policy)
    }
}

/// Lets an agent answer as a tool.
async fn call<S: Send + Sync + 'static>(
    agent: Agent<S>,
    home: Home,
    prompt: Prompt,
    context: ToolContext,
) -> Result<ToolOutput, BoxError> {
    let lacks = || ToolError::invalid(format!("{:?} can be called from a generation only", agent.name()));
    let runtime = context.runtime().ok_or_else(lacks)?;
    let parent = context.as_parent();
    if parent.depth > MAX_AGENT_DEPTH {
        let text = format!(
            "agents call each other at most {MAX_AGENT_DEPTH} deep; answer without {:?}",
            agent.name()
        );
        return Err(ToolError::invalid(text).into());
    }
    let user = context.user().map(str::to_owned);
    let thread = match home {
        Home::Nowhere => None,
        Home::Thread(thread) => Some(thread),
        Home::NewThread => {
            let (title, metadata) = (Some(agent.name().to_owned()), parent.values());
            let new = NewThread { user: user.clone(), title, metadata, ..NewThread::default() };
            Some(runtime.store.mutate(move |tx| create(tx, new)).await?.id)
        }
    };
    let (caller, parent) = (Some(context.agent().to_owned()), Some(parent));
    let on_usage = agent.options.on_usage.clone().or_else(|| context.scope().on_usage.clone());
    let own = agent.options.admissions.iter().flatten();
    let own: HashSet<_> = own.map(Admission::name).collect();
    let above = context.scope().admissions.iter().filter(|above| !own.contains(above.name()));
    let admissions = Some(above.cloned().collect());
    let values = context.values().clone();
    let options = Options { caller, values, parent, on_usage, admissions, ..Options::default() };
    let delegated = context.scope().delegated.below();
    let generation = |prompt| {
        let (target, options) = (Target { thread, user: user.clone() }, options.clone());
        let mut generation = Generation {
            delegated: delegated.clone(),
            call_off: CallOff::below(context.cancelled()),
            ..Generation::new(&agent, runtime, target, prompt, options)
        };
        // After a crash its caller calls it anew, so nobody would wait for a run that goes on.
        generation.options.durable = None;
        generation
    };
    // A task of its own has a stack of its own, however deep agents call each other.
    let answer = Pending::spawn(generation(prompt), |generation| generation.run(None));
    let mut reply = answer.or_call_off().await?;
    while let Some(run) = waits_for_people(&reply) {
        let generation = generation(Prompt::New(Vec::new()));
        reply = Pending::spawn(generation, move |generation| go_on(generation, run)).or_call_off().await?;
    }
    if let Some(open) = reply.open_calls().next() {
        let text =
            format!("{:?} waits for somebody to answer its call of `{}`", agent.name(), open.call.name);
        return Err(ToolError::invalid(text).into());
    }
    Ok(ToolOutput::Text(reply.text))
}

/// Returns the run of an answer if somebody is asked who can let it go on.
fn waits_for_people(reply: &AgentReply) -> Option<RunId> {
    let is_asked = reply.steps.last().is_some_and(StepReply::waits);
    reply.stored.as_ref().filter(|_| is_asked).map(|stored| stored.run)
}

/// Goes on with a run when all have answered. Where nobody waits for it any more, nobody is asked any more.
async fn go_on<S: Send + Sync + 'static>(
    generation: Generation<S>,
    run: RunId,
) -> Result<AgentReply, AgentError> {
    let store = generation.runtime.store.clone();
    let answered = generation.resume(run, None).await;
    if let Err(AgentError::Ended(_)) = &answered {
        let left = store.mutate(move |tx| match tx.get(run)? {
            Some(row) if row.status == RunStatus::Waiting => waiting::supersede(tx, &row),
            _ => Ok(()),
        });
        left.await?;
    }
    answered
}

impl<S, A> fmt::Debug for AgentTool<S, A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("AgentTool");
        shown.field("agent", &self.agent.name).field("name", &self.name).field("home", &self.home);
        shown.finish_non_exhaustive()
    }
}

impl ParentRun {
    /// Returns what was kept of it with a run.
    pub fn of(run: &Run) -> Option<Self> {
        serde_json::from_value(run.values.get(PARENT)?.clone()).ok()
    }

    /// Returns what is kept of it.
    pub(crate) fn values(self) -> Metadata {
        let parent = serde_json::to_value(self).unwrap_or(Value::Null);
        Metadata::from_iter([(PARENT.to_owned(), parent)])
    }
}

/// What the agents use that a run calls as tools, and those that they call. A clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Delegated(Arc<Tally>);

#[derive(Debug, Default)]
struct Tally {
    usage: Mutex<Usage>,
    /// That of the run above.
    above: Option<Delegated>,
}

impl Delegated {
    /// Returns what was used so far.
    pub fn usage(&self) -> Usage {
        self.0.usage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns that of a run below this one.
    pub(crate) fn below(&self) -> Self {
        Self(Arc::new(Tally { usage: Mutex::default(), above: Some(self.clone()) }))
    }

    /// Tells all runs above what this one used.
    pub(crate) fn report(&self, usage: &Usage) {
        let mut above = &self.0.above;
        while let Some(run) = above {
            *run.0.usage.lock().unwrap_or_else(PoisonError::into_inner) += usage;
            above = &run.0.above;
        }
    }
}
