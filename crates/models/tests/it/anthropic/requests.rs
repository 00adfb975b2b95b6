//! What is sent, one snapshot for each feature.

use loomwork_models::history::{ForeignReasoning, UnreadableFiles};
use loomwork_models::{
    AnthropicKey, AnthropicOptions, AnthropicVersion, CacheTtl, Data, Extras, File, Format, Image, Message,
    MessagesOptions, OutputItem, OutputSchema, Part, PromptCache, Reasoning, ReasoningEffort, Request,
    Settings, Text, ToolCall, ToolChoice, ToolOutput, ToolResult,
};
use loomwork_testkit::provider::FakeProvider;
use serde_json::json;

use super::*;

/// Sends a request that the provider takes, and returns what was sent and what was warned of.
async fn send_with(model: &str, options: MessagesOptions, request: Request) -> (Value, Vec<String>) {
    let fake = FakeProvider::start().await;
    fake.reply("Yes.");
    let reply = model_with(&fake, model, options).generate(request).await.unwrap();
    let mut body = fake.last_request().body;
    // These are in all of them.
    for name in ["model", "stream"] {
        body.as_object_mut().unwrap().shift_remove(name);
    }
    (body, reply.info.warnings.into_iter().map(|warning| warning.what).collect())
}

async fn send(request: Request) -> Value {
    let (body, warnings) = send_with(MODEL, MessagesOptions::default(), request).await;
    assert_eq!(warnings, Vec::<String>::new());
    body
}

fn options(options: Value) -> Extras {
    Extras {
        provider_options: json!({ "anthropic": options }).as_object().cloned().unwrap(),
        ..Extras::default()
    }
}

fn cached(text: &str, control: Value) -> Part {
    Part::Text(Text { text: text.to_owned(), extras: options(json!({ "cacheControl": control })) })
}

fn breakpoint(ttl: &str) -> Value {
    json!({ "type": "ephemeral", "ttl": ttl })
}

#[tokio::test]
async fn settings() {
    let settings = Settings {
        max_output_tokens: Some(100),
        temperature: Some(0.3),
        top_k: Some(5),
        stop_sequences: vec!["END".to_owned()],
        ..Settings::default()
    };
    insta::assert_json_snapshot!(send(hello().with_settings(settings)).await);
}

#[tokio::test]
async fn settings_that_the_protocol_lacks_are_left_out_with_a_warning() {
    let settings = Settings {
        temperature: Some(1.7),
        seed: Some(1),
        presence_penalty: Some(0.1),
        frequency_penalty: Some(0.1),
        stop_sequences: vec![" \n".to_owned()],
        ..Settings::default()
    };
    let request = hello().with_settings(settings).with_format(Format::Json);
    let (body, warnings) = send_with(MODEL, MessagesOptions::default(), request).await;
    insta::assert_json_snapshot!(body);
    let expected =
        ["format", "presence penalty", "frequency penalty", "seed", "stop sequences", "temperature"];
    assert_eq!(warnings, expected);
}

#[tokio::test]
async fn roles_take_turns() {
    insta::assert_json_snapshot!(
        send(asks([
            Message::system("Be brief."),
            Message::system("Be kind."),
            Message::user("Hello"),
            Message::user("there"),
            Message::assistant("Hi."),
            Message::assistant("How are you?"),
            Message::user("Fine."),
        ]))
        .await
    );
}

#[tokio::test]
async fn system_messages_in_the_middle_stay_there_in_the_new_version() {
    let messages = [
        Message::system("Be brief."),
        Message::user("Hello"),
        Message::assistant("Hi."),
        Message::system("Be kind."),
        Message::user("Well?"),
    ];
    let version = AnthropicVersion::V2026_10_21;
    let options = MessagesOptions { version, ..MessagesOptions::default() };
    let (body, warnings) = send_with(MODEL, options, asks(messages.clone())).await;
    assert_eq!((&body["messages"][2]["role"], warnings.len()), (&json!("system"), 0));
    let (body, warnings) = send_with(MODEL, MessagesOptions::default(), asks(messages)).await;
    assert_eq!(
        (body["system"].as_array().map(Vec::len), warnings),
        (Some(2), vec!["system message 3".to_owned()])
    );
}

#[tokio::test]
async fn an_assistant_does_not_begin_and_ends_without_blanks() {
    let messages = [Message::assistant("Hello."), Message::user("Hi."), Message::assistant("I think \n")];
    let (body, warnings) = send_with(MODEL, MessagesOptions::default(), asks(messages)).await;
    insta::assert_json_snapshot!(body);
    assert_eq!(warnings, ["messages"]);
}

