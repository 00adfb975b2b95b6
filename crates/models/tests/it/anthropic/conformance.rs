//! The rows of the protocol's conformance list that concern a client, each named after its row.

use futures_util::StreamExt as _;
use loomwork_models::{
    AnthropicVersion, ErrorKind, FinishReason, Message, MessagesOptions, Part, ReasoningEffort, Request,
    Settings,
};
use loomwork_testkit::provider::{Failure, FakeProvider, Finish, Reply, Usage};
use serde_json::json;

use super::*;

#[tokio::test]
async fn a1_a_basic_answer_has_its_numbers_of_cached_tokens() {
    let usage = Usage { input: 1000, cache_read: 600, cache_write: 300, output: 40, reasoning: 10 };
    for streams in [true, false] {
        let fake = FakeProvider::start().await;
        fake.reply(Reply::new().text("Hello!").usage(usage));
        let options = MessagesOptions { streams, ..MessagesOptions::default() };
        let reply = model_with(&fake, MODEL, options).generate(hello()).await.unwrap();
        assert_eq!(fake.last_request().body["stream"], if streams { json!(true) } else { json!(null) });
        assert_eq!(reply.text(), "Hello!");
        let usage = reply.usage();
        let input = (usage.input_fresh, usage.input_cache_read, usage.input_cache_write);
        assert_eq!(input, (100, 600, 300));
        assert_eq!((usage.output_text, usage.output_reasoning), (30, 10));
        assert_eq!((usage.input(), usage.output(), usage.inconsistent), (1000, 40, false));
    }
}

#[tokio::test]
async fn a2_events_are_read_in_their_order() {
    let fake = FakeProvider::start().await;
    fake.reply(
        Reply::new().reasoning("Hm.").text("Hello there").tool_call("weather", json!({ "city": "Bern" })),
    );
    let stream = model(&fake).stream(hello().with_tools([weather_tool()])).await.unwrap();
    let names = stream.map(|chunk| {
        let chunk = serde_json::to_value(chunk.unwrap()).unwrap();
        let part = chunk["part"].as_u64().map(|part| part.to_string()).unwrap_or_default();
        format!("{}{part}", chunk["type"].as_str().unwrap())
    });
    let chunks: Vec<String> = names.collect().await;
    assert_eq!(
        chunks,
        [
            "start",
            "part-start0",
            "part-delta0",
            "part-end0",
            "part-start1",
            "part-delta1",
            "part-delta1",
            "part-end1",
            "part-start2",
            "part-delta2",
            "part-end2",
            "finish",
        ]
    );
}

#[tokio::test]
async fn a3_a_streamed_text_is_the_text_of_the_final_message() {
    let text = "Grüezi, 世界! 👋 \n\nTwo lines.";
    assert_eq!(ask(text).await.text(), text);
}

#[tokio::test]
async fn a4_parallel_calls_and_a_call_without_arguments() {
    for streams in [true, false] {
        let fake = FakeProvider::start().await;
        let reply =
            Reply::new().tool_call("weather", json!({ "city": "Bern" })).tool_call("weather", json!({}));
        fake.reply(reply);
        let options = MessagesOptions { streams, ..MessagesOptions::default() };
        let request = hello().with_tools([weather_tool()]);
        let reply = model_with(&fake, MODEL, options).generate(request).await.unwrap();
        let calls: Vec<_> = reply.tool_calls().collect();
        assert_eq!(calls[0].input, json!({ "city": "Bern" }));
        assert_eq!(calls[1].input, json!({}));
        assert_ne!(calls[0].id, calls[1].id);
        assert!(calls.iter().all(|call| call.invalid.is_none() && !call.provider_executed));
        assert_eq!(reply.finish.reason, FinishReason::ToolCalls);
    }
}

#[tokio::test]
async fn a5_a_tool_round_trip_keeps_the_rules() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().text("I look.").tool_call("weather", json!({})).tool_call("weather", json!({})));
    fake.reply("It is sunny.");
    let model = model(&fake);
    let messages = vec![Message::user("How is the weather?")];
    let first = model.generate(asks(messages.clone()).with_tools([weather_tool()])).await.unwrap();
    let request = asks(go_on(messages, &first)).with_tools([weather_tool()]);
    assert_eq!(model.generate(request).await.unwrap().text(), "It is sunny.");
    let sent = fake.last_request().body;
    assert_eq!(sent["messages"][1]["content"][1]["type"], "tool_use");
    let results = sent["messages"][2]["content"].as_array().unwrap();
    assert!(results.iter().all(|block| block["type"] == "tool_result"), "{results:?}");
    assert_eq!((results.len(), fake.refused()), (2, Vec::new()));
}

