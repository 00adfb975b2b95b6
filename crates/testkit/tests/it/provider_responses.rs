//! OpenAI Responses.

use loomwork_testkit::provider::{Deltas, Failure, FakeProvider, Finish, ReasoningForm, Reply, Usage};
use serde_json::{Value, json};

use crate::client::{Answer, post};

async fn ask(fake: &FakeProvider, fields: Value) -> Answer {
    let mut body = json!({"model": "gpt-4o-mini", "input": "Hi"});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    post(fake.url(), "/v1/responses", &body).await
}

fn weather() -> Value {
    json!([{"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}])
}

/// The types of a stream's events, once it is seen that names and numbers are right.
fn types(answer: &Answer) -> Vec<String> {
    let events = answer.events();
    for (number, ((name, _), data)) in events.iter().zip(answer.datas()).enumerate() {
        assert_eq!((&data["type"], &data["sequence_number"]), (&json!(name), &json!(number)));
    }
    events.into_iter().map(|(name, _)| name).collect()
}

#[tokio::test]
async fn a_whole_response_has_what_clients_take_for_granted() {
    let fake = FakeProvider::start().await;
    let usage = Usage { input: 20, cache_read: 8, cache_write: 4, output: 9, reasoning: 3 };
    fake.reply(Reply::new().text("Hello").usage(usage));
    let body = ask(&fake, json!({"tools": weather()})).await.json();
    assert_eq!((&body["object"], &body["status"]), (&json!("response"), &json!("completed")));
    assert_eq!(body["output"][0]["content"][0]["text"], "Hello");
    assert_eq!(body["output"][0]["phase"], "final_answer");
    assert_eq!((&body["parallel_tool_calls"], &body["tool_choice"]), (&json!(true), &json!("auto")));
    assert_eq!(body["tools"], weather());
    let expected = json!({
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 4},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 29,
    });
    assert_eq!(body["usage"], expected);
}

#[tokio::test]
async fn a_streamed_text_has_its_events_in_order() {
    let fake = FakeProvider::start().await;
    fake.reply("Hello there");
    let answer = ask(&fake, json!({"stream": true})).await;
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(types(&answer), expected);
    let events = answer.datas();
    assert_eq!(events[2]["item"]["status"], "in_progress");
    assert_eq!(events[2]["item"]["content"], json!([]));
    assert_eq!((&events[4]["delta"], &events[6]["text"]), (&json!("Hello "), &json!("Hello there")));
    assert_eq!(events[8]["item"], events[9]["response"]["output"][0]);
    assert!(events[3..8].iter().all(|event| event["item_id"] == events[2]["item"]["id"]));
    assert_eq!(events[0]["response"]["usage"], Value::Null);
    assert_eq!(events[9]["response"]["usage"]["total_tokens"], 19);
}

#[tokio::test]
async fn parallel_calls_are_told_apart_by_their_output_index() {
    let fake = FakeProvider::start().await;
    let call = |city| json!({"city": city});
    let reply = Reply::new().tool_call("weather", call("Oslo")).tool_call("weather", call("Rome"));
    fake.reply(reply.deltas(Deltas::Characters(8)).interleaved());
    let answer = ask(&fake, json!({"stream": true, "tools": weather()})).await;
    let types = types(&answer);
    assert_eq!(types[2..4], ["response.output_item.added"; 2]);
    assert_eq!(types[4..8], ["response.function_call_arguments.delta"; 4]);
    let events = answer.datas();
    let delta = |index: u64| -> String {
        let own = events.iter().filter(|event| event["output_index"] == index);
        own.filter_map(|event| event["delta"].as_str()).collect()
    };
    assert_eq!((delta(0).as_str(), delta(1).as_str()), ("{\"city\":\"Oslo\"}", "{\"city\":\"Rome\"}"));
    let item = &events[2]["item"];
    assert_ne!((&item["id"], &item["arguments"]), (&item["call_id"], &json!("")));
    let done = events.iter().find(|event| event["type"] == "response.function_call_arguments.done").unwrap();
    assert_eq!(done["arguments"], "{\"city\":\"Oslo\"}");
}

#[tokio::test]
async fn a_custom_tool_gets_its_input_as_text() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().raw_tool_call("call_1", "shell", "ls"));
    let tools = json!([{"type": "custom", "name": "shell"}]);
    let answer = ask(&fake, json!({"stream": true, "tools": tools})).await;
    assert_eq!(types(&answer)[3], "response.custom_tool_call_input.delta");
    let item = &answer.datas()[5]["item"];
    assert_eq!((&item["type"], &item["input"]), (&json!("custom_tool_call"), &json!("ls")));
}

