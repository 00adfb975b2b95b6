//! What is sent: a snapshot for each feature.

use loomwork_models::{
    Data, Dialect, Extras, File, Format, Message, OutputItem, OutputSchema, Part, ReasoningEffort, Request,
    Role, Settings, Text, ToolCall, ToolChoice, ToolOutput, ToolResult, ToolSpec,
};
use loomwork_testkit::provider::FakeProvider;
use loomwork_testkit::soon;
use serde_json::{Value, json};

use super::{model, openai};

/// Returns the body that a request makes, and what it warns of.
async fn sent(dialect: Dialect, name: &str, request: Request) -> (Value, Vec<String>) {
    let fake = FakeProvider::start().await;
    fake.reply("OK");
    let reply = soon(model(&fake, "openai", dialect, name).generate(request)).await.unwrap();
    let warnings = reply.info.warnings.into_iter().map(|warning| warning.what).collect();
    (fake.last_request().body, warnings)
}

fn weather() -> ToolSpec {
    let schema = json!({
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    });
    ToolSpec::function("weather", "Tells the weather of a city.", schema)
}

#[tokio::test]
async fn a_conversation_of_all_roles() {
    let call = ToolCall {
        id: "call_1".into(),
        name: "weather".into(),
        input: json!({"city": "Bern"}),
        ..ToolCall::default()
    };
    let other = ToolCall { id: "call_2".into(), ..call.clone() };
    let picture = OutputItem::File {
        data: Data::from(b"\x89PNG\r\n\x1a\n".as_slice()),
        media_type: "image/png".into(),
        filename: None,
        extras: Extras::default(),
    };
    let request = Request::new([
        Message::system("Be brief."),
        Message::user("How is the weather in Bern?"),
        Message::new(
            Role::Assistant,
            [
                Part::reasoning("Look it up."),
                Part::text("I look."),
                Part::ToolCall(call.clone()),
                Part::ToolCall(other.clone()),
            ],
        ),
        Message::tool([
            ToolResult::new(&call, json!({"sky": "clear"})),
            ToolResult::new(&other, ToolOutput::Content(vec![OutputItem::text("a map"), picture])),
        ]),
        Message::assistant("Clear."),
        Message::user("Thanks."),
    ]);
    let (body, warnings) = sent(Dialect::openai(), "gpt-4o-mini", request.with_tools([weather()])).await;
    insta::assert_json_snapshot!("conversation", body);
    assert_eq!(warnings, Vec::<String>::new());
}

#[tokio::test]
async fn c13_files_of_all_kinds() {
    let pdf = Part::File(File {
        data: Data::from(b"%PDF-1.7".as_slice()),
        media_type: "application/pdf".into(),
        filename: Some("plan.pdf".into()),
        extras: Extras::default(),
    });
    let detailed = {
        let mut image = Part::image_url("https://example.com/loom.jpg");
        let extras = image.extras_mut().unwrap();
        extras.provider_options.insert("openai".into(), json!({"detail": "low"}));
        image
    };
    let reference = Data::Reference([("openai".to_owned(), json!("file-1"))].into_iter().collect());
    let parts = [
        Part::text("Look:"),
        detailed,
        Part::image(b"\xff\xd8\xff\xe0".as_slice()),
        Part::file(b"RIFF\0\0\0\0WAVE".as_slice(), "audio/wav"),
        Part::file(b"ID3\0".as_slice(), "audio/mpeg"),
        pdf,
        Part::file(reference, "application/pdf"),
        Part::file(b"a;b".as_slice(), "text/csv"),
    ];
    let (body, _) = sent(Dialect::openai(), "gpt-4o", Request::new([Message::new(Role::User, parts)])).await;
    insta::assert_json_snapshot!("files", body["messages"]);
}

