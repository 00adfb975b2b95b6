//! Agents: a model with a name, instructions and tools.

use std::sync::Arc;

use loomwork_messages::ThreadId;
use loomwork_messages::runs::Prompt;
use loomwork_messages::threads::{NewThread, create};
use loomwork_models::{LanguageModel, Settings};
use loomwork_store::Result;

use crate::context::ContextOptions;
use crate::error::AgentError;
use crate::generate::{Generation, Target};
use crate::options::Options;
use crate::reply::AgentReply;
use crate::runtime::Runtime;
use crate::stop::StopWhen;
use crate::stream::TextStream;
use crate::thread::AgentThread;
use crate::tool::{IntoTool, Tools, ToolsError};

/// An agent: a plain value, which needs no registration. A clone is cheap, and several agents may answer in one
/// thread: each message says by whom it is.
///
/// `S` is the application's own state, which reaches the agent's tools.
#[derive(Debug)]
pub struct Agent<S = ()> {
    pub(crate) name: Arc<str>,
    pub(crate) state: Arc<S>,
    pub(crate) options: Options<S>,
}

impl<S> Clone for Agent<S> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), state: self.state.clone(), options: self.options.clone() }
    }
}

impl Agent {
    /// Returns an agent that answers with a model.
    pub fn new(name: impl Into<Arc<str>>, model: Arc<dyn LanguageModel>) -> Self {
        Self::with_state(name, model, Arc::new(()))
    }
}

impl<S: Send + Sync + 'static> Agent<S> {
    /// Returns an agent whose tools get the application's state.
    pub fn with_state(name: impl Into<Arc<str>>, model: Arc<dyn LanguageModel>, state: Arc<S>) -> Self {
        let options = Options { model: Some(model), ..Options::default() };
        Self { name: name.into(), state, options }
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says what it is to be.
    #[must_use]
    pub fn instructions(mut self, instructions: impl Into<String>) -> Self {
        self.options.instructions = Some(instructions.into());
        self
    }

    /// Gives it a tool.
    ///
    /// # Errors
    /// When another of its tools has that name, or none can.
    pub fn tool(mut self, tool: impl IntoTool<S>) -> std::result::Result<Self, ToolsError> {
        self.options.tools.get_or_insert_with(Tools::new).add(tool)?;
        Ok(self)
    }

    /// Says when it stops, though the model goes on calling tools.
    #[must_use]
    pub fn stop_when(mut self, stop_when: StopWhen) -> Self {
        self.options.stop_when = Some(stop_when);
        self
    }

    /// Says how its context is built.
    #[must_use]
    pub fn context(mut self, context: ContextOptions) -> Self {
        self.options.context = context;
        self
    }

    /// Sets limits, sampling and transport of its calls.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.options.settings = settings;
        self
    }

    /// Makes a thread, and returns the agent's handle of it.
    ///
    /// # Errors
    /// As [`create`].
    pub async fn create_thread(&self, runtime: &Runtime, new: NewThread) -> Result<AgentThread<S>> {
        let thread = runtime.store.mutate(move |tx| create(tx, new)).await?.id;
        Ok(self.in_thread(runtime, thread))
    }

    /// Returns the agent's handle of a thread. Whoever calls has made sure that the user may write there, by
    /// [`members::may`](loomwork_messages::members::may).
    pub fn in_thread(&self, runtime: &Runtime, thread: ThreadId) -> AgentThread<S> {
        AgentThread {
            agent: self.clone(),
            runtime: runtime.clone(),
            thread,
            user: None,
            options: Options::default(),
        }
    }

    /// Answers outside of threads: nothing is stored, and nothing is remembered. With a user, the context may
    /// be searched for in their threads.
    ///
    /// # Errors
    /// As [`AgentThread::generate_text`].
    pub async fn answer(
        &self,
        runtime: &Runtime,
        user: Option<&str>,
        prompt: impl Into<Prompt>,
    ) -> std::result::Result<AgentReply, AgentError> {
        let target = Target { thread: None, user: user.map(str::to_owned) };
        Generation::new(self, runtime, target, prompt.into(), Options::default()).run(None).await
    }

    /// As [`answer`](Self::answer), as it comes.
    pub fn stream_answer(
        &self,
        runtime: &Runtime,
        user: Option<&str>,
        prompt: impl Into<Prompt>,
    ) -> TextStream {
        let target = Target { thread: None, user: user.map(str::to_owned) };
        TextStream::start(Generation::new(self, runtime, target, prompt.into(), Options::default()))
    }
}
