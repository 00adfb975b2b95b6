//! Anthropic Messages.

use serde_json::{Value, json};

use super::{Call, Frame, Rendered};
use crate::provider::check::Memory;
use crate::provider::content::{Finish, Part, ToolCall, Usage};

pub(super) fn render(call: &Call<'_>, memory: &mut Memory) -> Rendered {
    let blocks = call.content.parts.iter().enumerate();
    let blocks = blocks.filter_map(|(index, part)| block(call, index, part)).collect();
    let message = Message { call, blocks };
    message.remember(memory);
    if call.request.wants_stream() {
        Rendered::stream(message.stream())
    } else {
        Rendered::json(message.whole())
    }
}

struct Message<'a> {
    call: &'a Call<'a>,
    blocks: Vec<Block<'a>>,
}

/// One block of the content, whole, and how it grows in a stream.
struct Block<'a> {
    whole: Value,
    growth: Growth<'a>,
}

enum Growth<'a> {
    Text(&'a str),
    Thinking(&'a str),
    /// It comes whole with its start.
    Redacted,
    Input(&'a str),
}

fn block<'a>(call: &Call<'_>, index: usize, part: &'a Part) -> Option<Block<'a>> {
    Some(match part {
        Part::Text(text) => {
            Block { whole: json!({"type": "text", "text": text}), growth: Growth::Text(text) }
        }
        Part::Reasoning(text) => {
            let signature = call.id("signature", index);
            let whole = json!({"type": "thinking", "thinking": text, "signature": signature});
            Block { whole, growth: Growth::Thinking(text) }
        }
        Part::Redacted(data) => {
            Block { whole: json!({"type": "redacted_thinking", "data": data}), growth: Growth::Redacted }
        }
        Part::Call(ToolCall { id, name, arguments }) => {
            let id = id.clone().unwrap_or_else(|| call.id("toolu", index));
            // Where the whole block is sent, the input is JSON; what is none can only be a string.
            let input = serde_json::from_str(arguments).unwrap_or_else(|_| match arguments.as_str() {
                "" => json!({}),
                text => text.into(),
            });
            let whole = json!({"type": "tool_use", "id": id, "name": name, "input": input});
            Block { whole, growth: Growth::Input(arguments) }
        }
        // It is told in `stop_details`.
        Part::Refusal(_) => return None,
    })
}

impl Message<'_> {
    /// Keeps which thinking led to which call, to see that it comes back.
    fn remember(&self, memory: &mut Memory) {
        let mut thinking = Vec::new();
        for Block { whole, growth } in &self.blocks {
            match growth {
                Growth::Thinking(_) | Growth::Redacted => thinking.push(whole.clone()),
                Growth::Input(_) => memory.keep(&whole["id"], &thinking),
                Growth::Text(_) => {}
            }
        }
    }

    fn whole(&self) -> Value {
        let mut message = self.shell();
        message["content"] = self.blocks.iter().map(|block| block.whole.clone()).collect();
        let end = self.end();
        for field in ["stop_reason", "stop_sequence", "stop_details"] {
            if let Some(value) = end.get(field) {
                message[field] = value.clone();
            }
        }
        message["usage"] = self.usage();
        message
    }

    fn shell(&self) -> Value {
        json!({
            "id": format!("msg_{:06}", self.call.number),
            "type": "message",
            "role": "assistant",
            "model": self.call.model(),
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
        })
    }

    /// Why it ends.
    fn end(&self) -> Value {
        let refusal = self.call.content.refusal();
        let (reason, sequence) = match self.call.content.finish() {
            Finish::Stop if refusal.is_some() => ("refusal".to_owned(), None),
            Finish::Stop => ("end_turn".to_owned(), None),
            Finish::Length => ("max_tokens".to_owned(), None),
            Finish::ToolCalls => ("tool_use".to_owned(), None),
            Finish::ContentFilter => ("refusal".to_owned(), None),
            Finish::StopSequence(sequence) => ("stop_sequence".to_owned(), Some(sequence)),
            Finish::Other(reason) => (reason, None),
        };
        let mut end = json!({"stop_reason": reason, "stop_sequence": sequence});
        if reason == "refusal" {
            end["stop_details"] = json!({"type": "refusal", "category": null, "explanation": refusal});
        }
        end
    }

    fn usage(&self) -> Value {
        let Some(Usage { input, cache_read, cache_write, output, reasoning }) = self.call.content.usage()
        else {
            return Value::Null;
        };
        json!({
            "input_tokens": input.saturating_sub(cache_read + cache_write),
            "cache_creation_input_tokens": cache_write,
            "cache_read_input_tokens": cache_read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": cache_write,
                "ephemeral_1h_input_tokens": 0,
            },
            "output_tokens": output,
            "output_tokens_details": {"thinking_tokens": reasoning},
            "service_tier": "standard",
        })
    }

    fn stream(&self) -> Vec<Frame> {
        let mut shell = self.shell();
        shell["usage"] = self.usage();
        if !shell["usage"].is_null() {
            // At the start the answer has hardly begun.
            shell["usage"]["output_tokens"] = 1.into();
            shell["usage"]["output_tokens_details"]["thinking_tokens"] = 0.into();
        }
        let mut frames = vec![event("message_start", json!({"message": shell}))];
        for (index, block) in self.blocks.iter().enumerate() {
            frames
                .push(event("content_block_start", json!({"index": index, "content_block": started(block)})));
            if index == 0 {
                frames.push(event("ping", json!({})));
            }
            let delta = |delta| event("content_block_delta", json!({"index": index, "delta": delta}));
            frames.extend(self.deltas(block).into_iter().map(delta));
            frames.push(event("content_block_stop", json!({"index": index})));
        }
        if let Some(failure) = &self.call.content.failure {
            frames.push(event("error", json!({"error": failure.anthropic()})));
            return frames;
        }
        frames.push(event("message_delta", json!({"delta": self.end(), "usage": self.usage()})));
        frames.push(event("message_stop", json!({})));
        frames
    }

    fn deltas(&self, block: &Block<'_>) -> Vec<Value> {
        let cut = |text| self.call.content.deltas.cut(text).into_iter();
        match block.growth {
            Growth::Text(text) => {
                cut(text).map(|piece| json!({"type": "text_delta", "text": piece})).collect()
            }
            Growth::Thinking(text) => {
                let pieces = cut(text).map(|piece| json!({"type": "thinking_delta", "thinking": piece}));
                let signature = json!({"type": "signature_delta", "signature": block.whole["signature"]});
                pieces.chain([signature]).collect()
            }
            Growth::Redacted => Vec::new(),
            Growth::Input(input) => {
                // An empty object is told by an empty text.
                let rest = if input == "{}" { "" } else { input };
                let pieces = std::iter::once("").chain(cut(rest));
                pieces.map(|piece| json!({"type": "input_json_delta", "partial_json": piece})).collect()
            }
        }
    }
}

/// A block as it is before its first delta.
fn started(block: &Block<'_>) -> Value {
    match block.growth {
        Growth::Text(_) => json!({"type": "text", "text": ""}),
        Growth::Thinking(_) => json!({"type": "thinking", "thinking": "", "signature": ""}),
        Growth::Redacted => block.whole.clone(),
        Growth::Input(_) => {
            let mut start = block.whole.clone();
            start["input"] = json!({});
            start
        }
    }
}

fn event(kind: &'static str, fields: Value) -> Frame {
    let mut data = json!({"type": kind});
    if let (Some(data), Value::Object(fields)) = (data.as_object_mut(), fields) {
        data.extend(fields);
    }
    Frame::event(kind, data)
}