#[tokio::test]
async fn settings_are_spelled_as_the_server_spells_them() {
    let settings = Settings {
        max_output_tokens: Some(100),
        temperature: Some(0.5),
        top_p: Some(0.9),
        presence_penalty: Some(0.1),
        frequency_penalty: Some(0.2),
        stop_sequences: vec!["END".into()],
        seed: Some(7),
        ..Settings::default()
    };
    let request = Request::new([Message::user("Hi")]).with_settings(settings.clone());
    let (body, warnings) = sent(Dialect::openai(), "gpt-4o", request.clone()).await;
    insta::assert_json_snapshot!("settings", body);
    assert_eq!(warnings, Vec::<String>::new());
    let (body, _) = sent(Dialect::compatible(), "m", request).await;
    assert_eq!((&body["max_tokens"], body.get("max_completion_tokens")), (&json!(100), None));
}

#[tokio::test]
async fn c13_models_that_think_get_a_developer_and_no_sampling() {
    let settings = Settings {
        temperature: Some(0.5),
        reasoning_effort: Some(ReasoningEffort::Minimal),
        max_output_tokens: Some(9),
        ..Settings::default()
    };
    let request = Request::new([Message::system("Be brief."), Message::user("Hi")]).with_settings(settings);
    let (body, warnings) = sent(Dialect::openai(), "gpt-5-mini", request).await;
    assert_eq!((&body["messages"][0]["role"], body.get("temperature")), (&json!("developer"), None));
    assert_eq!((&body["reasoning_effort"], &body["max_completion_tokens"]), (&json!("minimal"), &json!(9)));
    assert_eq!(warnings, ["temperature"]);
}

#[tokio::test]
async fn tools_of_all_kinds_and_choices() {
    let strict = match weather() {
        ToolSpec::Function { name, description, input_schema, .. } => ToolSpec::Function {
            name: format!("{name}_strict"),
            description,
            input_schema,
            strict: Some(true),
            provider_options: Default::default(),
        },
        other => other,
    };
    let custom = ToolSpec::Provider {
        id: "openai.custom".into(),
        args: json!({"name": "run", "description": "Runs code.", "format": {"type": "text"}}),
    };
    let search =
        ToolSpec::Provider { id: "openai.web_search".into(), args: json!({"search_context_size": "low"}) };
    let foreign = ToolSpec::Provider { id: "anthropic.bash".into(), args: json!({}) };
    let request =
        Request::new([Message::user("Hi")]).with_tools([weather(), strict, custom, search, foreign]);
    let (body, warnings) = sent(Dialect::openai(), "gpt-4o", request.clone()).await;
    insta::assert_json_snapshot!(
        "tools",
        json!({
            "tools": body["tools"], "tool_choice": body["tool_choice"], "web_search_options": body["web_search_options"],
        })
    );
    assert_eq!(warnings, ["tool anthropic.bash"]);
    for (choice, written) in [
        (ToolChoice::None, json!("none")),
        (ToolChoice::Required, json!("required")),
        (
            ToolChoice::Tool { name: "weather".into() },
            json!({"type": "function", "function": {"name": "weather"}}),
        ),
        (ToolChoice::Tool { name: "run".into() }, json!({"type": "custom", "custom": {"name": "run"}})),
    ] {
        let (body, _) = sent(Dialect::openai(), "gpt-4o", request.clone().with_tool_choice(choice)).await;
        assert_eq!(body["tool_choice"], written);
    }
}