#[tokio::test]
async fn a6_thoughts_come_before_the_text_and_go_back_as_they_were() {
    let fake = FakeProvider::start().await;
    let thought = "Sunny?\n\t“Maybe” – 世界";
    fake.reply(Reply::new().reasoning(thought).redacted_reasoning("sealed").tool_call("weather", json!({})));
    fake.reply("It is sunny.");
    let model = model(&fake);
    let settings = Settings {
        reasoning_effort: Some(ReasoningEffort::Low),
        max_retries: Some(0),
        ..Settings::default()
    };
    let messages = vec![Message::user("How is the weather?")];
    let request = |messages: Vec<Message>| {
        Request::new(messages).with_tools([weather_tool()]).with_settings(settings.clone())
    };
    let first = model.generate(request(messages.clone())).await.unwrap();
    assert_eq!(first.reasoning(), thought);
    let Part::Reasoning(reasoning) = &first.parts[0] else { panic!("{:?}", first.parts) };
    let signature = said(&Part::Reasoning(reasoning.clone()), "signature");

    // Stored as JSON and read again, the conversation goes on.
    let stored = serde_json::to_string(&go_on(messages, &first)).unwrap();
    model.generate(request(serde_json::from_str(&stored).unwrap())).await.unwrap();
    let sent = fake.last_request().body;
    assert_eq!(
        sent["messages"][1]["content"][0],
        json!({ "type": "thinking", "thinking": thought, "signature": signature })
    );
    assert_eq!(sent["messages"][1]["content"][1], json!({ "type": "redacted_thinking", "data": "sealed" }));
    assert_eq!(sent["thinking"], json!({ "type": "enabled", "budget_tokens": 2048 }));
    assert_eq!(fake.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn a8_each_stop_reason_has_its_meaning() {
    for (finish, reason, raw) in [
        (Finish::Stop, FinishReason::Stop, "end_turn"),
        (Finish::Length, FinishReason::Length, "max_tokens"),
        (Finish::StopSequence("END".to_owned()), FinishReason::Stop, "stop_sequence"),
        (Finish::ToolCalls, FinishReason::ToolCalls, "tool_use"),
        (Finish::Other("pause_turn".to_owned()), FinishReason::Other, "pause_turn"),
        (Finish::ContentFilter, FinishReason::Refusal, "refusal"),
        (
            Finish::Other("model_context_window_exceeded".to_owned()),
            FinishReason::Length,
            "model_context_window_exceeded",
        ),
        (Finish::Other("later".to_owned()), FinishReason::Other, "later"),
    ] {
        let reply = ask(Reply::new().text("Hello").finish(finish)).await;
        assert_eq!((reply.finish.reason, reply.finish.raw_reason.as_deref()), (reason, Some(raw)));
    }
    let reply = ask(Reply::new().text("Hello").finish(Finish::StopSequence("END".to_owned()))).await;
    assert_eq!(reply.finish.provider_metadata["anthropic"]["stopSequence"], "END");
}

#[tokio::test]
async fn a9_errors_are_typed() {
    for (status, kind) in [
        (400, ErrorKind::BadRequest),
        (401, ErrorKind::Auth),
        (429, ErrorKind::RateLimited { retry_after: None, scope: None }),
        (529, ErrorKind::Overloaded),
    ] {
        let fake = FakeProvider::start().await;
        fake.reply(Failure::status(status).message("no").header("request-id", "req_1"));
        let error = model(&fake).generate(hello()).await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (&kind, Some(status)), "{error}");
        assert_eq!(error.request_id(), Some("req_1"));
        assert_eq!((error.provider(), error.model()), ("anthropic", MODEL));
    }
}

#[tokio::test]
async fn a10_an_overloaded_provider_is_asked_again() {
    let fake = FakeProvider::start().await;
    fake.reply(Failure::status(529).header("retry-after-ms", "1")).reply("Hello!");
    let reply = model(&fake).generate(Request::new([Message::user("Hello")])).await.unwrap();
    assert_eq!((reply.text().as_str(), fake.requests().len()), ("Hello!", 2));
}

#[tokio::test]
async fn a11_an_overload_in_the_middle_of_a_stream_keeps_what_came() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().text("Half an").fails(Failure::status(529)));
    let error = model(&fake).generate(hello()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (&ErrorKind::Overloaded, Some("overloaded_error")));
    assert!(error.is_retryable());
    assert_eq!(error.partial().unwrap().text(), "Half an");
    let usage = error.usage().unwrap();
    assert_eq!((usage.input(), usage.estimated), (12, true));
    assert!(usage.output() >= 2, "{usage:?}");
}