#[tokio::test]
async fn calls_and_results() {
    let call = |id: &str| ToolCall {
        id: id.to_owned(),
        name: "weather".to_owned(),
        input: json!({ "city": id }),
        ..ToolCall::default()
    };
    let calls = ["a", "b", "c", "d"].map(call);
    let items = vec![
        OutputItem::text("A map:"),
        OutputItem::File {
            data: b"\x89PNG\r\n\x1a\n"[..].to_vec().into(),
            media_type: "image/png".to_owned(),
            filename: None,
            extras: Extras::default(),
        },
    ];
    let results = [
        ToolResult::new(&calls[0], "sunny"),
        ToolResult::new(&calls[1], json!({ "degrees": 20 })),
        ToolResult::new(&calls[2], ToolOutput::error("no such city")),
        ToolResult::new(&calls[3], ToolOutput::Content(items)),
    ];
    let (first, rest) = results.split_at(2);
    insta::assert_json_snapshot!(
        send(
            asks([
                Message::user("How is the weather?"),
                Message::new(Role::Assistant, calls.into_iter().map(Part::ToolCall)),
                Message::tool(first.to_vec()),
                Message::user("Quick!"),
                Message::tool(rest.to_vec()),
            ])
            .with_tools([weather_tool()])
        )
        .await
    );
}

#[tokio::test]
async fn calls_of_the_past_need_tools_in_the_request() {
    let call =
        ToolCall { id: "a".to_owned(), name: "weather".to_owned(), input: json!({}), ..ToolCall::default() };
    let result = ToolResult::new(&call, ToolOutput::Denied { reason: Some("too dear".to_owned()) });
    let messages =
        [Message::user("Hi"), Message::new(Role::Assistant, [Part::ToolCall(call)]), Message::tool([result])];
    insta::assert_json_snapshot!(send(asks(messages)).await);
}

#[tokio::test]
async fn images_and_documents() {
    let png = b"\x89PNG\r\n\x1a\n".to_vec();
    let file = |data: Data, media_type: &str, filename: Option<&str>, extras: Extras| {
        let (media_type, filename) = (media_type.to_owned(), filename.map(str::to_owned));
        Part::File(File { data, media_type, filename, extras })
    };
    let reference = || Data::Reference(json!({ "anthropic": "file_1" }).as_object().cloned().unwrap());
    let citing = options(json!({ "citations": { "enabled": true }, "context": "Of last year." }));
    insta::assert_json_snapshot!(
        send(asks([Message::new(
            Role::User,
            [
                Part::image(png.clone()),
                Part::image_url("https://example.com/a.png"),
                Part::image_url("data:image/webp;base64,UklGRgAAAABXRUJQ"),
                Part::Image(Image { data: reference(), media_type: None, extras: Extras::default() }),
                file(png.into(), "image/png", None, Extras::default()),
                file(b"%PDF-1.7".to_vec().into(), "application/pdf", Some("report.pdf"), citing),
                file(
                    Data::Url("https://example.com/a.pdf".to_owned()),
                    "application/pdf",
                    None,
                    Extras::default()
                ),
                file("Grüezi".as_bytes().to_vec().into(), "text/markdown", Some("a.md"), Extras::default()),
                file(reference(), "application/pdf", None, Extras::default()),
                file(reference(), "text/csv", None, Extras::default()),
                file(reference(), "application/zip", None, Extras::default()),
                Part::text("What are these?"),
            ]
        )]))
        .await
    );
}

#[tokio::test]
async fn search_results_are_blocks_of_the_callers_own() {
    let block = json!({ "type": "search_result", "source": "kb:1", "title": "Looms",
        "content": [{ "type": "text", "text": "A loom weaves." }], "citations": { "enabled": true } });
    let custom = loomwork_models::Custom {
        kind: "anthropic.search_result".to_owned(),
        extras: options(json!({ "block": block })),
    };
    let message = Message::new(Role::User, [Part::Custom(custom), Part::text("What is a loom?")]);
    assert_eq!(send(asks([message])).await["messages"][0]["content"][0], block);
}