#[tokio::test]
async fn reasoning_comes_as_a_summary_or_open_and_encrypted_where_asked() {
    let fake = FakeProvider::start().await;
    let reply = Reply::new().reasoning("Hm.");
    fake.reply(reply.clone()).reply(reply.clone()).reply(reply.reasoning_form(ReasoningForm::Open));
    let answer = ask(&fake, json!({"stream": true})).await;
    let expected = [
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
    ];
    assert_eq!(types(&answer)[2..8], expected);
    assert!(answer.datas()[7]["item"].get("encrypted_content").is_none());

    let whole = ask(&fake, json!({"include": ["reasoning.encrypted_content"]})).await.json();
    let summary = json!([{"type": "summary_text", "text": "Hm."}]);
    assert_eq!(whole["output"][0]["summary"], summary);
    assert_eq!(whole["output"][0]["encrypted_content"], "encrypted_000002_0");

    let open = ask(&fake, json!({"stream": true})).await;
    assert_eq!(types(&open)[3..5], ["response.reasoning_text.delta", "response.reasoning_text.done"]);
    assert_eq!(open.datas()[5]["item"]["content"], json!([{"type": "reasoning_text", "text": "Hm."}]));
}

#[tokio::test]
async fn a_refusal_has_its_own_events() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().refusal("No."));
    let answer = ask(&fake, json!({"stream": true})).await;
    assert_eq!(types(&answer)[4..6], ["response.refusal.delta", "response.refusal.done"]);
    assert_eq!(answer.datas()[5]["refusal"], "No.");
}

#[tokio::test]
async fn an_incomplete_response_says_why() {
    let fake = FakeProvider::start().await;
    let reply = |finish| Reply::new().text("Hel").finish(finish);
    fake.reply(reply(Finish::Length)).reply(reply(Finish::ContentFilter));
    let answer = ask(&fake, json!({"stream": true})).await;
    assert_eq!(types(&answer).last().unwrap(), "response.incomplete");
    let response = &answer.datas().pop().unwrap()["response"];
    assert_eq!(response["incomplete_details"], json!({"reason": "max_output_tokens"}));
    let whole = ask(&fake, json!({})).await.json();
    assert_eq!(
        (&whole["status"], &whole["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("content_filter"))
    );
}

#[tokio::test]
async fn a_failure_inside_a_stream_is_an_error_and_a_failed_response() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().text("Hel").fails(Failure::status(429).message("slow down")));
    let answer = ask(&fake, json!({"stream": true})).await;
    let types = types(&answer);
    assert_eq!(types[types.len() - 2..], ["error", "response.failed"]);
    let events = answer.datas();
    let error = &events[events.len() - 2]["error"];
    assert_eq!((&error["code"], &error["message"]), (&json!("rate_limit_exceeded"), &json!("slow down")));
    let failed = &events[events.len() - 1]["response"];
    assert_eq!((&failed["status"], &failed["error"]["message"]), (&json!("failed"), &json!("slow down")));
}

#[tokio::test]
async fn a_call_goes_back_with_its_output_and_the_reasoning_that_led_to_it() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().reasoning("Hm.").tool_call("weather", json!({})));
    let stateless = json!({"store": false, "include": ["reasoning.encrypted_content"], "tools": weather()});
    let first = ask(&fake, stateless.clone()).await.json();
    let [reasoning, call] = first["output"].as_array().unwrap().as_slice() else { panic!("{first}") };
    let question = json!({"role": "user", "content": "Hi"});
    let output = json!({"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"});
    let mut open = reasoning.clone();
    open.as_object_mut().unwrap().shift_remove("encrypted_content");
    let mut changed = reasoning.clone();
    changed["encrypted_content"] = json!("other");
    let unrelated = json!({"type": "function_call_output", "call_id": "call_x", "output": "sunny"});
    for (items, status, part) in [
        (vec![&question, call, &output], 400, "without its required 'reasoning' item: 'rs_000001_0'"),
        (vec![&question, &open, call, &output], 404, "Items are not persisted"),
        (vec![&question, &changed, call, &output], 400, "could not be verified"),
        (vec![&question, reasoning, call], 400, "No tool output found for function call"),
        (vec![&question, &unrelated], 400, "No tool call found for function call output with call_id call_x"),
        (vec![&question, reasoning], 400, "without its required following item"),
    ] {
        let mut fields = stateless.clone();
        fields["input"] = json!(items);
        let answer = ask(&fake, fields).await;
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(answer.status == status && message.contains(part), "{message}");
    }
    fake.reply("Sunny.").reply("Sunny.");
    let mut fields = stateless.clone();
    fields["input"] = json!([question, reasoning, call, output]);
    assert_eq!(ask(&fake, fields).await.status, 200);
    let goes_on = json!({"input": [output], "previous_response_id": first["id"]});
    assert_eq!(ask(&fake, goes_on).await.status, 200);
}
