//! Running the tools that the model has called.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use loomwork_core::Time;
use loomwork_messages::{DataChunk, INLINE_BYTES, UiChunk, offload_result};
use loomwork_models::{Extras, FinishReason, Message, Reply, ToolCall, ToolOutput, ToolResult};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::files::is_output_too_large;
use super::{Generation, Out, Record, step_number};
use crate::error::AgentError;
use crate::runtime::Runtime;
use crate::tool::{CallEnd, Calls, Outcome, RequestedCall, ToolEvent, ToolScope, Tools, run_calls};

/// How many bytes of JSON the output of a tool may have in a thread, without the files that are put away. Of a
/// larger one the model is told that it is too large.
pub const MAX_OUTPUT_BYTES: usize = 512 << 10;

/// How many bytes the outputs of one step may have together: they are one message.
pub const MAX_OUTPUTS_BYTES: usize = 3 << 20;

/// How often the progress of a call is told; of what is reported faster, the newest waits for its turn.
pub const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// The name of the passing chunks that tell how far a call has come: `data-tool-progress`. Their id is that of the
/// call, and their data has `fraction`, from 0 to 1 where that is known, and `text`.
pub const PROGRESS_CHUNK: &str = "tool-progress";

/// The step whose calls are made.
struct OfStep<'a, S> {
    tools: &'a Tools<S>,
    number: u32,
    /// How many calls are made.
    calls: usize,
    /// The step ends with the last of them, and writes its end.
    ends_step: bool,
}

/// The end of a call, as it is kept.
struct Kept {
    end: CallEnd,
    /// Not yet, if the step ends with it.
    is_committed: bool,
}

/// Returns why the calls of an answer are not made: it was cut off, so nobody knows whether they are whole, and
/// what else it was to say.
pub(super) fn why_not_made(reason: FinishReason) -> Option<&'static str> {
    match reason {
        FinishReason::Length => Some("the answer was cut off at the limit of its length"),
        FinishReason::ContentFilter => Some("a filter of the provider stopped the answer"),
        FinishReason::Refusal => Some("the model refused to go on"),
        _ => None,
    }
}

