//! Anthropic Messages, over HTTP against the fake provider.

mod conformance;
mod failures;
mod pauses;
mod requests;
mod streams;

use std::sync::Arc;

use loomwork_models::{
    Anthropic, AnthropicOptions, HttpOptions, LanguageModel, Message, MessagesOptions, Part, Proxy, Reply,
    Request, Role, Settings, ToolResult, ToolSpec,
};
use loomwork_testkit::provider::{self, FakeProvider};
use serde_json::{Value, json};

const MODEL: &str = "claude-sonnet-4-5";

fn provider_at(url: &str) -> Anthropic {
    let http = HttpOptions { proxy: Proxy::None, ..HttpOptions::default() };
    Anthropic::with(AnthropicOptions { http, ..AnthropicOptions::compatible(url, "key") })
}

fn model(fake: &FakeProvider) -> Arc<dyn LanguageModel> {
    model_with(fake, MODEL, MessagesOptions::default())
}

fn model_with(fake: &FakeProvider, model: &str, options: MessagesOptions) -> Arc<dyn LanguageModel> {
    provider_at(fake.url()).messages_with(model, options)
}

/// Asks without another attempt, so that each failure is seen.
fn asks(messages: impl IntoIterator<Item = Message>) -> Request {
    Request::new(messages).with_settings(Settings { max_retries: Some(0), ..Settings::default() })
}

fn hello() -> Request {
    asks([Message::user("Hello")])
}

fn weather_tool() -> ToolSpec {
    let schema = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    ToolSpec::function("weather", "Tells the weather.", schema)
}

/// An event stream of these events, each named by its type.
fn events(events: impl IntoIterator<Item = Value>) -> provider::Reply {
    provider::Reply::sse(events.into_iter().map(|event| {
        let name = event["type"].as_str().unwrap_or_default().to_owned();
        format!("event: {name}\ndata: {event}\n\n")
    }))
}

/// The start of an answer.
fn start() -> Value {
    json!({ "type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
        "content": [], "usage": { "input_tokens": 10, "output_tokens": 1 },
    } })
}

/// A block, with its deltas.
fn block(index: usize, block: Value, deltas: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let delta = |delta| json!({ "type": "content_block_delta", "index": index, "delta": delta });
    let mut events = vec![json!({ "type": "content_block_start", "index": index, "content_block": block })];
    events.extend(deltas.into_iter().map(delta));
    events.push(json!({ "type": "content_block_stop", "index": index }));
    events
}

fn text_block(index: usize, text: &str) -> Vec<Value> {
    let delta = json!({ "type": "text_delta", "text": text });
    block(index, json!({ "type": "text", "text": "" }), [delta])
}

/// The end of an answer.
fn end(reason: &str) -> Vec<Value> {
    vec![
        json!({ "type": "message_delta", "delta": { "stop_reason": reason, "stop_sequence": null },
                "usage": { "output_tokens": 7 } }),
        json!({ "type": "message_stop" }),
    ]
}

/// A whole answer of these blocks.
fn answer(blocks: impl IntoIterator<Item = Vec<Value>>, reason: &str) -> Vec<Value> {
    std::iter::once(start()).chain(blocks.into_iter().flatten()).chain(end(reason)).collect()
}

/// Returns what a model answers that says this.
async fn ask(reply: impl Into<provider::Reply>) -> Reply {
    let fake = FakeProvider::start().await;
    fake.reply(reply);
    model(&fake).generate(hello()).await.unwrap()
}

/// The conversation that goes on behind an answer: with it, and with a result for each of its calls.
fn go_on(mut messages: Vec<Message>, reply: &Reply) -> Vec<Message> {
    let results: Vec<_> = reply.tool_calls().map(|call| ToolResult::new(call, "sunny")).collect();
    messages.push(Message::new(Role::Assistant, reply.parts.clone()));
    if !results.is_empty() {
        messages.push(Message::tool(results));
    }
    messages
}

/// The field of the provider's bag.
fn said(part: &Part, name: &str) -> Value {
    part.extras().and_then(|extras| extras.of("anthropic", name)).cloned().unwrap_or_default()
}
