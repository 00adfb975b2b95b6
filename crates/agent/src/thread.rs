//! An agent's handle of a thread, and of none.

use loomwork_messages::runs::Prompt;
use loomwork_messages::{RunId, ThreadId};
use loomwork_store::Store;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::agent::Agent;
use crate::dry_run::DryRun;
use crate::error::AgentError;
use crate::generate::{Generation, Target};
use crate::image::{self, ImageOptions, ImageReply};
use crate::object::{self, ObjectReply, ObjectSpec, ObjectStream};
use crate::options::Options;
use crate::reply::AgentReply;
use crate::runtime::Runtime;
use crate::stream::{Pending, TextStream};

/// An agent, and where it is asked: in a thread ([`AgentThread`]), which stores what is asked and answered, or
/// [outside](AgentOutside) of threads, where nothing is stored. A clone is cheap.
#[derive(Debug)]
pub struct AgentHandle<S, At> {
    agent: Agent<S>,
    runtime: Runtime,
    at: At,
    user: Option<String>,
    options: Options<S>,
}

/// An agent in a thread: what it is asked and what it answers is stored there.
pub type AgentThread<S = ()> = AgentHandle<S, ThreadId>;

/// An agent outside of threads: nothing is stored. For a user, the context may be searched for in their threads; for
/// nobody, there is none.
pub type AgentOutside<S = ()> = AgentHandle<S, Outside>;

/// No thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outside;

impl From<Outside> for Option<ThreadId> {
    fn from(_: Outside) -> Self {
        None
    }
}

impl<S, At: Clone> Clone for AgentHandle<S, At> {
    fn clone(&self) -> Self {
        Self {
            agent: self.agent.clone(),
            runtime: self.runtime.clone(),
            at: self.at.clone(),
            user: self.user.clone(),
            options: self.options.clone(),
        }
    }
}

impl<S: Send + Sync + 'static> AgentThread<S> {
    /// Returns the thread.
    pub fn id(&self) -> ThreadId {
        self.at
    }

    /// Goes on with a run, at the step where it stopped: what the model has said before its tools ran is not asked
    /// again, and calls that have ended are not made again. So goes on a [durable](Options::durable) run whose process
    /// has gone, and any run that waits for somebody: this returns when all have answered, and the answer is made.
    ///
    /// # Errors
    /// [`AgentError::Ended`] when the run does not wait to be taken up; else as
    /// [`generate_text`](Self::generate_text). What may pass before the run is taken, such as a limit or a store
    /// that is away, leaves it waiting; anything else ends it.
    ///
    /// # Cancel safety
    /// As [`generate_text`](Self::generate_text).
    pub async fn resume(&self, run: RunId) -> Result<AgentReply, AgentError> {
        self.resume_with(run, Options::default()).await
    }

    /// As [`resume`](Self::resume), with options of the call: nothing keeps those with which the run was begun.
    ///
    /// # Errors
    /// As [`resume`](Self::resume).
    ///
    /// # Cancel safety
    /// As [`resume`](Self::resume).
    pub async fn resume_with(&self, run: RunId, options: Options<S>) -> Result<AgentReply, AgentError> {
        // The prompt is the run's own.
        let options = Options { durable: Some(true), ..options };
        let generation = self.generation(Prompt::New(Vec::new()), options);
        Pending::spawn(generation, |generation| generation.resume(run, None)).or_call_off().await
    }
}

