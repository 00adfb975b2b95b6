//! Answers that pause for the provider's own tools, and go on by themselves.

use loomwork_models::{ErrorKind, FinishReason, Message, MessagesOptions, Part};
use loomwork_testkit::provider::{Failure, FakeProvider};
use serde_json::json;

use super::*;

fn search() -> ToolSpec {
    ToolSpec::Provider { id: "anthropic.web_search_20250305".to_owned(), args: json!({ "max_uses": 3 }) }
}

/// The provider searches, and pauses.
fn searching(index: usize, id: &str) -> Vec<Value> {
    let call = json!({ "type": "server_tool_use", "id": id, "name": "web_search", "input": {} });
    let input = ["", "{\"query\":", " \"loom\"}"];
    let input = input.map(|json| json!({ "type": "input_json_delta", "partial_json": json }));
    block(index, call, input)
}

fn found(index: usize, id: &str) -> Vec<Value> {
    let page = json!({ "type": "web_search_result", "url": "https://a.example", "encrypted_content": "x" });
    let result = json!({ "type": "web_search_tool_result", "tool_use_id": id, "content": [page] });
    block(index, result, [])
}

#[tokio::test]
async fn a_pause_is_continued_with_the_answer_as_it_is() {
    let fake = FakeProvider::start().await;
    fake.reply(events(answer([text_block(0, "I search."), searching(1, "srvtoolu_1")], "pause_turn")));
    fake.reply(events(answer([found(0, "srvtoolu_1"), text_block(1, "Found it.")], "end_turn")));
    let reply = model(&fake).generate(hello().with_tools([search()])).await.unwrap();

    assert_eq!((reply.text().as_str(), reply.finish.reason), ("I search.Found it.", FinishReason::Stop));
    assert_eq!((reply.usage().input(), reply.usage().output()), (20, 14));
    assert_eq!(reply.usage().raw.as_ref().and_then(Value::as_array).map(Vec::len), Some(2));
    let sent = fake.last_request().body;
    assert_eq!(
        sent["messages"][1],
        json!({ "role": "assistant", "content": [
            { "type": "text", "text": "I search." },
            { "type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": { "query": "loom" } },
        ] })
    );

    // The whole answer goes back as one.
    fake.reply("Yes.");
    let messages =
        vec![Message::user("Hello"), Message::new(Role::Assistant, reply.parts), Message::user("So?")];
    model(&fake).generate(asks(messages).with_tools([search()])).await.unwrap();
    let kinds: Vec<_> = fake.last_request().body["messages"][1]["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["text", "server_tool_use", "web_search_tool_result", "text"]);
    assert_eq!(fake.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn several_pauses_grow_one_message() {
    let fake = FakeProvider::start().await;
    fake.reply(events(answer([searching(0, "srvtoolu_1")], "pause_turn")));
    fake.reply(events(answer([found(0, "srvtoolu_1"), searching(1, "srvtoolu_2")], "pause_turn")));
    fake.reply(events(answer([found(0, "srvtoolu_2"), text_block(1, "Done.")], "end_turn")));
    let reply = model(&fake).generate(hello().with_tools([search()])).await.unwrap();
    assert_eq!((reply.text().as_str(), reply.parts.len()), ("Done.", 5));
    let sent = fake.last_request().body;
    assert_eq!(sent["messages"].as_array().map(Vec::len), Some(2));
    assert_eq!(sent["messages"][1]["content"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn pauses_come_to_an_end() {
    let fake = FakeProvider::start().await;
    fake.otherwise(|_| events(answer([text_block(0, "Wait.")], "pause_turn")));
    let options = MessagesOptions { most_continuations: 2, ..MessagesOptions::default() };
    let reply = model_with(&fake, MODEL, options).generate(hello().with_tools([search()])).await.unwrap();
    assert_eq!((reply.text().as_str(), fake.requests().len()), ("Wait.Wait.Wait.", 3));
    assert_eq!(
        (reply.finish.reason, reply.finish.raw_reason.as_deref()),
        (FinishReason::Other, Some("pause_turn"))
    );
    assert!(reply.finish.provider_metadata.get("anthropic").is_none_or(|bag| bag.get("content").is_none()));
}

#[tokio::test]
async fn a_failure_behind_a_pause_keeps_what_came_and_what_it_cost() {
    let fake = FakeProvider::start().await;
    fake.reply(events(answer([text_block(0, "I search.")], "pause_turn"))).reply(Failure::status(529));
    let error = model(&fake).generate(hello().with_tools([search()])).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Overloaded);
    assert_eq!(error.partial().unwrap().text(), "I search.");
    assert_eq!((error.usage().unwrap().input(), error.usage().unwrap().output()), (10, 7));
}

#[tokio::test]
async fn sources_of_continued_answers_have_ids_of_their_own() {
    let cited = |index, url: &str| {
        let citation =
            json!({ "type": "web_search_result_location", "url": url, "title": "A", "cited_text": "x" });
        block(
            index,
            json!({ "type": "text", "text": "" }),
            [
                json!({ "type": "text_delta", "text": "So." }),
                json!({ "type": "citations_delta", "citation": citation }),
            ],
        )
    };
    let fake = FakeProvider::start().await;
    fake.reply(events(answer([cited(0, "https://a.example")], "pause_turn")));
    fake.reply(events(answer([cited(0, "https://b.example")], "end_turn")));
    let reply = model(&fake).generate(hello().with_tools([search()])).await.unwrap();
    let ids: Vec<_> = reply
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Source(source) => Some(source.id.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1]);
}
