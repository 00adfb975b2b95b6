//! The rules of OpenAI's requests.

use loomwork_testkit::provider::FakeProvider;
use serde_json::{Value, json};

use crate::client::{Client, post};

async fn refusal(fake: &FakeProvider, path: &str, body: &Value) -> Value {
    let answer = post(fake.url(), path, body).await;
    assert_eq!(answer.status, 400, "{body} is answered by {}", answer.text());
    answer.json()["error"].clone()
}

/// Each request is refused with a message that has this in it, and names this field.
async fn check(path: &str, base: Value, cases: &[(Value, &str, &str)]) {
    let fake = FakeProvider::start().await;
    fake.reply("Hi");
    for (fields, param, part) in cases {
        let mut body = base.clone();
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let error = refusal(&fake, path, &body).await;
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(part), "{message}");
        assert_eq!(error["param"], *param, "{message}");
        assert_eq!(error["type"], "invalid_request_error");
    }
    assert_eq!(fake.refused().len(), cases.len());
    assert_eq!((fake.left_over(), post(fake.url(), path, &base).await.status), (1, 200));
}

fn chat() -> Value {
    json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]})
}

async fn check_chat(cases: &[(Value, &str, &str)]) {
    check("/v1/chat/completions", chat(), cases).await;
}

#[tokio::test]
async fn chat_fields_have_their_forms_and_ranges() {
    check_chat(&[
        (json!({"model": null}), "model", "Missing required parameter: 'model'"),
        (json!({"messages": []}), "messages", "not empty"),
        (json!({"temperature": 2.5}), "temperature", "from 0 to 2"),
        (json!({"n": 0}), "n", "from 1 to 128"),
        (json!({"stop": ["a", "b", "c", "d", "e"]}), "stop", "at most 4"),
        (json!({"stream": "yes"}), "stream", "a boolean"),
        (json!({"stream_options": {"include_usage": true}}), "stream_options", "'stream' is enabled"),
        (json!({"max_tokens": 5, "max_completion_tokens": 5}), "max_tokens", "both"),
        (json!({"reasoning_effort": "huge"}), "reasoning_effort", "none, minimal, low"),
        (json!({"verbosity": "loud"}), "verbosity", "low, medium, high"),
    ])
    .await;
}

#[tokio::test]
async fn reasoning_models_refuse_sampling_and_the_old_cap() {
    let fake = FakeProvider::start().await;
    for (model, field) in [("o3-mini", "max_tokens"), ("gpt-5", "temperature"), ("gpt-5", "top_p")] {
        let mut body = chat();
        body["model"] = json!(model);
        body[field] = json!(1);
        let error = refusal(&fake, "/v1/chat/completions", &body).await;
        assert_eq!((&error["code"], &error["param"]), (&json!("unsupported_parameter"), &json!(field)));
    }
}

#[tokio::test]
async fn chat_messages_have_their_roles_and_parts() {
    let of = |message: Value| json!({"messages": [message]});
    let image = |url: &str| {
        of(json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}))
    };
    check_chat(&[
        (of(json!({"role": "robot", "content": "Hi"})), "messages[0].role", "expected one of system"),
        (of(json!({"role": "user"})), "messages[0].content", "Missing"),
        (
            of(json!({"role": "user", "content": [{"type": "input_text"}]})),
            "messages[0].content[0].type",
            "image_url",
        ),
        (of(json!({"role": "assistant", "content": null})), "messages[0].content", "no tool calls"),
        (image("boat.png"), "messages[0].content[0].image_url.url", "a valid URL"),
        (image("data:image/png;base64,%%%"), "messages[0].content[0].image_url.url", "not base64"),
        (image("data:image/tiff;base64,AAAA"), "messages[0].content[0].image_url.url", "image/tiff"),
    ])
    .await;
}

#[tokio::test]
async fn chat_calls_are_answered_before_anything_else() {
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let calls = |ids: &[&str]| json!({"role": "assistant", "content": null, "tool_calls": ids.iter().map(|id| call(id)).collect::<Vec<_>>()});
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "ok"});
    let user = json!({"role": "user", "content": "Hi"});
    check_chat(&[
        (
            json!({"messages": [user, result("a")]}),
            "messages[1]",
            "must be a response to a preceding message",
        ),
        (
            json!({"messages": [user, calls(&["a", "b"]), result("a"), user]}),
            "messages[3]",
            "did not have response messages: b",
        ),
        (json!({"messages": [user, calls(&["a"])]}), "messages[1]", "did not have response messages: a"),
        (json!({"messages": [user, calls(&["a"]), result("a"), result("a")]}), "messages[3]", "the id `a`"),
        (json!({"messages": [user, calls(&["a", "a"])]}), "messages[1].tool_calls[1].id", "is there already"),
        (json!({"messages": [user, calls(&["a"]), user, result("a")]}), "messages[2]", "did not have"),
    ])
    .await;
    let fake = FakeProvider::start().await;
    fake.reply("Hi");
    let messages = json!([user, calls(&["a", "b"]), result("b"), result("a"), user]);
    let body = json!({"model": "gpt-4o-mini", "messages": messages});
    assert_eq!(post(fake.url(), "/v1/chat/completions", &body).await.status, 200);
}

