//! What a request becomes, field by field.

use loomwork_models::{
    Format, Message, OutputSchema, Part, ReasoningEffort, Request, Role, Settings, ToolCall, ToolChoice,
    ToolResult, ToolSpec,
};
use loomwork_testkit::provider::FakeProvider;
use loomwork_testkit::soon;
use serde_json::{Value, json};

use super::{body, hello, once, openai, options};

/// A request with all that this protocol has a place for, as it is sent.
#[tokio::test]
async fn a_request_of_all_features() {
    let call = ToolCall {
        id: "call_1".to_owned(),
        name: "weather".to_owned(),
        input: json!({ "city": "Bern" }),
        ..ToolCall::default()
    };
    let result = ToolResult::new(&call, "sunny");
    let messages = [
        Message::system("Be brief."),
        Message::new(Role::User, [Part::text("What is this?"), Part::image_url("https://example.com/a.png")]),
        Message::new(Role::Assistant, [Part::text("Let me see."), Part::ToolCall(call)]),
        Message::tool([result]),
        Message::user("And tomorrow?"),
    ];
    let schema = json!({
        "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"],
        "additionalProperties": false,
    });
    let answer = OutputSchema {
        name: "answer".to_owned(),
        description: Some("The answer.".to_owned()),
        schema: schema.clone(),
        strict: true,
    };
    let settings = Settings {
        max_output_tokens: Some(100),
        reasoning_effort: Some(ReasoningEffort::Low),
        max_retries: Some(0),
        ..Settings::default()
    };
    let search = ToolSpec::Provider { id: "openai.web_search".to_owned(), args: json!({}) };
    let mut request = Request::new(messages)
        .with_tools([ToolSpec::function("weather", "Tells the weather.", schema), search])
        .with_tool_choice(ToolChoice::Tool { name: "weather".to_owned() })
        .with_format(Format::Schema(answer))
        .with_settings(settings);
    request.provider_options = options(json!({ "truncation": "auto" }));
    insta::assert_json_snapshot!(body("gpt-5", request).await);
}

#[tokio::test]
async fn the_plain_request_stores_nothing_and_asks_for_sealed_reasoning() {
    let messages = [Message::system("Be brief."), Message::system("Be kind."), Message::user("Hello")];
    assert_eq!(
        body("gpt-5", once(messages)).await,
        json!({
            "model": "gpt-5",
            "instructions": "Be brief.\n\nBe kind.",
            "input": [{ "role": "user", "content": [{ "type": "input_text", "text": "Hello" }] }],
            "store": false,
            "include": ["reasoning.encrypted_content"],
        })
    );
    let fake = FakeProvider::start().await;
    fake.reply("Hi");
    let stream = soon(openai(&fake, "gpt-4o").stream(hello())).await.unwrap();
    soon(loomwork_models::collect(stream)).await.unwrap();
    let body = fake.last_request().body;
    assert_eq!((&body["stream"], body.get("include")), (&json!(true), None));
}

#[tokio::test]
async fn later_system_messages_are_the_developers() {
    let messages = [Message::user("Hello"), Message::system("From now on, rhyme."), Message::user("Go on.")];
    let input = super::input(messages).await;
    assert_eq!(input[1], json!({ "role": "developer", "content": "From now on, rhyme." }));
    let mut own = once([Message::system("Be brief."), Message::user("Hello")]);
    own.provider_options = options(json!({ "instructions": "Be long." }));
    let body = body("gpt-5", own).await;
    assert_eq!(body["instructions"], "Be long.");
    assert_eq!(body["input"][0], json!({ "role": "developer", "content": "Be brief." }));
}

