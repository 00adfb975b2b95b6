//! The loop over a model: one owner, and a commit behind each step.

mod files;
mod record;
mod step;

use std::sync::Arc;

use loomwork_core::{Random, RawId};
use loomwork_messages::runs::Prompt;
use loomwork_messages::{NewMessage, RunId, ThreadId, UiChunk};
use loomwork_models::{LanguageModel, Message, Usage};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::agent::Agent;
use crate::context::{self, Asked, Given, Shape};
use crate::error::AgentError;
use crate::options::Options;
use crate::reply::{AgentReply, StepReply};
use crate::runtime::Runtime;
pub(crate) use record::Record;
use step::Made;

/// Where an answer goes.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The thread that stores it; without one, nothing is stored.
    pub(crate) thread: Option<ThreadId>,
    /// Who asks.
    pub(crate) user: Option<String>,
}

/// An answer that is to be made.
pub(crate) struct Generation<S> {
    pub(crate) agent: Agent<S>,
    pub(crate) runtime: Runtime,
    pub(crate) target: Target,
    pub(crate) prompt: Prompt,
    pub(crate) options: Options<S>,
    /// Calls the answer off.
    pub(crate) cancel: CancellationToken,
    /// Stands for the run of an answer that nothing stores: what its tools do is told apart by it.
    pub(crate) unstored: RunId,
}

/// Where the chunks of an answer go besides its stream.
pub(crate) type Out = Option<mpsc::Sender<UiChunk>>;

impl<S: Send + Sync + 'static> Generation<S> {
    pub(crate) fn new(
        agent: &Agent<S>,
        runtime: &Runtime,
        target: Target,
        prompt: Prompt,
        options: Options<S>,
    ) -> Self {
        let options = agent.options.clone().merged(options);
        let (agent, runtime) = (agent.clone(), runtime.clone());
        let random = Random::system();
        let unstored = (u128::from(random.u64()) << 64) | u128::from(random.u64());
        let unstored = RunId::from_raw(RawId::from_bytes(unstored.to_be_bytes()));
        Self { agent, runtime, target, prompt, options, cancel: CancellationToken::new(), unstored }
    }

    /// Makes the answer.
    pub(crate) async fn run(self, out: Out) -> Result<AgentReply, AgentError> {
        let model = self.model()?;
        let mut messages = self.context().await?;
        let mut record = Record::begin(&self).await?;
        let mut steps: Vec<StepReply> = Vec::new();
        let mut usage = Usage::default();
        loop {
            let made = match self.step(&*model, &messages, &record, steps.len(), &out).await {
                Ok(made) => made,
                Err(error) => return Err(record.fail(error).await),
            };
            usage += &made.reply.usage;
            let Made { reply, assistant, tool } = made;
            steps.push(reply);
            let goes_on = self.goes_on(&steps);
            let said: Vec<NewMessage> = [Some(assistant), tool].into_iter().flatten().collect();
            messages.extend(said.iter().map(|new| new.message.clone()));
            record.commit(said, goes_on).await?;
            if !goes_on {
                break;
            }
        }
        let text = steps.last().map(StepReply::text).unwrap_or_default();
        Ok(AgentReply { text, steps, usage, stored: record.stored() })
    }

    pub(crate) fn model(&self) -> Result<Arc<dyn LanguageModel>, AgentError> {
        let none = || AgentError::NoModel { agent: self.agent.name().to_owned() };
        self.options.model.clone().ok_or_else(none)
    }

    /// Builds what the model is asked. A failure here has stored nothing.
    pub(crate) async fn context(&self) -> Result<Vec<Message>, AgentError> {
        let failed =
            |error| AgentError::Context { agent: self.agent.name().to_owned(), source: Box::new(error) };
        let values = self.options.context.clone().resolve().map_err(failed)?;
        let (prompt, said) = match &self.prompt {
            Prompt::Message(prompt) => (Some(*prompt), Vec::new()),
            Prompt::New(messages) => (None, messages.iter().map(|new| new.message.clone()).collect()),
        };
        let asked =
            Asked { thread: self.target.thread, user: self.target.user.clone(), prompt, query: None, values };
        let instructions = self.options.instructions.iter().map(Message::system).collect();
        let given = Given { instructions, messages: Vec::new(), prompt: said };
        let Runtime { store, search, files, .. } = &self.runtime;
        let built = context::build(store, search.as_ref(), &asked, given, &Shape::default()).await;
        let mut messages = built.map_err(failed)?.into_messages();
        if let Some(files) = files {
            files::inline(files, &mut messages).await?;
        }
        Ok(messages)
    }

    /// Whether the model is called again: it has called tools, all of them have answered, and no condition
    /// stops it.
    fn goes_on(&self, steps: &[StepReply]) -> bool {
        let Some(last) = steps.last() else { return false };
        let Some(stop_when) = &self.options.stop_when else { return false };
        let has_called = !last.calls.is_empty();
        let have_answered = last.calls.iter().all(|call| call.result.is_some());
        has_called && have_answered && !stop_when.is_met(steps)
    }
}