#[tokio::test]
async fn documents_of_an_assistant_are_for_the_old_version_only() {
    let document = Part::file("Grüezi".as_bytes().to_vec(), "text/plain");
    let messages =
        [Message::user("Write."), Message::new(Role::Assistant, [document]), Message::user("Thanks.")];
    assert_eq!(send(asks(messages.clone())).await["messages"][1]["content"][0]["type"], "document");
    let version = AnthropicVersion::V2026_10_21;
    let options = MessagesOptions { version, ..MessagesOptions::default() };
    let (body, warnings) = send_with(MODEL, options, asks(messages)).await;
    assert_eq!(body["messages"][1]["content"][0]["type"], "text");
    assert_eq!(warnings, ["file, part 0 of message 1 (assistant)"]);
}

#[tokio::test]
async fn citations_of_a_user_are_for_the_old_version_only() {
    let cited = Text {
        text: "So.".to_owned(),
        extras: options(json!({ "citations": [{ "type": "char_location" }] })),
    };
    let message = Message::new(Role::User, [Part::Text(cited)]);
    assert!(send(asks([message.clone()])).await["messages"][0]["content"][0]["citations"].is_array());
    let version = AnthropicVersion::V2026_10_21;
    let options = MessagesOptions { version, ..MessagesOptions::default() };
    let (body, warnings) = send_with(MODEL, options, asks([message])).await;
    assert_eq!(body["messages"][0]["content"][0], json!({ "type": "text", "text": "So." }));
    assert_eq!(warnings, ["citations"]);
}

#[tokio::test]
async fn files_that_are_not_read_may_be_noted() {
    let options = MessagesOptions { unreadable_files: UnreadableFiles::Note, ..MessagesOptions::default() };
    let message = Message::new(Role::User, [Part::file(vec![0; 8], "audio/wav")]);
    let (body, warnings) = send_with(MODEL, options, asks([message])).await;
    assert_eq!(
        body["messages"][0]["content"][0]["text"],
        "[file of type audio/wav, which cannot be shown here]"
    );
    assert_eq!(warnings.len(), 1);
}

#[tokio::test]
async fn breakpoints_of_the_cache_stand_where_parts_and_messages_say() {
    let mut user = Message::user("Hello");
    user.provider_options = options(json!({ "cacheControl": { "type": "ephemeral" } })).provider_options;
    let ToolSpec::Function { name, description, input_schema, strict, .. } = weather_tool() else {
        unreachable!()
    };
    let provider_options = options(json!({ "cacheControl": breakpoint("1h") })).provider_options;
    let tool = ToolSpec::Function { name, description, input_schema, strict, provider_options };
    let system = Message::new(Role::System, [cached("Be brief.", breakpoint("1h"))]);
    insta::assert_json_snapshot!(send(asks([system, user]).with_tools([tool])).await);
}

#[tokio::test]
async fn the_last_four_breakpoints_stay_and_the_longer_lived_come_first() {
    let parts = ["a", "b", "c", "d"].map(|text| cached(text, json!({ "type": "ephemeral" })));
    let system = Message::new(Role::System, [cached("Be brief.", json!({ "type": "ephemeral" }))]);
    let mut messages = vec![system, Message::new(Role::User, parts)];
    messages.push(Message::assistant("Yes."));
    messages.push(Message::new(Role::User, [cached("e", breakpoint("1h"))]));
    let (body, warnings) = send_with(MODEL, MessagesOptions::default(), asks(messages)).await;
    insta::assert_json_snapshot!(body);
    assert_eq!(warnings.len(), 5, "{warnings:?}");
}

#[tokio::test]
async fn breakpoints_may_be_placed_by_themselves() {
    let cache = PromptCache::Automatic(CacheTtl::Hour);
    let options = MessagesOptions { cache, ..MessagesOptions::default() };
    let messages = [
        Message::system("Be brief."),
        Message::user("Hello"),
        Message::assistant("Hi."),
        Message::user("So?"),
    ];
    let (body, warnings) = send_with(MODEL, options, asks(messages).with_tools([weather_tool()])).await;
    insta::assert_json_snapshot!(body);
    assert_eq!(warnings, Vec::<String>::new());
}

fn thinks(effort: ReasoningEffort) -> Settings {
    Settings { reasoning_effort: Some(effort), ..Settings::default() }
}

