//! One step: a call of the model, and the tools that it calls.

use std::sync::Arc;

use loomwork_messages::streams::StreamError;
use loomwork_messages::{NewMessage, Translator, UiChunk, offload};
use loomwork_models::{
    ApprovalRequest, Chunk, LanguageModel, Message, Part, Reply, Request, Role, Source, ToolCall, ToolChoice,
    Warning,
};
use loomwork_store::Error;

use super::files::is_too_large;
use super::resume::Begun;
use super::waited::request_chunk;
use super::{Generation, Out, Plan, Record, inline};
use crate::error::AgentError;
use crate::guard::{Blocked, Occasion};
use crate::prepare::NextStep;
use crate::reply::StepReply;
use crate::tool::{Awaits, CallEnd, Outcome, Tools};

/// A step that was made, and the messages that it is stored as.
pub(super) struct Made {
    pub(super) reply: StepReply,
    pub(super) assistant: NewMessage,
    pub(super) tool: Option<NewMessage>,
    /// What is told when the step is complete.
    pub(super) last: Vec<UiChunk>,
}

/// A step that is about to be made.
pub(crate) struct Prepared<S> {
    pub(crate) plan: Plan,
    pub(crate) model: Arc<dyn LanguageModel>,
    pub(crate) request: Request,
    pub(super) tools: Tools<S>,
    /// What is sent, for the tools if there are some.
    pub(super) sent: Arc<[Message]>,
    /// What the messages are from.
    sources: Vec<Source>,
    /// Whether the step is made as it is: not where calls of the step before are to be made first.
    pub(super) is_final: bool,
}

