//! OpenAI Chat Completions.

use loomwork_testkit::provider::{Deltas, Failure, FakeProvider, Finish, ReasoningForm, Reply, Usage};
use serde_json::{Value, json};

use crate::client::{Answer, post};

const PATH: &str = "/v1/chat/completions";

async fn ask(fake: &FakeProvider, fields: Value) -> Answer {
    let mut body = json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    post(fake.url(), PATH, &body).await
}

fn weather_tool() -> Value {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    json!([{"type": "function", "function": {"name": "weather", "parameters": parameters}}])
}

#[tokio::test]
async fn a_whole_answer_has_its_text_and_its_usage() {
    let fake = FakeProvider::start().await;
    let usage = Usage { input: 20, cache_read: 8, cache_write: 4, output: 9, reasoning: 3 };
    fake.reply(Reply::new().text("Hello ").text("there").usage(usage));
    let answer = ask(&fake, json!({})).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.header("x-request-id"), Some("req_000001"));
    let body = answer.json();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "gpt-4o-mini");
    let message = json!({"role": "assistant", "content": "Hello there", "refusal": null, "annotations": []});
    assert_eq!(body["choices"][0]["message"], message);
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(body["usage"]["total_tokens"], 29);
    assert_eq!(body["usage"]["prompt_tokens_details"]["cached_tokens"], 8);
    assert_eq!(body["usage"]["completion_tokens_details"]["reasoning_tokens"], 3);
}

#[tokio::test]
async fn a_stream_begins_with_the_role_and_ends_with_done() {
    let fake = FakeProvider::start().await;
    fake.reply("Hello there");
    let answer = ask(&fake, json!({"stream": true})).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    assert_eq!(answer.events().last().unwrap().1, "[DONE]");
    let chunks = answer.datas();
    let deltas: Vec<_> = chunks.iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect();
    let role = json!({"role": "assistant", "content": "", "refusal": null});
    assert_eq!(deltas, [role, json!({"content": "Hello "}), json!({"content": "there"}), json!({})]);
    assert_eq!(chunks[3]["choices"][0]["finish_reason"], "stop");
    assert!(chunks.iter().all(|chunk| chunk["id"] == "chatcmpl-000001"));
    assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
}

#[tokio::test]
async fn usage_is_the_last_chunk_of_a_stream_that_asked_for_it() {
    let fake = FakeProvider::start().await;
    fake.reply("Hello");
    let answer = ask(&fake, json!({"stream": true, "stream_options": {"include_usage": true}})).await;
    let mut chunks = answer.datas();
    let last = chunks.pop().unwrap();
    assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(19)));
    assert!(chunks.iter().all(|chunk| chunk["usage"].is_null() && chunk.get("usage").is_some()));
}

#[tokio::test]
async fn parallel_calls_have_their_own_ids_and_indexes() {
    let fake = FakeProvider::start().await;
    let reply = Reply::new()
        .tool_call("weather", json!({"city": "Oslo"}))
        .tool_call("weather", json!({}))
        .deltas(Deltas::Characters(9));
    fake.reply(reply.clone()).reply(reply.clone()).reply(reply.interleaved());

    let whole = ask(&fake, json!({"tools": weather_tool()})).await.json();
    assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(whole["choices"][0]["message"]["content"], Value::Null);
    let calls = whole["choices"][0]["message"]["tool_calls"].as_array().unwrap();
    assert_eq!(calls[0]["function"], json!({"name": "weather", "arguments": "{\"city\":\"Oslo\"}"}));
    assert_ne!(calls[0]["id"], calls[1]["id"]);

    for expected in [vec![0, 0, 0, 1, 1], vec![0, 1, 0, 1, 0]] {
        let chunks = ask(&fake, json!({"tools": weather_tool(), "stream": true})).await.datas();
        let pieces: Vec<&Value> =
            chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].get(0)).collect();
        let indexes: Vec<_> = pieces.iter().map(|piece| piece["index"].as_i64().unwrap()).collect();
        assert_eq!(indexes, expected);
        assert_eq!(pieces[0]["function"], json!({"name": "weather", "arguments": ""}));
        assert_eq!(pieces.iter().filter(|piece| piece.get("id").is_some()).count(), 2);
        let of_first = pieces.iter().filter(|piece| piece["index"] == 0);
        let arguments: String =
            of_first.map(|piece| piece["function"]["arguments"].as_str().unwrap()).collect();
        assert_eq!(arguments, "{\"city\":\"Oslo\"}");
    }
}