#[tokio::test]
async fn provider_options_are_fields_of_the_request_and_go_before_ours() {
    let allowed = json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "weather"}}]}});
    let mut request = Request::new([Message::user("Hi")]).with_tools([weather()]);
    request.provider_options.insert(
        "openai".into(),
        json!({"tool_choice": allowed, "parallel_tool_calls": false, "verbosity": "low", "service_tier": "flex"}),
    );
    request.provider_options.insert("anthropic".into(), json!({"thinking": {}}));
    request.messages[0].provider_options.insert("openai".into(), json!({"name": "ada"}));
    let text = Text { text: "More.".into(), extras: Extras::default() };
    let mut text = Part::Text(text);
    text.extras_mut()
        .unwrap()
        .provider_options
        .insert("openai".into(), json!({"prompt_cache_breakpoint": {"mode": "explicit"}}));
    request.messages[0].parts.push(text);
    let (body, _) = sent(Dialect::openai(), "gpt-4o", request).await;
    assert_eq!((&body["tool_choice"], &body["verbosity"]), (&allowed, &json!("low")));
    assert_eq!((&body["service_tier"], &body["parallel_tool_calls"]), (&json!("flex"), &json!(false)));
    assert_eq!((body.get("thinking"), &body["messages"][0]["name"]), (None, &json!("ada")));
    assert_eq!(body["messages"][0]["content"][1]["prompt_cache_breakpoint"]["mode"], "explicit");
}

#[tokio::test]
async fn formats_are_native_where_the_server_has_them() {
    let schema = OutputSchema {
        name: "forecast".into(),
        description: Some("A forecast.".into()),
        schema: json!({"type": "object", "properties": {"sky": {"type": "string"}}}),
        strict: true,
    };
    let request = Request::new([Message::user("As json.")]).with_format(Format::Schema(schema));
    let (body, warnings) = sent(Dialect::openai(), "gpt-4o", request.clone()).await;
    insta::assert_json_snapshot!("format", body["response_format"]);
    assert_eq!(warnings, Vec::<String>::new());
    let (body, warnings) = sent(Dialect::deepseek(), "m", request).await;
    assert_eq!(
        (&body["response_format"]["type"], warnings),
        (&json!("json_object"), vec!["format".to_owned()])
    );
    let request = Request::new([Message::user("As json.")]).with_format(Format::Json);
    let (body, _) = sent(Dialect::openai(), "gpt-4o", request).await;
    assert_eq!(body["response_format"], json!({"type": "json_object"}));
}

#[tokio::test]
async fn a_schema_that_cannot_be_strict_names_the_tool() {
    let fake = FakeProvider::start().await;
    let open = ToolSpec::Function {
        name: "note".into(),
        description: String::new(),
        input_schema: json!({"type": "object", "additionalProperties": {"type": "string"}}),
        strict: Some(true),
        provider_options: Default::default(),
    };
    let request = Request::new([Message::user("Hi")]).with_tools([open]);
    let error = openai(&fake).generate(request).await.unwrap_err();
    assert!(error.message().starts_with("tool `note`: the schema cannot be strict"), "{error}");
}

#[tokio::test]
async fn headers_of_provider_and_call_are_sent_and_the_body_is_kept_where_that_is_wanted() {
    let fake = FakeProvider::start().await;
    fake.reply("OK").reply("OK");
    let mut options = super::options(&fake, "openai", Dialect::openai());
    options.organization = Some("org_1".into());
    options.project = Some("proj_1".into());
    options.headers.insert("x-title".into(), "loom".into());
    options.query.insert("tier".into(), "a".into());
    options.body.insert("store".into(), json!(false));
    let model = loomwork_models::OpenAi::with(options).chat("gpt-4o");
    let mut request = Request::new([Message::user("Hi")]);
    soon(model.generate(request.clone())).await.unwrap();
    request.settings.headers.insert("x-title".into(), "warp".into());
    request.settings.keep_request_body = true;
    let reply = soon(model.generate(request)).await.unwrap();
    let [first, second] = &fake.requests()[..] else { panic!("two requests were made") };
    assert_eq!(
        (first.header("authorization"), first.header("openai-project")),
        (Some("Bearer sk-test"), Some("proj_1"))
    );
    assert_eq!((first.header("openai-organization"), first.query.as_str()), (Some("org_1"), "tier=a"));
    assert_eq!((first.header("x-title"), second.header("x-title")), (Some("loom"), Some("warp")));
    assert!(first.header("user-agent").unwrap().starts_with("loomwork/"));
    assert_eq!((&first.body["store"], reply.info.request_body), (&json!(false), Some(second.body.clone())));
}
