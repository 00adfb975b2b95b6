//! One step: a call of the model, and the tools that it calls.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use loomwork_messages::{NewMessage, Translator, UiChunk, offload, offload_result};
use loomwork_models::{
    ApprovalRequest, Chunk, Extras, LanguageModel, Message, Part, Reply, Request, Role, ToolCall, ToolChoice,
    ToolOutput, ToolResult,
};
use tracing::Instrument as _;

use super::resume::Begun;
use super::waited::request_chunk;
use super::{Generation, Out, Plan, Record, step_number};
use crate::error::AgentError;
use crate::guard::{Blocked, Gatekeeper};
use crate::prepare::NextStep;
use crate::reply::StepReply;
use crate::runtime::Runtime;
use crate::spans;
use crate::tool::{Awaits, CallEnd, Outcome, RequestedCall, ToolEvent, ToolScope, Tools, run_calls};

/// A step that was made, and the messages that it is stored as.
pub(super) struct Made {
    pub(super) reply: StepReply,
    pub(super) assistant: NewMessage,
    pub(super) tool: Option<NewMessage>,
}

/// A step that is about to be made.
pub(super) struct Prepared<S> {
    pub(super) plan: Plan,
    model: Arc<dyn LanguageModel>,
    request: Request,
    tools: Tools<S>,
    /// What is sent, for the tools if there are some.
    sent: Arc<[Message]>,
}

