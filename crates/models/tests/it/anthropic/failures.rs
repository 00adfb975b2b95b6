//! What goes wrong, and what the caller is told.

use std::time::Duration;

use futures_util::StreamExt as _;
use loomwork_models::{Advice, ErrorKind, Message, MessagesOptions, Part};
use loomwork_testkit::provider::{ClosedPort, Failure, FakeProvider, Gate, Reply};
use loomwork_testkit::soon;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;

async fn fails(reply: impl Into<Reply>) -> loomwork_models::Error {
    let fake = FakeProvider::start().await;
    fake.reply(reply);
    model(&fake).generate(hello()).await.unwrap_err()
}

#[tokio::test]
async fn each_status_has_its_kind_and_its_advice() {
    for (status, kind, advice) in [
        (400, "bad_request", Advice::Stop),
        (401, "auth", Advice::Fallback),
        (402, "quota", Advice::Fallback),
        (403, "auth", Advice::Fallback),
        (404, "not_found", Advice::Fallback),
        (413, "context_too_long", Advice::Fallback),
        (429, "rate_limited", Advice::Retry),
        (500, "overloaded", Advice::Retry),
        (504, "timeout", Advice::Retry),
        (529, "overloaded", Advice::Retry),
    ] {
        let error = fails(Failure::status(status)).await;
        assert_eq!((error.kind().as_str(), error.advice()), (kind, advice), "{error}");
    }
}

#[tokio::test]
async fn a_conversation_that_is_too_long_is_told_apart() {
    let error = fails(Failure::context_too_long()).await;
    assert_eq!(*error.kind(), ErrorKind::ContextTooLong);
}

#[tokio::test]
async fn a_wrong_key_is_told_and_not_shown() {
    let fake = FakeProvider::start().await;
    fake.requires_key("another");
    let error = model(&fake).generate(hello()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Auth);
    assert!(!format!("{error} {error:?}").contains("\"key\""), "{error:?}");
}

#[tokio::test]
async fn an_unknown_model_is_not_found() {
    let fake = FakeProvider::start().await;
    fake.has_models(["claude-opus-4-6"]);
    let error = model(&fake).generate(hello()).await.unwrap_err();
    assert_eq!((error.kind(), error.model()), (&ErrorKind::NotFound, MODEL));
}

#[tokio::test]
async fn a_limit_says_when_it_is_filled_again() {
    let limit = Failure::status(429).message("This exceeds the rate limit of 4,000 output tokens per minute");
    let error = fails(limit.retry_after("7")).await;
    let scope = Some("output_tokens".to_owned());
    assert_eq!(*error.kind(), ErrorKind::RateLimited { retry_after: Some(Duration::from_secs(7)), scope });
}

#[tokio::test]
async fn headers_of_limits_are_kept_with_the_answer() {
    let reset = "2026-11-21T12:00:00Z";
    let reply = Reply::from("Hello!")
        .header("request-id", "req_1")
        .header("anthropic-ratelimit-input-tokens-remaining", "1000")
        .header("anthropic-ratelimit-input-tokens-reset", reset);
    let headers = ask(reply).await.info.headers;
    assert_eq!(headers["request-id"], "req_1");
    assert_eq!(headers["anthropic-ratelimit-input-tokens-reset"], reset);
}

