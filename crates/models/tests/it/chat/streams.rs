//! Streams: any cut of their bytes, calling them off, and what they cost.

use futures_util::StreamExt as _;
use loomwork_models::{Chunk, Dialect, ErrorKind, Message, OpenAi, Request};
use loomwork_testkit::provider::{Deltas, FakeProvider, Gate, LineEnd, Reply, Split};
use loomwork_testkit::soon;

use super::{gist, once, openai, options, read};

fn answer() -> Reply {
    Reply::new()
        .reasoning("Überlegung")
        .text("Grüße, 日本 🧵!\r\nnext line")
        .raw_tool_call("call_a", "weather", r#"{"city":"Zürich"}"#)
        .deltas(Deltas::Characters(3))
}

#[tokio::test]
async fn c2_the_bytes_may_be_cut_anywhere_and_lines_may_end_in_any_way() {
    let plain = gist(&read(answer()).await.unwrap());
    for line_end in [LineEnd::Lf, LineEnd::CrLf, LineEnd::Cr] {
        for split in
            [Split::Every(1), Split::Every(7), Split::Sizes(vec![3, 1, 500]), Split::InsideCharacters]
        {
            let reply = read(answer().line_end(line_end).split(split.clone())).await.unwrap();
            assert_eq!(gist(&reply), plain, "{line_end:?} {split:?}");
        }
    }
}

#[tokio::test]
async fn comments_and_events_of_other_kinds_are_skipped() {
    let plain = gist(&read(answer()).await.unwrap());
    let noisy = answer()
        .insert_after(0, ": hello\n\n")
        .insert_after(1, "event: ping\ndata: {\"type\":\"ping\"}\n\n")
        .insert_after(2, "id: 7\nretry: 10\n\n")
        .insert_after(3, "data: {\"obfuscation\":\"xyz\"}\n\n");
    assert_eq!(gist(&read(noisy).await.unwrap()), plain);
}

#[tokio::test]
async fn each_chunk_is_handed_on_when_it_comes() {
    let fake = FakeProvider::start().await;
    let gate = Gate::new();
    fake.reply(Reply::from("one two").gated(&gate));
    let model = openai(&fake);
    let step = async {
        gate.reached().await;
        gate.step();
        gate.reached().await;
        gate.step();
    };
    let (stream, ()) = soon(async { tokio::join!(model.stream(once()), step) }).await;
    let mut stream = stream.unwrap();
    let mut next = async || soon(stream.next()).await.unwrap().unwrap();
    assert!(matches!(next().await, Chunk::Start(_)));
    assert!(matches!(next().await, Chunk::PartStart { part: 0, .. }));
    assert_eq!(next().await, Chunk::PartDelta { part: 0, delta: "one ".to_owned() });
    gate.reached().await;
    gate.step();
    assert_eq!(next().await, Chunk::PartDelta { part: 0, delta: "two".to_owned() });
}

#[tokio::test]
async fn c11_dropping_the_stream_closes_the_connection() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::from("one two three").hangs_after(2));
    let mut stream = soon(openai(&fake).stream(once())).await.unwrap();
    assert!(soon(stream.next()).await.unwrap().is_ok());
    drop(stream);
    fake.dropped().await;
}

#[tokio::test]
async fn c11_dropping_the_call_closes_the_connection() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().hangs());
    let model = openai(&fake);
    tokio::select! {
        _ = model.stream(once()) => panic!("nothing answers"),
        _ = fake.arrived(1) => {}
    }
    fake.dropped().await;
}

#[tokio::test]
async fn the_token_calls_an_answer_off_before_and_within_it() {
    for reply in [Reply::new().hangs(), Reply::from("one two three").hangs_after(2)] {
        let fake = FakeProvider::start().await;
        fake.reply(reply);
        let request = Request::new([Message::user("Hi")]);
        let cancel = request.cancel.clone();
        let model = openai(&fake);
        let stop = async {
            fake.arrived(1).await;
            cancel.cancel();
        };
        let (outcome, ()) = soon(async { tokio::join!(model.generate(request), stop) }).await;
        let error = outcome.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (&ErrorKind::Cancelled, false));
        fake.dropped().await;
    }
}

