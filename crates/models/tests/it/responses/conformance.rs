//! The conformance rows R of the protocol that concern a client.

use futures_util::StreamExt as _;
use loomwork_models::{
    Chunk, ErrorKind, FinishReason, Format, Message, OutputSchema, Part, PartKind, Role, ToolOutput,
    ToolResult, ToolSpec, Usage, drop_filler_nulls,
};
use loomwork_testkit::provider::{
    Deltas, Failure, FakeProvider, Finish, ReasoningForm, Reply, Usage as Cost,
};
use loomwork_testkit::soon;
use serde_json::{Value, json};

use super::{bag, completed, events, hello, once, openai, streamed, whole};

/// A reply of each kind of part.
fn of_everything() -> Reply {
    Reply::new()
        .reasoning("They want the weather.")
        .text("Let me look that up.")
        .tool_call("weather", json!({ "city": "Bern" }))
        .tool_call("weather", json!({ "city": "Rome" }))
}

fn weather() -> ToolSpec {
    let schema =
        json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] });
    ToolSpec::function("weather", "Tells the weather of a city.", schema)
}

#[tokio::test]
async fn r1_the_answer_is_the_same_whole_streamed_and_without_sequence_numbers() {
    let numbered = streamed(of_everything()).await.unwrap();
    let unnumbered = streamed(of_everything().edit(|event| {
        event.as_object_mut().unwrap().remove("sequence_number");
    }));
    assert_eq!(unnumbered.await.unwrap().parts, numbered.parts);
    let whole = whole(of_everything()).await.unwrap();
    assert_eq!(whole.parts, numbered.parts);
    assert_eq!(whole.finish, numbered.finish);
    assert_eq!(whole.info.id, numbered.info.id);
    assert_eq!(numbered.finish.reason, FinishReason::ToolCalls);
}