impl<S: Send + Sync + 'static> Generation<S> {
    /// Prepares a step: guards see what of the messages is new, and then whoever changes steps.
    pub(crate) async fn prepare(
        &self,
        messages: &mut Vec<Message>,
        checked: usize,
        steps: &[StepReply],
    ) -> Result<Prepared<S>, AgentError> {
        self.check(messages, checked).await?;
        let next = self.changed(self.next_step(messages, steps.len())?, steps).await?;
        Ok(self.prepared(next, true))
    }

    /// Prepares what goes before a step: calls of the one before that somebody has answered. Whoever changes steps does
    /// so when their results are known.
    pub(super) async fn prepare_calls(
        &self,
        messages: &mut Vec<Message>,
        steps: &[StepReply],
    ) -> Result<Prepared<S>, AgentError> {
        self.check(messages, 0).await?;
        Ok(self.prepared(self.next_step(messages, steps.len())?, false))
    }

    /// Returns the tools of calls that somebody has answered. Those that the agent does not have are those of whoever
    /// has changed their step.
    pub(super) async fn tools_of(
        &self,
        calls: &[ToolCall],
        prepared: &Prepared<S>,
        before: &[StepReply],
    ) -> Result<Tools<S>, AgentError> {
        if calls.iter().all(|call| prepared.tools.get(&call.name).is_some()) {
            return Ok(prepared.tools.clone());
        }
        let next = self.next_step(&prepared.request.messages, before.len())?;
        Ok(self.changed(next, before).await?.tools)
    }

    async fn check(&self, messages: &mut Vec<Message>, checked: usize) -> Result<(), AgentError> {
        // What a step has put away is an address that no model can follow.
        if let Some(files) = &self.runtime.files {
            inline(files, &mut messages[checked..]).await?;
        }
        self.guard_input(messages, checked).await
    }

    fn next_step(&self, messages: &[Message], number: usize) -> Result<NextStep<S>, AgentError> {
        Ok(NextStep {
            number,
            state: self.agent.state.clone(),
            values: self.options.values.clone(),
            steps: Arc::default(),
            model: self.model()?,
            messages: messages.to_vec(),
            tools: self.options.tools.clone().unwrap_or_default(),
            tool_choice: self.options.tool_choice.clone().unwrap_or(ToolChoice::Auto),
            settings: self.options.settings.clone(),
            provider_options: self.options.provider_options.clone(),
            sources: Vec::new(),
        })
    }

    /// Lets whoever changes steps change one.
    async fn changed(&self, next: NextStep<S>, steps: &[StepReply]) -> Result<NextStep<S>, AgentError> {
        let Some(prepare) = &self.options.prepare_step else { return Ok(next) };
        let (agent, step) = (self.agent.name().to_owned(), steps.len());
        let failed = |source| AgentError::Prepare { agent, step, source };
        let mut next = prepare.prepare(NextStep { steps: steps.into(), ..next }).await.map_err(failed)?;
        if let Some(files) = &self.runtime.files {
            inline(files, &mut next.messages).await?;
        }
        Ok(next)
    }

    fn prepared(&self, next: NextStep<S>, is_final: bool) -> Prepared<S> {
        let NextStep { model, messages, tools, tool_choice, mut settings, provider_options, sources, .. } =
            next;
        settings.keep_request_body |= self.options.on_exchange.is_some();
        let sent = if tools.is_empty() { Arc::default() } else { messages.clone().into() };
        let specs = tools.specs();
        let request =
            Request { messages, tools: specs, tool_choice, settings, provider_options, ..Request::default() };
        let plan = Plan::of(self.counter(), model.name(), &request);
        Prepared { plan, model, request, tools, sent, sources, is_final }
    }

    /// Lets the guards see what of the messages is new.
    pub(crate) async fn guard_input(
        &self,
        messages: &mut Vec<Message>,
        checked: usize,
    ) -> Result<(), AgentError> {
        let occasion = self.occasion();
        for guard in self.options.input_guards.iter().flatten() {
            let new = messages.split_off(checked);
            let seen =
                guard.check(&occasion, new).await.map_err(|blocked| self.blocked(blocked, "the input"))?;
            messages.extend(seen);
        }
        Ok(())
    }

    /// Makes a step. What of it was `begun` before is not made again.
    pub(super) async fn step(
        &self,
        mut prepared: Prepared<S>,
        record: &Record,
        number: usize,
        begun: Option<Begun>,
        out: &Out,
    ) -> Result<Made, AgentError> {
        let cancel = self.call_off.token().child_token();
        let making = async {
            self.say(UiChunk::StartStep, record, out).await?;
            let (reply, ended) = match begun {
                Some(Begun { reply, ended }) => {
                    self.say_again(&reply, record, out).await?;
                    (reply, ended)
                }
                None => {
                    let request = std::mem::take(&mut prepared.request);
                    let request = Request { cancel: cancel.clone(), ..request };
                    (self.ask(&prepared, request, record, out).await?, Vec::new())
                }
            };
            let scope = self.scope(prepared.sent.clone(), record, number, cancel.child_token());
            let calls = self.call_tools(&reply, &prepared.tools, scope, record, ended, out).await?;
            let sources = sources_of(&mut prepared, &calls);
            let told = sources.iter().cloned().map(|source| Chunk::Part { part: Part::Source(source) });
            let told = told.flat_map(|chunk| Translator::default().push(chunk));
            let result = record.last_call().and_then(|end| end.result);
            let result = result.map(|result| UiChunk::tool_result(&result));
            let asks = calls.iter().filter(|call| call.outcome == Outcome::NeedsApproval);
            let asks = asks.map(|call| request_chunk(approval_of(call), call.call.id.clone()));
            let last = result.into_iter().chain(asks).chain(told).chain([UiChunk::FinishStep]).collect();
            self.made(reply, calls, sources, last).await
        };
        self.while_held(record, &cancel, making).await
    }

    /// Returns what a step is stored as.
    async fn made(
        &self,
        reply: Reply,
        calls: Vec<CallEnd>,
        sources: Vec<Source>,
        last: Vec<UiChunk>,
    ) -> Result<Made, AgentError> {
        let asks = calls.iter().filter(|call| call.outcome == Outcome::NeedsApproval).map(|call| {
            let request = ApprovalRequest {
                id: approval_of(call),
                call: call.call.id.clone(),
                ..ApprovalRequest::default()
            };
            Part::ApprovalRequest(request)
        });
        let sources = sources.into_iter().map(Part::Source);
        let parts: Vec<Part> = reply.parts.iter().cloned().chain(asks).chain(sources).collect();
        let mut said = Message::new(Role::Assistant, parts);
        let mut warnings = reply.info.warnings.clone();
        match &self.runtime.files {
            Some(files) => offload(files, &mut said).await?,
            None => {
                let before = said.parts.len();
                said.parts.retain(|part| !is_too_large(part));
                if said.parts.len() < before {
                    let why =
                        "it is too large for a message, and there is no file store; give the runtime one";
                    warnings.push(Warning { what: "file".to_owned(), why: why.to_owned() });
                }
            }
        }
        let assistant = NewMessage {
            model: Some(reply.info.model.clone()),
            provider: Some(reply.info.provider.clone()),
            provider_metadata: reply.finish.provider_metadata.clone(),
            usage: Some(reply.finish.usage.clone()),
            finish_reason: Some(reply.finish.reason),
            warnings: warnings.clone(),
            ..NewMessage::new(said)
        };
        // In the order of the calls, whichever was quicker.
        let results: Vec<_> = reply
            .tool_calls()
            .filter_map(|made| calls.iter().find(|call| call.call.id == made.id)?.result.clone())
            .collect();
        let tool = (!results.is_empty()).then(|| NewMessage::new(Message::tool(results)));
        let reply = StepReply {
            parts: reply.parts,
            calls,
            finish_reason: reply.finish.reason,
            usage: reply.finish.usage,
            model: reply.info.model,
            provider: reply.info.provider,
            warnings,
        };
        Ok(Made { reply, assistant, tool, last })
    }

    /// Hands a chunk to the stream, and to whoever reads the answer: nobody has seen what is not stored soon.
    pub(super) async fn say(&self, chunk: UiChunk, record: &Record, out: &Out) -> Result<(), AgentError> {
        say(chunk, record, out).await
    }
}