#[tokio::test]
async fn settings_are_sent_as_far_as_the_protocol_has_them() {
    let fake = FakeProvider::start().await;
    fake.reply("Hi").reply("Hi");
    let settings = Settings {
        max_output_tokens: Some(100),
        temperature: Some(0.5),
        top_p: Some(0.9),
        top_k: Some(5),
        presence_penalty: Some(0.1),
        frequency_penalty: Some(0.1),
        stop_sequences: vec!["END".to_owned()],
        seed: Some(7),
        reasoning_effort: Some(ReasoningEffort::Low),
        ..Settings::default()
    };
    let request = || Request::new([Message::user("Hello")]).with_settings(settings.clone());
    let warned = |reply: &loomwork_models::Reply| {
        reply.info.warnings.iter().map(|warning| warning.what.clone()).collect::<Vec<_>>()
    };
    let reply = soon(openai(&fake, "gpt-4o").generate(request())).await.unwrap();
    let body = fake.last_request().body;
    assert_eq!(
        (&body["max_output_tokens"], &body["temperature"], &body["top_p"]),
        (&json!(100), &json!(0.5), &json!(0.9))
    );
    assert_eq!(body.get("reasoning"), None);
    let no_field = ["top k", "presence penalty", "frequency penalty", "stop sequences", "seed"];
    assert_eq!(warned(&reply)[0], "reasoning effort");
    assert_eq!(warned(&reply)[1..], no_field);

    let reply = soon(openai(&fake, "gpt-5.1").generate(request())).await.unwrap();
    let body = fake.last_request().body;
    assert_eq!((body.get("temperature"), body.get("top_p")), (None, None));
    assert_eq!(body["reasoning"], json!({ "effort": "low" }));
    assert_eq!(warned(&reply)[..2], ["temperature", "top_p"]);
    assert_eq!(fake.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn sampling_goes_along_where_the_model_does_not_reason_or_is_not_known() {
    let settings =
        |effort| Settings { temperature: Some(0.5), reasoning_effort: effort, ..Settings::default() };
    let cases = [
        ("gpt-5", Some(ReasoningEffort::None), true),
        ("gpt-5-chat-latest", None, true),
        ("o3-mini", None, false),
        ("openai/o3-mini", None, false),
        ("qwen3", None, true),
        ("gpt-oss:20b", None, true),
    ];
    for (model, effort, goes) in cases {
        let body = body(model, hello().with_settings(settings(effort))).await;
        assert_eq!(body.get("temperature").is_some(), goes, "{model}");
    }
}

#[tokio::test]
async fn options_are_merged_into_the_body() {
    let settings = Settings { reasoning_effort: Some(ReasoningEffort::High), ..Settings::default() };
    let mut request = hello().with_settings(settings).with_format(Format::Json);
    request.provider_options = options(json!({
        "reasoning": { "summary": "auto" },
        "text": { "verbosity": "low" },
        "truncation": "auto",
        "parallel_tool_calls": false,
        "metadata": { "run": "7" },
        "store": true,
    }));
    let mut body = body("gpt-5", request).await;
    body.as_object_mut().unwrap().remove("input");
    assert_eq!(
        body,
        json!({
            "model": "gpt-5",
            "store": true,
            "reasoning": { "effort": "high", "summary": "auto" },
            "text": { "format": { "type": "json_object" }, "verbosity": "low" },
            "truncation": "auto",
            "parallel_tool_calls": false,
            "metadata": { "run": "7" },
        })
    );
}

#[tokio::test]
async fn tools_are_flat_and_strict_ones_are_closed() {
    let schema = json!({ "type": "object", "properties": { "city": { "type": "string" }, "days": { "type": "integer" } }, "required": ["city"] });
    let plain = ToolSpec::function("weather", "Tells the weather.", schema.clone());
    let strict = ToolSpec::Function {
        name: "strict_weather".to_owned(),
        description: "Tells the weather.".to_owned(),
        input_schema: schema.clone(),
        strict: Some(true),
        provider_options: options(json!({ "defer_loading": true })),
    };
    let custom = ToolSpec::Provider {
        id: "openai.custom".to_owned(),
        args: json!({ "name": "sql", "format": { "type": "text" } }),
    };
    let tools = [plain, strict, custom];
    let sent = body("gpt-5", hello().with_tools(tools.clone())).await;
    assert_eq!(
        sent["tools"],
        json!([
            { "type": "function", "name": "weather", "description": "Tells the weather.", "parameters": schema },
            {
                "type": "function",
                "name": "strict_weather",
                "description": "Tells the weather.",
                "parameters": {
                    "type": "object",
                    "properties": { "city": { "type": "string" }, "days": { "type": ["integer", "null"] } },
                    "required": ["city", "days"],
                    "additionalProperties": false,
                },
                "strict": true,
                "defer_loading": true,
            },
            { "type": "custom", "name": "sql", "format": { "type": "text" } },
        ])
    );
    assert_eq!(sent.get("tool_choice"), None);
    let named = |name: &str| ToolChoice::Tool { name: name.to_owned() };
    let choices = [
        (ToolChoice::None, json!("none")),
        (ToolChoice::Required, json!("required")),
        (named("weather"), json!({ "type": "function", "name": "weather" })),
        (named("sql"), json!({ "type": "custom", "name": "sql" })),
    ];
    for (choice, expected) in choices {
        let request = hello().with_tools(tools.clone()).with_tool_choice(choice);
        assert_eq!(body("gpt-5", request).await["tool_choice"], expected);
    }
}

#[tokio::test]
async fn a_schema_that_need_not_be_strict_goes_as_it_is() {
    let schema = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let format =
        OutputSchema { name: "map".to_owned(), description: None, schema: schema.clone(), strict: false };
    let body = body("gpt-5", hello().with_format(Format::Schema(format))).await;
    assert_eq!(
        body["text"]["format"],
        json!({ "type": "json_schema", "name": "map", "schema": schema, "strict": false })
    );
}

/// A conversation whose first answer OpenAI made.
fn conversation() -> Vec<Message> {
    let made = json!({ "role": "assistant", "content": [{
        "type": "tool-call",
        "toolCallId": "call_1",
        "toolName": "weather",
        "input": {},
        "providerMetadata": { "openai": { "item": { "type": "function_call", "id": "fc_1" } } },
    }] });
    let made: Message = serde_json::from_value(made).expect("this is a message");
    let call = made.tool_calls().next().expect("it calls a tool").clone();
    let result = Message::tool([ToolResult::new(&call, "sunny")]);
    vec![Message::system("Be brief."), Message::user("Hello"), made, result]
}

#[tokio::test]
async fn where_the_provider_keeps_the_conversation_only_what_is_new_is_sent() {
    let result = json!({ "type": "function_call_output", "call_id": "call_1", "output": "sunny" });
    for goes_on in [json!({ "previous_response_id": "resp_1" }), json!({ "conversation": "conv_1" })] {
        let mut request = once(conversation());
        request.provider_options = options(goes_on.clone());
        let body = body("gpt-5", request).await;
        assert_eq!(body["input"], json!([result]));
        assert_eq!(body["instructions"], "Be brief.");

        let mut request = once(conversation().split_off(3));
        request.provider_options = options(goes_on);
        assert_eq!(super::body("gpt-5", request).await["input"], json!([result]));
    }
    assert_eq!(body("gpt-5", once(conversation())).await["input"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn what_other_providers_made_of_a_conversation_stays_away() {
    let foreign = json!({ "role": "assistant", "content": [
        { "type": "reasoning", "text": "Hm.", "providerMetadata": { "anthropic": { "signature": "sig" } } },
        { "type": "text", "text": "Hi.", "providerMetadata": { "anthropic": { "x": 1 } } },
    ] });
    let messages =
        [Message::user("Hello"), serde_json::from_value(foreign).unwrap(), Message::user("Go on.")];
    let input = super::input(messages).await;
    let content = json!([{ "type": "output_text", "text": "Hi.", "annotations": [] }]);
    assert_eq!(input[1], json!({ "type": "message", "role": "assistant", "content": content }));
}

#[tokio::test]
async fn reasoning_that_was_cut_off_before_it_was_sealed_stays_away() {
    let cut: Message = serde_json::from_value(json!({ "role": "assistant", "content": [
        { "type": "reasoning", "text": "Hm", "providerMetadata": { "openai": { "item": { "type": "reasoning", "id": "rs_1" }, "thought": "summary" } } },
        { "type": "text", "text": "Hi." },
    ] })).unwrap();
    let messages = || [Message::user("Hello"), cut.clone(), Message::user("Go on.")];
    let types =
        |input: &Value| input.as_array().unwrap().iter().map(|item| item["type"].clone()).collect::<Vec<_>>();
    assert_eq!(types(&super::input(messages()).await), [Value::Null, json!("message"), Value::Null]);
    let mut stored = once(messages());
    stored.provider_options = options(json!({ "store": true }));
    let body = body("gpt-5", stored).await;
    assert_eq!(types(&body["input"]), [Value::Null, json!("reasoning"), json!("message"), Value::Null]);
}

#[tokio::test]
async fn the_request_body_is_in_the_reply_if_that_is_asked_for() {
    let fake = FakeProvider::start().await;
    fake.reply("Hi").reply("Hi");
    let settings = Settings { keep_request_body: true, ..Settings::default() };
    let reply = soon(openai(&fake, "gpt-5").generate(hello().with_settings(settings))).await.unwrap();
    assert_eq!(reply.info.request_body, Some(fake.last_request().body));
    assert!(reply.info.headers.contains_key("x-request-id"));
    let reply = soon(openai(&fake, "gpt-5").generate(hello())).await.unwrap();
    assert_eq!(reply.info.request_body, None);
}
