//! What the model is told, settled before anything is stored: the tools and the context.

use loomwork_messages::runs::Prompt;
use loomwork_messages::{NewMessage, ThreadId};
use loomwork_models::{Message, ModelName, Usage};

use super::{Generation, inline};
use crate::context::{self, Asked, Context, ContextError, ContextValues, Given, Shape};
use crate::error::AgentError;
use crate::options::Storage;
use crate::runtime::Runtime;
use crate::tool::{ToolChanges, Tools};

impl<S: Send + Sync + 'static> Generation<S> {
    /// Settles the tools, and returns what the model is told, with what was used to find it. A failure here has
    /// stored nothing.
    pub(crate) async fn told(&mut self) -> Result<(Vec<Message>, Vec<(ModelName, Usage)>), AgentError> {
        self.settle_tools().await?;
        let mut context = self.context(self.values()?).await?;
        if let (Some(compaction), Some(thread)) = (&self.options.compaction, self.target.thread) {
            compaction.consider(&self.runtime, thread, &context).await;
        }
        self.denials = std::mem::take(&mut context.denials);
        let embedded = std::mem::take(&mut context.embedded);
        let mut messages = context.into_messages();
        if let Some(files) = &self.runtime.files {
            inline(files, &mut messages).await?;
        }
        Ok((messages, embedded))
    }

    /// Returns the thread that stores the answer, if one does.
    pub(crate) fn stored_in(&self) -> Option<ThreadId> {
        self.target.thread.filter(|_| self.options.storage != Some(Storage::Nothing))
    }

    /// Returns what is stored of what is asked.
    pub(crate) fn stored_prompt(&self) -> Prompt {
        match (&self.prompt, self.options.storage) {
            (Prompt::New(prompt), Some(Storage::All)) => {
                let before = self.options.messages.iter().flatten().cloned().map(NewMessage::from);
                Prompt::New(before.chain(prompt.iter().cloned()).collect())
            }
            (prompt, _) => prompt.clone(),
        }
    }

    /// Asks sources for their tools, and takes those in the place of all that was said of tools.
    pub(crate) async fn settle_tools(&mut self) -> Result<(), AgentError> {
        self.options.tools = Some(self.tools().await?);
        self.options.tool_changes = ToolChanges::default();
        Ok(())
    }

    /// Returns the tools, those of sources too.
    async fn tools(&self) -> Result<Tools<S>, AgentError> {
        let base = self.options.tools.clone().unwrap_or_default();
        let applied = self.options.tool_changes.apply(base, self.runtime.store.clock()).await;
        applied.map_err(|error| AgentError::Tools {
            agent: self.agent.name().to_owned(),
            source: Box::new(error),
        })
    }

    /// Returns how the context is built.
    pub(crate) fn values(&self) -> Result<ContextValues, AgentError> {
        self.options.context.clone().resolve().map_err(|error| self.no_context(error))
    }

    /// Builds the context.
    pub(crate) async fn context(&self, values: ContextValues) -> Result<Context, AgentError> {
        let (prompt, said) = match &self.prompt {
            Prompt::Message(prompt) => (Some(*prompt), Vec::new()),
            Prompt::New(messages) => (None, messages.iter().map(|new| new.message.clone()).collect()),
        };
        let asked =
            Asked { thread: self.target.thread, user: self.target.user.clone(), prompt, query: None, values };
        let given = Given {
            instructions: self.options.instructions.iter().map(Message::system).collect(),
            messages: self.options.messages.clone().unwrap_or_default(),
            prompt: said,
        };
        let default = Shape::default();
        let shape = Shape {
            counter: self.options.token_counter.clone().unwrap_or(default.counter),
            handler: self.options.context_handler.clone(),
        };
        let Runtime { store, search, .. } = &self.runtime;
        let built = context::build(store, search.as_ref(), &asked, given, &shape).await;
        built.map_err(|error| self.no_context(error))
    }

    pub(crate) fn no_context(&self, error: ContextError) -> AgentError {
        AgentError::Context { agent: self.agent.name().to_owned(), source: Box::new(error) }
    }
}