#[tokio::test]
async fn a12_the_new_version_has_no_sampling() {
    let settings = Settings {
        temperature: Some(0.5),
        top_p: Some(0.9),
        top_k: Some(40),
        max_retries: Some(0),
        ..Settings::default()
    };
    for (version, sampling) in [
        (AnthropicVersion::V2023_06_01, json!([0.5, null, 40])),
        (AnthropicVersion::V2026_10_21, json!([null, null, null])),
    ] {
        let fake = FakeProvider::start().await;
        fake.reply("Hello!");
        let options = MessagesOptions { version, ..MessagesOptions::default() };
        let request = hello().with_settings(settings.clone());
        let reply = model_with(&fake, MODEL, options).generate(request).await.unwrap();
        let sent = fake.last_request();
        assert_eq!(sent.header("anthropic-version"), Some(version.as_str()));
        assert_eq!(json!([sent.body["temperature"], sent.body["top_p"], sent.body["top_k"]]), sampling);
        let warned: Vec<_> = reply.info.warnings.iter().map(|warning| warning.what.as_str()).collect();
        let expected: &[&str] = match version {
            AnthropicVersion::V2026_10_21 => &["temperature", "top_p", "top_k"],
            _ => &["top_p"],
        };
        assert_eq!(warned, expected);
    }
}

#[tokio::test]
async fn a13_a_refusal_without_content_is_a_refusal() {
    let mut refusal = vec![start()];
    refusal.push(json!({
        "type": "message_delta",
        "delta": {
            "stop_reason": "refusal", "stop_sequence": null,
            "stop_details": { "type": "refusal", "category": "cyber", "explanation": "I won't." },
        },
        "usage": { "output_tokens": 0 },
    }));
    refusal.push(json!({ "type": "message_stop" }));
    let reply = ask(events(refusal)).await;
    assert_eq!((reply.parts.len(), reply.finish.reason), (0, FinishReason::Refusal));
    let details = &reply.finish.provider_metadata["anthropic"]["stopDetails"];
    assert_eq!(
        (details["category"].as_str(), details["explanation"].as_str()),
        (Some("cyber"), Some("I won't."))
    );
}

#[tokio::test]
async fn a13_a_message_that_starts_twice_is_taken_from_its_last_start_and_keeps_its_blocks() {
    let mut again = start();
    again["message"]["id"] = json!("msg_2");
    again["message"]["usage"] = json!({ "input_tokens": 25, "output_tokens": 1 });
    let mut repeated = vec![start()];
    repeated.extend(text_block(0, "Hello "));
    repeated.push(again);
    repeated.extend(text_block(1, "there"));
    repeated.extend(end("end_turn"));
    let reply = ask(events(repeated)).await;
    assert_eq!((reply.text().as_str(), reply.info.id.as_deref()), ("Hello there", Some("msg_2")));
    assert_eq!(reply.usage().input(), 25);
}

#[tokio::test]
async fn a13_an_input_count_that_comes_with_the_end_counts() {
    let mut stream = answer([text_block(0, "Hello")], "end_turn");
    stream[0]["message"]["usage"] = json!({ "input_tokens": 0, "output_tokens": 0 });
    let delta = stream.iter_mut().find(|event| event["type"] == "message_delta").unwrap();
    delta["usage"] = json!({ "input_tokens": 321, "output_tokens": 9, "cache_read_input_tokens": null });
    let reply = ask(events(stream)).await;
    assert_eq!((reply.usage().input(), reply.usage().output()), (321, 9));
}
