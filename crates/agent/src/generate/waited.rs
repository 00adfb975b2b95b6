//! Calls that waited for somebody: they are made, or not, before the model is asked again.

use loomwork_messages::{HUMAN, MessageId, NewMessage, Run, Translator, UiChunk};
use loomwork_models::{Chunk, Message, Part, ToolCall, ToolOutput, ToolResult};
use loomwork_store::{Result, Row, Tx};
use serde_json::json;

use super::resume::call_end;
use super::step::Prepared;
use super::{Generation, Out, Record, step_number};
use crate::approvals::{self, Ruling};
use crate::error::AgentError;
use crate::humans;
use crate::journal;
use crate::reply::StepReply;
use crate::tool::{CallEnd, Outcome, ToolScope};

/// The calls of a step that were open when its run began to wait, and what is known of them now.
#[derive(Debug)]
pub(super) struct Waited {
    /// The number of the step.
    pub(super) step: u32,
    /// The message that has the calls.
    message: Option<MessageId>,
    /// Those that may run.
    approved: Vec<ToolCall>,
    /// Those that do not, and what the model is given instead.
    settled: Vec<(ToolCall, Outcome, ToolResult)>,
    /// Those that have ended, though the results are not yet said in the thread.
    ended: Vec<CallEnd>,
}

/// Returns the calls of the last step whose results are not said in the thread.
pub(super) fn open_calls(steps: &[StepReply]) -> impl Iterator<Item = &ToolCall> {
    let calls = steps.last().into_iter().flat_map(|last| last.parts.iter().map(move |part| (last, part)));
    calls.filter_map(|(last, part)| match part {
        Part::ToolCall(call) if !call.provider_executed => {
            last.calls.iter().all(|end| end.call.id != call.id).then_some(call)
        }
        _ => None,
    })
}

/// Returns what a run has waited for, if it has.
pub(super) fn waited(tx: &Tx, run: &Row<Run>, steps: &[StepReply]) -> Result<Option<Waited>> {
    let step = step_number(steps.len().saturating_sub(1));
    let open: Vec<&ToolCall> = open_calls(steps).collect();
    if open.is_empty() {
        return Ok(None);
    }
    let known = journal::calls_of(tx, run.id, step)?;
    let row_of = |call: &ToolCall| known.iter().find(|row| row.call == call.id && row.result().is_some());
    let message = approvals::message_of(tx, run.id, step)?;
    let mut waited = Waited { step, message, approved: Vec::new(), settled: Vec::new(), ended: Vec::new() };
    waited.ended.extend(open.iter().filter_map(|call| Some(call_end(call, row_of(call)?))));
    let open: Vec<&ToolCall> = open.into_iter().filter(|call| row_of(call).is_none()).collect();
    for (call, ruling) in approvals::rulings(tx, run.id, step, open.iter().copied())? {
        match ruling {
            Ruling::Run => waited.approved.push(call.clone()),
            Ruling::Not(reason) => {
                let result = ToolResult::new(call, ToolOutput::Denied { reason });
                waited.settled.push((call.clone(), Outcome::Denied, result));
            }
        }
    }
    for (call, reply) in humans::replies(tx, run.id, step, open.into_iter())? {
        let humans::Reply { outcome, output, by } = reply;
        let mut result = ToolResult::new(call, output);
        if let Some(by) = by {
            result.extras.provider_metadata.insert(HUMAN.to_owned(), json!({ "by": by }));
        }
        waited.settled.push((call.clone(), outcome, result));
    }
    let is_any = !waited.approved.is_empty() || !waited.settled.is_empty() || !waited.ended.is_empty();
    Ok(is_any.then_some(waited))
}

impl<S: Send + Sync + 'static> Generation<S> {
    /// Brings calls to their end that waited for somebody, and returns the message that has their results.
    pub(super) async fn settle_waited(
        &self,
        waited: Waited,
        steps: &mut [StepReply],
        prepared: &Prepared<S>,
        record: &Record,
        out: &Out,
    ) -> std::result::Result<Option<NewMessage>, AgentError> {
        self.say_before(steps, record).await?;
        let Waited { step, message, approved, settled, mut ended } = waited;
        let now = self.runtime.store.clock().now();
        ended.iter().for_each(|end| record.is_unsaid(step, end.clone()));
        for (call, outcome, result) in settled {
            let end = CallEnd {
                call,
                outcome,
                result: Some(result),
                tries: 0,
                started: now,
                ended: now,
                awaits: None,
            };
            record.is_unsaid(step, end.clone());
            record.ended(step, end.clone()).await?;
            ended.push(end);
        }
        for result in ended.iter().filter_map(|end| end.result.as_ref()) {
            self.say(UiChunk::tool_result(result), record, out).await?;
        }
        let before = steps.len() - 1;
        let tools = self.tools_of(&approved, prepared, &steps[..before]).await?;
        let cancel = self.call_off.token().child_token();
        let scope = self.scope(prepared.sent.clone(), record, before, cancel.child_token());
        let scope = ToolScope { message: message.or(scope.message), ..scope };
        let made = self.make_approved(approved, &tools, scope, record, ended, out);
        let ended = self.while_held(record, &cancel, made).await?;
        let Some(last) = steps.last_mut() else { return Ok(None) };
        // In the order of the calls, whichever was quicker.
        let calls = last.parts.iter().filter_map(|part| match part {
            Part::ToolCall(call) => ended.iter().find(|end| end.call.id == call.id)?.result.clone(),
            _ => None,
        });
        let results: Vec<_> = calls.collect();
        last.calls.extend(ended);
        Ok((!results.is_empty()).then(|| NewMessage::new(Message::tool(results))))
    }

    /// Begins the stream with what was said before the run waited: a stream shows all that its run answers. Who reads
    /// the answer itself has read that.
    async fn say_before(&self, steps: &[StepReply], record: &Record) -> std::result::Result<(), AgentError> {
        if record.has_stream() {
            return Ok(());
        }
        for step in steps {
            let mut translator = Translator::default();
            record.push(UiChunk::StartStep).await?;
            for part in &step.parts {
                match part {
                    Part::ApprovalRequest(request) => {
                        record.push(request_chunk(request.id.clone(), request.call.clone())).await?;
                    }
                    part => {
                        for chunk in translator.push(Chunk::Part { part: part.clone() }) {
                            record.push(chunk).await?;
                        }
                    }
                }
            }
            for result in step.calls.iter().filter_map(|end| end.result.as_ref()) {
                record.push(UiChunk::tool_result(result)).await?;
            }
            record.push(UiChunk::FinishStep).await?;
        }
        record.begin_behind().await
    }
}

/// Returns the chunk that asks for an approval.
pub(super) fn request_chunk(approval_id: String, tool_call_id: String) -> UiChunk {
    UiChunk::ToolApprovalRequest {
        approval_id,
        tool_call_id,
        is_automatic: false,
        signature: None,
        provider_metadata: None,
    }
}