impl<S: Send + Sync + 'static> Generation<S> {
    /// Prepares a step: guards see what of the messages is new, and then whoever changes steps.
    pub(super) async fn prepare(
        &self,
        messages: &mut Vec<Message>,
        checked: usize,
        steps: &[StepReply],
    ) -> Result<Prepared<S>, AgentError> {
        self.guard_input(messages, checked).await?;
        let mut next = NextStep {
            number: steps.len(),
            steps: Arc::default(),
            model: self.model()?,
            messages: messages.clone(),
            tools: self.options.tools.clone().unwrap_or_default(),
            tool_choice: self.options.tool_choice.clone().unwrap_or(ToolChoice::Auto),
            settings: self.options.settings.clone(),
            provider_options: self.options.provider_options.clone(),
        };
        if let Some(prepare) = &self.options.prepare_step {
            let (agent, step) = (self.agent.name().to_owned(), steps.len());
            let failed = |source| AgentError::Prepare { agent, step, source };
            next = prepare.prepare(NextStep { steps: steps.into(), ..next }).await.map_err(failed)?;
        }
        let NextStep { model, messages, tools, tool_choice, mut settings, provider_options, .. } = next;
        settings.keep_request_body |= self.options.on_exchange.is_some();
        let sent = if tools.is_empty() { Arc::default() } else { messages.clone().into() };
        let specs = tools.specs();
        let request =
            Request { messages, tools: specs, tool_choice, settings, provider_options, ..Request::default() };
        Ok(Prepared { plan: Plan::of(model.name(), &request), model, request, tools, sent })
    }

    /// Lets the guards see what of the messages is new.
    pub(crate) async fn guard_input(
        &self,
        messages: &mut Vec<Message>,
        checked: usize,
    ) -> Result<(), AgentError> {
        for guard in self.options.input_guards.iter().flatten() {
            let new = messages.split_off(checked);
            let seen = guard.check(new).await.map_err(|blocked| self.blocked(blocked, "the input"))?;
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
        let cancel = self.cancel.child_token();
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
            let calls = self.call_tools(&reply, &prepared, record, number, ended, out).await?;
            for call in calls.iter().filter(|call| call.outcome == Outcome::NeedsApproval) {
                self.say(request_chunk(approval_of(call), call.call.id.clone()), record, out).await?;
            }
            self.say(UiChunk::FinishStep, record, out).await?;
            self.made(reply, calls).await
        };
        tokio::select! {
            made = making => made,
            lost = record.lost() => {
                cancel.cancel();
                Err(AgentError::Ended(Box::new(lost)))
            }
        }
    }

    /// Asks the model, and hands on what it says as it comes.
    async fn ask(
        &self,
        prepared: &Prepared<S>,
        request: Request,
        record: &Record,
        out: &Out,
    ) -> Result<Reply, AgentError> {
        let span = spans::chat(&prepared.plan.model, &request.settings);
        let asking = async {
            let failed =
                |error| AgentError::Model { agent: self.agent.name().to_owned(), source: Box::new(error) };
            let mut translator = Translator::default();
            let mut first = spans::FirstChunk::awaited(self.runtime.store.clock());
            let mut gate = Gatekeeper::new(self.options.output_guards.as_deref().unwrap_or_default());
            record.asking(prepared.plan.clone());
            let mut chunks = prepared.model.stream(request).await.map_err(failed)?;
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk.map_err(failed)?;
                first.came(&span);
                let seen = gate.pass(chunk).await.map_err(|blocked| self.blocked(blocked, "the answer"))?;
                for chunk in seen {
                    for chunk in translator.push(chunk.clone()) {
                        self.say(chunk, record, out).await?;
                    }
                    record.came(chunk).map_err(failed)?;
                }
            }
            record.whole().map_err(failed)
        };
        let answered = asking.instrument(span.clone()).await;
        spans::chat_ended(&span, &answered);
        answered
    }

    /// Says again what the model said before its process was gone.
    async fn say_again(&self, reply: &Reply, record: &Record, out: &Out) -> Result<(), AgentError> {
        let mut translator = Translator::default();
        for part in &reply.parts {
            for chunk in translator.push(Chunk::Part { part: part.clone() }) {
                self.say(chunk, record, out).await?;
            }
        }
        Ok(())
    }

    /// Runs the tools that the model has called, but for calls that have ended before.
    async fn call_tools(
        &self,
        reply: &Reply,
        prepared: &Prepared<S>,
        record: &Record,
        number: usize,
        mut ended: Vec<CallEnd>,
        out: &Out,
    ) -> Result<Vec<CallEnd>, AgentError> {
        for result in ended.iter().filter_map(|end| end.result.as_ref()) {
            self.say(UiChunk::tool_result(result), record, out).await?;
        }
        let has_ended = |call: &ToolCall| ended.iter().any(|end| end.call.id == call.id);
        let calls = reply.tool_calls().filter(|call| !call.provider_executed && !has_ended(call));
        let calls: Vec<_> = calls.cloned().collect();
        if calls.is_empty() {
            return Ok(ended);
        }
        record.answered(reply).await?;
        let calls = calls.into_iter().map(RequestedCall::from).collect();
        ended.extend(self.make_calls(calls, prepared, record, number, out).await?);
        Ok(ended)
    }

    /// Makes calls, and commits the end of each as it comes.
    pub(super) async fn make_calls(
        &self,
        calls: Vec<RequestedCall>,
        prepared: &Prepared<S>,
        record: &Record,
        number: usize,
        out: &Out,
    ) -> Result<Vec<CallEnd>, AgentError> {
        let scope = Arc::new(self.scope(prepared.sent.clone(), record, number));
        let mut events = run_calls(&prepared.tools, calls, scope, self.agent.state.clone());
        let mut ended = Vec::new();
        let (mut keeping, mut all_have_ended) = (FuturesOrdered::new(), false);
        loop {
            // Tools go on while the ends of others are committed.
            let event = tokio::select! {
                biased;
                Some(kept) = keeping.next() => {
                    let end: CallEnd = kept?;
                    if let Some(result) = &end.result {
                        self.say(UiChunk::tool_result(result), record, out).await?;
                    }
                    ended.push(end);
                    continue;
                }
                event = events.next(), if !all_have_ended => event,
                else => break,
            };
            match event {
                Some(ToolEvent::Preliminary { call, tool, output }) => {
                    self.say_preliminary(call, tool, output, record, out).await?;
                }
                Some(ToolEvent::Ended(end)) => {
                    keeping.push_back(self.keep(*end, &prepared.tools, record, number));
                }
                Some(_) => {}
                None => all_have_ended = true,
            }
        }
        Ok(ended)
    }

    /// Commits the end of a call, and returns it as it is kept.
    async fn keep(
        &self,
        mut end: CallEnd,
        tools: &Tools<S>,
        record: &Record,
        number: usize,
    ) -> Result<CallEnd, AgentError> {
        if let (Some(result), Some(files)) = (&mut end.result, &self.runtime.files) {
            offload_result(files, result).await?;
        }
        record.ended(step_number(number), end.clone()).await?;
        self.ask_people(&mut end, tools, record, number).await?;
        Ok(end)
    }

    async fn say_preliminary(
        &self,
        call: String,
        tool: String,
        output: ToolOutput,
        record: &Record,
        out: &Out,
    ) -> Result<(), AgentError> {
        let result =
            ToolResult { call, name: tool, output, provider_executed: false, extras: Extras::default() };
        let UiChunk::ToolOutputAvailable { tool_call_id, output, dynamic, .. } =
            UiChunk::tool_result(&result)
        else {
            return Ok(());
        };
        let chunk = UiChunk::ToolOutputAvailable {
            tool_call_id,
            output,
            preliminary: true,
            dynamic,
            provider_executed: false,
            provider_metadata: None,
        };
        self.say(chunk, record, out).await
    }

    fn scope(&self, messages: Arc<[Message]>, record: &Record, number: usize) -> ToolScope {
        let kept = record.kept();
        let run = kept.map_or(self.unstored, |kept| kept.run.id);
        let Runtime { store, files, search, .. } = &self.runtime;
        ToolScope {
            caller: self.options.caller.clone(),
            user: kept.map_or_else(|| self.target.user.clone(), |kept| kept.run.user.clone()),
            thread: self.target.thread,
            message: kept.and_then(|kept| kept.run.pending),
            prompt: kept.and_then(|kept| kept.run.prompt),
            step: step_number(number),
            attempt: kept.map_or(1, |kept| kept.run.attempt),
            parent: self.options.parent,
            runtime: Some(self.runtime.clone()),
            delegated: self.delegated.clone(),
            on_usage: self.options.on_usage.clone(),
            messages,
            files: files.clone(),
            search: search.clone(),
            cancel: self.cancel.child_token(),
            ..ToolScope::new(self.agent.name(), run, store)
        }
    }

    /// Returns what a step is stored as.
    async fn made(&self, reply: Reply, calls: Vec<CallEnd>) -> Result<Made, AgentError> {
        let asks = calls.iter().filter(|call| call.outcome == Outcome::NeedsApproval).map(|call| {
            let request = ApprovalRequest {
                id: approval_of(call),
                call: call.call.id.clone(),
                ..ApprovalRequest::default()
            };
            Part::ApprovalRequest(request)
        });
        let parts: Vec<Part> = reply.parts.iter().cloned().chain(asks).collect();
        let mut said = Message::new(Role::Assistant, parts);
        if let Some(files) = &self.runtime.files {
            offload(files, &mut said).await?;
        }
        let assistant = NewMessage {
            model: Some(reply.info.model.clone()),
            provider: Some(reply.info.provider.clone()),
            provider_metadata: reply.finish.provider_metadata.clone(),
            usage: Some(reply.finish.usage.clone()),
            finish_reason: Some(reply.finish.reason),
            warnings: reply.info.warnings.clone(),
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
            warnings: reply.info.warnings,
        };
        Ok(Made { reply, assistant, tool })
    }

    /// Hands a chunk to the stream, and to whoever reads the answer.
    pub(super) async fn say(&self, chunk: UiChunk, record: &Record, out: &Out) -> Result<(), AgentError> {
        if let Some(out) = out {
            // A reader who has gone is no reason to stop.
            let _ = out.send(chunk.clone()).await;
        }
        record.push(chunk).await
    }
}

impl<S> Generation<S> {
    pub(crate) fn model_failed(&self, error: loomwork_models::Error) -> AgentError {
        AgentError::Model { agent: self.agent.name.to_string(), source: Box::new(error) }
    }

    pub(crate) fn blocked(&self, blocked: Blocked, what: &'static str) -> AgentError {
        let Blocked { guard, reason } = blocked;
        AgentError::Blocked { agent: self.agent.name.to_string(), guard, what, reason }
    }
}

fn approval_of(call: &CallEnd) -> String {
    match call.awaits {
        Some(Awaits::Approval(approval)) => approval.to_string(),
        // Nobody is asked outside of threads; the caller sees what would have to be approved.
        _ => format!("approval-{}", call.call.id),
    }
}
