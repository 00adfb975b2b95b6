//! OpenAI Responses, over real HTTP against a fake provider.

mod background;
mod conformance;
mod failures;
mod inputs;
mod items;
mod requests;

use std::sync::Arc;

use loomwork_models::{
    HttpOptions, LanguageModel, Message, OpenAi, OpenAiOptions, Part, ProviderData, Proxy, Reply, Request,
    Result, Role, Settings,
};
use loomwork_testkit::provider::{self, FakeProvider};
use loomwork_testkit::soon;
use serde_json::{Map, Value, json};

fn openai(fake: &FakeProvider, name: &str) -> Arc<dyn LanguageModel> {
    let options = OpenAiOptions {
        provider: "openai".to_owned(),
        http: HttpOptions { proxy: Proxy::None, ..HttpOptions::default() },
        ..OpenAiOptions::compatible(format!("{}/v1", fake.url()), "sk-test")
    };
    OpenAi::with(options).responses(name)
}

/// A request that is made once.
fn once(messages: impl IntoIterator<Item = Message>) -> Request {
    let settings = Settings { max_retries: Some(0), ..Settings::default() };
    Request::new(messages).with_settings(settings)
}

fn hello() -> Request {
    once([Message::user("Hello")])
}

/// Options for OpenAI.
fn options(fields: Value) -> ProviderData {
    Map::from_iter([("openai".to_owned(), fields)])
}

/// Has a reply read as a stream, collected.
async fn streamed(reply: impl Into<provider::Reply>) -> Result<Reply> {
    let fake = FakeProvider::start().await;
    fake.lenient().reply(reply);
    let stream = soon(openai(&fake, "gpt-5").stream(hello())).await?;
    soon(loomwork_models::collect(stream)).await
}

/// Has a reply read as one JSON text.
async fn whole(reply: impl Into<provider::Reply>) -> Result<Reply> {
    let fake = FakeProvider::start().await;
    fake.lenient().reply(reply);
    soon(openai(&fake, "gpt-5").generate(hello())).await
}

/// Returns the body that a request becomes.
async fn body(name: &str, request: Request) -> Value {
    let fake = FakeProvider::start().await;
    fake.lenient().reply("Done.");
    soon(openai(&fake, name).generate(request)).await.expect("the fake answers");
    fake.last_request().body
}

/// Returns the input items that messages become.
async fn input(messages: impl IntoIterator<Item = Message>) -> Value {
    body("gpt-5", once(messages)).await["input"].clone()
}

/// Returns the input items that a model's reply becomes when it goes back.
async fn replayed(reply: &Reply) -> Vec<Value> {
    let messages =
        [Message::user("Hello"), Message::new(Role::Assistant, reply.parts.clone()), Message::user("Go on.")];
    let Value::Array(mut items) = input(messages).await else { panic!("the input is a list") };
    items.remove(0);
    items.pop();
    items
}

/// Events as a stream sends them.
fn events(events: impl IntoIterator<Item = Value>) -> provider::Reply {
    provider::Reply::sse(events.into_iter().map(|event| {
        let kind = event["type"].as_str().unwrap_or_default();
        format!("event: {kind}\ndata: {event}\n\n")
    }))
}

/// The events of a response of these items, each as it begins and as it ends.
fn response_of(items: &[Value]) -> provider::Reply {
    let mut all =
        vec![json!({ "type": "response.created", "response": { "id": "resp_1", "status": "in_progress" } })];
    for (index, item) in items.iter().enumerate() {
        let begun = json!({ "id": item["id"], "type": item["type"], "name": item["name"], "call_id": item["call_id"] });
        all.push(json!({ "type": "response.output_item.added", "output_index": index, "item": begun }));
        all.push(json!({ "type": "response.output_item.done", "output_index": index, "item": item }));
    }
    all.push(completed(items));
    events(all)
}

fn completed(items: &[Value]) -> Value {
    json!({ "type": "response.completed", "response": response(items) })
}

fn response(items: &[Value]) -> Value {
    json!({
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "model": "gpt-5",
        "output": items,
        "usage": { "input_tokens": 5, "output_tokens": 3, "total_tokens": 8 },
    })
}

/// Returns the part's bag of OpenAI.
fn bag(part: &Part) -> &Value {
    &part.extras().expect("the part is of a known type").provider_metadata["openai"]
}
