#![expect(clippy::unwrap_used, reason = "what the tests share may panic, as the tests may")]

mod group;
mod json;
mod merge;
mod random;
mod rows;

use loomwork_core::RawId;
use loomwork_messages::{MessageId, MessageRow, Reducer, RunId, ThreadId, UiChunk, UiPart};
use loomwork_store::Row;
use serde_json::{Value, json};

pub(crate) fn chunks(list: Value) -> Vec<UiChunk> {
    serde_json::from_value(list).unwrap()
}

/// Returns a strict reducer that has taken these chunks.
pub(crate) fn reduced(list: Value) -> Reducer {
    let mut reducer = Reducer::strict();
    reducer.extend(chunks(list)).unwrap();
    reducer
}

pub(crate) fn parts_json(parts: &[UiPart]) -> Value {
    serde_json::to_value(parts).unwrap()
}

pub(crate) fn raw(number: u64) -> RawId {
    RawId::from_bytes(u128::from(number).to_be_bytes())
}

pub(crate) fn thread() -> ThreadId {
    ThreadId::from_raw(raw(1))
}

pub(crate) fn run(number: u64) -> RunId {
    RunId::from_raw(raw(number))
}

pub(crate) fn message_id(order: u64, step: u64) -> MessageId {
    MessageId::from_raw(raw(1000 + 100 * order + step))
}

/// Returns a row as it is saved by an agent or by its user.
pub(crate) fn row(order: u64, step: u64, message: Value) -> Row<MessageRow> {
    let parts = message["content"].as_array().into_iter().flatten();
    let calls = parts.filter(|part| part["type"] == "tool-call").count() > 0;
    let agent = (message["role"] == "assistant" || message["role"] == "tool").then_some("bot");
    serde_json::from_value(json!({
        "id": message_id(order, step), "thread": thread(), "user": "ann", "order": order, "stepOrder": step,
        "status": "success", "tool": message["role"] == "tool" || calls, "message": message, "agent": agent,
        "created": 1000 * order + step,
    }))
    .unwrap()
}

pub(crate) fn assistant(order: u64, step: u64, content: Value) -> Row<MessageRow> {
    row(order, step, json!({ "role": "assistant", "content": content }))
}

pub(crate) fn results(order: u64, step: u64, content: Value) -> Row<MessageRow> {
    row(order, step, json!({ "role": "tool", "content": content }))
}

pub(crate) fn user(order: u64, step: u64, content: Value) -> Row<MessageRow> {
    row(order, step, json!({ "role": "user", "content": content }))
}

/// Returns a stored call.
pub(crate) fn call(id: &str) -> Value {
    json!({ "type": "tool-call", "toolCallId": id, "toolName": "search", "input": { "q": id } })
}

/// Returns the stored result of a call.
pub(crate) fn result(id: &str, output: Value) -> Value {
    json!({ "type": "tool-result", "toolCallId": id, "toolName": "search", "output": output })
}

pub(crate) fn text_output(text: &str) -> Value {
    json!({ "type": "text", "value": text })
}