#[tokio::test]
async fn bodies_that_are_no_json_are_told() {
    let error = fails(Reply::raw(502, "text/html", "<html><title>Bad Gateway</title></html>")).await;
    assert!(error.message().contains("a web page titled \"Bad Gateway\""), "{error}");
    let error = fails(Reply::raw(500, "text/plain", "upstream is gone")).await;
    assert!(error.message().contains("upstream is gone"), "{error}");
    let error = fails(Reply::raw(200, "text/html", "<html><title>Welcome</title></html>")).await;
    assert_eq!(*error.kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn a_wrong_base_url_is_a_network_error_that_names_it() {
    let port = ClosedPort::take();
    let error = provider_at(port.url()).messages(MODEL).generate(hello()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Network);
    assert!(error.message().contains(port.url()), "{error}");
}

#[tokio::test]
async fn an_error_with_a_good_status_is_an_error() {
    let body = json!({
        "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" }, "request_id": "req_9",
    });
    for reply in [Reply::json(&body), events([body.clone()]), events([start(), body.clone()])] {
        let error = fails(reply).await;
        assert_eq!((error.kind(), error.request_id()), (&ErrorKind::Overloaded, Some("req_9")), "{error}");
    }
}

#[tokio::test]
async fn an_answer_of_another_protocol_is_told() {
    let error = fails(Reply::json(&json!({ "choices": [] }))).await;
    assert_eq!(*error.kind(), ErrorKind::Protocol);
    assert!(error.message().contains("no `content`"), "{error}");
}

#[tokio::test]
async fn a_stream_without_its_end_is_interrupted_and_keeps_what_came() {
    let whole = answer([text_block(0, "Hello")], "end_turn");
    for kept in 4..whole.len() {
        let error = fails(events(whole[..kept].to_vec())).await;
        assert_eq!(*error.kind(), ErrorKind::Interrupted, "{kept} events: {error}");
        assert_eq!(error.partial().unwrap().text(), "Hello");
        assert!(error.usage().unwrap().estimated);
        assert_eq!(error.usage().unwrap().input(), 10);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_interrupted_and_its_usage_is_known() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().text("Hello there my friend").cut_after(5));
    let error = model(&fake).generate(hello()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Interrupted, "{error}");
    assert!(error.partial().unwrap().text().starts_with("Hello"));
    let usage = error.usage().unwrap();
    assert_eq!((usage.input(), usage.estimated), (12, true));
}

#[tokio::test]
async fn events_that_are_no_json_or_break_the_order_are_protocol_errors() {
    let delta = json!({ "type": "content_block_delta", "index": 3, "delta": { "text": "x" } });
    for reply in [
        Reply::sse(["event: message_start\ndata: {\"type\":\n\n"]),
        events([start(), delta]),
        events([start(), json!({ "type": "content_block_start", "content_block": { "type": "text" } })]),
        events([
            start(),
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "tool_use" } }),
        ]),
    ] {
        let error = fails(reply).await;
        assert_eq!(*error.kind(), ErrorKind::Protocol, "{error}");
    }
}

#[tokio::test]
async fn arguments_that_are_no_json_are_kept_and_told() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().raw_tool_call("toolu_1", "weather", "{\"city\": "));
    fake.reply("I see.");
    let model = model(&fake);
    let messages = vec![Message::user("Hello")];
    let reply = model.generate(asks(messages.clone()).with_tools([weather_tool()])).await.unwrap();
    let call = reply.tool_calls().next().unwrap();
    assert_eq!(call.input, json!("{\"city\": "));
    assert!(call.invalid.as_deref().is_some_and(|why| why.contains("no JSON")));

    // The conversation goes on: the protocol has objects only, so what came stands in one.
    let mut messages = messages;
    messages.push(Message::new(Role::Assistant, reply.parts.clone()));
    model.generate(asks(messages).with_tools([weather_tool()])).await.unwrap();
    let sent = fake.last_request().body;
    assert_eq!(sent["messages"][1]["content"][0]["input"], json!({ "input": "{\"city\": " }));
    assert_eq!(sent["messages"][2]["content"][0]["is_error"], true);
}

#[tokio::test]
async fn an_image_that_the_provider_does_not_read_is_refused_before_it_is_sent() {
    let fake = FakeProvider::start().await;
    let message =
        Message::new(Role::User, [Part::text("What is this?"), Part::file(vec![0; 8], "image/tiff")]);
    let error = model(&fake).generate(asks([message])).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::BadRequest);
    assert!(error.message().contains("part 1 of message 0"), "{error}");
    assert!(error.message().contains("image/tiff"), "{error}");
    assert_eq!(fake.requests().len(), 0);
}

