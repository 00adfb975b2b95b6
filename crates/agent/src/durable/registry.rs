//! The agents that a process makes durable runs with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use loomwork_messages::Run;
use loomwork_store::{Result, Row};
use loomwork_workpool::{Builder, PoolOptions, Workpool};

use super::drive::{self, ENDED};
use super::error::{RegistryError, StartError};
use super::start::{STARTED, StartOptions, job_of};
use crate::agent::Agent;
use crate::error::AgentError;
use crate::generate::{Generation, Target};
use crate::options::Options;
use crate::reply::AgentReply;
use crate::runtime::Runtime;
use crate::stop::step_count;
use crate::tool::Tools;

/// The pool of the jobs that have durable runs made.
pub const AGENT_POOL: &str = "agents";

/// How many runs a pool that [`Registry::start`] starts makes at once, counted over all processes of the store.
pub const AGENT_POOL_PARALLEL: u32 = 64;

/// The agents that a process knows by name, with all that cannot be stored: models, tools, handlers. Durable runs
/// name their agent, and whichever process has it makes them; several registries may share a store.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    agents: BTreeMap<Arc<str>, Arc<dyn Registered>>,
}

impl Registry {
    /// Returns a registry that knows nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers an agent under its name.
    ///
    /// # Errors
    /// When there is one of this name.
    pub fn agent<S: Send + Sync + 'static>(
        self,
        agent: Agent<S>,
    ) -> std::result::Result<Self, RegistryError> {
        self.agent_with(agent, Tools::new())
    }

    /// As [`agent`](Self::agent), with tools beside its own: a run has them where it
    /// [names](StartOptions::tools) them.
    ///
    /// # Errors
    /// As [`agent`](Self::agent).
    pub fn agent_with<S: Send + Sync + 'static>(
        mut self,
        agent: Agent<S>,
        tools: Tools<S>,
    ) -> std::result::Result<Self, RegistryError> {
        let name = agent.name.clone();
        if self.agents.insert(name.clone(), Arc::new(Entry { agent, tools })).is_some() {
            return Err(RegistryError { agent: name.to_string() });
        }
        Ok(self)
    }

    /// Starts a pool of its own that makes the runs of these agents. A process that has a pool already
    /// [binds](Self::bind) them there.
    ///
    /// End it before the runtime: what it cannot end in time is given back, and goes on elsewhere.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn start(&self, runtime: &Runtime) -> Result<Workpool> {
        let parallel = PoolOptions::from(AGENT_POOL_PARALLEL);
        self.bind(runtime, Workpool::builder(runtime.store()).pool(AGENT_POOL, parallel)).start().await
    }

    /// Has a pool make the runs of these agents, besides all else that it does. They are jobs of its pool
    /// [`AGENT_POOL`].
    pub fn bind(&self, runtime: &Runtime, builder: Builder) -> Builder {
        let builder = builder.on_done(ENDED, drive::give_up);
        self.agents.keys().fold(builder, |builder, name| {
            let (runtime, registry) = (runtime.clone(), self.clone());
            builder.on(job_of(name), move |job, run| drive::make(registry.clone(), runtime.clone(), job, run))
        })
    }

    /// Returns the names of the agents.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.agents.keys().map(AsRef::as_ref)
    }

    pub(super) fn get(&self, name: Option<&str>) -> Option<&Arc<dyn Registered>> {
        self.agents.get(name?)
    }
}

/// An agent, whatever its state is.
pub(super) trait Registered: fmt::Debug + Send + Sync {
    /// Takes up a run, and makes what is left of it.
    fn take_up(
        &self,
        runtime: &Runtime,
        run: &Row<Run>,
    ) -> BoxFuture<'static, std::result::Result<AgentReply, AgentError>>;
}

struct Entry<S> {
    agent: Agent<S>,
    tools: Tools<S>,
}

impl<S> fmt::Debug for Entry<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Entry").field("agent", &self.agent.name).finish_non_exhaustive()
    }
}

impl<S: Send + Sync + 'static> Registered for Entry<S> {
    fn take_up(
        &self,
        runtime: &Runtime,
        run: &Row<Run>,
    ) -> BoxFuture<'static, std::result::Result<AgentReply, AgentError>> {
        take_up(&self.agent, &self.tools, runtime, run)
    }
}

pub(super) fn take_up<S: Send + Sync + 'static>(
    agent: &Agent<S>,
    tools: &Tools<S>,
    runtime: &Runtime,
    run: &Row<Run>,
) -> BoxFuture<'static, std::result::Result<AgentReply, AgentError>> {
    let id = run.id;
    let options = started_with(run).and_then(|started| options(started, agent, tools));
    let target = Target { thread: Some(run.thread), user: run.user.clone() };
    let (options, wrong) = match options {
        Ok(options) => (options, None),
        Err(wrong) => (Options::default(), Some(wrong)),
    };
    // The prompt is the run's own.
    let prompt = loomwork_messages::runs::Prompt::New(Vec::new());
    let generation =
        Generation { gives_back: true, ..Generation::new(agent, runtime, target, prompt, options) };
    match wrong {
        None => generation.resume(id, None).boxed(),
        Some(wrong) => generation.refuse(id, AgentError::Store(wrong.into())).boxed(),
    }
}

/// Returns what was said of a run when it was started; what its agent says of one that was begun otherwise.
///
/// # Errors
/// [`StartError::Unreadable`].
pub fn started_with(run: &Row<Run>) -> std::result::Result<StartOptions, StartError> {
    let Some(stored) = run.values.get(STARTED) else { return Ok(StartOptions::default()) };
    serde_json::from_value(stored.clone())
        .map_err(|error| StartError::Unreadable { run: run.id, reason: error.to_string() })
}

/// Returns it as what is said of a call.
pub(super) fn options<S: Send + Sync + 'static>(
    started: StartOptions,
    agent: &Agent<S>,
    more: &Tools<S>,
) -> std::result::Result<Options<S>, StartError> {
    let StartOptions { instructions, tools, tool_choice, max_steps, context, settings, .. } = started;
    let named = tools.map(|names| {
        let own = agent.options.tools.clone().unwrap_or_default();
        let mut chosen = Vec::new();
        for name in names {
            let Some(tool) = own.get(&name).or_else(|| more.get(&name)) else {
                let known: Vec<_> = own.names().chain(more.names()).collect();
                let (agent, known) = (agent.name.to_string(), format!("{known:?}"));
                return Err(StartError::NoTool { agent, tool: name, known });
            };
            if chosen.iter().all(|known: &crate::tool::Tool<S>| known.name() != name) {
                chosen.push(tool.clone());
            }
        }
        // They have their names by now, each one once.
        Ok(Tools::of(chosen).unwrap_or_default())
    });
    Ok(Options {
        instructions,
        tools: named.transpose()?,
        tool_choice,
        stop_when: max_steps.map(step_count),
        context,
        settings,
        provider_options: started.provider_options,
        caller: started.caller,
        durable: Some(true),
        ..Options::default()
    })
}
