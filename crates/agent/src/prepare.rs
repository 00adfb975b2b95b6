//! What is changed before a step.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use loomwork_models::{LanguageModel, Message, ProviderData, Settings, Source, ToolChoice};

use crate::reply::StepReply;
use crate::tool::{BoxError, Tools};
use crate::values::Values;

/// A step that is about to be made, as it will be made unless somebody changes it. What is changed holds for this
/// step alone.
pub struct NextStep<S = ()> {
    /// Its number, from 0.
    pub number: usize,
    /// The application's state.
    pub state: Arc<S>,
    /// What the application attaches to the generation.
    pub values: Values,
    /// The steps before.
    pub steps: Arc<[StepReply]>,
    /// The model that is asked.
    pub model: Arc<dyn LanguageModel>,
    /// What it is sent: instructions, context, and what the steps before have said.
    pub messages: Vec<Message>,
    /// The tools that it may call.
    pub tools: Tools<S>,
    /// Whether one may, must or must not be called.
    pub tool_choice: ToolChoice,
    /// Limits, sampling and transport.
    pub settings: Settings,
    /// What single providers shall do.
    pub provider_options: ProviderData,
    /// What the step's messages are from: the answer's message has these sources too, for people. Their ids are to be
    /// unique within an answer.
    pub sources: Vec<Source>,
}

impl<S> fmt::Debug for NextStep<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("NextStep");
        shown.field("number", &self.number).field("model", &self.model).field("tools", &self.tools);
        shown.finish_non_exhaustive()
    }
}

/// Changes steps before they are made: another model for the first one, fewer tools for the last, a shorter history.
///
/// ```
/// use loomwork_agent::{NextStep, PrepareStep};
/// use loomwork_models::ToolChoice;
///
/// // Behind three steps the model has to answer with what it knows.
/// let prepare: PrepareStep = PrepareStep::new(|mut next: NextStep| async move {
///     if next.number >= 3 {
///         next.tool_choice = ToolChoice::None;
///     }
///     Ok(next)
/// });
/// # let _ = prepare;
/// ```
pub struct PrepareStep<S = ()>(Arc<Prepare<S>>);

type Prepare<S> = dyn Fn(NextStep<S>) -> BoxFuture<'static, Result<NextStep<S>, BoxError>> + Send + Sync;

impl<S: 'static> PrepareStep<S> {
    /// Asks a function before each step. An error of it ends the answer.
    pub fn new<F, Fut>(prepare: F) -> Self
    where
        F: Fn(NextStep<S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<NextStep<S>, BoxError>> + Send + 'static,
    {
        Self(Arc::new(move |next| prepare(next).boxed()))
    }

    pub(crate) fn prepare(&self, next: NextStep<S>) -> BoxFuture<'static, Result<NextStep<S>, BoxError>> {
        (self.0)(next)
    }
}

impl<S> Clone for PrepareStep<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> fmt::Debug for PrepareStep<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PrepareStep(..)")
    }
}
