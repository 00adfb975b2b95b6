//! The loop over a model: one owner, and a commit behind each step.

mod deny;
mod files;
mod prepare;
mod record;
mod step;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use loomwork_core::{Random, RawId};
use loomwork_messages::runs::Prompt;
use loomwork_messages::{NewMessage, RunId, ThreadId, UiChunk};
use loomwork_models::{LanguageModel, Usage};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::agent::Agent;
use crate::agent_tool::Delegated;
use crate::context::Denial;
use crate::error::AgentError;
use crate::options::Options;
use crate::reply::{AgentReply, StepReply};
use crate::runtime::Runtime;
use crate::tool::ParentRun;
pub(crate) use files::inline;
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
    /// The run whose tool this agent is.
    pub(crate) parent: Option<ParentRun>,
    /// What agents use that this one calls as tools.
    pub(crate) delegated: Delegated,
    /// What the context denies, to be stored with the prompt.
    pub(crate) denials: Vec<Denial>,
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
        Self {
            agent,
            runtime,
            target,
            prompt,
            options,
            cancel: CancellationToken::new(),
            unstored,
            parent: None,
            delegated: Delegated::default(),
            denials: Vec::new(),
        }
    }

    /// Makes the answer.
    pub(crate) async fn run(mut self, out: Out) -> Result<AgentReply, AgentError> {
        let model = self.model()?;
        let mut messages = self.prepare().await?;
        let mut record = Record::begin(&self).await?;
        let mut steps: Vec<StepReply> = Vec::new();
        let mut usage = Usage::default();
        loop {
            let made = match self.step(&*model, &messages, &record, steps.len(), &out).await {
                Ok(made) => made,
                Err(error) => return Err(record.fail(error).await),
            };
            usage += &made.reply.usage;
            self.delegated.report(&made.reply.usage);
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
        self.tell_unread(&steps);
        let text = steps.last().map(StepReply::text).unwrap_or_default();
        Ok(AgentReply { text, steps, usage, delegated: self.delegated.usage(), stored: record.stored() })
    }

    pub(crate) fn model(&self) -> Result<Arc<dyn LanguageModel>, AgentError> {
        let none = || AgentError::NoModel { agent: self.agent.name().to_owned() };
        self.options.model.clone().ok_or_else(none)
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

    /// Says, once for an agent, that nobody reads what its tools returned: that is seldom meant.
    fn tell_unread(&self, steps: &[StepReply]) {
        let has_results =
            steps.last().is_some_and(|step| step.calls.iter().any(|call| call.result.is_some()));
        if self.options.stop_when.is_some()
            || !has_results
            || self.agent.is_told.swap(true, Ordering::Relaxed)
        {
            return;
        }
        tracing::warn!(
            agent = self.agent.name(),
            "an answer ends behind its first step, with results of tools that the model has not read; give the \
             agent a stop condition, such as `step_count(5)`, so that it goes on"
        );
    }
}
