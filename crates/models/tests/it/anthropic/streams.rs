//! Each event and each delta of the protocol.

use futures_util::StreamExt as _;
use loomwork_models::{Chunk, FinishReason, Message, Part, SourceKind, ToolOutput};
use loomwork_testkit::provider::{FakeProvider, LineEnd, Reply, Split};
use serde_json::json;

use super::*;

/// An answer with a part of each kind.
fn rich() -> Reply {
    Reply::new()
        .reasoning("Hm, 世界…")
        .text("Grüezi 👋 there")
        .tool_call("weather", json!({ "city": "Zürich" }))
}

#[tokio::test]
async fn any_cut_of_the_bytes_gives_the_same_answer() {
    let whole = ask(rich()).await;
    for split in [Split::Every(1), Split::Every(7), Split::InsideCharacters] {
        for line_end in [LineEnd::Lf, LineEnd::CrLf, LineEnd::Cr] {
            let reply = ask(rich().split(split.clone()).line_end(line_end)).await;
            assert_eq!((reply.parts, reply.finish), (whole.parts.clone(), whole.finish.clone()));
        }
    }
}

#[tokio::test]
async fn pings_comments_and_unknown_events_are_skipped() {
    let mut noisy = answer([text_block(0, "Hello")], "end_turn");
    for at in (0..=noisy.len()).rev() {
        noisy.insert(at, json!({ "type": "ping" }));
        noisy.insert(at, json!({ "type": "later_event", "index": 9, "delta": { "type": "later_delta" } }));
    }
    let reply = events(noisy).insert_after(2, ": keep-alive\n\n");
    assert_eq!(ask(reply).await.text(), "Hello");
}

#[tokio::test]
async fn the_line_of_an_event_or_its_data_names_its_type() {
    let whole = answer([text_block(0, "Hello")], "end_turn");
    let unnamed = Reply::sse(whole.iter().map(|event| format!("data: {event}\n\n")));
    assert_eq!(ask(unnamed).await.text(), "Hello");
    let by_line_only = Reply::sse(whole.into_iter().map(|mut event| {
        let name = event.as_object_mut().unwrap().remove("type").unwrap();
        format!("event: {}\ndata: {event}\n\n", name.as_str().unwrap())
    }));
    assert_eq!(ask(by_line_only).await.text(), "Hello");
}

#[tokio::test]
async fn blocks_that_come_whole_with_their_start_are_taken() {
    let text = block(0, json!({ "type": "text", "text": "Hello" }), []);
    let thought = block(1, json!({ "type": "thinking", "thinking": "Hm.", "signature": "s" }), []);
    let input = json!({ "city": "Bern" });
    let call = json!({ "type": "tool_use", "id": "toolu_1", "name": "weather", "input": input });
    let reply = ask(events(answer([text, thought, block(2, call, [])], "tool_use"))).await;
    assert_eq!((reply.text().as_str(), reply.reasoning().as_str()), ("Hello", "Hm."));
    assert_eq!(said(&reply.parts[1], "signature"), "s");
    assert_eq!(reply.tool_calls().next().unwrap().input, input);
}

#[tokio::test]
async fn blocks_may_interleave_and_need_no_end_of_their_own() {
    let start_of = |index| {
        json!({ "type": "content_block_start", "index": index,
        "content_block": { "type": "text", "text": "" } })
    };
    let delta = |index, text| {
        json!({ "type": "content_block_delta", "index": index,
        "delta": { "type": "text_delta", "text": text } })
    };
    let mut stream = vec![start(), start_of(0), start_of(1), delta(0, "a"), delta(1, "b"), delta(0, "c")];
    stream.extend(end("end_turn"));
    let texts: Vec<_> = ask(events(stream)).await.parts;
    assert_eq!(texts, [Part::text("ac"), Part::text("b")]);
}

#[tokio::test]
async fn hidden_thoughts_keep_their_signature() {
    let thought = block(
        0,
        json!({ "type": "thinking", "thinking": "", "signature": "" }),
        [json!({ "type": "signature_delta", "signature": "sig+/=" })],
    );
    let fake = FakeProvider::start().await;
    fake.reply(events(answer([thought, text_block(1, "Yes.")], "end_turn"))).reply("So.");
    let model = model(&fake);
    let reply = model.generate(hello()).await.unwrap();
    let mut messages = go_on(vec![Message::user("Hello")], &reply);
    messages.push(Message::user("So?"));
    model.generate(asks(messages)).await.unwrap();
    assert_eq!(
        fake.last_request().body["messages"][1]["content"][0],
        json!({ "type": "thinking", "thinking": "", "signature": "sig+/=" })
    );
}

