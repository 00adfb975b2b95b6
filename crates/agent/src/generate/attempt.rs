//! One attempt at a step while it is made: what is needed to end it, whoever has to.

use std::sync::Arc;

use loomwork_core::Time;
use loomwork_messages::{HostRow, NewMessage};
use loomwork_models::{
    Assembly, Chunk, Error, Message, ModelName, Part, PartKind, Reply, Request, TokenCounter, Usage,
};
use loomwork_store::Id;

use crate::admission::Holds;
use crate::error::AgentError;
use crate::journal::Closing;
use crate::tables::{StepEnd, StepId};
use crate::tool::CallEnd;
use crate::usage::UsageKind;

/// What is asked in a step.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: UsageKind,
    pub(crate) model: ModelName,
    /// How many tokens are sent, as they are estimated.
    pub(crate) sent: u64,
    pub(crate) max_output: Option<u64>,
    /// What counts tokens.
    pub(crate) counter: Arc<dyn TokenCounter>,
}

impl Plan {
    pub(crate) fn of(counter: Arc<dyn TokenCounter>, model: &ModelName, request: &Request) -> Self {
        let sent = counter.count_request(request);
        let max_output = request.settings.max_output_tokens;
        Self { kind: UsageKind::Chat, model: model.clone(), sent, max_output, counter }
    }

    /// Returns the plan of images.
    pub(crate) fn of_image(counter: Arc<dyn TokenCounter>, model: &ModelName, prompt: &str) -> Self {
        let sent = counter.count_message(&Message::user(prompt));
        Self { kind: UsageKind::Image, model: model.clone(), sent, max_output: None, counter }
    }

    /// Returns the plan of the next step, which sends what this one has said too.
    pub(crate) fn with(&self, said: &[NewMessage]) -> Self {
        let more: u64 = said.iter().map(|new| self.counter.count_message(&new.message)).sum();
        Self { sent: self.sent.saturating_add(more), ..self.clone() }
    }
}

/// What a model has said, as far as it counts.
#[derive(Debug, Default)]
struct Counted {
    /// What grew: texts, thoughts, and the arguments of calls.
    text: String,
    /// The tokens of what came whole.
    whole: u64,
    /// What the provider says that was used.
    usage: Option<Usage>,
}

impl Counted {
    fn is_empty(&self) -> bool {
        self.text.is_empty() && self.whole == 0
    }
}

/// An attempt at a step.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) step: u32,
    pub(crate) attempt: u32,
    /// Its row, and the process that makes it.
    pub(crate) row: Option<(StepId, Id<HostRow>)>,
    pub(crate) holds: Holds,
    pub(crate) first: Option<Time>,
    pub(crate) answered: Option<Time>,
    pub(crate) has_ended: bool,
    pub(crate) plan: Plan,
    /// The end of the call that ended last: it is written when the step ends.
    pub(crate) last_call: Option<CallEnd>,
    /// Ends of calls of the step before, whose messages do not have them yet.
    pub(crate) unsaid: Option<(u32, Vec<CallEnd>)>,
    /// The model has been asked.
    is_asked: bool,
    /// What has come.
    came: Assembly,
    counted: Counted,
    /// The texts that have come where no chunks do: one for each time that the text has begun.
    heard: Vec<String>,
    /// The whole answer.
    answer: Option<Reply>,
}

impl Attempt {
    pub(crate) fn new(
        plan: Plan,
        step: u32,
        attempt: u32,
        row: Option<(StepId, Id<HostRow>)>,
        holds: Holds,
    ) -> Self {
        let (first, answered, has_ended, is_asked) = (None, None, false, false);
        let (came, counted) = (Assembly::default(), Counted::default());
        let (heard, answer) = (Vec::new(), None);
        Self {
            step,
            attempt,
            row,
            holds,
            first,
            answered,
            has_ended,
            plan,
            last_call: None,
            unsaid: None,
            is_asked,
            came,
            counted,
            heard,
            answer,
        }
    }

    pub(crate) fn asking(&mut self, plan: Plan) {
        (self.plan, self.is_asked) = (plan, true);
    }

    /// Counts what the model says, whatever guards make of it.
    pub(crate) fn said(&mut self, chunk: &Chunk) {
        match chunk {
            Chunk::PartStart { kind: PartKind::ToolCall { tool_name, .. }, .. } => {
                self.counted.text.push_str(tool_name);
            }
            Chunk::PartDelta { delta, .. } => self.counted.text.push_str(delta),
            Chunk::Part { part } => self.counted.whole += self.plan.counter.count_part(part),
            Chunk::Finish(finish) => self.counted.usage = Some(finish.usage.clone()),
            _ => {}
        }
    }

