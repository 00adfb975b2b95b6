//! Frames: chunks in the shape that pages of a version read.

use std::collections::VecDeque;

use loomwork_messages::{Run, RunStatus, UiChunk, UiMessage};
use loomwork_models::FinishReason;
use serde_json::{Value, json};

use super::AiSdk;
use super::parts::{DENIED, metadata, page_url};

/// Makes frames of the chunks of an answer.
#[derive(Debug)]
pub(super) struct Frames {
    version: AiSdk,
    /// What is to be sent.
    ready: VecDeque<Value>,
    /// The texts and thoughts that grow, by the type of chunk that ends them.
    open: Vec<(&'static str, String)>,
    /// How many steps of the run the page has.
    steps: u32,
    /// How many steps are still to be passed over.
    passing: u32,
    /// Whether the step that begins next is one that the page has begun already.
    begins_again: bool,
}

impl Frames {
    pub(super) fn new(version: AiSdk) -> Self {
        Self { version, ready: VecDeque::new(), open: Vec::new(), steps: 0, passing: 0, begins_again: false }
    }

    pub(super) fn next(&mut self) -> Option<Value> {
        self.ready.pop_front()
    }

    /// Begins a message.
    pub(super) fn start(&mut self, message: Option<&str>) {
        let mut start = json!({ "type": "start" });
        if let Some(message) = message {
            start["messageId"] = message.into();
        }
        self.ready.push_back(start);
    }

    /// Says how many steps of the run the page has.
    pub(super) fn has(&mut self, steps: u32) {
        self.steps = steps;
    }

    /// Begins to read a stream of the run: each begins with all that the run has said.
    pub(super) fn begin_stream(&mut self) {
        self.passing = self.steps;
    }

    /// Takes the next chunk of the run.
    pub(super) fn push(&mut self, chunk: UiChunk) {
        if self.passing > 0 {
            self.passing -= u32::from(chunk == UiChunk::FinishStep);
            return;
        }
        match &chunk {
            chunk if chunk.is_restart_step() => return self.restart(),
            UiChunk::StartStep if std::mem::take(&mut self.begins_again) => return,
            UiChunk::FinishStep => {
                self.close();
                self.steps += 1;
            }
            UiChunk::TextStart { id, .. } => self.open.push(("text-end", id.clone())),
            UiChunk::ReasoningStart { id, .. } => self.open.push(("reasoning-end", id.clone())),
            UiChunk::TextEnd { id, .. } | UiChunk::ReasoningEnd { id, .. } => {
                self.open.retain(|(end, open)| *end != chunk.kind() || open != id);
            }
            _ => {}
        }
        self.ready.extend(frame(chunk, self.version));
    }

    /// Tells what was told before, whose steps are none of the run's.
    pub(super) fn tell(&mut self, chunks: Vec<UiChunk>) {
        let version = self.version;
        self.ready.extend(chunks.into_iter().filter_map(|chunk| frame(chunk, version)));
    }

    /// The step's text starts anew. Only pages of the newest version can be told to forget what they have of it.
    fn restart(&mut self) {
        if self.version == AiSdk::Seven {
            self.open.clear();
            self.begins_again = true;
            self.ready.push_back(json!({ "type": "reset-step" }));
        } else {
            self.close();
        }
    }

    /// Ends what grows.
    fn close(&mut self) {
        for (end, id) in self.open.drain(..) {
            self.ready.push_back(json!({ "type": end, "id": id }));
        }
    }

    /// Ends the message as its run has ended, or waits.
    pub(super) fn end(&mut self, run: Option<&Run>, message: Option<&UiMessage>) {
        self.close();
        let status = run.map(|run| run.status);
        let failure = run.and_then(|run| run.error.as_ref()).map(|error| error.message.clone());
        self.ready.push_back(match status {
            Some(RunStatus::Failed) => {
                json!({ "type": "error", "errorText": failure.unwrap_or_else(|| "the answer failed".to_owned()) })
            }
            Some(RunStatus::Aborted) if self.version == AiSdk::Five => json!({ "type": "abort" }),
            Some(RunStatus::Aborted) => {
                json!({ "type": "abort", "reason": failure.unwrap_or_else(|| "it was stopped".to_owned()) })
            }
            _ => {
                let reason = match status {
                    Some(RunStatus::Waiting) => Some(FinishReason::ToolCalls),
                    _ => message.and_then(|message| message.finish_reason),
                };
                let mut finish = json!({ "type": "finish", "finishReason": self.reason(reason) });
                if let Some(message) = message {
                    finish["messageMetadata"] = metadata(message);
                }
                finish
            }
        });
    }

    /// Ends the message because it cannot be told any further.
    pub(super) fn fail(&mut self, text: String) {
        self.close();
        self.ready.push_back(json!({ "type": "error", "errorText": text }));
    }

    fn reason(&self, reason: Option<FinishReason>) -> &'static str {
        match reason {
            Some(FinishReason::Stop) | None => "stop",
            Some(FinishReason::Length) => "length",
            Some(FinishReason::ToolCalls) => "tool-calls",
            Some(FinishReason::ContentFilter | FinishReason::Refusal) => "content-filter",
            Some(FinishReason::Interrupted) if self.version == AiSdk::Seven => "interrupted",
            Some(FinishReason::Error) => "error",
            Some(_) => "other",
        }
    }
}

/// Returns a chunk in the shape that pages of a version read; nothing for one that they would fail on.
fn frame(chunk: UiChunk, version: AiSdk) -> Option<Value> {
    let (is_five, is_seven) = (version == AiSdk::Five, version == AiSdk::Seven);
    let chunk = match chunk {
        // The ends of a message are told of its run.
        UiChunk::Start { .. } | UiChunk::Finish { .. } | UiChunk::Abort { .. } | UiChunk::Error { .. } => {
            return None;
        }
        UiChunk::ReasoningFile { .. } | UiChunk::Custom { .. } | UiChunk::ToolApprovalResponse { .. }
            if !is_seven =>
        {
            return None;
        }
        UiChunk::ToolApprovalRequest { .. } if is_five => return None,
        UiChunk::ToolOutputDenied { tool_call_id } if is_five => UiChunk::ToolOutputError {
            tool_call_id,
            error_text: DENIED.to_owned(),
            dynamic: false,
            provider_executed: false,
            provider_metadata: None,
        },
        UiChunk::Unread(_) => return None,
        chunk => chunk,
    };
    let mut frame = serde_json::to_value(&chunk).ok()?;
    if let Some(Value::String(url)) = frame.get_mut("url") {
        *url = page_url(url);
    }
    Some(frame)
}