#[tokio::test]
async fn citations_become_sources_and_go_back_with_their_text() {
    let web = json!({ "type": "web_search_result_location", "url": "https://a.example", "title": "A",
        "encrypted_index": "e1", "cited_text": "x" });
    let page = json!({ "type": "page_location", "document_index": 0, "document_title": "Report",
        "start_page_number": 1, "end_page_number": 2, "cited_text": "y" });
    let hit = json!({ "type": "search_result_location", "source": "kb:42", "title": "Looms",
        "search_result_index": 0, "start_block_index": 0, "end_block_index": 1, "cited_text": "z" });
    let cite = |citation: &Value| json!({ "type": "citations_delta", "citation": citation });
    let text = block(
        0,
        json!({ "type": "text", "text": "", "citations": [] }),
        [
            json!({ "type": "text_delta", "text": "So it is." }),
            cite(&web),
            cite(&web),
            cite(&page),
            cite(&hit),
        ],
    );
    let fake = FakeProvider::start().await;
    fake.reply(events(answer([text], "end_turn"))).reply("Yes.");
    let model = model(&fake);
    let mut file = loomwork_models::File {
        data: b"%PDF-1.7"[..].to_vec().into(),
        media_type: "application/pdf".to_owned(),
        filename: Some("report.pdf".to_owned()),
        extras: loomwork_models::Extras::default(),
    };
    file.extras.provider_options =
        json!({ "anthropic": { "citations": { "enabled": true } } }).as_object().cloned().unwrap();
    let question = Message::new(Role::User, [Part::File(file), Part::text("How is it?")]);
    let reply = model.generate(asks([question.clone()])).await.unwrap();

    let sources: Vec<_> = reply
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Source(source) => Some((source.kind.clone(), source.title.clone().unwrap_or_default())),
            _ => None,
        })
        .collect();
    assert_eq!(
        sources,
        [
            (SourceKind::Url { url: "https://a.example".to_owned() }, "A".to_owned()),
            (
                SourceKind::Document {
                    media_type: "application/pdf".to_owned(),
                    filename: Some("report.pdf".to_owned()),
                },
                "Report".to_owned(),
            ),
            (
                SourceKind::Document { media_type: "text/plain".to_owned(), filename: None },
                "Looms".to_owned()
            ),
        ]
    );
    let messages = [question, Message::new(Role::Assistant, reply.parts), Message::user("Really?")];
    model.generate(asks(messages)).await.unwrap();
    assert_eq!(
        fake.last_request().body["messages"][1]["content"],
        json!([{ "type": "text", "text": "So it is.", "citations": [web, web, page, hit] }])
    );
}

