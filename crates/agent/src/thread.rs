//! An agent's handle of a thread.

use loomwork_messages::runs::Prompt;
use loomwork_messages::{RunId, ThreadId};
use loomwork_models::{Object, ObjectOptions};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::agent::Agent;
use crate::error::AgentError;
use crate::generate::{Generation, Target};
use crate::object;
use crate::options::Options;
use crate::reply::{AgentReply, Stored};
use crate::runtime::Runtime;
use crate::stream::TextStream;

/// An agent in a thread: what it is asked and what it answers is stored there.
#[derive(Debug)]
pub struct AgentThread<S = ()> {
    pub(crate) agent: Agent<S>,
    pub(crate) runtime: Runtime,
    pub(crate) thread: ThreadId,
    pub(crate) user: Option<String>,
    pub(crate) options: Options<S>,
}

impl<S> Clone for AgentThread<S> {
    fn clone(&self) -> Self {
        Self {
            agent: self.agent.clone(),
            runtime: self.runtime.clone(),
            thread: self.thread,
            user: self.user.clone(),
            options: self.options.clone(),
        }
    }
}

impl<S: Send + Sync + 'static> AgentThread<S> {
    /// Returns the thread.
    pub fn id(&self) -> ThreadId {
        self.thread
    }

    /// Says who asks; by default it is whoever owns the thread.
    #[must_use]
    pub fn by_user(self, user: impl Into<String>) -> Self {
        Self { user: Some(user.into()), ..self }
    }

    /// Says what holds for all that is asked by this handle, over what the agent says.
    #[must_use]
    pub fn with(self, options: Options<S>) -> Self {
        Self { options: self.options.merged(options), ..self }
    }

    /// Asks, and returns the whole answer. Each step is stored when it is complete.
    ///
    /// The prompt is a text, messages, or [`Prompt::Message`] for one that is stored already: then what was
    /// left of an earlier answer to it is given up, and the calls that it completed are kept.
    ///
    /// # Errors
    /// [`AgentError::Model`] and what [`runs::begin`](loomwork_messages::runs::begin) refuses. What was made
    /// until then is stored, with the reason.
    ///
    /// # Cancel safety
    /// One that is dropped is called off: its message keeps what was streamed.
    pub async fn generate_text(&self, prompt: impl Into<Prompt>) -> Result<AgentReply, AgentError> {
        self.generate_text_with(prompt, Options::default()).await
    }

    /// As [`generate_text`](Self::generate_text), with options for this call.
    ///
    /// # Errors
    /// As [`generate_text`](Self::generate_text).
    pub async fn generate_text_with(
        &self,
        prompt: impl Into<Prompt>,
        options: Options<S>,
    ) -> Result<AgentReply, AgentError> {
        self.generation(prompt.into(), options).run(None).await
    }

    /// Asks, and returns the answer as it comes. It is made and stored whether somebody reads or not; others
    /// follow it by [`Live::follow`](loomwork_messages::streams::Live::follow).
    pub fn stream_text(&self, prompt: impl Into<Prompt>) -> TextStream {
        self.stream_text_with(prompt, Options::default())
    }

    /// As [`stream_text`](Self::stream_text), with options for this call.
    pub fn stream_text_with(&self, prompt: impl Into<Prompt>, options: Options<S>) -> TextStream {
        TextStream::start(self.generation(prompt.into(), options))
    }

    /// Asks for a value of a type, whose JSON is stored as the answer. The model may be told its mistakes a few
    /// times; tools are not called.
    ///
    /// # Errors
    /// As [`generate_text`](Self::generate_text), and when no answer fits.
    pub async fn generate_object<T: JsonSchema + DeserializeOwned>(
        &self,
        prompt: impl Into<Prompt>,
    ) -> Result<(Object<T>, Stored), AgentError> {
        let generation = self.generation(prompt.into(), Options::default());
        object::generate(generation, &ObjectOptions::default()).await
    }

    /// Goes on with a [durable](Options::durable) run whose process has gone, at the step where it stopped: what the
    /// model has said before its tools ran is not asked again, and calls that have ended are not made again.
    ///
    /// # Errors
    /// [`AgentError::Ended`] when the run does not wait to be taken up; else as
    /// [`generate_text`](Self::generate_text).
    ///
    /// # Cancel safety
    /// As [`generate_text`](Self::generate_text).
    pub async fn resume(&self, run: RunId) -> Result<AgentReply, AgentError> {
        // The prompt is the run's own.
        self.generation(Prompt::New(Vec::new()), Options::default()).resume(run, None).await
    }

    fn generation(&self, prompt: Prompt, options: Options<S>) -> Generation<S> {
        let target = Target { thread: Some(self.thread), user: self.user.clone() };
        let options = self.options.clone().merged(options);
        Generation::new(&self.agent, &self.runtime, target, prompt, options)
    }
}