#[tokio::test]
async fn efforts_are_budgets_or_words() {
    for (model, effort, thinking, output_config) in [
        (MODEL, ReasoningEffort::Minimal, json!({ "type": "enabled", "budget_tokens": 1024 }), json!(null)),
        (MODEL, ReasoningEffort::Max, json!({ "type": "enabled", "budget_tokens": 48_000 }), json!(null)),
        (MODEL, ReasoningEffort::None, json!(null), json!(null)),
        (
            "claude-sonnet-5",
            ReasoningEffort::High,
            json!({ "type": "adaptive" }),
            json!({ "effort": "high" }),
        ),
        ("claude-sonnet-5", ReasoningEffort::None, json!({ "type": "disabled" }), json!(null)),
        ("claude-3-5-haiku-latest", ReasoningEffort::High, json!(null), json!(null)),
    ] {
        let request = hello().with_settings(thinks(effort));
        let (body, warnings) = send_with(model, MessagesOptions::default(), request).await;
        assert_eq!((&body["thinking"], &body["output_config"]), (&thinking, &output_config), "{model}");
        assert_eq!(warnings.len(), usize::from(model.contains("3-5")));
    }
    let settings = Settings { max_output_tokens: Some(1000), ..thinks(ReasoningEffort::Low) };
    let (body, warnings) =
        send_with(MODEL, MessagesOptions::default(), hello().with_settings(settings)).await;
    assert_eq!((&body["thinking"], warnings), (&json!(null), vec!["reasoning effort".to_owned()]));
}

#[tokio::test]
async fn a_model_that_thinks_is_not_forced_and_not_sampled() {
    let settings = Settings { temperature: Some(0.5), top_k: Some(3), ..thinks(ReasoningEffort::Low) };
    let request =
        hello().with_settings(settings).with_tools([weather_tool()]).with_tool_choice(ToolChoice::Required);
    let (body, warnings) = send_with(MODEL, MessagesOptions::default(), request).await;
    insta::assert_json_snapshot!(body);
    assert_eq!(warnings, ["tool choice", "temperature", "top_k"]);
}

#[tokio::test]
async fn the_callers_own_thinking_goes_before_the_effort() {
    let own = json!({ "anthropic": { "thinking": { "type": "between_tools" } } });
    let request = Request { provider_options: own.as_object().cloned().unwrap(), ..hello() };
    let request = request.with_tools([weather_tool()]).with_tool_choice(ToolChoice::Required);
    let (body, _) = send_with(MODEL, MessagesOptions::default(), request).await;
    assert_eq!(
        (&body["thinking"]["type"], &body["tool_choice"]["type"]),
        (&json!("between_tools"), &json!("auto"))
    );
}

#[tokio::test]
async fn a_turn_that_another_model_began_goes_on_without_thinking() {
    let call =
        ToolCall { id: "a".to_owned(), name: "weather".to_owned(), input: json!({}), ..ToolCall::default() };
    let bag = json!({ "openai": { "itemId": "rs_1" } }).as_object().cloned().unwrap();
    let extras = Extras { provider_metadata: bag, ..Extras::default() };
    let thought = Part::Reasoning(Reasoning { text: "Hm.".to_owned(), extras });
    let result = ToolResult::new(&call, "sunny");
    let messages = [
        Message::user("Hi"),
        Message::new(Role::Assistant, [thought, Part::ToolCall(call)]),
        Message::tool([result]),
    ];
    let request = asks(messages).with_tools([weather_tool()]).with_settings(thinks(ReasoningEffort::High));
    let foreign_reasoning = ForeignReasoning::Text;
    let options = MessagesOptions { foreign_reasoning, ..MessagesOptions::default() };
    let (body, warnings) = send_with(MODEL, options, request).await;
    assert_eq!(body["thinking"], json!({ "type": "disabled" }));
    assert_eq!(body["messages"][1]["content"][0]["text"], "<thinking>\nHm.\n</thinking>");
    assert_eq!(warnings, ["reasoning effort"]);
}

#[tokio::test]
async fn tool_choices() {
    for (choice, sent) in [
        (ToolChoice::Auto, json!(null)),
        (ToolChoice::None, json!({ "type": "none" })),
        (ToolChoice::Required, json!({ "type": "any" })),
        (ToolChoice::Tool { name: "weather".to_owned() }, json!({ "type": "tool", "name": "weather" })),
    ] {
        let request = hello().with_tools([weather_tool()]).with_tool_choice(choice);
        assert_eq!(send(request).await["tool_choice"], sent);
    }
    let own = json!({ "anthropic": { "disable_parallel_tool_use": true } }).as_object().cloned().unwrap();
    let request = Request { provider_options: own, ..hello() }.with_tools([weather_tool()]);
    let body = send(request).await;
    assert_eq!(body["tool_choice"], json!({ "type": "auto", "disable_parallel_tool_use": true }));
    assert_eq!(body["disable_parallel_tool_use"], json!(null));
}