#[tokio::test]
async fn a_conversation_without_messages_is_refused() {
    let fake = FakeProvider::start().await;
    let error = model(&fake).generate(asks([Message::system("Be brief.")])).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::BadRequest);
    assert_eq!(fake.requests().len(), 0);
}

#[tokio::test]
async fn a_strict_tool_with_an_open_map_is_refused_by_name_and_place() {
    let fake = FakeProvider::start().await;
    let schema = json!({ "type": "object", "additionalProperties": true });
    let ToolSpec::Function { name, description, provider_options, .. } = weather_tool() else {
        unreachable!()
    };
    let tool =
        ToolSpec::Function { name, description, input_schema: schema, strict: Some(true), provider_options };
    let error = model(&fake).generate(hello().with_tools([tool])).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::BadRequest);
    assert!(error.message().contains("`weather`") && error.message().contains("at $"), "{error}");
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().text("Hello there").hangs_after(5));
    let mut stream = model(&fake).stream(hello()).await.unwrap();
    soon(stream.next()).await.unwrap().unwrap();
    drop(stream);
    soon(fake.dropped()).await;
}

#[tokio::test]
async fn a_cancelled_call_ends_and_closes_the_connection() {
    for may_pause in [false, true] {
        let fake = FakeProvider::start().await;
        let gate = Gate::new();
        fake.reply(Reply::new().text("Hello there").gated(&gate));
        let cancel = CancellationToken::new();
        let mut request = Request { cancel: cancel.clone(), ..hello() };
        if may_pause {
            let id = "anthropic.web_search_20250305".to_owned();
            request = request.with_tools([ToolSpec::Provider { id, args: json!({}) }]);
        }
        (0..4).for_each(|_| gate.step());
        let mut stream = soon(model(&fake).stream(request)).await.unwrap();
        soon(stream.next()).await.unwrap().unwrap();
        cancel.cancel();
        let error = loop {
            if let Err(error) = soon(stream.next()).await.expect("a cancelled stream ends in an error") {
                break error;
            }
        };
        assert_eq!((error.kind(), error.advice()), (&ErrorKind::Cancelled, Advice::Stop));
        drop(stream);
        soon(fake.dropped()).await;
    }
}

#[tokio::test]
async fn whole_answers_fail_as_streamed_ones_do() {
    let fake = FakeProvider::start().await;
    fake.reply(Failure::status(529));
    let options = MessagesOptions { streams: false, ..MessagesOptions::default() };
    let error = model_with(&fake, MODEL, options).generate(hello()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Overloaded);
}

#[tokio::test]
async fn an_answer_that_breaks_off_keeps_what_was_held_back() {
    let cited = json!({ "type": "citations_delta", "citation": { "url": "https://a.b", "title": "A" } });
    let mut stream = vec![start()];
    stream.extend(block(0, json!({ "type": "redacted_thinking", "data": "abc" }), []));
    stream.pop();
    stream.extend(block(1, json!({ "type": "text", "text": "So" }), [cited]));
    stream.pop();
    let call = json!({ "type": "tool_use", "id": "t", "name": "weather", "input": { "city": "Bern" } });
    stream.extend(block(2, call, []));
    stream.pop();
    let fake = FakeProvider::start().await;
    fake.reply(events(stream));
    let partial = model(&fake).generate(hello()).await.unwrap_err().take_partial().unwrap();
    let redacted = partial.parts.iter().any(|part| said(part, "redactedData") == "abc");
    let citations = partial.parts.iter().any(|part| said(part, "citations")[0]["title"] == "A");
    assert!(redacted && citations, "{partial:?}");
    assert_eq!(partial.tool_calls().next().unwrap().input, json!({ "city": "Bern" }));
}
