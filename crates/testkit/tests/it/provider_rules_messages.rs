//! The rules of Anthropic's requests.

use loomwork_testkit::provider::{FakeProvider, Reply};
use serde_json::{Value, json};

use crate::client::Client;
use crate::provider_messages::{FIRST, SECOND, ask_version};

/// Each request is refused with a message that begins so.
async fn check(version: &str, cases: &[(Value, &str)]) {
    let fake = FakeProvider::start().await;
    for (fields, start) in cases {
        let answer = ask_version(&fake, version, fields.clone()).await;
        assert_eq!(answer.status, 400, "{fields} is answered by {}", answer.text());
        let error = &answer.json()["error"];
        assert_eq!(error["type"], "invalid_request_error");
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with(start), "{message}");
    }
}

async fn is_taken(version: &str, fields: Value) {
    let fake = FakeProvider::start().await;
    fake.reply("Hi");
    let answer = ask_version(&fake, version, fields).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn user(content: Value) -> Value {
    json!({"role": "user", "content": content})
}

fn assistant(content: Value) -> Value {
    json!({"role": "assistant", "content": content})
}

#[tokio::test]
async fn the_version_is_one_of_two() {
    check("2022-01-01", &[(json!({}), "anthropic-version: `2022-01-01` is not a valid version")]).await;
    let fake = FakeProvider::start().await;
    let mut client = Client::connect(fake.url()).await;
    client.send_json("/v1/messages", &[], &json!({})).await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.json()["error"]["message"], "anthropic-version: header is required");
}

#[tokio::test]
async fn fields_have_their_forms_and_ranges() {
    check(
        FIRST,
        &[
            (json!({"model": null}), "model: Field required"),
            (json!({"max_tokens": null}), "max_tokens: Field required"),
            (json!({"max_tokens": 0}), "max_tokens: expected an integer of at least 1"),
            (json!({"messages": []}), "messages: expected an array that is not empty"),
            (json!({"temperature": 1.5}), "temperature: expected a number from 0 to 1"),
            (
                json!({"messages": [user(json!(""))]}),
                "messages.0.content: expected a string that is not empty",
            ),
            (
                json!({"messages": [user(json!([{"type": "text", "text": ""}]))]}),
                "messages.0.content.0.text:",
            ),
            (json!({"messages": [assistant(json!("Hi"))]}), "messages.0.role: first message must use"),
            (json!({"output_config": {"effort": "huge"}}), "output_config.effort: expected one of low"),
            (json!({"system": [{"type": "image"}]}), "system.0.type: expected one of text"),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_second_version_refuses_what_it_dropped() {
    let document =
        json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}});
    let in_assistant =
        json!({"messages": [user(json!("Hi")), assistant(json!([document])), user(json!("Go on"))]});
    let cited = json!({"type": "text", "text": "Hi", "citations": [{"type": "char_location"}]});
    let cited = json!({"messages": [user(json!([cited]))]});
    check(
        SECOND,
        &[
            (
                json!({"temperature": 1.0}),
                "temperature: `temperature` is not supported in API version 2026-10-21",
            ),
            (json!({"top_p": 1.0}), "top_p: "),
            (json!({"top_k": 5}), "top_k: "),
            (in_assistant.clone(), "messages.1.content.0.type: `document` blocks"),
            (cited.clone(), "messages.0.content.0.citations: "),
        ],
    )
    .await;
    is_taken(FIRST, json!({"temperature": 1.0, "top_k": 5})).await;
    is_taken(FIRST, in_assistant).await;
    is_taken(FIRST, cited).await;
    let uncited = json!([{"type": "text", "text": "Hi", "citations": []}, document]);
    is_taken(SECOND, json!({"messages": [user(uncited)]})).await;
}

#[tokio::test]
async fn each_call_has_its_result_in_the_next_message_and_results_come_first() {
    let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
    let result = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": "ok"});
    let text = json!({"type": "text", "text": "Hi"});
    let talk = |second: Value, third: Value| json!({"messages": [user(json!("Hi")), assistant(second), user(third)]});
    check(
        FIRST,
        &[
            (
                talk(json!([call("a"), call("b")]), json!([result("a")])),
                "messages.2: `tool_use` ids were found without",
            ),
            (
                talk(json!([text]), json!([result("a")])),
                "messages.2.content.0: unexpected `tool_use_id` found",
            ),
            (
                talk(json!([call("a")]), json!([text, result("a")])),
                "messages.2: `tool_result` blocks come first",
            ),
            (
                talk(json!([call("a")]), json!([result("a"), result("a")])),
                "messages.2.content.1: each tool_use must have",
            ),
            (
                talk(json!([call("a"), call("a")]), json!([result("a")])),
                "messages.1.content.1.id: `tool_use` ids must be unique",
            ),
            (
                json!({"messages": [user(json!("Hi")), assistant(json!([call("a")]))]}),
                "messages.1: `tool_use` ids were found",
            ),
        ],
    )
    .await;
    let results = json!([result("b"), result("a"), text]);
    is_taken(FIRST, talk(json!([text, call("a"), call("b")]), results)).await;
}

