//! Anthropic Messages.

use loomwork_testkit::provider::{Deltas, Failure, FakeProvider, Finish, Reply, Usage};
use serde_json::{Value, json};

use crate::client::{Answer, Client};

pub(crate) const FIRST: &str = "2023-06-01";
pub(crate) const SECOND: &str = "2026-10-21";

pub(crate) async fn ask_version(fake: &FakeProvider, version: &str, fields: Value) -> Answer {
    let messages = json!([{"role": "user", "content": "Hi"}]);
    let mut body = json!({"model": "claude", "max_tokens": 4096, "messages": messages});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let mut client = Client::connect(fake.url()).await;
    client.send_json("/v1/messages", &[("anthropic-version", version)], &body).await;
    client.answer().await.unwrap()
}

async fn ask(fake: &FakeProvider, fields: Value) -> Answer {
    ask_version(fake, FIRST, fields).await
}

fn weather() -> Value {
    json!([{"name": "weather", "input_schema": {"type": "object"}}])
}

fn types(answer: &Answer) -> Vec<String> {
    let events = answer.events();
    assert!(events.iter().zip(answer.datas()).all(|((name, _), data)| data["type"] == *name));
    events.into_iter().map(|(name, _)| name).collect()
}

#[tokio::test]
async fn a_whole_message_counts_only_what_no_cache_has() {
    let fake = FakeProvider::start().await;
    let usage = Usage { input: 20, cache_read: 8, cache_write: 4, output: 9, reasoning: 3 };
    fake.reply(Reply::new().text("Hello").usage(usage));
    let answer = ask(&fake, json!({})).await;
    assert_eq!(answer.header("request-id"), Some("req_000001"));
    assert_eq!(answer.header("anthropic-ratelimit-requests-reset"), Some("2026-01-01T00:00:01Z"));
    let body = answer.json();
    assert_eq!(
        (&body["type"], &body["role"], &body["stop_reason"]),
        (&json!("message"), &json!("assistant"), &json!("end_turn"))
    );
    assert_eq!(body["content"], json!([{"type": "text", "text": "Hello"}]));
    let usage = &body["usage"];
    assert_eq!((&usage["input_tokens"], &usage["cache_read_input_tokens"]), (&json!(8), &json!(8)));
    assert_eq!((&usage["cache_creation_input_tokens"], &usage["output_tokens"]), (&json!(4), &json!(9)));
}

#[tokio::test]
async fn a_stream_has_its_events_in_order() {
    let fake = FakeProvider::start().await;
    fake.reply("Hello there");
    let answer = ask_version(&fake, SECOND, json!({"stream": true})).await;
    let expected = [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(types(&answer), expected);
    let events = answer.datas();
    assert_eq!(events[0]["message"]["content"], json!([]));
    assert_eq!(events[0]["message"]["usage"]["output_tokens"], 1);
    assert_eq!(events[3]["delta"], json!({"type": "text_delta", "text": "Hello "}));
    assert_eq!(events[6]["delta"], json!({"stop_reason": "end_turn", "stop_sequence": null}));
    assert_eq!(events[6]["usage"]["output_tokens"], 7);
}

#[tokio::test]
async fn thinking_is_signed_at_its_end() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().reasoning("Hm.").redacted_reasoning("abc").text("Hi"));
    let thinking = json!({"type": "enabled", "budget_tokens": 1024});
    let events = ask(&fake, json!({"stream": true, "thinking": thinking})).await.datas();
    assert_eq!(events[1]["content_block"], json!({"type": "thinking", "thinking": "", "signature": ""}));
    assert_eq!(events[3]["delta"], json!({"type": "thinking_delta", "thinking": "Hm."}));
    assert_eq!(events[4]["delta"], json!({"type": "signature_delta", "signature": "signature_000001_0"}));
    assert_eq!(events[6]["content_block"], json!({"type": "redacted_thinking", "data": "abc"}));
    assert_eq!(events[8]["index"], 2);
}

#[tokio::test]
async fn arguments_grow_from_nothing_and_an_empty_object_stays_nothing() {
    let fake = FakeProvider::start().await;
    let reply = Reply::new().tool_call("weather", json!({"city": "Oslo"})).tool_call("weather", json!({}));
    fake.reply(reply.clone().deltas(Deltas::Whole)).reply(reply);
    let events = ask(&fake, json!({"stream": true, "tools": weather()})).await.datas();
    assert_eq!(events[1]["content_block"]["input"], json!({}));
    let pieces = |index: u64| -> Vec<&str> {
        let own = events.iter().filter(|event| event["index"] == index);
        own.filter_map(|event| event["delta"]["partial_json"].as_str()).collect()
    };
    assert_eq!((pieces(0), pieces(1)), (vec!["", "{\"city\":\"Oslo\"}"], vec![""]));
    let whole = ask(&fake, json!({"tools": weather()})).await.json();
    assert_eq!(whole["stop_reason"], "tool_use");
    assert_eq!(whole["content"][0]["input"], json!({"city": "Oslo"}));
    assert_eq!(whole["content"][1]["input"], json!({}));
    assert_ne!(whole["content"][0]["id"], whole["content"][1]["id"]);
}

#[tokio::test]
async fn each_stop_reason_can_be_had() {
    let fake = FakeProvider::start().await;
    for (finish, reason) in [
        (Finish::Stop, "end_turn"),
        (Finish::Length, "max_tokens"),
        (Finish::StopSequence("END".to_owned()), "stop_sequence"),
        (Finish::ToolCalls, "tool_use"),
        (Finish::Other("pause_turn".to_owned()), "pause_turn"),
        (Finish::ContentFilter, "refusal"),
    ] {
        fake.reply(Reply::new().text("Hi").finish(finish));
        let body = ask(&fake, json!({})).await.json();
        assert_eq!(body["stop_reason"], reason);
        assert_eq!(body["stop_sequence"] == "END", reason == "stop_sequence");
    }
}

#[tokio::test]
async fn a_refusal_can_come_without_content() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().refusal("I can't."));
    let answer = ask(&fake, json!({"stream": true})).await;
    assert_eq!(types(&answer), ["message_start", "message_delta", "message_stop"]);
    let details = json!({"type": "refusal", "category": null, "explanation": "I can't."});
    assert_eq!(answer.datas()[1]["delta"]["stop_details"], details);
}

#[tokio::test]
async fn an_overload_comes_with_its_status_or_inside_the_stream() {
    let fake = FakeProvider::start().await;
    fake.reply(Failure::status(529)).reply(Reply::new().text("Hel").fails(Failure::status(529)));
    let answer = ask(&fake, json!({})).await;
    let error = json!({"type": "overloaded_error", "message": "Overloaded"});
    let expected = json!({"type": "error", "error": error, "request_id": "req_000001"});
    assert_eq!((answer.status, answer.json()), (529, expected));
    let answer = ask(&fake, json!({"stream": true})).await;
    assert_eq!(types(&answer).last().unwrap(), "error");
    assert_eq!(answer.datas().pop().unwrap()["error"], error);
}