#[tokio::test]
async fn a_custom_tool_gets_its_input_as_text() {
    let fake = FakeProvider::start().await;
    let reply = Reply::new().raw_tool_call("call_1", "shell", "ls -l");
    fake.reply(reply.clone()).reply(reply);
    let tools = json!([{"type": "custom", "custom": {"name": "shell"}}]);
    let whole = ask(&fake, json!({"tools": tools})).await.json();
    let call = json!({"id": "call_1", "type": "custom", "custom": {"name": "shell", "input": "ls -l"}});
    assert_eq!(whole["choices"][0]["message"]["tool_calls"], json!([call]));
    let chunks = ask(&fake, json!({"tools": tools, "stream": true})).await.datas();
    assert_eq!(chunks[1]["choices"][0]["delta"]["tool_calls"][0]["custom"]["name"], "shell");
    let piece = json!([{"index": 0, "custom": {"input": "ls "}}]);
    assert_eq!(chunks[2]["choices"][0]["delta"]["tool_calls"], piece);
}

#[tokio::test]
async fn reasoning_and_refusals_have_fields_of_their_own() {
    let fake = FakeProvider::start().await;
    let reply = Reply::new().reasoning("Hm.").refusal("I can't.");
    fake.reply(reply.clone()).reply(reply.reasoning_form(ReasoningForm::Open));
    let whole = ask(&fake, json!({})).await.json();
    let message = &whole["choices"][0]["message"];
    assert_eq!((&message["content"], &message["refusal"]), (&Value::Null, &json!("I can't.")));
    assert_eq!(message["reasoning_content"], "Hm.");
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    let chunks = ask(&fake, json!({"stream": true})).await.datas();
    assert_eq!(chunks[1]["choices"][0]["delta"], json!({"reasoning": "Hm."}));
    assert_eq!(chunks[2]["choices"][0]["delta"], json!({"refusal": "I "}));
}

#[tokio::test]
async fn a_failure_inside_a_stream_is_a_frame_with_nothing_behind() {
    let fake = FakeProvider::start().await;
    let failing = Reply::new().text("Hel").fails(Failure::status(500).message("the engine stopped"));
    fake.reply(failing.clone()).reply(failing);
    let answer = ask(&fake, json!({"stream": true})).await;
    let chunks = answer.datas();
    assert_eq!(answer.status, 200);
    assert_eq!(chunks[1]["choices"][0]["delta"]["content"], "Hel");
    let error = json!({"message": "the engine stopped", "type": "server_error", "param": null, "code": null});
    assert_eq!(chunks[2], json!({"error": error}));
    assert_eq!(answer.events().len(), 3);

    let answer = ask(&fake, json!({})).await;
    assert_eq!((answer.status, answer.json()), (500, json!({"error": error})));
}

#[tokio::test]
async fn errors_have_all_four_keys_and_their_headers() {
    let fake = FakeProvider::start().await;
    fake.reply(Failure::status(429).retry_after("2"))
        .reply(Failure::status(429).code("insufficient_quota"))
        .reply(Failure::context_too_long());
    let limited = ask(&fake, json!({})).await;
    assert_eq!((limited.status, limited.header("retry-after")), (429, Some("2")));
    assert_eq!(limited.header("x-ratelimit-reset-tokens"), Some("1m2.5s"));
    let error = &limited.json()["error"];
    assert_eq!(error["code"], "rate_limit_exceeded");
    let keys: Vec<_> = error.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["message", "type", "param", "code"]);
    assert_eq!(ask(&fake, json!({})).await.json()["error"]["type"], "insufficient_quota");
    assert_eq!(ask(&fake, json!({})).await.json()["error"]["code"], "context_length_exceeded");
}

#[tokio::test]
async fn the_finish_reason_can_be_any() {
    let fake = FakeProvider::start().await;
    for (finish, word) in [
        (Finish::Length, "length"),
        (Finish::ContentFilter, "content_filter"),
        (Finish::Other("tired".to_owned()), "tired"),
    ] {
        fake.reply(Reply::new().text("Hi").finish(finish));
        assert_eq!(ask(&fake, json!({})).await.json()["choices"][0]["finish_reason"], word);
    }
}

#[tokio::test]
async fn edits_make_a_server_that_deviates() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().text("Hi").edit(|chunk| {
        chunk.as_object_mut().unwrap().shift_remove("id");
    }));
    let answer = ask(&fake, json!({"stream": true})).await;
    assert!(answer.datas().iter().all(|chunk| chunk.get("id").is_none()));
}

#[tokio::test]
async fn several_choices_come_when_asked_for() {
    let fake = FakeProvider::start().await;
    fake.reply("Hi").reply("Hi");
    assert_eq!(ask(&fake, json!({"n": 2})).await.json()["choices"][1]["index"], 1);
    let chunks = ask(&fake, json!({"n": 2, "stream": true})).await.datas();
    let indexes: Vec<_> = chunks.iter().map(|chunk| chunk["choices"][0]["index"].as_i64().unwrap()).collect();
    assert_eq!(indexes, [0, 1, 0, 1, 0, 1]);
}