#[tokio::test]
async fn tools_of_the_provider_and_their_results_are_parts_that_go_back_as_they_were() {
    let call = json!({ "type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {},
        "caller": { "type": "direct" } });
    let call =
        block(0, call, [json!({ "type": "input_json_delta", "partial_json": "{\"query\":\"loom\"}" })]);
    let pages =
        json!([{ "type": "web_search_result", "url": "https://a.example", "encrypted_content": "x" }]);
    let found = json!({ "type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": pages });
    let failed = json!({ "type": "web_fetch_tool_result_error", "error_code": "url_not_accessible" });
    let missing = json!({ "type": "mcp_tool_result", "tool_use_id": "mcptoolu_1", "is_error": true,
        "content": [{ "type": "text", "text": "no" }] });
    let remote = json!({ "type": "mcp_tool_use", "id": "mcptoolu_1", "name": "echo", "server_name": "s", "input": {} });
    let not_found =
        json!({ "type": "web_fetch_tool_result", "tool_use_id": "srvtoolu_2", "content": failed });
    let fetch = json!({ "type": "server_tool_use", "id": "srvtoolu_2", "name": "web_fetch", "input": {} });
    let blocks = [
        call,
        block(1, found.clone(), []),
        block(2, remote.clone(), []),
        block(3, missing.clone(), []),
        block(4, fetch.clone(), []),
        block(5, not_found.clone(), []),
        text_block(6, "Done."),
    ];
    let mut stream = answer(blocks, "end_turn");
    let delta = stream.iter_mut().find(|event| event["type"] == "message_delta").unwrap();
    delta["usage"]["server_tool_use"] = json!({ "web_search_requests": 1, "web_fetch_requests": 1 });
    let fake = FakeProvider::start().await;
    fake.reply(events(stream)).reply("Yes.");
    let model = model(&fake);
    let reply = model.generate(hello()).await.unwrap();

    assert!(reply.tool_calls().all(|call| call.provider_executed));
    let outputs: Vec<_> = reply
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::ToolResult(result) => Some((result.name.as_str(), result.output.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(
        outputs,
        [
            ("web_search", ToolOutput::Json(pages)),
            ("echo", ToolOutput::ErrorJson(missing["content"].clone())),
            ("web_fetch", ToolOutput::ErrorJson(failed)),
        ]
    );
    assert_eq!(
        reply.usage().provider_tools,
        [("web_fetch".to_owned(), 1), ("web_search".to_owned(), 1)].into()
    );

    let messages = [Message::user("Hello"), Message::new(Role::Assistant, reply.parts), Message::user("So?")];
    let stored = serde_json::to_value(&messages[..]).unwrap();
    let messages: Vec<Message> = serde_json::from_value(stored).unwrap();
    model.generate(asks(messages)).await.unwrap();
    let sent = fake.last_request().body;
    let blocks = sent["messages"][1]["content"].as_array().unwrap();
    assert_eq!(
        blocks[0],
        json!({ "type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search",
        "input": { "query": "loom" }, "caller": { "type": "direct" } })
    );
    assert_eq!(blocks[1..6], [found, remote, missing, fetch, not_found]);
}

#[tokio::test]
async fn blocks_that_this_version_does_not_know_go_back_as_they_were() {
    let compaction = block(
        0,
        json!({ "type": "compaction", "content": null }),
        [
            json!({ "type": "compaction_delta", "content": "They greeted " }),
            json!({ "type": "compaction_delta", "content": "each other." }),
        ],
    );
    let upload = json!({ "type": "container_upload", "file_id": "file_1" });
    let fake = FakeProvider::start().await;
    fake.reply(events(answer([compaction, block(1, upload.clone(), []), text_block(2, "Hi")], "end_turn")));
    fake.lenient().reply("Yes.");
    let model = model(&fake);
    let reply = model.generate(hello()).await.unwrap();
    let Part::Custom(custom) = &reply.parts[0] else { panic!("{:?}", reply.parts) };
    assert_eq!(custom.kind, "anthropic.compaction");
    let messages =
        [Message::user("Hello"), Message::new(Role::Assistant, reply.parts.clone()), Message::user("So?")];
    model.generate(asks(messages)).await.unwrap();
    let sent = fake.last_request().body;
    assert_eq!(
        sent["messages"][1]["content"],
        json!([
            { "type": "compaction", "content": "They greeted each other." }, upload, { "type": "text", "text": "Hi" },
        ])
    );
}

#[tokio::test]
async fn usage_is_cumulative_field_by_field() {
    let mut stream = answer([text_block(0, "Hello")], "end_turn");
    stream[0]["message"]["usage"] = json!({
        "input_tokens": 3, "cache_creation_input_tokens": 50, "cache_read_input_tokens": 20, "output_tokens": 1,
        "cache_creation": { "ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30 },
    });
    let first = json!({ "type": "message_delta", "delta": {}, "usage": { "output_tokens": 4 } });
    stream.insert(stream.len() - 2, first);
    let usage = ask(events(stream)).await.finish.usage;
    let input = (usage.input_fresh, usage.input_cache_read);
    assert_eq!(input, (3, 20));
    assert_eq!((usage.input_cache_write, usage.input_cache_write_hour), (20, 30));
    assert_eq!((usage.output(), usage.input(), usage.inconsistent), (7, 73, false));
    assert_eq!(usage.raw.as_ref().unwrap()["output_tokens"], 7);
}

#[tokio::test]
async fn an_answer_without_usage_is_whole_and_its_usage_an_estimate() {
    let reply = ask(Reply::new().text("Hello there").no_usage()).await;
    assert_eq!((reply.text().as_str(), reply.finish.reason), ("Hello there", FinishReason::Stop));
    assert!(reply.usage().estimated);
}

#[tokio::test]
async fn a_whole_answer_is_the_streamed_one() {
    let whole = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
        "content": [
            { "type": "thinking", "thinking": "Hm.", "signature": "s" },
            { "type": "text", "text": "Hello" },
            { "type": "tool_use", "id": "toolu_1", "name": "weather", "input": { "city": "Bern" } },
        ],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": { "input_tokens": 10, "output_tokens": 7 }, "container": { "id": "c_1" },
    });
    let thought = block(
        0,
        json!({ "type": "thinking", "thinking": "" }),
        [
            json!({ "type": "thinking_delta", "thinking": "Hm." }),
            json!({ "type": "signature_delta", "signature": "s" }),
        ],
    );
    let call = block(
        2,
        json!({ "type": "tool_use", "id": "toolu_1", "name": "weather", "input": {} }),
        [
            json!({ "type": "input_json_delta", "partial_json": "" }),
            json!({ "type": "input_json_delta", "partial_json": "{\"city\": \"Bern\"}" }),
        ],
    );
    let mut stream = answer([thought, text_block(1, "Hello"), call], "tool_use");
    let delta = stream.iter_mut().find(|event| event["type"] == "message_delta").unwrap();
    delta["delta"]["container"] = json!({ "id": "c_1" });
    let (whole, streamed) = (ask(Reply::json(&whole)).await, ask(events(stream)).await);
    assert_eq!(whole, loomwork_models::Reply { info: whole.info.clone(), ..streamed.clone() });
    assert_eq!((whole.info.id, whole.info.model), (streamed.info.id, streamed.info.model));
    assert_eq!(whole.finish.provider_metadata["anthropic"]["container"]["id"], "c_1");
}

#[tokio::test]
async fn the_start_tells_what_was_sent_and_who_answers() {
    let fake = FakeProvider::start().await;
    fake.reply("Hello!");
    let mut stream = model(&fake).stream(hello()).await.unwrap();
    let Some(Ok(Chunk::Start(info))) = stream.next().await else { panic!("an answer starts") };
    assert_eq!((info.provider.as_str(), info.request_body), ("anthropic", Some(fake.last_request().body)));
}
