//! OpenAI Responses.

use serde_json::{Map, Value, json};

use super::chat::Calls;
use super::{CREATED, Call, Frame, Rendered};
use crate::provider::check::Memory;
use crate::provider::content::{Finish, Part, ReasoningForm, ToolCall, Usage};

pub(super) fn render(call: &Call<'_>, memory: &mut Memory) -> Rendered {
    let response = Response { call, items: items(call) };
    response.remember(memory);
    if call.request.wants_stream() {
        Rendered::stream(response.stream())
    } else {
        Rendered::json(response.ended())
    }
}

struct Response<'a> {
    call: &'a Call<'a>,
    items: Vec<Item<'a>>,
}

/// One item of the output, whole, and how it grows in a stream.
struct Item<'a> {
    whole: Value,
    growth: Growth<'a>,
}

enum Growth<'a> {
    /// A text or a refusal in a message.
    Said {
        text: &'a str,
        is_refusal: bool,
    },
    /// Reasoning, as a summary or as open content.
    Reasoned {
        text: &'a str,
        is_open: bool,
    },
    Called {
        arguments: &'a str,
        is_custom: bool,
    },
}

fn items<'a>(call: &'a Call<'a>) -> Vec<Item<'a>> {
    let parts = call.content.parts.iter().enumerate();
    parts.filter_map(|(index, part)| item(call, index, part)).collect()
}

fn item<'a>(call: &'a Call<'a>, index: usize, part: &'a Part) -> Option<Item<'a>> {
    Some(match part {
        Part::Text(text) => {
            let content = json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
            Item { whole: message(call, index, &content), growth: Growth::Said { text, is_refusal: false } }
        }
        Part::Refusal(text) => {
            let content = json!({"type": "refusal", "refusal": text});
            Item { whole: message(call, index, &content), growth: Growth::Said { text, is_refusal: true } }
        }
        Part::Reasoning(text) => reasoning(call, index, text),
        Part::Call(tool_call) => called(call, index, tool_call),
        Part::Redacted(_) => return None,
    })
}

fn message(call: &Call<'_>, index: usize, content: &Value) -> Value {
    json!({
        "id": call.id("msg", index),
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "phase": if call.content.has_calls() { "commentary" } else { "final_answer" },
        "content": [content],
    })
}

fn reasoning<'a>(call: &Call<'_>, index: usize, text: &'a str) -> Item<'a> {
    let is_open = call.content.reasoning == ReasoningForm::Open;
    let mut whole = json!({"id": call.id("rs", index), "type": "reasoning", "summary": []});
    if is_open {
        whole["content"] = json!([{"type": "reasoning_text", "text": text}]);
    } else {
        whole["summary"] = json!([{"type": "summary_text", "text": text}]);
    }
    let include = call.request.body["include"].as_array();
    if include.is_some_and(|fields| fields.iter().any(|field| field == "reasoning.encrypted_content")) {
        whole["encrypted_content"] = json!(call.id("encrypted", index));
    }
    Item { whole, growth: Growth::Reasoned { text, is_open } }
}

fn called<'a>(call: &Call<'_>, index: usize, tool_call: &'a ToolCall) -> Item<'a> {
    let ToolCall { id, name, arguments } = tool_call;
    let call_id = id.clone().unwrap_or_else(|| call.id("call", index));
    let is_custom = call.is_custom_tool(name);
    let (kind, prefix, field) =
        if is_custom { ("custom_tool_call", "ctc", "input") } else { ("function_call", "fc", "arguments") };
    let whole = json!({
        "id": call.id(prefix, index),
        "type": kind,
        "status": "completed",
        "call_id": call_id,
        "name": name,
        field: arguments,
    });
    Item { whole, growth: Growth::Called { arguments, is_custom } }
}

