//! The agents of an app, by name: each with its own state, all asked alike.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use loomwork_agent::durable::Registry;
use loomwork_agent::{Agent, AgentError, Compaction, DryRun, Options, Runtime};
use loomwork_core::Kind;
use loomwork_messages::ThreadId;
use loomwork_messages::runs::Prompt;
use loomwork_workpool as workpool;

use crate::error::{Error, Result};

/// Who asks an agent, and where.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    pub(crate) thread: ThreadId,
    /// The user who asks; by default whoever owns the thread.
    pub(crate) user: Option<String>,
    pub(crate) prompt: Prompt,
}

/// An agent, whatever its state is.
pub(crate) trait AnyAgent: Send + Sync {
    fn compaction(&self) -> Option<&Compaction>;

    fn dry_run(&self, runtime: &Runtime, asking: Asking) -> BoxFuture<'static, Result<DryRun, AgentError>>;
}

impl<S: Send + Sync + 'static> AnyAgent for Agent<S> {
    fn compaction(&self) -> Option<&Compaction> {
        self.own_compaction()
    }

    fn dry_run(&self, runtime: &Runtime, asking: Asking) -> BoxFuture<'static, Result<DryRun, AgentError>> {
        let thread = self.in_thread(runtime, asking.thread);
        let thread = match asking.user {
            Some(user) => thread.by_user(user),
            None => thread,
        };
        Box::pin(async move { thread.dry_run(asking.prompt, Options::default()).await })
    }
}

/// Agents by name.
#[derive(Clone, Default)]
pub(crate) struct Agents {
    by_name: BTreeMap<String, Arc<dyn AnyAgent>>,
    /// The same agents, for whoever makes their durable runs.
    registry: Registry,
}

impl fmt::Debug for Agents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Agents {
    /// Adds an agent; `false` when there is one of its name.
    pub(crate) fn add<S: Send + Sync + 'static>(&mut self, agent: Agent<S>) -> bool {
        let Ok(registry) = self.registry.clone().agent(agent.clone()) else { return false };
        self.registry = registry;
        self.by_name.insert(agent.name().to_owned(), Arc::new(agent));
        true
    }

    /// Has a pool make the runs of these agents, and the summaries of their threads.
    pub(crate) fn bind(&self, runtime: &Runtime, pool: workpool::Builder) -> workpool::Builder {
        let mut pool = self.registry.bind(runtime, pool);
        let mut bound: Vec<&str> = Vec::new();
        // Several agents may share one.
        for compaction in self.by_name.values().filter_map(|agent| agent.compaction()) {
            if !bound.contains(&compaction.name()) {
                bound.push(compaction.name());
                pool = compaction.bind(pool, runtime);
            }
        }
        pool
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Returns an agent by its name, or the only one.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<(&str, &Arc<dyn AnyAgent>)> {
        let found = match name {
            Some(name) => self.by_name.get_key_value(name),
            None if self.by_name.len() == 1 => self.by_name.iter().next(),
            None => None,
        };
        found.map(|(name, agent)| (name.as_str(), agent)).ok_or_else(|| {
            let known: Vec<_> = self.names().collect();
            let wrong = match name {
                Some(name) => format!("there is no agent {name:?}"),
                None => "no agent is named".to_owned(),
            };
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let kind = if name.is_some() { Kind::NotFound } else { Kind::Invalid };
            Error::new(kind, format!("{wrong}; the app has {known}")).about("agent")
        })
    }
}