#[tokio::test]
async fn tools_and_choices_fit_together() {
    let tools = json!([{"name": "f", "input_schema": {"type": "object"}}]);
    let open = json!([{"name": "f", "strict": true, "input_schema": {"type": "object"}}]);
    check(
        FIRST,
        &[
            (json!({"tools": [{"name": "f"}]}), "tools.0.input_schema: Field required"),
            (
                json!({"tools": [{"name": "f", "input_schema": {"type": "array"}}]}),
                "tools.0.input_schema.type:",
            ),
            (json!({"tools": [{"name": "a.b", "input_schema": {"type": "object"}}]}), "tools.0.name:"),
            (json!({"tools": [tools[0], tools[0]]}), "tools: Tool names must be unique."),
            (json!({"tools": open}), "tools.0.input_schema.additionalProperties:"),
            (json!({"tool_choice": {"type": "auto"}}), "tool_choice: tool_choice may only be specified"),
            (
                json!({"tools": tools, "tool_choice": {"type": "tool", "name": "g"}}),
                "tool_choice.name: Tool 'g' not found",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn thinking_has_a_budget_and_forces_no_tool() {
    let tools = json!([{"name": "f", "input_schema": {"type": "object"}}]);
    let on = json!({"type": "enabled", "budget_tokens": 1024});
    check(
        FIRST,
        &[
            (json!({"thinking": {"type": "enabled"}}), "thinking.budget_tokens: Field required"),
            (
                json!({"thinking": {"type": "enabled", "budget_tokens": 10}}),
                "thinking.budget_tokens: expected an integer",
            ),
            (
                json!({"thinking": {"type": "enabled", "budget_tokens": 4096}}),
                "thinking.budget_tokens: `max_tokens` must be",
            ),
            (json!({"thinking": on, "temperature": 0.5}), "temperature: "),
            (
                json!({"thinking": on, "tools": tools, "tool_choice": {"type": "any"}}),
                "tool_choice: Thinking may not",
            ),
        ],
    )
    .await;
    is_taken(FIRST, json!({"thinking": on, "tools": tools, "tool_choice": {"type": "auto"}})).await;
}

#[tokio::test]
async fn thinking_goes_back_as_it_came_before_its_call() {
    let fake = FakeProvider::start().await;
    let tools = json!([{"name": "f", "input_schema": {"type": "object"}}]);
    let on = json!({"tools": tools, "thinking": {"type": "enabled", "budget_tokens": 1024}});
    fake.reply(Reply::new().reasoning("Hm.").text("Let me see.").tool_call("f", json!({})));
    let content = ask_version(&fake, FIRST, on.clone()).await.json()["content"].clone();
    let result = json!([{"type": "tool_result", "tool_use_id": content[2]["id"], "content": "ok"}]);
    let go_on = |content: &Value| {
        let mut fields = on.clone();
        fields["messages"] = json!([user(json!("Hi")), assistant(content.clone()), user(result.clone())]);
        fields
    };
    let mut changed = content.clone();
    changed[0]["thinking"] = json!("Hmm.");
    let dropped = json!([content[1], content[2]]);
    for (content, part) in [(&dropped, "found `tool_use`"), (&changed, "cannot be modified")] {
        let answer = ask_version(&fake, FIRST, go_on(content)).await;
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(answer.status == 400 && message.contains(part), "{message}");
    }
    fake.reply("Done.").reply("Done.");
    assert_eq!(ask_version(&fake, FIRST, go_on(&content)).await.status, 200);
    let mut off = go_on(&dropped);
    off["thinking"] = json!({"type": "disabled"});
    assert_eq!(ask_version(&fake, FIRST, off).await.status, 200);
}

#[tokio::test]
async fn the_cache_breaks_at_four_places_at_most_and_longest_first() {
    let short = json!({"type": "ephemeral"});
    let long = json!({"type": "ephemeral", "ttl": "1h"});
    let block = |control: &Value| json!({"type": "text", "text": "Hi", "cache_control": control});
    let five = json!({"system": [block(&short), block(&short)], "messages": [user(json!([block(&short), block(&short), block(&short)]))]});
    let shorter_first = json!({"system": [block(&short)], "messages": [user(json!([block(&long)]))]});
    check(
        FIRST,
        &[
            (five, "messages.0.content.2.cache_control: A maximum of 4 blocks"),
            (shorter_first, "messages.0.content.0.cache_control.ttl: a ttl='1h'"),
            (
                json!({"cache_control": {"type": "ephemeral", "ttl": "1d"}}),
                "cache_control.ttl: expected one of 5m, 1h",
            ),
        ],
    )
    .await;
    is_taken(FIRST, json!({"system": [block(&long)], "messages": [user(json!([block(&short)]))]})).await;
}

#[tokio::test]
async fn pictures_and_documents_have_types_that_models_read() {
    let image = |kind: &str, data: &str| {
        let source = json!({"type": "base64", "media_type": kind, "data": data});
        json!({"messages": [user(json!([{"type": "image", "source": source}]))]})
    };
    let path = "messages.0.content.0.source";
    check(
        SECOND,
        &[
            (image("image/tiff", "AAAA"), &format!("{path}.media_type: expected one of image/png")),
            (image("image/png", "%"), &format!("{path}.data: the data is not base64")),
            (
                json!({"messages": [user(json!([{"type": "video"}]))]}),
                "messages.0.content.0.type: expected one of text",
            ),
        ],
    )
    .await;
    is_taken(SECOND, image("image/png", "AAAA")).await;
}
