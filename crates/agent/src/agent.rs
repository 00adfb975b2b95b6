//! Agents: a model with a name, instructions and tools.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use loomwork_messages::ThreadId;
use loomwork_messages::runs::Prompt;
use loomwork_messages::threads::{NewThread, create};
use loomwork_models::{ImageModel, LanguageModel, Settings};
use loomwork_store::Result;

use crate::compaction::Compaction;
use crate::context::{ContextHandler, ContextOptions};
use crate::error::AgentError;
use crate::options::Options;
use crate::reply::AgentReply;
use crate::runtime::Runtime;
use crate::stop::StopWhen;
use crate::stream::TextStream;
use crate::thread::{AgentHandle, AgentOutside, AgentThread, Outside};
use crate::tool::{IntoTool, ToolMount, Tools, ToolsError};

/// An agent: a plain value, which needs no registration. A clone is cheap, and several agents may answer in one
/// thread: each message says by whom it is.
///
/// `S` is the application's own state, which reaches the agent's tools.
#[derive(Debug)]
pub struct Agent<S = ()> {
    pub(crate) name: Arc<str>,
    pub(crate) state: Arc<S>,
    pub(crate) options: Options<S>,
    /// Whether the log says that its answers end before results are read; once is enough.
    pub(crate) is_told: Arc<AtomicBool>,
}

impl<S> Clone for Agent<S> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            state: self.state.clone(),
            options: self.options.clone(),
            is_told: self.is_told.clone(),
        }
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
        Self { name: name.into(), state, options, is_told: Arc::default() }
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

    /// Gives it the tools that a source has whenever it is asked.
    #[must_use]
    pub fn tool_source(mut self, source: impl Into<ToolMount>) -> Self {
        self.options = self.options.tool_source(source);
        self
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

    /// Keeps its long threads short.
    #[must_use]
    pub fn compaction(mut self, compaction: Compaction) -> Self {
        self.options.compaction = Some(compaction);
        self
    }

    /// Returns what keeps its long threads short, if something does: whoever makes its answers
    /// [binds](Compaction::bind) that.
    pub fn own_compaction(&self) -> Option<&Compaction> {
        self.options.compaction.as_ref()
    }

    /// Sets limits, sampling and transport of its calls.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.options.settings = settings;
        self
    }

    /// Gives it a model that makes images.
    #[must_use]
    pub fn images(mut self, model: Arc<dyn ImageModel>) -> Self {
        self.options.image_model = Some(model);
        self
    }

    /// Lets a function have the last word on what is sent.
    #[must_use]
    pub fn context_handler(mut self, handler: ContextHandler) -> Self {
        self.options.context_handler = Some(handler);
        self
    }

    /// Says all of these, over what was said before.
    #[must_use]
    pub fn with(self, options: Options<S>) -> Self {
        Self { options: self.options.merged(options), ..self }
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
        AgentHandle::new(self, runtime, thread, None)
    }

    /// Returns the agent's handle of a user outside of threads: nothing is stored, and the context may be searched
    /// for in all threads of the user.
    pub fn for_user(&self, runtime: &Runtime, user: impl Into<String>) -> AgentOutside<S> {
        AgentHandle::new(self, runtime, Outside, Some(user.into()))
    }

    /// Returns the agent's handle of nobody: nothing is stored, and nothing is remembered.
    pub fn for_nobody(&self, runtime: &Runtime) -> AgentOutside<S> {
        AgentHandle::new(self, runtime, Outside, None)
    }

    /// Answers outside of threads: nothing is stored, and nothing is remembered. With a user, the context may
    /// be searched for in their threads.
    ///
    /// # Errors
    /// As [`AgentHandle::generate_text`].
    pub async fn answer(
        &self,
        runtime: &Runtime,
        user: Option<&str>,
        prompt: impl Into<Prompt>,
    ) -> std::result::Result<AgentReply, AgentError> {
        self.outside(runtime, user).generate_text(prompt).await
    }

    /// As [`answer`](Self::answer), as it comes.
    ///
    /// # Errors
    /// As [`AgentHandle::stream_text`].
    pub async fn stream_answer(
        &self,
        runtime: &Runtime,
        user: Option<&str>,
        prompt: impl Into<Prompt>,
    ) -> std::result::Result<TextStream, AgentError> {
        self.outside(runtime, user).stream_text(prompt).await
    }

    fn outside(&self, runtime: &Runtime, user: Option<&str>) -> AgentOutside<S> {
        AgentHandle::new(self, runtime, Outside, user.map(str::to_owned))
    }
}
