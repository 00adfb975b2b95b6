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
    text: &'a str,
    growth: &'static Growth,
}

/// How the text of an item comes, piece by piece.
struct Growth {
    delta: &'static str,
    done: &'static str,
    /// The field of `done` that has the whole text.
    field: &'static str,
    part: Option<PartOf>,
    has_log_probabilities: bool,
}

/// The part of an item that a text belongs to.
struct PartOf {
    /// The item's list of parts.
    list: &'static str,
    index: &'static str,
    /// What tells its start and its end; open reasoning has neither.
    frame: Option<(&'static str, &'static str)>,
}

const CONTENT: PartOf = PartOf {
    list: "content",
    index: "content_index",
    frame: Some(("response.content_part.added", "response.content_part.done")),
};
const TEXT: Growth = Growth {
    delta: "response.output_text.delta",
    done: "response.output_text.done",
    field: "text",
    part: Some(CONTENT),
    has_log_probabilities: true,
};
const REFUSAL: Growth = Growth {
    delta: "response.refusal.delta",
    done: "response.refusal.done",
    field: "refusal",
    part: Some(CONTENT),
    has_log_probabilities: false,
};
const SUMMARY: Growth = Growth {
    delta: "response.reasoning_summary_text.delta",
    done: "response.reasoning_summary_text.done",
    field: "text",
    part: Some(PartOf {
        list: "summary",
        index: "summary_index",
        frame: Some(("response.reasoning_summary_part.added", "response.reasoning_summary_part.done")),
    }),
    has_log_probabilities: false,
};
const OPEN_REASONING: Growth = Growth {
    delta: "response.reasoning_text.delta",
    done: "response.reasoning_text.done",
    field: "text",
    part: Some(PartOf { list: "content", index: "content_index", frame: None }),
    has_log_probabilities: false,
};
const ARGUMENTS: Growth = Growth {
    delta: "response.function_call_arguments.delta",
    done: "response.function_call_arguments.done",
    field: "arguments",
    part: None,
    has_log_probabilities: false,
};
const INPUT: Growth = Growth {
    delta: "response.custom_tool_call_input.delta",
    done: "response.custom_tool_call_input.done",
    field: "input",
    part: None,
    has_log_probabilities: false,
};

fn items<'a>(call: &'a Call<'a>) -> Vec<Item<'a>> {
    let parts = call.content.parts.iter().enumerate();
    parts.filter_map(|(index, part)| item(call, index, part)).collect()
}

fn item<'a>(call: &'a Call<'a>, index: usize, part: &'a Part) -> Option<Item<'a>> {
    Some(match part {
        Part::Text(text) => {
            let content = json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
            Item { whole: message(call, index, &content), text, growth: &TEXT }
        }
        Part::Refusal(text) => {
            let content = json!({"type": "refusal", "refusal": text});
            Item { whole: message(call, index, &content), text, growth: &REFUSAL }
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
    let mut whole = json!({"id": call.id("rs", index), "type": "reasoning", "summary": []});
    let growth = match call.content.reasoning {
        ReasoningForm::Usual => {
            whole["summary"] = json!([{"type": "summary_text", "text": text}]);
            &SUMMARY
        }
        ReasoningForm::Open => {
            whole["content"] = json!([{"type": "reasoning_text", "text": text}]);
            &OPEN_REASONING
        }
    };
    let include = call.request.body["include"].as_array();
    if include.is_some_and(|fields| fields.iter().any(|field| field == "reasoning.encrypted_content")) {
        whole["encrypted_content"] = json!(call.id("encrypted", index));
    }
    Item { whole, text, growth }
}

fn called<'a>(call: &Call<'_>, index: usize, tool_call: &'a ToolCall) -> Item<'a> {
    let ToolCall { id, name, arguments } = tool_call;
    let call_id = id.clone().unwrap_or_else(|| call.id("call", index));
    let (kind, prefix, growth) = if call.is_custom_tool(name) {
        ("custom_tool_call", "ctc", &INPUT)
    } else {
        ("function_call", "fc", &ARGUMENTS)
    };
    let whole = json!({
        "id": call.id(prefix, index),
        "type": kind,
        "status": "completed",
        "call_id": call_id,
        "name": name,
        growth.field: arguments,
    });
    Item { whole, text: arguments, growth }
}

impl Item<'_> {
    fn is_call(&self) -> bool {
        self.whole.get("call_id").is_some()
    }

    /// The item as it is before its first delta.
    fn started(&self) -> Value {
        let mut item = self.whole.clone();
        match &self.growth.part {
            Some(part) => item[part.list] = json!([]),
            None => item[self.growth.field] = "".into(),
        }
        if item.get("status").is_some() {
            item["status"] = "in_progress".into();
        }
        item
    }
}

impl Response<'_> {
    /// Keeps which reasoning led to which call, to see that it comes back.
    fn remember(&self, memory: &mut Memory) {
        let mut reasoning = Vec::new();
        for item in &self.items {
            if item.is_call() {
                memory.keep(&item.whole["call_id"], &reasoning);
            } else if item.whole["type"] == "reasoning" {
                reasoning.push(item.whole.clone());
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
            if item.is_call() {
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
        let Growth { delta, done, field, part, has_log_probabilities } = item.growth;
        let of_text = |kind: &'static str| {
            let event = Event::of(kind).with("item_id", item.whole["id"].clone()).at(index);
            part.iter().fold(event, |event, part| event.with(part.index, 0.into()))
        };
        let told = |kind, field: &str, text: &str| {
            let event = of_text(kind).with(field, text.into());
            if *has_log_probabilities { event.with("logprobs", json!([])) } else { event }
        };
        let mut events = vec![Event::of("response.output_item.added").at(index).with("item", item.started())];
        let framed = part.as_ref().and_then(|part| Some((part.list, part.frame?)));
        if let Some((list, (added, _))) = framed {
            let mut empty = item.whole[list][0].clone();
            empty[*field] = "".into();
            events.push(of_text(added).with("part", empty));
        }
        let pieces = self.call.content.deltas.cut(item.text).into_iter();
        events.extend(pieces.map(|piece| told(delta, "delta", piece)));
        let done = told(done, field, item.text);
        events.push(if item.is_call() { done.with("name", item.whole["name"].clone()) } else { done });
        if let Some((list, (_, done))) = framed {
            events.push(of_text(done).with("part", item.whole[list][0].clone()));
        }
        events.push(Event::of("response.output_item.done").at(index).with("item", item.whole.clone()));
        events
    }
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