#[tokio::test]
async fn strict_tools_and_tools_of_the_provider() {
    let ToolSpec::Function { name, description, input_schema, provider_options, .. } = weather_tool() else {
        unreachable!()
    };
    let strict = ToolSpec::Function { name, description, input_schema, strict: Some(true), provider_options };
    let provider = |id: &str, args: Value| ToolSpec::Provider { id: id.to_owned(), args };
    let tools = [
        strict,
        provider("anthropic.web_search_20250305", json!({ "max_uses": 3 })),
        provider("anthropic.text_editor_20250728", json!({})),
        provider("openai.web_search", json!({})),
    ];
    let (body, warnings) = send_with(MODEL, MessagesOptions::default(), hello().with_tools(tools)).await;
    insta::assert_json_snapshot!(body);
    assert_eq!(warnings, ["tool openai.web_search"]);
}

#[tokio::test]
async fn schemas_of_answers() {
    let schema = json!({ "type": "object", "properties": { "age": { "type": "integer", "minimum": 0 } } });
    let format = || {
        Format::Schema(OutputSchema {
            name: "person".to_owned(),
            description: None,
            schema: schema.clone(),
            strict: true,
        })
    };
    insta::assert_json_snapshot!(send(hello().with_format(format())).await);
    let options = MessagesOptions { native_schemas: Some(false), ..MessagesOptions::default() };
    let (body, warnings) = send_with(MODEL, options, hello().with_format(format())).await;
    assert!(body["system"][0]["text"].as_str().unwrap().contains("\"minimum\":0"));
    assert_eq!(warnings, ["format"]);
}

#[tokio::test]
async fn fields_of_the_callers_own_are_passed_on() {
    let own = json!({ "anthropic": {
        "metadata": { "user_id": "u1" }, "service_tier": "standard_only", "output_config": { "effort": "low" },
        "betas": ["b2"], "container": "c_1",
    }, "openai": { "store": true } });
    let request = Request { provider_options: own.as_object().cloned().unwrap(), ..hello() };
    insta::assert_json_snapshot!(send(request).await);
}

#[tokio::test]
async fn betas_of_all_who_want_them_and_the_key() {
    let fake = FakeProvider::start().await;
    fake.otherwise(|_| "Yes.".into());
    let headers = [("Anthropic-Beta".to_owned(), "b3, b1".to_owned()), ("x-own".to_owned(), "1".to_owned())];
    let settings = Settings { headers: headers.into(), ..Settings::default() };
    let own = json!({ "anthropic": { "betas": ["b2"] } }).as_object().cloned().unwrap();
    let request = || Request { provider_options: own.clone(), ..hello().with_settings(settings.clone()) };
    let options =
        AnthropicOptions { betas: vec!["b1".to_owned()], ..AnthropicOptions::compatible(fake.url(), "k") };
    Anthropic::with(options.clone()).messages(MODEL).generate(request()).await.unwrap();
    let sent = fake.last_request();
    assert_eq!(sent.header("anthropic-beta"), Some("b1,b2,b3"));
    assert_eq!((sent.header("x-own"), sent.header("x-api-key")), (Some("1"), Some("k")));
    assert_eq!((sent.path.as_str(), sent.header("authorization")), ("/v1/messages", None));

    let base_url = format!("{}/v1", fake.url());
    let options = AnthropicOptions { key: AnthropicKey::Bearer("t".into()), base_url, ..options };
    Anthropic::with(options).messages(MODEL).generate(request()).await.unwrap();
    let sent = fake.last_request();
    assert_eq!((sent.header("authorization"), sent.header("x-api-key")), (Some("Bearer t"), None));
    assert_eq!(sent.path, "/v1/messages");
}

#[tokio::test]
async fn ids_of_other_providers_are_made_to_fit() {
    let call = ToolCall {
        id: "functions.weather:0".to_owned(),
        name: "weather".to_owned(),
        input: json!({}),
        ..ToolCall::default()
    };
    let result = ToolResult::new(&call, "sunny");
    let messages =
        [Message::user("Hi"), Message::new(Role::Assistant, [Part::ToolCall(call)]), Message::tool([result])];
    let body = send(asks(messages).with_tools([weather_tool()])).await;
    assert_eq!(body["messages"][1]["content"][0]["id"], "functions_weather_0");
    assert_eq!(body["messages"][2]["content"][0]["tool_use_id"], "functions_weather_0");
}
