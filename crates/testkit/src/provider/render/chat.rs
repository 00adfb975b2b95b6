//! OpenAI Chat Completions.

use serde_json::{Value, json};

use super::{CREATED, Call, Frame, Rendered};
use crate::provider::content::{Finish, Part, ReasoningForm, ToolCall, Usage};

pub(super) fn render(call: &Call<'_>) -> Rendered {
    let chat = Chat { call };
    if call.request.wants_stream() { Rendered::stream(chat.stream()) } else { Rendered::json(chat.whole()) }
}

struct Chat<'a> {
    call: &'a Call<'a>,
}

impl Chat<'_> {
    fn whole(&self) -> Value {
        let choice = |index| {
            json!({
                "index": index,
                "message": self.message(),
                "logprobs": null,
                "finish_reason": self.finish_reason(),
            })
        };
        let mut body = self.shell("chat.completion", self.choices().map(choice).collect());
        body["usage"] = self.usage();
        body
    }

    fn message(&self) -> Value {
        let texts = self.joined(|part| match part {
            Part::Text(text) => Some(text),
            _ => None,
        });
        let reasoning = self.joined(|part| match part {
            Part::Reasoning(text) => Some(text),
            _ => None,
        });
        let refusal = self.call.content.refusal();
        let mut message =
            json!({"role": "assistant", "content": texts, "refusal": refusal, "annotations": []});
        if reasoning.is_some() {
            message[self.reasoning_field()] = json!(reasoning);
        }
        let calls: Vec<Value> = self.calls().map(|(index, call)| self.tool_call(index, call)).collect();
        if !calls.is_empty() {
            message["tool_calls"] = calls.into();
        }
        message
    }

    fn joined<'a>(&'a self, text_of: impl Fn(&'a Part) -> Option<&'a String>) -> Option<String> {
        let texts: Vec<&str> =
            self.call.content.parts.iter().filter_map(text_of).map(String::as_str).collect();
        (!texts.is_empty()).then(|| texts.concat())
    }

    fn stream(&self) -> Vec<Frame> {
        let first = json!({"role": "assistant", "content": "", "refusal": null});
        let mut frames: Vec<Frame> = self.choices().map(|choice| self.chunk(choice, &first, None)).collect();
        for delta in self.deltas() {
            frames.extend(self.choices().map(|choice| self.chunk(choice, &delta, None)));
        }
        if let Some(failure) = &self.call.content.failure {
            frames.push(Frame::data(json!({"error": failure.openai()})));
            return frames;
        }
        let finish = self.finish_reason();
        frames.extend(self.choices().map(|choice| self.chunk(choice, &json!({}), Some(&finish))));
        if self.includes_usage() && self.call.content.usage().is_some() {
            let mut last = self.shell("chat.completion.chunk", Vec::new());
            last["usage"] = self.usage();
            frames.push(Frame::data(last));
        }
        frames.push(Frame::Done);
        frames
    }

    /// The pieces of the message. Calls that follow each other may take turns.
    fn deltas(&self) -> Vec<Value> {
        let content = self.call.content;
        let mut deltas = Vec::new();
        let mut calls = Calls { are_interleaved: content.are_calls_interleaved, waiting: Vec::new() };
        let mut index = 0;
        for part in &content.parts {
            let field = match part {
                Part::Call(call) => {
                    calls.add(self.call_deltas(index, call), &mut deltas);
                    index += 1;
                    continue;
                }
                Part::Text(_) => "content",
                Part::Reasoning(_) => self.reasoning_field(),
                Part::Refusal(_) => "refusal",
                Part::Redacted(_) => continue,
            };
            calls.flush(&mut deltas);
            let (Part::Text(text) | Part::Reasoning(text) | Part::Refusal(text)) = part else { continue };
            deltas.extend(content.deltas.cut(text).into_iter().map(|piece| json!({field: piece})));
        }
        calls.flush(&mut deltas);
        deltas
    }

    fn call_deltas(&self, index: usize, call: &ToolCall) -> Vec<Value> {
        let whole = self.tool_call(index, call);
        let (kind, field) =
            if whole["type"] == "custom" { ("custom", "input") } else { ("function", "arguments") };
        let mut first = whole;
        first["index"] = index.into();
        first[kind][field] = "".into();
        let pieces = self.call.content.deltas.cut(&call.arguments).into_iter();
        let rest = pieces.map(|piece| json!({"index": index, kind: {field: piece}}));
        std::iter::once(first).chain(rest).map(|piece| json!({"tool_calls": [piece]})).collect()
    }

    fn tool_call(&self, index: usize, call: &ToolCall) -> Value {
        let id = call.id.clone().unwrap_or_else(|| self.call.id("call", index));
        if self.call.is_custom_tool(&call.name) {
            return json!({"id": id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}});
        }
        json!({"id": id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}})
    }

    fn calls(&self) -> impl Iterator<Item = (usize, &ToolCall)> {
        let calls = self.call.content.parts.iter().filter_map(|part| match part {
            Part::Call(call) => Some(call),
            _ => None,
        });
        calls.enumerate()
    }

    fn chunk(&self, choice: u64, delta: &Value, finish: Option<&str>) -> Frame {
        let choice = json!({"index": choice, "delta": delta, "logprobs": null, "finish_reason": finish});
        let mut chunk = self.shell("chat.completion.chunk", vec![choice]);
        if self.includes_usage() {
            chunk["usage"] = Value::Null;
        }
        Frame::data(chunk)
    }

    fn shell(&self, object: &str, choices: Vec<Value>) -> Value {
        json!({
            "id": format!("chatcmpl-{:06}", self.call.number),
            "object": object,
            "created": CREATED,
            "model": self.call.model(),
            "service_tier": "default",
            "system_fingerprint": "fp_loomwork",
            "choices": choices,
        })
    }

    fn choices(&self) -> std::ops::Range<u64> {
        0..self.call.request.body["n"].as_u64().unwrap_or(1)
    }

    fn includes_usage(&self) -> bool {
        self.call.request.body["stream_options"]["include_usage"] == true
    }

    fn reasoning_field(&self) -> &'static str {
        match self.call.content.reasoning {
            ReasoningForm::Usual => "reasoning_content",
            ReasoningForm::Open => "reasoning",
        }
    }

    fn finish_reason(&self) -> String {
        match self.call.content.finish() {
            Finish::Stop | Finish::StopSequence(_) => "stop".to_owned(),
            Finish::Length => "length".to_owned(),
            Finish::ToolCalls => "tool_calls".to_owned(),
            Finish::ContentFilter => "content_filter".to_owned(),
            Finish::Other(reason) => reason,
        }
    }

    fn usage(&self) -> Value {
        let Some(Usage { input, cache_read, cache_write, output, reasoning }) = self.call.content.usage()
        else {
            return Value::Null;
        };
        json!({
            "prompt_tokens": input,
            "completion_tokens": output,
            "total_tokens": input + output,
            "prompt_tokens_details": {
                "cached_tokens": cache_read,
                "cache_write_tokens": cache_write,
                "audio_tokens": 0,
            },
            "completion_tokens_details": {
                "reasoning_tokens": reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        })
    }
}

/// Deltas of calls that follow each other.
pub(super) struct Calls<T> {
    pub(super) are_interleaved: bool,
    pub(super) waiting: Vec<Vec<T>>,
}

impl<T> Calls<T> {
    pub(super) fn add(&mut self, deltas: Vec<T>, to: &mut Vec<T>) {
        if self.are_interleaved { self.waiting.push(deltas) } else { to.extend(deltas) }
    }

    /// Adds what waits: the first deltas of all calls, then the second ones, and so on.
    pub(super) fn flush(&mut self, to: &mut Vec<T>) {
        let mut calls: Vec<_> = std::mem::take(&mut self.waiting).into_iter().map(Vec::into_iter).collect();
        loop {
            let before = to.len();
            to.extend(calls.iter_mut().filter_map(Iterator::next));
            if to.len() == before {
                return;
            }
        }
    }
}
