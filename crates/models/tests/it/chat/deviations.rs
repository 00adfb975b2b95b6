//! C14: each deviation of compatible servers gives the same as the plain form.

use loomwork_models::{
    Dialect, ErrorKind, FinishReason, Message, OpenAiOptions, Part, Reply, Role, ThinkTags,
};
use loomwork_testkit::provider::{self, Deltas, FakeProvider, Finish, ReasoningForm, Usage};
use loomwork_testkit::soon;
use serde_json::{Value, json};

use super::{gist, once, openai, options, read};

/// An answer with all that deviates somewhere.
fn answer() -> provider::Reply {
    provider::Reply::new()
        .reasoning("They ask for two cities.")
        .text("Let me look, größtenteils. ")
        .raw_tool_call("call_a", "weather", r#"{"city":"Bern"}"#)
        .raw_tool_call("call_b", "weather", r#"{"city":"Rome","days":2}"#)
        .deltas(Deltas::Characters(7))
        .usage(Usage { input: 40, cache_read: 16, cache_write: 0, output: 30, reasoning: 10 })
}

fn text() -> provider::Reply {
    provider::Reply::new().text("Good morning to you").deltas(Deltas::Characters(5))
}

/// Reads a reply in the plain form and in one that deviates: both must say the same.
async fn check(plain: provider::Reply, deviating: provider::Reply) -> Reply {
    let (plain, deviating) = (read(plain).await.unwrap(), read(deviating).await.unwrap());
    assert_eq!(gist(&plain), gist(&deviating));
    deviating
}

/// Changes each piece of a tool call.
fn calls(event: &mut Value, mut change: impl FnMut(&mut serde_json::Map<String, Value>)) {
    let Some(choices) = event["choices"].as_array_mut() else { return };
    for choice in choices {
        let Some(calls) = choice["delta"]["tool_calls"].as_array_mut() else { continue };
        calls.iter_mut().filter_map(Value::as_object_mut).for_each(&mut change);
    }
}

fn remove(event: &mut Value, name: &str) {
    event.as_object_mut().unwrap().remove(name);
}

#[tokio::test]
async fn c14_the_plain_form() {
    let reply = read(answer()).await.unwrap();
    assert_eq!(
        gist(&reply),
        json!({
            "parts": [
                {"reasoning": "They ask for two cities."},
                {"text": "Let me look, größtenteils. "},
                {"call": "weather", "input": {"city": "Bern"}, "id": "call_a"},
                {"call": "weather", "input": {"city": "Rome", "days": 2}, "id": "call_b"},
            ],
            "reason": "tool_calls",
            "input": 40,
            "cached": 16,
            "output": 30,
            "reasoning": 10,
        })
    );
    check(answer(), answer().interleaved()).await;
}

#[tokio::test]
async fn c14_missing_and_null_fields_of_the_shell_are_no_error() {
    let without = |event: &mut Value| {
        for name in ["id", "created", "system_fingerprint", "service_tier", "object", "model"] {
            remove(event, name);
        }
    };
    let reply = check(answer(), answer().edit(without)).await;
    assert_eq!((reply.info.id, reply.info.model.as_str()), (None, "gpt-4o-mini"));
    let nulls = |event: &mut Value| {
        for name in ["id", "created", "system_fingerprint", "model"] {
            event[name] = Value::Null;
        }
    };
    check(answer(), answer().edit(nulls)).await;
}

#[tokio::test]
async fn c14_usage_may_be_missing_or_null() {
    for reply in [text().no_usage(), text().edit(|event| event["usage"] = Value::Null)] {
        let reply = read(reply).await.unwrap();
        assert_eq!(reply.text(), "Good morning to you");
        let usage = reply.usage();
        assert!(usage.estimated && usage.input() > 0 && usage.output() > 0, "{usage:?}");
    }
}

#[tokio::test]
async fn c14_a_stream_may_end_without_done() {
    let plain = read(text()).await.unwrap();
    let fake = FakeProvider::start().await;
    // The first event, four pieces, the reason and the usage: all but `[DONE]`.
    fake.reply(text().ends_after(1 + 4 + 1 + 1));
    let reply = soon(openai(&fake).generate(once())).await.unwrap();
    assert_eq!(gist(&plain), gist(&reply));
}

#[tokio::test]
async fn c14_an_end_without_a_reason_is_interrupted_and_keeps_what_came() {
    let silent = |event: &mut Value| {
        if let Some(choice) = event["choices"].get_mut(0) {
            choice["finish_reason"] = Value::Null;
        }
    };
    let error = read(text().edit(silent)).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Interrupted);
    let partial = error.partial().unwrap();
    assert_eq!(partial.text(), "Good morning to you");
    assert_eq!(partial.finish.reason, FinishReason::Interrupted);
    assert_eq!((partial.usage().input(), partial.usage().estimated), (12, true));
}

#[tokio::test]
async fn c14_tool_calls_are_told_apart_by_index_else_id_else_place() {
    // Indexes that count something else, as Anthropic's layer does.
    let shifted = |event: &mut Value| {
        calls(event, |call| {
            let index = call["index"].as_u64().unwrap();
            call.insert("index".into(), json!(index * 3 + 1));
        });
    };
    check(answer(), answer().edit(shifted)).await;
    let unnumbered = |event: &mut Value| calls(event, |call| drop(call.remove("index")));
    check(answer(), answer().edit(unnumbered)).await;
    let by_id = |event: &mut Value| {
        calls(event, |call| {
            let id = if call["index"] == 0 { "call_a" } else { "call_b" };
            call.remove("index");
            call.insert("id".into(), json!(id));
        });
    };
    check(answer(), answer().interleaved().edit(by_id)).await;
}

#[tokio::test]
async fn c14_calls_that_share_an_index_are_still_two() {
    let zero = |event: &mut Value| calls(event, |call| drop(call.insert("index".into(), json!(0))));
    check(answer(), answer().edit(zero)).await;
}

#[tokio::test]
async fn c14_a_call_without_an_id_gets_one_of_its_own() {
    let nameless = |event: &mut Value| calls(event, |call| drop(call.remove("id")));
    let (first, second) =
        (read(answer().edit(nameless)).await.unwrap(), read(answer().edit(nameless)).await.unwrap());
    let ids: Vec<_> = first.tool_calls().chain(second.tool_calls()).map(|call| call.id.clone()).collect();
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!((ids.len(), distinct.len()), (4, 4), "{ids:?}");
    assert!(ids.iter().all(|id| !id.is_empty() && id.len() <= 40), "{ids:?}");
}

#[tokio::test]
async fn c14_arguments_wait_for_the_name() {
    let data = |delta: Value, reason: Option<&str>| {
        format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}))
    };
    let call = |call: Value| data(json!({"tool_calls": [call]}), None);
    let reply = read(provider::Reply::sse([
        call(json!({"index": 0, "id": "call_a", "function": {"arguments": "{\"city\""}})),
        call(json!({"index": 0, "function": {"arguments": ":\"Bern\""}})),
        call(json!({"index": 0, "function": {"name": "weather", "arguments": "}"}})),
        data(json!({}), Some("tool_calls")),
    ]));
    let reply = reply.await.unwrap();
    let [call] = reply.tool_calls().collect::<Vec<_>>()[..] else { panic!("{reply:?}") };
    assert_eq!((call.name.as_str(), &call.input), ("weather", &json!({"city": "Bern"})));
}

