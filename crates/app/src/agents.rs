//! The agents of an app, by name: each with its own state, all asked alike.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use loomwork_agent::{Agent, AgentError, DryRun, Options, Runtime, TextStream};
use loomwork_core::Kind;
use loomwork_messages::ThreadId;
use loomwork_messages::runs::Prompt;

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
    fn stream_text(
        &self,
        runtime: &Runtime,
        asking: Asking,
    ) -> BoxFuture<'static, Result<TextStream, AgentError>>;

    fn dry_run(&self, runtime: &Runtime, asking: Asking) -> BoxFuture<'static, Result<DryRun, AgentError>>;
}

impl<S: Send + Sync + 'static> AnyAgent for Agent<S> {
    fn stream_text(
        &self,
        runtime: &Runtime,
        asking: Asking,
    ) -> BoxFuture<'static, Result<TextStream, AgentError>> {
        let thread = self.in_thread(runtime, asking.thread);
        let thread = match asking.user {
            Some(user) => thread.by_user(user),
            None => thread,
        };
        Box::pin(async move { thread.stream_text(asking.prompt).await })
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
pub(crate) struct Agents(BTreeMap<String, Arc<dyn AnyAgent>>);

impl fmt::Debug for Agents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Agents {
    /// Adds an agent; `false` when there is one of its name.
    pub(crate) fn add<S: Send + Sync + 'static>(&mut self, agent: Agent<S>) -> bool {
        self.0.insert(agent.name().to_owned(), Arc::new(agent)).is_none()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns an agent; the only one, if none is named.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<Arc<dyn AnyAgent>> {
        let found = match name {
            Some(name) => self.0.get(name),
            None if self.0.len() == 1 => self.0.values().next(),
            None => None,
        };
        found.cloned().ok_or_else(|| {
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
