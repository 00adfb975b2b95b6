//! One step: a call of the model, and the tools that it calls.

use std::sync::Arc;

use futures_util::StreamExt as _;
use loomwork_messages::{NewMessage, Translator, UiChunk, offload, offload_result};
use loomwork_models::{
    ApprovalRequest, Assembly, LanguageModel, Message, Part, Reply, Request, Role, ToolChoice,
};

use super::{Generation, Out, Record};
use crate::error::AgentError;
use crate::reply::StepReply;
use crate::runtime::Runtime;
use crate::tool::{CallEnd, Outcome, ToolEvent, ToolScope, run_calls};

/// A step that was made, and the messages that it is stored as.
pub(super) struct Made {
    pub(super) reply: StepReply,
    pub(super) assistant: NewMessage,
    pub(super) tool: Option<NewMessage>,
}

impl<S: Send + Sync + 'static> Generation<S> {
    pub(super) async fn step(
        &self,
        model: &dyn LanguageModel,
        messages: &[Message],
        record: &Record,
        number: usize,
        out: &Out,
    ) -> Result<Made, AgentError> {
        let cancel = self.cancel.child_token();
        let making = async {
            self.say(UiChunk::StartStep, record, out).await?;
            let reply = self.ask(model, self.request(messages, cancel.clone()), record, out).await?;
            let calls = self.call_tools(&reply, messages, record, number, out).await?;
            for call in calls.iter().filter(|call| call.outcome == Outcome::NeedsApproval) {
                let request = UiChunk::ToolApprovalRequest {
                    approval_id: approval_of(call),
                    tool_call_id: call.call.id.clone(),
                    is_automatic: false,
                    signature: None,
                    provider_metadata: None,
                };
                self.say(request, record, out).await?;
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

    fn request(&self, messages: &[Message], cancel: tokio_util::sync::CancellationToken) -> Request {
        let tools = self.options.tools.as_ref().map(crate::tool::Tools::specs).unwrap_or_default();
        Request {
            messages: messages.to_vec(),
            tools,
            tool_choice: self.options.tool_choice.clone().unwrap_or(ToolChoice::Auto),
            settings: self.options.settings.clone(),
            provider_options: self.options.provider_options.clone(),
            cancel,
            ..Request::default()
        }
    }

    /// Asks the model, and hands on what it says as it comes.
    async fn ask(
        &self,
        model: &dyn LanguageModel,
        request: Request,
        record: &Record,
        out: &Out,
    ) -> Result<Reply, AgentError> {
        let failed =
            |error| AgentError::Model { agent: self.agent.name().to_owned(), source: Box::new(error) };
        let (mut translator, mut whole) = (Translator::default(), Assembly::default());
        let mut chunks = model.stream(request).await.map_err(failed)?;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(failed)?;
            for chunk in translator.push(chunk.clone()) {
                self.say(chunk, record, out).await?;
            }
            whole.push(chunk).map_err(failed)?;
        }
        whole.finish().map_err(failed)
    }

    /// Runs the tools that the model has called.
    async fn call_tools(
        &self,
        reply: &Reply,
        messages: &[Message],
        record: &Record,
        number: usize,
        out: &Out,
    ) -> Result<Vec<CallEnd>, AgentError> {
        let calls: Vec<_> = reply.tool_calls().filter(|call| !call.provider_executed).cloned().collect();
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let scope = Arc::new(self.scope(messages, record, number));
        let tools = self.options.tools.clone().unwrap_or_default();
        let mut ended = Vec::new();
        let mut events = run_calls(&tools, calls, scope, self.agent.state.clone());
        while let Some(event) = events.next().await {
            match event {
                ToolEvent::Preliminary { call, tool, output } => {
                    let result = loomwork_models::ToolResult {
                        call,
                        name: tool,
                        output,
                        provider_executed: false,
                        extras: loomwork_models::Extras::default(),
                    };
                    if let UiChunk::ToolOutputAvailable { tool_call_id, output, dynamic, .. } =
                        UiChunk::tool_result(&result)
                    {
                        let chunk = UiChunk::ToolOutputAvailable {
                            tool_call_id,
                            output,
                            preliminary: true,
                            dynamic,
                            provider_executed: false,
                            provider_metadata: None,
                        };
                        self.say(chunk, record, out).await?;
                    }
                }
                ToolEvent::Ended(end) => {
                    let mut end = *end;
                    if let Some(result) = &mut end.result {
                        if let Some(files) = &self.runtime.files {
                            offload_result(files, result).await?;
                        }
                        self.say(UiChunk::tool_result(result), record, out).await?;
                    }
                    ended.push(end);
                }
                _ => {}
            }
        }
        Ok(ended)
    }

    fn scope(&self, messages: &[Message], record: &Record, number: usize) -> ToolScope {
        let kept = record.kept();
        let run = kept.map_or(self.unstored, |kept| kept.run.id);
        let Runtime { store, files, search, .. } = &self.runtime;
        ToolScope {
            caller: self.options.caller.clone(),
            user: kept.map_or_else(|| self.target.user.clone(), |kept| kept.run.user.clone()),
            thread: self.target.thread,
            message: kept.and_then(|kept| kept.run.pending),
            prompt: kept.and_then(|kept| kept.run.prompt),
            step: u32::try_from(number).unwrap_or(u32::MAX),
            messages: messages.into(),
            parent: self.parent,
            runtime: Some(self.runtime.clone()),
            delegated: self.delegated.clone(),
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
    async fn say(&self, chunk: UiChunk, record: &Record, out: &Out) -> Result<(), AgentError> {
        if let Some(out) = out {
            // A reader who has gone is no reason to stop.
            let _ = out.send(chunk.clone()).await;
        }
        record.push(chunk).await
    }
}

fn approval_of(call: &CallEnd) -> String {
    format!("approval-{}", call.call.id)
}