#[tokio::test]
async fn chat_tools_and_choices_fit_together() {
    let tool = |function: Value| json!([{"type": "function", "function": function}]);
    let tools = tool(json!({"name": "f", "parameters": {"type": "object"}}));
    check_chat(&[
        (json!({"tools": [{"type": "function", "name": "f"}]}), "tools[0].function", "Missing"),
        (json!({"tools": tool(json!({"name": "a.b"}))}), "tools[0].function.name", "not `a.b`"),
        (
            json!({"tools": tool(json!({"name": "f", "parameters": {}}))}),
            "tools[0].function.parameters",
            "object",
        ),
        (json!({"tools": [tools[0], tools[0]]}), "tools[1]", "there already"),
        (json!({"tool_choice": "auto"}), "tool_choice", "'tools' are specified"),
        (json!({"parallel_tool_calls": true}), "parallel_tool_calls", "'tools' are specified"),
        (json!({"tools": tools, "tool_choice": "any"}), "tool_choice", "none, auto, required"),
        (
            json!({"tools": tools, "tool_choice": {"type": "function", "function": {"name": "g"}}}),
            "tool_choice",
            "no tool has the name `g`",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_strict_schema_is_closed_and_requires_everything() {
    let format = |schema: Value| json!({"response_format": {"type": "json_schema", "json_schema": {"name": "s", "strict": true, "schema": schema}}});
    let object = |properties: Value, required: Value| json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    let text = json!({"type": "string"});
    let path = "response_format.json_schema.schema";
    let open = json!({"type": "object", "properties": {}, "required": []});
    check_chat(&[
        (format(json!({"type": "array"})), path, "the root"),
        (format(open.clone()), &format!("{path}.additionalProperties"), "to be false"),
        (format(object(json!({"a": text}), json!([]))), &format!("{path}.required"), "'a' is missing"),
        (
            format(object(json!({"a": open}), json!(["a"]))),
            &format!("{path}.properties.a.additionalProperties"),
            "false",
        ),
        (
            format(object(json!({"a": {"type": "string", "default": "b"}}), json!(["a"]))),
            &format!("{path}.properties.a.default"),
            "not permitted",
        ),
        (
            format(object(json!({"a": {"type": "string", "format": "byte"}}), json!(["a"]))),
            &format!("{path}.properties.a.format"),
            "date-time",
        ),
        (
            format(object(json!({"a": {"$ref": "#/$defs/b"}}), json!(["a"]))),
            &format!("{path}.properties.a.$ref"),
            "leads nowhere",
        ),
        (json!({"response_format": {"type": "json_object"}}), "response_format", "the word 'json'"),
    ])
    .await;
}

#[tokio::test]
async fn responses_have_fields_of_their_own() {
    let base = json!({"model": "gpt-4o-mini", "input": "Hi"});
    let nested = json!([{"type": "function", "function": {"name": "f"}}]);
    let item = |item: Value| json!({"input": [item]});
    check(
        "/v1/responses",
        base,
        &[
            (json!({"input": null}), "input", "Missing"),
            (json!({"messages": []}), "messages", "moved to 'input'"),
            (json!({"max_tokens": 5}), "max_tokens", "moved to 'max_output_tokens'"),
            (json!({"tools": nested}), "tools[0].name", "Missing"),
            (
                json!({"text": {"format": {"type": "json_schema", "schema": {}}}}),
                "text.format.name",
                "Missing",
            ),
            (
                item(json!({"role": "user", "content": [{"type": "text", "text": "Hi"}]})),
                "input[0].content[0].type",
                "input_text",
            ),
            (item(json!({"role": "tool", "content": "Hi"})), "input[0].role", "user, assistant"),
            (item(json!({"type": "function_call", "name": "f"})), "input[0].call_id", "Missing"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_body_is_json_and_says_so() {
    let fake = FakeProvider::start().await;
    for (kind, body) in [("text/plain", "{}"), ("application/json", "{"), ("application/json", "[]")] {
        let mut client = Client::connect(fake.url()).await;
        client.send("POST", "/v1/chat/completions", &[("content-type", kind)], body.as_bytes()).await;
        let answer = client.answer().await.unwrap();
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(answer.status == 400 && message.contains("could not parse the JSON body"), "{message}");
    }
}

#[tokio::test]
async fn a_lenient_fake_answers_all_the_same() {
    let fake = FakeProvider::start().await;
    fake.lenient().reply("Hi");
    assert_eq!(post(fake.url(), "/v1/chat/completions", &json!({"messages": []})).await.status, 200);
    assert!(fake.refused().is_empty());
}

#[tokio::test]
async fn a_deployment_in_the_path_is_the_model() {
    let fake = FakeProvider::start().await;
    fake.reply("Hi");
    let mut body = chat();
    body.as_object_mut().unwrap().shift_remove("model");
    let path = "/openai/deployments/small/chat/completions?api-version=2026-10-21";
    assert_eq!(post(fake.url(), path, &body).await.status, 200);
}