impl<S: Send + Sync + 'static, At: Copy + Into<Option<ThreadId>>> AgentHandle<S, At> {
    pub(crate) fn store(&self) -> &Store {
        &self.runtime.store
    }

    pub(crate) fn new(agent: &Agent<S>, runtime: &Runtime, at: At, user: Option<String>) -> Self {
        Self { agent: agent.clone(), runtime: runtime.clone(), at, user, options: Options::default() }
    }

    /// Says who asks; in a thread it is by default whoever owns that.
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
        let generation = self.generation(prompt.into(), options);
        Pending::spawn(generation, |generation| generation.run(None)).or_call_off().await
    }

    /// Asks, and returns the answer as it comes, as soon as it has begun: its prompt and its pending message are
    /// stored then, and [`TextStream::stored`] says where. It is made and stored whether somebody reads or not;
    /// others follow it by [`Live::follow`](loomwork_messages::streams::Live::follow).
    ///
    /// # Errors
    /// What does not let it begin: the context, the tools, a guard, an admission, the store. What goes wrong later is
    /// told by [`TextStream::finish`].
    ///
    /// # Cancel safety
    /// An answer is called off whose beginning nobody waits for.
    pub async fn stream_text(&self, prompt: impl Into<Prompt>) -> Result<TextStream, AgentError> {
        self.stream_text_with(prompt, Options::default()).await
    }

    /// As [`stream_text`](Self::stream_text), with options for this call.
    ///
    /// # Errors
    /// As [`stream_text`](Self::stream_text).
    pub async fn stream_text_with(
        &self,
        prompt: impl Into<Prompt>,
        options: Options<S>,
    ) -> Result<TextStream, AgentError> {
        TextStream::start(self.generation(prompt.into(), options)).await
    }

    /// Asks for a value of a type, whose JSON is stored as the answer. The model may be told its mistakes a few
    /// times; tools are not called.
    ///
    /// # Errors
    /// As [`generate_text`](Self::generate_text), and when no answer fits.
    pub async fn generate_object<T: JsonSchema + DeserializeOwned + Send + 'static>(
        &self,
        prompt: impl Into<Prompt>,
    ) -> Result<ObjectReply<T>, AgentError> {
        self.generate_object_with(prompt, ObjectSpec::of(), Options::default()).await
    }

    /// As [`generate_object`](Self::generate_object), for any kind of value: a choice, JSON that fits a schema, or
    /// any; with options for this call.
    ///
    /// # Errors
    /// As [`generate_object`](Self::generate_object).
    pub async fn generate_object_with<T: DeserializeOwned + Send + 'static>(
        &self,
        prompt: impl Into<Prompt>,
        spec: ObjectSpec<T>,
        options: Options<S>,
    ) -> Result<ObjectReply<T>, AgentError> {
        object::generate(self.generation(prompt.into(), options), spec).await
    }

    /// Asks for a value of a type, and shows it while it grows, as soon as it has begun. It is made and stored
    /// whether somebody reads or not; others follow its text by
    /// [`Live::follow`](loomwork_messages::streams::Live::follow).
    ///
    /// # Errors
    /// As [`stream_text`](Self::stream_text).
    ///
    /// # Cancel safety
    /// As [`stream_text`](Self::stream_text).
    pub async fn stream_object<T: JsonSchema + DeserializeOwned + Send + 'static>(
        &self,
        prompt: impl Into<Prompt>,
    ) -> Result<ObjectStream<T>, AgentError> {
        self.stream_object_with(prompt, ObjectSpec::of(), Options::default()).await
    }

    /// As [`stream_object`](Self::stream_object), for any kind of value, with options for this call.
    ///
    /// # Errors
    /// As [`stream_text`](Self::stream_text).
    pub async fn stream_object_with<T: DeserializeOwned + Send + 'static>(
        &self,
        prompt: impl Into<Prompt>,
        spec: ObjectSpec<T>,
        options: Options<S>,
    ) -> Result<ObjectStream<T>, AgentError> {
        ObjectStream::start(self.generation(prompt.into(), options), spec).await
    }

    /// Asks for an image of what the prompt says, by the agent's image model; images in the prompt are what it
    /// starts from. The bytes are stored as a file, and the answer is a message that has it. Nothing else of the
    /// thread is told to the model.
    ///
    /// # Errors
    /// As [`generate_text`](Self::generate_text); [`AgentError::Lacks`] without an image model, a file store, or
    /// words in the prompt.
    ///
    /// # Cancel safety
    /// As [`generate_text`](Self::generate_text).
    pub async fn generate_image(&self, prompt: impl Into<Prompt>) -> Result<ImageReply, AgentError> {
        self.generate_image_with(prompt, ImageOptions::default(), Options::default()).await
    }

    /// As [`generate_image`](Self::generate_image), with how the images shall be, and options for this call.
    ///
    /// # Errors
    /// As [`generate_image`](Self::generate_image).
    pub async fn generate_image_with(
        &self,
        prompt: impl Into<Prompt>,
        images: ImageOptions,
        options: Options<S>,
    ) -> Result<ImageReply, AgentError> {
        image::generate(self.generation(prompt.into(), options), images).await
    }

    /// Returns what [`generate_text_with`](Self::generate_text_with) would send first. Nothing is stored and the
    /// model is not asked; sources of tools are, and so is the model that embeds, where the context is searched
    /// for by vectors.
    ///
    /// # Errors
    /// What would fail before anything is stored: [`AgentError::Context`], [`AgentError::Tools`],
    /// [`AgentError::NoModel`].
    pub async fn dry_run(
        &self,
        prompt: impl Into<Prompt>,
        options: Options<S>,
    ) -> Result<DryRun, AgentError> {
        Box::pin(DryRun::of(self.generation(prompt.into(), options))).await
    }

    fn generation(&self, prompt: Prompt, options: Options<S>) -> Generation<S> {
        let target = Target { thread: self.at.into(), user: self.user.clone() };
        let options = self.options.clone().merged(options);
        Generation::new(&self.agent, &self.runtime, target, prompt, options)
    }
}