#[tokio::test]
async fn c12_many_streams_at_once_do_not_mix() {
    let fake = FakeProvider::start().await;
    fake.otherwise(|request| {
        let said = request.body["messages"][0]["content"].as_str().unwrap_or_default();
        Reply::from(format!("you said {said} and nothing else").as_str()).split(Split::Every(40))
    });
    let model = openai(&fake);
    let asks = (0..20).map(|number| {
        let model = model.clone();
        async move {
            let reply =
                model.generate(Request::new([Message::user(format!("number {number}"))])).await.unwrap();
            assert_eq!(reply.text(), format!("you said number {number} and nothing else"));
        }
    });
    soon(futures_util::future::join_all(asks)).await;
}

#[tokio::test]
async fn connections_are_used_again() {
    let fake = FakeProvider::start().await;
    fake.otherwise(|_| Reply::from("Hello"));
    let model = openai(&fake);
    for _ in 0..4 {
        soon(model.generate(once())).await.unwrap();
    }
    assert_eq!((fake.requests().len(), fake.connections()), (4, 1));
}

#[tokio::test]
async fn a_line_of_ten_megabytes_is_read() {
    let text = "x".repeat(10 << 20);
    let reply = read(Reply::new().text(text.clone()).deltas(Deltas::Whole).split(Split::Every(1 << 14)))
        .await
        .unwrap();
    assert_eq!(reply.text().len(), text.len());
}

#[tokio::test]
async fn an_event_that_never_ends_is_an_error_and_not_all_of_the_memory() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().text("x".repeat(4 << 20)).deltas(Deltas::Whole).split(Split::Every(1 << 14)));
    let mut options = options(&fake, "openai", Dialect::openai());
    options.http.max_event_bytes = 1 << 20;
    let error = soon(OpenAi::with(options).chat("m").generate(once())).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Protocol);
    assert!(error.message().contains("1048576 bytes, the limit `max_event_bytes`"), "{error}");
}

#[tokio::test]
async fn request_ids_and_limits_are_in_the_reply() {
    let limited = Reply::from("Hello")
        .header("x-request-id", "req_1")
        .header("x-ratelimit-remaining-requests", "59")
        .header("server", "nginx");
    let headers = read(limited).await.unwrap().info.headers;
    assert_eq!(
        (headers["x-request-id"].as_str(), headers["x-ratelimit-remaining-requests"].as_str()),
        ("req_1", "59")
    );
    assert!(!headers.contains_key("server"), "{headers:?}");
}

#[tokio::test]
async fn annotations_become_sources_and_logprobs_are_kept() {
    let with = |delta: serde_json::Value, reason: Option<&str>, logprobs: serde_json::Value| {
        let choice =
            serde_json::json!({"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": reason});
        format!("data: {}\n\n", serde_json::json!({"choices": [choice]}))
    };
    let logprob =
        |token: &str| serde_json::json!({"content": [{"token": token, "logprob": -0.1}], "refusal": null});
    let citation = serde_json::json!([{"type": "url_citation", "url_citation": {
        "url": "https://example.com/a", "title": "A", "start_index": 0, "end_index": 3}}]);
    let reply = read(Reply::sse([
        with(serde_json::json!({"content": "Sun"}), None, logprob("Sun")),
        with(serde_json::json!({"content": "ny", "annotations": citation}), None, logprob("ny")),
        with(serde_json::json!({}), Some("stop"), serde_json::Value::Null),
    ]))
    .await
    .unwrap();
    let loomwork_models::Part::Source(source) = &reply.parts[1] else { panic!("{reply:?}") };
    assert_eq!(source.title.as_deref(), Some("A"));
    assert_eq!(source.kind, loomwork_models::SourceKind::Url { url: "https://example.com/a".to_owned() });
    let logprobs = &reply.finish.provider_metadata["openai"]["logprobs"]["content"];
    assert_eq!((logprobs.as_array().unwrap().len(), &logprobs[1]["token"]), (2, &serde_json::json!("ny")));
}