impl<S: Send + Sync + 'static> Generation<S> {
    /// Runs the tools that the model has called, but for calls that have ended before.
    pub(super) async fn call_tools(
        &self,
        reply: &Reply,
        tools: &Tools<S>,
        scope: ToolScope,
        record: &Record,
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
        if let Some(why) = why_not_made(reply.finish.reason) {
            for call in calls {
                let end = self.not_made(call, why);
                if let Some(result) = &end.result {
                    self.say(UiChunk::tool_result(result), record, out).await?;
                }
                ended.push(end);
            }
            return Ok(ended);
        }
        record.answered(reply).await?;
        let of_step = OfStep { tools, number: scope.step, calls: calls.len(), ends_step: true };
        let calls = calls.into_iter().map(RequestedCall::from).collect();
        self.make_calls(calls, of_step, scope, record, ended, out).await
    }

    /// Makes calls that somebody has approved, of a step that is complete.
    pub(super) async fn make_approved(
        &self,
        calls: Vec<ToolCall>,
        tools: &Tools<S>,
        scope: ToolScope,
        record: &Record,
        ended: Vec<CallEnd>,
        out: &Out,
    ) -> Result<Vec<CallEnd>, AgentError> {
        let of_step = OfStep { tools, number: scope.step, calls: calls.len(), ends_step: false };
        let calls = calls.into_iter().map(|call| RequestedCall { call, approved: true }).collect();
        self.make_calls(calls, of_step, scope, record, ended, out).await
    }

    /// Makes calls, and commits the end of each as it comes; returns them with those that had ended before.
    async fn make_calls(
        &self,
        calls: Vec<RequestedCall>,
        of_step: OfStep<'_, S>,
        scope: ToolScope,
        record: &Record,
        mut ended: Vec<CallEnd>,
        out: &Out,
    ) -> Result<Vec<CallEnd>, AgentError> {
        let cancel = scope.cancel.clone();
        let mut events = run_calls(of_step.tools, calls, Arc::new(scope), self.agent.state.clone());
        match self.hear_calls(&mut events, &of_step, &mut ended, record, out).await {
            Ok(()) => Ok(ended),
            Err(error) => {
                // What cannot be stored or told any more ends the others too, in order.
                cancel.cancel();
                while events.next().await.is_some() {}
                Err(error)
            }
        }
    }

    /// Hears what becomes of calls that run: their ends are committed, and told with all that comes before.
    async fn hear_calls(
        &self,
        events: &mut Calls,
        of_step: &OfStep<'_, S>,
        ended: &mut Vec<CallEnd>,
        record: &Record,
        out: &Out,
    ) -> Result<(), AgentError> {
        let known = ended.iter().filter_map(|end| end.result.as_ref()).map(json_bytes).sum();
        let kept_bytes = AtomicUsize::new(known);
        let (mut keeping, mut all_have_ended) = (FuturesOrdered::new(), false);
        let (mut progress, mut count) = (Progress::default(), 0);
        let clock = self.runtime.store.clock();
        loop {
            let due = progress.due();
            let is_due = async {
                match due {
                    Some(due) => clock.sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            // Tools go on while the ends of others are committed.
            let event = tokio::select! {
                biased;
                Some(kept) = keeping.next() => {
                    let Kept { end, is_committed }: Kept = kept?;
                    if let Some(result) = end.result.as_ref().filter(|_| is_committed) {
                        self.say(UiChunk::tool_result(result), record, out).await?;
                    }
                    ended.push(end);
                    continue;
                }
                event = events.next(), if !all_have_ended => event,
                () = is_due, if due.is_some() => {
                    for chunk in progress.take_due(clock.now()) {
                        self.say(chunk, record, out).await?;
                    }
                    continue;
                }
                else => return Ok(()),
            };
            match event {
                Some(ToolEvent::Progress { call, fraction, text }) => {
                    if let Some(chunk) = progress.reported(clock.now(), call, fraction, text) {
                        self.say(chunk, record, out).await?;
                    }
                }
                Some(ToolEvent::Preliminary { call, tool, output }) => {
                    self.say_preliminary(call, tool, output, record, out).await?;
                }
                Some(ToolEvent::Ended(end)) => {
                    progress.forget(&end.call.id);
                    count += 1;
                    let is_last = of_step.ends_step && count == of_step.calls;
                    keeping.push_back(self.keep(*end, of_step, is_last, record, &kept_bytes));
                }
                None => all_have_ended = true,
            }
        }
    }

    /// Returns the end of a call of an answer that was cut off.
    fn not_made(&self, call: ToolCall, why: &str) -> CallEnd {
        let now = self.runtime.store.clock().now();
        let output = ToolOutput::error(format!("the call was not made: {why}"));
        let result = Some(ToolResult::new(&call, output));
        CallEnd { call, outcome: Outcome::Failed, result, tries: 0, started: now, ended: now, awaits: None }
    }

    /// Commits the end of a call, but for that of the last one: the step is committed next, with it.
    async fn keep(
        &self,
        mut end: CallEnd,
        of_step: &OfStep<'_, S>,
        is_last: bool,
        record: &Record,
        kept_bytes: &AtomicUsize,
    ) -> Result<Kept, AgentError> {
        if let Some(result) = &mut end.result
            && record.kept().is_some()
            && let Err(why) = self.put_away_result(result, kept_bytes).await
        {
            let text = format!("`{}` has run, but what it returned cannot be kept: {why}", result.name);
            tracing::warn!(tool = result.name, why, "the output of a tool is not kept");
            result.output = ToolOutput::error(text);
            end.outcome = Outcome::Failed;
        }
        if is_last && end.result.is_some() && end.outcome != Outcome::Cancelled {
            record.ends_with(end.clone());
            return Ok(Kept { end, is_committed: false });
        }
        if !of_step.ends_step {
            record.is_unsaid(of_step.number, end.clone());
        }
        record.ended(of_step.number, end.clone()).await?;
        self.ask_people(&mut end, of_step.tools, record, of_step.number).await?;
        Ok(Kept { end, is_committed: true })
    }

    /// Puts the files of a result into the file store; the error says why the rest is too large for a thread.
    async fn put_away_result(&self, result: &mut ToolResult, kept_bytes: &AtomicUsize) -> Result<(), String> {
        match &self.runtime.files {
            Some(files) => {
                let put = offload_result(files, result).await;
                put.map_err(|error| format!("the file store failed: {error}"))?;
            }
            None if is_output_too_large(&result.output) => {
                return Err(format!(
                    "a file of it has more than {INLINE_BYTES} bytes, and there is no file store"
                ));
            }
            None => {}
        }
        let bytes = json_bytes(result);
        if bytes > MAX_OUTPUT_BYTES {
            return Err(format!(
                "it has {bytes} bytes, and {MAX_OUTPUT_BYTES} is the most; ask for less at a time"
            ));
        }
        if kept_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > MAX_OUTPUTS_BYTES {
            kept_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(format!(
                "the outputs of one step may have {MAX_OUTPUTS_BYTES} bytes together; make fewer calls at a time"
            ));
        }
        Ok(())
    }

    async fn say_preliminary(
        &self,
        call: String,
        tool: String,
        output: ToolOutput,
        record: &Record,
        out: &Out,
    ) -> Result<(), AgentError> {
        let mut result =
            ToolResult { call, name: tool, output, provider_executed: false, extras: Extras::default() };
        if let (Some(files), true) = (&self.runtime.files, record.kept().is_some()) {
            offload_result(files, &mut result).await?;
        }
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

    pub(super) fn scope(
        &self,
        messages: Arc<[Message]>,
        record: &Record,
        number: usize,
        cancel: CancellationToken,
    ) -> ToolScope {
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
            values: self.options.values.clone(),
            parent: self.options.parent,
            runtime: Some(self.runtime.clone()),
            delegated: self.delegated.clone(),
            on_usage: self.options.on_usage.clone(),
            admissions: self.options.admissions.clone().unwrap_or_default().into(),
            messages,
            files: files.clone(),
            search: search.clone(),
            cancel,
            ..ToolScope::new(self.agent.name(), run, store)
        }
    }
}

fn json_bytes(result: &ToolResult) -> usize {
    serde_json::to_vec(&result.output).map_or(0, |json| json.len())
}

/// How far calls have come, as it is told: not faster than anybody reads.
#[derive(Default)]
struct Progress(HashMap<String, Told>);

struct Told {
    last: Time,
    /// The newest report, which waits for its turn.
    waiting: Option<UiChunk>,
}

impl Progress {
    /// Takes a report, and returns what is told of it now.
    fn reported(&mut self, now: Time, call: String, fraction: Option<f64>, text: String) -> Option<UiChunk> {
        let mut chunk = DataChunk::new(PROGRESS_CHUNK, json!({ "fraction": fraction, "text": text }));
        (chunk.id, chunk.transient) = (Some(call.clone()), true);
        let chunk = UiChunk::Data(chunk);
        match self.0.get_mut(&call) {
            Some(told) if now < told.last + PROGRESS_EVERY => {
                told.waiting = Some(chunk);
                None
            }
            _ => {
                self.0.insert(call, Told { last: now, waiting: None });
                Some(chunk)
            }
        }
    }

    /// Returns when the next report has its turn.
    fn due(&self) -> Option<Time> {
        let waiting = self.0.values().filter(|told| told.waiting.is_some());
        waiting.map(|told| told.last + PROGRESS_EVERY).min()
    }

    fn take_due(&mut self, now: Time) -> Vec<UiChunk> {
        let due = self.0.values_mut().filter(|told| told.last + PROGRESS_EVERY <= now);
        let taken = due.filter_map(|told| {
            let chunk = told.waiting.take()?;
            told.last = now;
            Some(chunk)
        });
        taken.collect()
    }

    /// Forgets a call that is over.
    fn forget(&mut self, call: &str) {
        self.0.remove(call);
    }
}