#[tokio::test]
async fn r1_chunks_come_in_order_start_first_and_finish_last() {
    let fake = FakeProvider::start().await;
    fake.reply(of_everything());
    let stream = soon(openai(&fake, "gpt-5").stream(hello())).await.unwrap();
    let chunks: Vec<Chunk> = soon(stream.map(Result::unwrap).collect()).await;
    assert!(matches!(chunks.first(), Some(Chunk::Start(info)) if info.id.is_some()), "{chunks:?}");
    assert!(matches!(chunks.last(), Some(Chunk::Finish(_))), "{chunks:?}");
    let starts = chunks.iter().filter_map(|chunk| match chunk {
        Chunk::PartStart { part, kind, .. } => Some((*part, kind)),
        _ => None,
    });
    let starts: Vec<_> = starts.collect();
    assert_eq!(starts.iter().map(|(part, _)| *part).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(matches!(starts[..2], [(_, PartKind::Reasoning), (_, PartKind::Text)]));
}

#[tokio::test]
async fn r2_deltas_equal_done() {
    let text = "Zürich, 東京 and \"quotes\"\nwith lines";
    for deltas in [Deltas::Words, Deltas::Characters(1), Deltas::Whole] {
        let reply = streamed(Reply::new().text(text).deltas(deltas)).await.unwrap();
        assert_eq!(reply.text(), text);
    }
}

#[tokio::test]
async fn r2_a_server_without_deltas_says_all_when_its_items_are_done() {
    let without_deltas = of_everything().edit(|event| {
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        if kind.ends_with(".delta") || kind.ends_with("part.added") {
            event["type"] = json!("response.something.else");
        }
    });
    let plain = streamed(of_everything()).await.unwrap();
    assert_eq!(streamed(without_deltas).await.unwrap().parts, plain.parts);
}

#[tokio::test]
async fn r2_a_server_that_streams_no_items_says_all_in_the_response() {
    let item =
        json!({ "id": "msg_1", "type": "message", "content": [{ "type": "output_text", "text": "Hi" }] });
    let reply = streamed(events([completed(&[item])])).await.unwrap();
    assert_eq!(reply.text(), "Hi");
}

#[tokio::test]
async fn r3_parallel_calls_are_told_apart_by_their_place_and_named_by_call_id() {
    let reply = of_everything().interleaved().deltas(Deltas::Characters(3));
    let reply = streamed(reply).await.unwrap();
    let calls: Vec<_> = reply.tool_calls().collect();
    assert_eq!(calls[0].input, json!({ "city": "Bern" }));
    assert_eq!(calls[1].input, json!({ "city": "Rome" }));
    assert_ne!(calls[0].id, calls[1].id);
    for part in reply.parts.iter().filter(|part| matches!(part, Part::ToolCall(_))) {
        let Part::ToolCall(call) = part else { continue };
        assert!(call.id.starts_with("call_"), "{}", call.id);
        assert!(bag(part)["item"]["id"].as_str().unwrap().starts_with("fc_"));
    }
}

#[tokio::test]
async fn r3_ids_that_a_gateway_changes_on_the_way_do_no_harm() {
    let changed = of_everything().interleaved().edit(|event| {
        if event["type"] == "response.output_item.done" {
            event["item"]["id"] = json!("another");
        }
        if event["item_id"].is_string() {
            event["item_id"] = json!("yet another");
        }
    });
    let reply = streamed(changed).await.unwrap();
    let inputs: Vec<_> = reply.tool_calls().map(|call| call.input.clone()).collect();
    assert_eq!(inputs, [json!({ "city": "Bern" }), json!({ "city": "Rome" })]);
}

#[tokio::test]
async fn r4_items_go_back_as_they_came_with_the_output_of_the_call() {
    let fake = FakeProvider::start().await;
    fake.reply(
        Reply::new().reasoning("Hm.").text("One moment.").tool_call("weather", json!({ "city": "Bern" })),
    );
    fake.reply("Sunny.");
    let model = openai(&fake, "gpt-5");
    let question = Message::user("How is the weather in Bern?");
    let first = soon(model.generate(once([question.clone()]).with_tools([weather()]))).await.unwrap();
    let call = first.tool_calls().next().unwrap().clone();
    let messages = [
        question,
        Message::new(Role::Assistant, first.parts.clone()),
        Message::tool([ToolResult::new(&call, json!({ "sky": "clear" }))]),
    ];
    let second = soon(model.generate(once(messages).with_tools([weather()]))).await.unwrap();
    assert_eq!(second.text(), "Sunny.");
    assert_eq!(fake.refused(), Vec::<String>::new());
    assert_eq!(
        fake.last_request().body["input"],
        json!([
            { "role": "user", "content": [{ "type": "input_text", "text": "How is the weather in Bern?" }] },
            {
                "type": "reasoning",
                "id": "rs_000001_0",
                "encrypted_content": "encrypted_000001_0",
                "summary": [{ "type": "summary_text", "text": "Hm." }],
            },
            {
                "type": "message",
                "id": "msg_000001_1",
                "status": "completed",
                "phase": "commentary",
                "role": "assistant",
                "content": [{ "type": "output_text", "text": "One moment.", "annotations": [] }],
            },
            {
                "type": "function_call",
                "id": "fc_000001_2",
                "status": "completed",
                "call_id": call.id,
                "name": "weather",
                "arguments": "{\"city\":\"Bern\"}",
            },
            { "type": "function_call_output", "call_id": call.id, "output": "{\"sky\":\"clear\"}" },
        ])
    );
}

#[tokio::test]
async fn r5_reasoning_is_streamed_kept_sealed_and_replayed_before_its_calls() {
    let item = json!({
        "id": "rs_1",
        "type": "reasoning",
        "encrypted_content": "sealed",
        "summary": [{ "type": "summary_text", "text": "First." }, { "type": "summary_text", "text": "Second." }],
        "new_field": 7,
    });
    let at = |kind: &str, index: u64, delta: &str| json!({ "type": kind, "output_index": 0, "summary_index": index, "delta": delta });
    let part_added = |index: u64| json!({ "type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": index, "part": { "type": "summary_text", "text": "" } });
    let text = json!({ "id": "msg_1", "type": "message", "role": "assistant", "phase": "final_answer", "content": [{ "type": "output_text", "text": "Done.", "annotations": [] }] });
    let reply = events([
        json!({ "type": "response.output_item.added", "output_index": 0, "item": { "id": "rs_1", "type": "reasoning", "summary": [] } }),
        part_added(0),
        at("response.reasoning_summary_text.delta", 0, "Fir"),
        at("response.reasoning_summary_text.delta", 0, "st."),
        part_added(1),
        at("response.reasoning_summary_text.delta", 1, "Second."),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": item }),
        json!({ "type": "response.output_item.done", "output_index": 1, "item": text }),
        completed(&[]),
    ]);
    let reply = streamed(reply).await.unwrap();
    let thoughts: Vec<_> = reply.parts.iter().filter(|part| matches!(part, Part::Reasoning(_))).collect();
    assert_eq!(thoughts.len(), 2);
    assert_eq!(reply.reasoning(), "First.Second.");
    assert_eq!(super::replayed(&reply).await, [item, text]);
}

#[tokio::test]
async fn r5_thoughts_of_open_models_and_hidden_ones_are_replayed_too() {
    let open =
        streamed(Reply::new().reasoning("In the open.").text("Yes.").reasoning_form(ReasoningForm::Open));
    let open = open.await.unwrap();
    assert_eq!(open.reasoning(), "In the open.");
    let items = super::replayed(&open).await;
    assert_eq!(items[0]["content"], json!([{ "type": "reasoning_text", "text": "In the open." }]));
    assert_eq!(items[0]["summary"], json!([]));

    let hidden = json!({ "id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "sealed" });
    let text =
        json!({ "id": "msg_1", "type": "message", "content": [{ "type": "output_text", "text": "Hi" }] });
    let reply = streamed(super::response_of(&[hidden.clone(), text])).await.unwrap();
    assert_eq!(reply.reasoning(), "");
    assert_eq!(super::replayed(&reply).await[0], hidden);
}

#[tokio::test]
async fn r6_incomplete_answers_keep_what_came_in_both_modes() {
    let cases = [
        (Finish::Length, FinishReason::Length, "max_output_tokens"),
        (Finish::ContentFilter, FinishReason::ContentFilter, "content_filter"),
        (Finish::Other("steered".to_owned()), FinishReason::Other, "steered"),
    ];
    for (finish, reason, raw) in cases {
        let reply = || Reply::new().text("As far as").finish(finish.clone());
        for read in [streamed(reply()).await, whole(reply()).await] {
            let read = read.unwrap();
            assert_eq!(read.text(), "As far as");
            assert_eq!((read.finish.reason, read.finish.raw_reason.as_deref()), (reason, Some(raw)));
            assert_eq!(read.usage().total(), 19);
        }
    }
}

#[tokio::test]
async fn r7_refusals_are_told_from_texts_in_both_modes() {
    let reply = || Reply::new().refusal("I cannot help with that.");
    for read in [streamed(reply()).await, whole(reply()).await] {
        let read = read.unwrap();
        assert_eq!(read.finish.reason, FinishReason::Refusal);
        assert_eq!(read.text(), "I cannot help with that.");
        assert_eq!(bag(&read.parts[0])["refusal"], true);
        let items = super::replayed(&read).await;
        assert_eq!(
            items[0]["content"],
            json!([{ "type": "refusal", "refusal": "I cannot help with that." }])
        );
    }
}

#[tokio::test]
async fn r8_an_answer_is_held_to_a_strict_schema_and_read_by_the_plain_one() {
    let fake = FakeProvider::start().await;
    fake.reply(r#"{"name":"Ada","age":null}"#);
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Person",
        "type": "object",
        "properties": { "name": { "type": "string" }, "age": { "type": "integer", "default": 0 } },
        "required": ["name"],
    });
    let format = OutputSchema {
        name: "person".to_owned(),
        description: Some("A person.".to_owned()),
        schema: schema.clone(),
        strict: true,
    };
    let reply =
        soon(openai(&fake, "gpt-5").generate(hello().with_format(Format::Schema(format)))).await.unwrap();
    assert_eq!(fake.refused(), Vec::<String>::new());
    assert_eq!(
        fake.last_request().body["text"],
        json!({ "format": {
            "type": "json_schema",
            "name": "person",
            "schema": {
                "type": "object",
                "properties": { "name": { "type": "string" }, "age": { "type": ["integer", "null"] } },
                "required": ["name", "age"],
                "additionalProperties": false,
            },
            "strict": true,
            "description": "A person.",
        } })
    );
    let mut value: Value = serde_json::from_str(&reply.text()).unwrap();
    drop_filler_nulls(&schema, &mut value);
    assert_eq!(value, json!({ "name": "Ada" }));
}

#[tokio::test]
async fn r9_a_failure_in_the_middle_is_an_error_that_keeps_what_came() {
    let nested = Reply::new().text("One two three").fails(Failure::status(500).message("it broke"));
    let created = json!({ "type": "response.created", "response": { "id": "resp_1", "model": "gpt-5" } });
    let delta = json!({ "type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "One two three" });
    let flat = json!({ "type": "error", "code": "server_error", "message": "it broke", "param": null });
    let failed = json!({ "type": "response.failed", "response": { "id": "resp_1", "status": "failed", "error": { "code": "server_error", "message": "it broke" }, "usage": { "input_tokens": 4, "output_tokens": 2 } } });
    let replies = [nested, events([created.clone(), delta.clone(), flat]), events([created, delta, failed])];
    for reply in replies {
        let error = streamed(reply).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Overloaded, "{error}");
        assert_eq!((error.message(), error.provider(), error.model()), ("it broke", "openai", "gpt-5"));
        assert_eq!(error.partial().unwrap().text(), "One two three");
    }
}

#[tokio::test]
async fn r9_a_response_that_failed_says_what_it_used() {
    let failed = json!({
        "id": "resp_1",
        "status": "failed",
        "output": [],
        "error": { "code": "rate_limit_exceeded", "message": "slow down" },
        "usage": { "input_tokens": 4, "output_tokens": 2, "total_tokens": 6 },
    });
    let error = whole(Reply::json(&failed)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::RateLimited { .. }), "{error}");
    assert_eq!(error.usage().map(Usage::total), Some(6));
}

#[tokio::test]
async fn r11_a_tool_loop_goes_through_with_a_retry_on_its_way() {
    let fake = FakeProvider::start().await;
    fake.reply(Failure::status(429).header("retry-after-ms", "1"));
    fake.reply(
        Reply::new()
            .reasoning("Two cities.")
            .tool_call("weather", json!({ "city": "Bern" }))
            .tool_call("weather", json!({ "city": "Rome" })),
    );
    fake.reply("Both are sunny.");
    let model = openai(&fake, "gpt-5");
    let mut messages = vec![Message::user("How is the weather in Bern and Rome?")];
    let text = loop {
        let request = loomwork_models::Request::new(messages.clone()).with_tools([weather()]);
        let stream = soon(model.stream(request)).await.unwrap();
        let reply = soon(loomwork_models::collect(stream)).await.unwrap();
        if reply.finish.reason == FinishReason::Stop {
            break reply.text();
        }
        let results: Vec<_> = reply
            .tool_calls()
            .map(|call| ToolResult::new(call, ToolOutput::Text("sunny".to_owned())))
            .collect();
        messages.push(Message::new(Role::Assistant, reply.parts));
        messages.push(Message::tool(results));
    };
    assert_eq!(text, "Both are sunny.");
    assert_eq!(fake.requests().len(), 3);
    assert_eq!(fake.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn usage_is_taken_apart_into_kinds_that_add_up() {
    let cost = Cost { input: 100, cache_read: 60, cache_write: 10, output: 50, reasoning: 20 };
    for read in [
        streamed(Reply::new().text("Hi").usage(cost)).await,
        whole(Reply::new().text("Hi").usage(cost)).await,
    ] {
        let read = read.unwrap();
        let usage = read.usage();
        assert_eq!((usage.input_fresh, usage.input_cache_read, usage.input_cache_write), (30, 60, 10));
        assert_eq!((usage.output_text, usage.output_reasoning), (30, 20));
        assert_eq!((usage.total(), usage.inconsistent), (150, false));
        assert_eq!(usage.raw.as_ref().unwrap()["input_tokens_details"]["cached_tokens"], 60);
    }
    let silent = streamed(Reply::new().text("Hi").no_usage()).await.unwrap();
    let usage = silent.usage();
    assert!(usage.estimated && usage.input() > 0 && usage.output() > 0, "{usage:?}");
}