    /// Adds a chunk of the answer.
    pub(crate) fn came(&mut self, chunk: Chunk, now: Time) -> Result<(), Error> {
        self.first.get_or_insert(now);
        self.came.push(chunk)
    }

    /// Notes the text of an answer so far, and how often it has begun.
    pub(crate) fn heard(&mut self, text: &str, beginnings: u32, now: Time) {
        self.first.get_or_insert(now);
        self.heard.resize(usize::try_from(beginnings.max(1)).unwrap_or(1), String::new());
        let Some(heard) = self.heard.last_mut() else { return };
        if let Some(more) = text.get(heard.len()..) {
            heard.push_str(more);
        }
    }

    /// Returns the whole answer, when its last chunk has come.
    pub(crate) fn whole(&mut self, now: Time) -> Result<Reply, Error> {
        if !self.came.is_finished() {
            return self.came.clone().finish();
        }
        let reply = std::mem::take(&mut self.came).finish()?;
        self.answered = Some(now);
        self.knows(&reply);
        Ok(reply)
    }

    /// Takes an answer for this attempt's that was known before.
    pub(crate) fn knows(&mut self, reply: &Reply) {
        self.is_asked = true;
        self.answer = Some(reply.clone());
    }

    /// Returns what came: all of it, or what there is if the answer is not whole.
    pub(crate) fn so_far(&self) -> Reply {
        if let Some(answer) = &self.answer {
            return answer.clone();
        }
        let mut reply = self.came.clone().into_reply();
        reply.parts.extend(self.heard.last().map(Part::text));
        reply
    }

    /// Returns what is known at the end of a step that is complete.
    pub(crate) fn complete(&self, said: &[NewMessage]) -> Closing {
        let answer = said.iter().find(|new| new.usage.is_some());
        let (provider, model) = match answer {
            Some(NewMessage { provider: Some(provider), model: Some(model), .. }) => (provider, model),
            _ => (&self.plan.model.provider, &self.plan.model.model),
        };
        Closing {
            kind: self.plan.kind,
            end: StepEnd::Success,
            provider: provider.clone(),
            model: model.clone(),
            usage: answer.and_then(|new| new.usage.clone()).unwrap_or_default(),
            provider_metadata: answer.map(|new| new.provider_metadata.clone()).unwrap_or_default(),
            finish_reason: answer.and_then(|new| new.finish_reason),
            first: self.first,
            answered: self.answered,
        }
    }

    /// Returns what is known at the end of a step that was cut short.
    pub(crate) fn cut(&self, end: StepEnd, error: Option<&AgentError>) -> Closing {
        let came = self.so_far();
        let said = match error {
            Some(AgentError::Model { source, .. }) => source.usage().cloned(),
            _ => None,
        };
        let usage = match (&self.answer, said) {
            (Some(answer), _) => answer.finish.usage.clone(),
            (None, Some(said)) => said,
            (None, None) => match &self.counted.usage {
                Some(usage) => usage.clone(),
                None => self.estimate(end == StepEnd::Failed),
            },
        };
        let or =
            |name: &str, planned: &str| if name.is_empty() { planned.to_owned() } else { name.to_owned() };
        Closing {
            kind: self.plan.kind,
            end,
            provider: or(&came.info.provider, &self.plan.model.provider),
            model: or(&came.info.model, &self.plan.model.model),
            usage,
            provider_metadata: came.finish.provider_metadata,
            finish_reason: self.answer.as_ref().map(|answer| answer.finish.reason),
            first: self.first,
            answered: self.answered,
        }
    }

    /// Returns what the call may have used, where nobody says so. A model that refused before its first word has
    /// used nothing.
    fn estimate(&self, has_failed: bool) -> Usage {
        let has_spoken = self.first.is_some() || !self.counted.is_empty();
        if !self.is_asked || (has_failed && !has_spoken) {
            return Usage::default();
        }
        let counter = &self.plan.counter;
        let texts = self.heard.iter().chain([&self.counted.text]);
        let output_text = self.counted.whole + texts.map(|text| counter.count(text)).sum::<u64>();
        Usage { input_fresh: self.plan.sent, output_text, estimated: true, ..Usage::default() }
    }
}