#[tokio::test]
async fn c14_later_pieces_with_an_empty_name_change_nothing() {
    let empty = |event: &mut Value| {
        calls(event, |call| {
            let function = call["function"].as_object_mut().unwrap();
            function.entry("name").or_insert_with(|| "".into());
        });
    };
    check(answer(), answer().edit(empty)).await;
}

#[tokio::test]
async fn c14_whole_calls_in_one_piece() {
    let whole = |id: &str, index: usize, arguments: Value| {
        let function = json!({"name": "weather", "arguments": arguments});
        json!({"index": index, "id": id, "type": "function", "function": function})
    };
    let plain = read(answer()).await.unwrap();
    for (bern, rome) in [
        (json!(r#"{"city":"Bern"}"#), json!(r#"{"city":"Rome","days":2}"#)),
        (json!({"city": "Bern"}), json!({"city": "Rome", "days": 2})),
    ] {
        let calls = json!([whole("call_a", 0, bern), whole("call_b", 1, rome)]);
        let delta = json!({"role": "assistant", "content": null, "tool_calls": calls});
        let event = json!({"choices": [{"index": 0, "delta": delta, "finish_reason": "tool_calls"}]});
        let reply = read(provider::Reply::sse([format!("data: {event}\n\n")])).await.unwrap();
        assert_eq!(
            gist(&reply)["parts"].as_array().unwrap()[..],
            gist(&plain)["parts"].as_array().unwrap()[2..]
        );
    }
}

#[tokio::test]
async fn c14_content_may_be_a_list_of_parts() {
    let list = |event: &mut Value| {
        let Some(choice) = event["choices"].get_mut(0) else { return };
        if let Some(text) = choice["delta"]["content"].as_str() {
            choice["delta"]["content"] = json!([{"type": "text", "text": text}]);
        }
    };
    check(answer(), answer().edit(list)).await;
}

#[tokio::test]
async fn c14_a_refusal_may_come_with_the_reason() {
    let event = json!({"choices": [{"index": 0, "delta": {"refusal": "I won't."}, "finish_reason": "stop"}]});
    for reply in [
        provider::Reply::new().refusal("I won't."),
        provider::Reply::sse([format!("data: {event}\n\n"), "data: [DONE]\n\n".to_owned()]),
    ] {
        let reply = read(reply).await.unwrap();
        assert_eq!((reply.text().as_str(), reply.finish.reason), ("I won't.", FinishReason::Refusal));
        let Part::Text(text) = &reply.parts[0] else { panic!("{reply:?}") };
        assert_eq!(text.extras.of("openai", "refusal"), Some(&json!(true)));
    }
}

#[tokio::test]
async fn c14_a_stop_after_tool_calls_is_tool_calls() {
    check(answer(), answer().finish(Finish::Stop)).await;
}

#[tokio::test]
async fn c14_reasoning_has_two_names_and_may_come_under_both() {
    check(answer(), answer().reasoning_form(ReasoningForm::Open)).await;
    let both = |event: &mut Value| {
        let Some(choice) = event["choices"].get_mut(0) else { return };
        if let Some(thought) = choice["delta"].get("reasoning_content").cloned() {
            choice["delta"]["reasoning"] = thought;
        }
    };
    check(answer(), answer().edit(both)).await;
}

#[tokio::test]
async fn c14_think_tags_become_reasoning() {
    let fake = FakeProvider::start().await;
    let tagged = "<think>They greet.</think>\n\nGood morning to you";
    for length in [1, 3, 100] {
        fake.reply(provider::Reply::new().text(tagged).deltas(Deltas::Characters(length)));
        let mut dialect = Dialect::compatible();
        dialect.think_tags = ThinkTags::AtStart;
        let model = super::model(&fake, "local", dialect, "qwen3");
        let reply = soon(model.generate(once())).await.unwrap();
        assert_eq!(
            (reply.reasoning().as_str(), reply.text().as_str()),
            ("They greet.", "Good morning to you")
        );
    }
}

#[tokio::test]
async fn c14_a_server_may_not_stream_at_all() {
    let fake = FakeProvider::start().await;
    let whole = json!({
        "id": "c1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {
            "role": "assistant", "reasoning_content": "They ask for two cities.", "content": "Let me look, größtenteils. ",
            "tool_calls": [
                {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": r#"{"city":"Bern"}"#}},
                {"id": "call_b", "type": "function", "function": {"name": "weather", "arguments": r#"{"city":"Rome","days":2}"#}},
            ]}, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 40, "completion_tokens": 30, "total_tokens": 70,
            "prompt_tokens_details": {"cached_tokens": 16}, "completion_tokens_details": {"reasoning_tokens": 10}},
    });
    fake.reply(provider::Reply::json(&whole));
    let reply = soon(openai(&fake).generate(once())).await.unwrap();
    assert_eq!(gist(&reply), gist(&read(answer()).await.unwrap()));
}

#[tokio::test]
async fn c14_unknown_reasons_keep_their_word() {
    let reply = read(text().finish(Finish::Other("eos".to_owned()))).await.unwrap();
    assert_eq!((reply.finish.reason, reply.finish.raw_reason.as_deref()), (FinishReason::Other, Some("eos")));
}

#[tokio::test]
async fn c14_custom_tools_take_texts() {
    let fake = FakeProvider::start().await;
    let code = "print(\"größe\")\n";
    for split in [Deltas::Whole, Deltas::Characters(2)] {
        fake.reply(provider::Reply::new().raw_tool_call("call_a", "run", code).deltas(split));
        let tool = loomwork_models::ToolSpec::Provider {
            id: "openai.custom".to_owned(),
            args: json!({"name": "run", "description": "Runs Python.", "format": {"type": "text"}}),
        };
        let reply = soon(openai(&fake).generate(once().with_tools([tool]))).await.unwrap();
        let call = reply.tool_calls().next().unwrap();
        assert_eq!((call.input.as_str(), &call.invalid), (Some(code), &None));
    }
}

#[tokio::test]
async fn a_key_is_never_printed() {
    let fake = FakeProvider::start().await;
    let options = OpenAiOptions { ..options(&fake, "openai", Dialect::openai()) };
    let provider = loomwork_models::OpenAi::with(options);
    assert!(!format!("{provider:?} {:?}", provider.chat("m")).contains("sk-test"));
}

#[tokio::test]
async fn sound_that_a_model_makes_is_a_file_that_goes_back_by_its_id() {
    let event = |delta: Value, reason: Option<&str>| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
        format!("data: {}\n\n", json!({"id": "c1", "model": "m", "choices": [choice]}))
    };
    let fake = FakeProvider::start().await;
    fake.reply(provider::Reply::sse([
        event(json!({"audio": {"id": "audio_1", "transcript": "Good "}}), None),
        event(json!({"audio": {"data": "AAEC", "transcript": "morning"}}), None),
        event(json!({"audio": {"data": "AwQF", "expires_at": 7}}), None),
        event(json!({}), Some("stop")),
    ]));
    let reply = soon(openai(&fake).generate(once())).await.unwrap();
    assert_eq!(reply.text(), "Good morning");
    let Some(Part::File(sound)) = reply.parts.last() else { panic!("{reply:?}") };
    assert_eq!(
        (sound.data.bytes().unwrap().as_ref(), sound.media_type.as_str()),
        (&[0, 1, 2, 3, 4, 5][..], "audio/pcm")
    );

    fake.lenient().reply("Bye.");
    let mut request = once();
    request.messages.push(Message::new(Role::Assistant, reply.parts));
    request.messages.push(Message::user("Say goodbye."));
    soon(openai(&fake).generate(request)).await.unwrap();
    assert_eq!(fake.last_request().body["messages"][1]["audio"], json!({"id": "audio_1"}));
}
