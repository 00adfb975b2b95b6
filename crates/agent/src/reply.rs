//! What a generation comes to.

use loomwork_messages::{MessageId, RunId, ThreadId};
use loomwork_models::{FinishReason, Part, Usage, Warning};

use crate::tool::CallEnd;

/// What an agent has answered.
#[derive(Clone, Debug)]
pub struct AgentReply {
    /// The text of the last step.
    pub text: String,
    /// The steps, each a call of the model with the tools that it called.
    pub steps: Vec<StepReply>,
    /// What all calls of the model used together.
    pub usage: Usage,
    /// What the agents used that were called as tools, at any depth.
    pub delegated: Usage,
    /// What was stored; nothing for an answer outside of threads.
    pub stored: Option<Stored>,
}

impl AgentReply {
    /// Returns why the model stopped last.
    pub fn finish_reason(&self) -> FinishReason {
        self.steps.last().map_or(FinishReason::Other, |step| step.finish_reason)
    }

    /// Returns the calls that wait for somebody: to be answered, or to be approved. Where they wait for somebody who
    /// is asked here, the run goes on by [`resume`](crate::AgentHandle::resume) when all have answered.
    pub fn open_calls(&self) -> impl Iterator<Item = &CallEnd> {
        self.steps.iter().flat_map(|step| &step.calls).filter(|call| call.result.is_none())
    }
}

/// Where an answer is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The thread.
    pub thread: ThreadId,
    /// The run.
    pub run: RunId,
    /// The message that was answered.
    pub prompt: Option<MessageId>,
    /// The number of the turn.
    pub order: u64,
    /// The messages of the answer and those that were saved with it, in their order.
    pub messages: Vec<MessageId>,
}

/// One call of the model, and what became of the tools that it called.
#[derive(Clone, Debug)]
pub struct StepReply {
    /// What the model said.
    pub parts: Vec<Part>,
    /// The calls of tools of ours, in the order in which they ended.
    pub calls: Vec<CallEnd>,
    /// Why the model stopped.
    pub finish_reason: FinishReason,
    /// What the call used.
    pub usage: Usage,
    /// The model that answered.
    pub model: String,
    /// Its provider.
    pub provider: String,
    /// What was asked of the model and could not be done.
    pub warnings: Vec<Warning>,
}

impl StepReply {
    /// Whether a call of it waits for somebody who is asked here.
    pub(crate) fn waits(&self) -> bool {
        self.calls.iter().any(|call| call.awaits.is_some())
    }

    /// Returns the texts of the step, joined.
    pub fn text(&self) -> String {
        self.parts.iter().filter_map(Part::as_text).collect()
    }
}
