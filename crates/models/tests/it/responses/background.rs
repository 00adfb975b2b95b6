//! Responses that the provider works on without a listener.

use std::time::Duration;

use loomwork_core::{Clock, Time};
use loomwork_models::{
    ErrorKind, Estimator, HttpOptions, OpenAi, OpenAiOptions, Proxy, TokenCounter as _, collect,
};
use loomwork_testkit::provider::{Endpoint, FakeProvider, Reply};
use loomwork_testkit::soon;
use serde_json::{Value, json};

use super::{hello, openai, options};

/// The events of a background response that says these words, from one number on.
fn events_from(first: usize, words: &[&str]) -> Vec<String> {
    let mut events = vec![
        json!({ "type": "response.queued", "response": { "id": "resp_1", "model": "gpt-5", "status": "queued", "background": true } }),
    ];
    events.push(json!({ "type": "response.output_item.added", "output_index": 0, "item": { "id": "msg_1", "type": "message" } }));
    for word in words {
        events.push(json!({ "type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": word }));
    }
    let item = json!({ "id": "msg_1", "type": "message", "status": "completed", "content": [{ "type": "output_text", "text": words.concat() }] });
    events.push(json!({ "type": "response.output_item.done", "output_index": 0, "item": item }));
    events.push(json!({ "type": "response.completed", "response": { "id": "resp_1", "status": "completed", "output": [item] } }));
    let numbered = events.into_iter().enumerate().skip(first).map(|(number, mut event)| {
        event["sequence_number"] = json!(number);
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        format!("event: {kind}\ndata: {event}\n\n")
    });
    numbered.collect()
}

const WORDS: [&str; 4] = ["One ", "two ", "three ", "four"];

fn background() -> loomwork_models::Request {
    let mut request = hello();
    request.provider_options = options(json!({ "background": true }));
    request
}

#[tokio::test]
async fn r10_a_background_response_that_breaks_off_is_taken_up_where_it_was() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::sse(events_from(0, &WORDS)).cut_after(4));
    fake.reply_to(Endpoint::KeptResponse, Reply::sse(events_from(4, &WORDS)).cut_after(1));
    fake.reply_to(Endpoint::KeptResponse, Reply::sse(events_from(5, &WORDS)));
    let stream = soon(openai(&fake, "gpt-5").stream(background())).await.unwrap();
    let reply = soon(collect(stream)).await.unwrap();
    assert_eq!(reply.text(), "One two three four");
    assert_eq!(reply.parts.len(), 1);
    let requests = fake.requests();
    let resumed: Vec<_> =
        requests[1..].iter().map(|request| (request.path.as_str(), request.query.as_str())).collect();
    assert_eq!(
        resumed,
        [
            ("/v1/responses/resp_1", "stream=true&starting_after=3"),
            ("/v1/responses/resp_1", "stream=true&starting_after=4"),
        ]
    );
    assert_eq!(requests[1].header("authorization"), Some("Bearer sk-test"));
}

#[tokio::test]
async fn r10_events_that_come_again_are_not_read_again() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::sse(events_from(0, &WORDS)).cut_after(4));
    fake.reply_to(Endpoint::KeptResponse, Reply::sse(events_from(0, &WORDS)));
    let stream = soon(openai(&fake, "gpt-5").stream(background())).await.unwrap();
    assert_eq!(soon(collect(stream)).await.unwrap().text(), "One two three four");
}

#[tokio::test]
async fn a_background_response_that_is_gone_is_the_error_of_its_resumption() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::sse(events_from(0, &WORDS)).cut_after(4));
    fake.reply_to(
        Endpoint::KeptResponse,
        Reply::raw(
            404,
            "application/json",
            json!({ "error": { "message": "no such response" } }).to_string(),
        ),
    );
    let stream = soon(openai(&fake, "gpt-5").stream(background())).await.unwrap();
    let error = soon(collect(stream)).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (&ErrorKind::NotFound, "no such response"));
    assert_eq!(error.partial().unwrap().text(), "One two ");
}

#[tokio::test]
async fn a_background_response_is_stored_and_streamed_even_when_it_is_asked_for_whole() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::sse(events_from(0, &WORDS)));
    let reply = soon(openai(&fake, "gpt-5").generate(background())).await.unwrap();
    assert_eq!(reply.text(), "One two three four");
    let body: Value = fake.last_request().body;
    assert_eq!(
        (&body["background"], &body["store"], &body["stream"]),
        (&json!(true), &json!(true), &json!(true))
    );
    assert_eq!(body.get("include"), None);
}

#[tokio::test]
async fn a_response_in_the_foreground_is_not_taken_up_again() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::sse(events_from(0, &WORDS)).cut_after(4));
    let stream = soon(openai(&fake, "gpt-5").stream(hello())).await.unwrap();
    assert_eq!(soon(collect(stream)).await.unwrap_err().kind(), &ErrorKind::Interrupted);
    assert_eq!(fake.requests().len(), 1);
}

#[tokio::test]
async fn the_time_out_and_the_usage_are_those_of_one_answer_however_often_it_is_taken_up() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::sse(events_from(0, &WORDS)).cut_after(4));
    fake.reply_to(Endpoint::KeptResponse, Reply::sse(events_from(4, &WORDS)).hangs_after(1));
    let manual = Clock::manual(Time::EPOCH);
    let http = HttpOptions { proxy: Proxy::None, clock: manual.clock(), ..HttpOptions::default() };
    let provider = "openai".to_owned();
    let base_url = format!("{}/v1", fake.url());
    let model =
        OpenAi::with(OpenAiOptions { provider, http, ..OpenAiOptions::compatible(base_url, "sk-test") });
    let mut request = background();
    request.settings.timeout = Some(Duration::from_secs(10));
    let prompt = Estimator.count_request(&request);
    let turn = async {
        fake.arrived(1).await;
        manual.advance(Duration::from_secs(6));
        fake.arrived(2).await;
        manual.advance(Duration::from_secs(4));
    };
    let model = model.responses("gpt-5");
    let (outcome, ()) = soon(async { tokio::join!(model.generate(request), turn) }).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Timeout);
    assert!(error.message().contains("longer than 10s"), "{error}");
    let usage = error.usage().unwrap();
    assert_eq!((usage.input(), usage.estimated), (prompt, true));
}