/// Hands a chunk to the stream of an answer, and to whoever reads it. One that is too large for a stream is left
/// out: the message has it when it is saved.
pub(crate) async fn say(chunk: UiChunk, record: &Record, out: &Out) -> Result<(), AgentError> {
    let for_reader = out.is_some().then(|| chunk.clone());
    match record.push(chunk).await {
        Err(AgentError::Store(error)) if is_chunk_too_large(&error) => {
            tracing::warn!(run = %record.reporter.run, %error, "a chunk is left out of a stream");
            return Ok(());
        }
        pushed => pushed?,
    }
    if let (Some(out), Some(chunk)) = (out, for_reader) {
        out.send(chunk);
    }
    Ok(())
}

fn is_chunk_too_large(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(StreamError::ChunkTooLarge { .. }))
}

impl<S> Generation<S> {
    /// Returns what guards are told of the answer.
    pub(crate) fn occasion(&self) -> Arc<Occasion> {
        Arc::new(Occasion {
            agent: self.agent.name.to_string(),
            user: self.target.user.clone(),
            thread: self.target.thread,
            values: self.options.values.clone(),
        })
    }

    /// Returns the error of a model. Where guards stand before the user, nothing of what the model said is in it.
    pub(crate) fn model_failed(&self, error: loomwork_models::Error) -> AgentError {
        let is_guarded = self.options.output_guards.iter().flatten().next().is_some();
        let error = if is_guarded { unquoted(error) } else { error };
        AgentError::Model { agent: self.agent.name.to_string(), source: Box::new(error) }
    }

    pub(crate) fn blocked(&self, blocked: Blocked, what: &'static str) -> AgentError {
        let Blocked { guard, reason } = blocked;
        AgentError::Blocked { agent: self.agent.name.to_string(), guard, what, reason }
    }
}

/// Returns an error without what the model said: no guard has seen that.
fn unquoted(mut error: loomwork_models::Error) -> loomwork_models::Error {
    use loomwork_models::ErrorKind::{ContentPolicy, InvalidOutput};
    let usage = error.usage().cloned();
    let has_said = error.take_partial().is_some();
    if has_said && matches!(error.kind(), ContentPolicy | InvalidOutput) {
        let text = match error.kind() {
            ContentPolicy => "the model refused, or a filter of the provider stopped it",
            _ => "the answer does not fit its schema, or was cut off",
        };
        error = loomwork_models::Error::new(error.kind().clone(), error.provider(), error.model(), text);
    }
    match usage {
        Some(usage) => error.with_usage(usage),
        None => error,
    }
}

/// Returns what a step is from: its messages, and the outputs of its tools.
fn sources_of<S: Send + Sync + 'static>(prepared: &mut Prepared<S>, calls: &[CallEnd]) -> Vec<Source> {
    let mut sources = std::mem::take(&mut prepared.sources);
    for result in calls.iter().filter_map(|call| call.result.as_ref()) {
        let Some(tool) = prepared.tools.get(&result.name) else { continue };
        for source in tool.sources_of(&result.output) {
            if sources.iter().all(|known| known.id != source.id) {
                sources.push(source);
            }
        }
    }
    sources
}

fn approval_of(call: &CallEnd) -> String {
    match call.awaits {
        Some(Awaits::Approval(approval)) => approval.to_string(),
        // Nobody is asked outside of threads; the caller sees what would have to be approved.
        _ => format!("approval-{}", call.call.id),
    }
}