impl Response<'_> {
    /// Keeps which reasoning led to which call, to see that it comes back.
    fn remember(&self, memory: &mut Memory) {
        let mut reasoning = Vec::new();
        for Item { whole, growth } in &self.items {
            match growth {
                Growth::Reasoned { .. } => reasoning.push(whole.clone()),
                Growth::Called { .. } => memory.keep(&whole["call_id"], &reasoning),
                Growth::Said { .. } => {}
            }
        }
    }

    /// The response at its end.
    fn ended(&self) -> Value {
        let (status, reason) = match self.call.content.finish() {
            Finish::Stop | Finish::ToolCalls | Finish::StopSequence(_) => ("completed", None),
            Finish::Length => ("incomplete", Some("max_output_tokens".to_owned())),
            Finish::ContentFilter => ("incomplete", Some("content_filter".to_owned())),
            Finish::Other(reason) => ("incomplete", Some(reason)),
        };
        let mut body = self.shell(status);
        body["output"] = self.items.iter().map(|item| item.whole.clone()).collect();
        body["usage"] = self.usage();
        if let Some(reason) = reason {
            body["incomplete_details"] = json!({"reason": reason});
        } else {
            body["completed_at"] = (CREATED + 1).into();
        }
        body
    }

    fn shell(&self, status: &str) -> Value {
        let request = &self.call.request.body;
        let or = |field: &str, usual: Value| request.get(field).cloned().unwrap_or(usual);
        json!({
            "id": format!("resp_{:06}", self.call.number),
            "object": "response",
            "created_at": CREATED,
            "completed_at": null,
            "status": status,
            "background": or("background", false.into()),
            "error": null,
            "incomplete_details": null,
            "instructions": or("instructions", Value::Null),
            "max_output_tokens": or("max_output_tokens", Value::Null),
            "max_tool_calls": or("max_tool_calls", Value::Null),
            "model": self.call.model(),
            "output": [],
            "parallel_tool_calls": or("parallel_tool_calls", true.into()),
            "previous_response_id": or("previous_response_id", Value::Null),
            "reasoning": or("reasoning", json!({"effort": null, "summary": null})),
            "service_tier": "default",
            "store": or("store", true.into()),
            "temperature": or("temperature", json!(1.0)),
            "text": or("text", json!({"format": {"type": "text"}})),
            "tool_choice": or("tool_choice", "auto".into()),
            "tools": or("tools", json!([])),
            "top_p": or("top_p", json!(1.0)),
            "truncation": or("truncation", "disabled".into()),
            "usage": null,
            "metadata": or("metadata", json!({})),
        })
    }

    fn usage(&self) -> Value {
        let Some(Usage { input, cache_read, cache_write, output, reasoning }) = self.call.content.usage()
        else {
            return Value::Null;
        };
        json!({
            "input_tokens": input,
            "input_tokens_details": {"cached_tokens": cache_read, "cache_write_tokens": cache_write},
            "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": reasoning},
            "total_tokens": input + output,
        })
    }

    fn stream(&self) -> Vec<Frame> {
        let mut events = vec![
            Event::of("response.created").with("response", self.shell("in_progress")),
            Event::of("response.in_progress").with("response", self.shell("in_progress")),
        ];
        let mut calls =
            Calls { are_interleaved: self.call.content.are_calls_interleaved, waiting: Vec::new() };
        for (index, item) in self.items.iter().enumerate() {
            let grown = self.grow(index, item);
            if matches!(item.growth, Growth::Called { .. }) {
                calls.add(grown, &mut events);
            } else {
                calls.flush(&mut events);
                events.extend(grown);
            }
        }
        calls.flush(&mut events);
        events.extend(self.end());
        let numbered = events.into_iter().enumerate();
        numbered.map(|(number, event)| event.with("sequence_number", number.into()).into_frame()).collect()
    }

    fn end(&self) -> Vec<Event> {
        let Some(failure) = &self.call.content.failure else {
            let response = self.ended();
            let kind =
                if response["status"] == "completed" { "response.completed" } else { "response.incomplete" };
            return vec![Event::of(kind).with("response", response)];
        };
        let mut response = self.shell("failed");
        let error = failure.openai();
        let code = failure.openai_code().unwrap_or("server_error");
        response["error"] = json!({"code": code, "message": error["message"]});
        vec![Event::of("error").with("error", error), Event::of("response.failed").with("response", response)]
    }

    /// The events of one item, from its start to its end.
    fn grow(&self, index: usize, item: &Item<'_>) -> Vec<Event> {
        let mut events =
            vec![Event::of("response.output_item.added").at(index).with("item", started(&item.whole))];
        let id = &item.whole["id"];
        let of_item = |kind: &'static str| Event::of(kind).with("item_id", id.clone()).at(index);
        match item.growth {
            Growth::Said { text, is_refusal: false } => {
                let of_part = |kind| of_item(kind).with("content_index", 0.into());
                let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
                events.push(of_part("response.content_part.added").with("part", part("")));
                events.extend(self.cut(text).map(|piece| {
                    let delta = of_part("response.output_text.delta").with("delta", piece.into());
                    delta.with("logprobs", json!([]))
                }));
                let done = of_part("response.output_text.done").with("text", text.into());
                events.push(done.with("logprobs", json!([])));
                events.push(of_part("response.content_part.done").with("part", part(text)));
            }
            Growth::Said { text, is_refusal: true } => {
                let of_part = |kind| of_item(kind).with("content_index", 0.into());
                let part = |text: &str| json!({"type": "refusal", "refusal": text});
                events.push(of_part("response.content_part.added").with("part", part("")));
                let delta = |piece: &str| of_part("response.refusal.delta").with("delta", piece.into());
                events.extend(self.cut(text).map(delta));
                events.push(of_part("response.refusal.done").with("refusal", text.into()));
                events.push(of_part("response.content_part.done").with("part", part(text)));
            }
            Growth::Reasoned { text, is_open: false } => {
                let of_part = |kind| of_item(kind).with("summary_index", 0.into());
                let part = |text: &str| json!({"type": "summary_text", "text": text});
                events.push(of_part("response.reasoning_summary_part.added").with("part", part("")));
                let delta = |piece: &str| {
                    of_part("response.reasoning_summary_text.delta").with("delta", piece.into())
                };
                events.extend(self.cut(text).map(delta));
                events.push(of_part("response.reasoning_summary_text.done").with("text", text.into()));
                events.push(of_part("response.reasoning_summary_part.done").with("part", part(text)));
            }
            Growth::Reasoned { text, is_open: true } => {
                let of_part = |kind| of_item(kind).with("content_index", 0.into());
                let delta =
                    |piece: &str| of_part("response.reasoning_text.delta").with("delta", piece.into());
                events.extend(self.cut(text).map(delta));
                events.push(of_part("response.reasoning_text.done").with("text", text.into()));
            }
            Growth::Called { arguments, is_custom } => {
                let (delta, done, field) = if is_custom {
                    ("response.custom_tool_call_input.delta", "response.custom_tool_call_input.done", "input")
                } else {
                    (
                        "response.function_call_arguments.delta",
                        "response.function_call_arguments.done",
                        "arguments",
                    )
                };
                events.extend(self.cut(arguments).map(|piece| of_item(delta).with("delta", piece.into())));
                let name = item.whole["name"].clone();
                events.push(of_item(done).with("name", name).with(field, arguments.into()));
            }
        }
        events.push(Event::of("response.output_item.done").at(index).with("item", item.whole.clone()));
        events
    }

    fn cut<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        self.call.content.deltas.cut(text).into_iter()
    }
}

/// An item as it is before its first delta.
fn started(whole: &Value) -> Value {
    let mut item = whole.clone();
    for (field, empty) in
        [("content", json!([])), ("summary", json!([])), ("arguments", "".into()), ("input", "".into())]
    {
        if item.get(field).is_some() {
            item[field] = empty;
        }
    }
    if item.get("status").is_some() {
        item["status"] = "in_progress".into();
    }
    item
}

struct Event {
    kind: &'static str,
    data: Map<String, Value>,
}

impl Event {
    fn of(kind: &'static str) -> Self {
        let mut data = Map::new();
        data.insert("type".to_owned(), kind.into());
        Self { kind, data }
    }

    fn with(mut self, field: &str, value: Value) -> Self {
        self.data.insert(field.to_owned(), value);
        self
    }

    fn at(self, index: usize) -> Self {
        self.with("output_index", index.into())
    }

    fn into_frame(self) -> Frame {
        Frame::event(self.kind, self.data.into())
    }
}
