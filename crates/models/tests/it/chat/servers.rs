//! C14: servers by name, with what each of them sends and takes.

use loomwork_models::{
    Dialect, ErrorKind, FinishReason, Image, Message, OpenAi, OpenAiOptions, Part, ReasoningEffort, Request,
    Role, Settings, ToolCall, ToolChoice, ToolResult, ToolSpec,
};
use loomwork_testkit::provider::{self, FakeProvider, ReasoningForm};
use loomwork_testkit::soon;
use serde_json::{Value, json};

use super::{model, once, options, read};

/// An event of a stream.
fn data(event: &Value) -> String {
    format!("data: {event}\n\n")
}

fn delta(delta: Value, reason: Option<&str>) -> Value {
    json!({"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
}

fn weather() -> ToolSpec {
    ToolSpec::function("weather", "The weather of a city.", json!({"type": "object", "properties": {}}))
}

#[tokio::test]
async fn c14_azure_begins_with_its_filters_and_names_the_deployment_in_the_path() {
    let fake = FakeProvider::start().await;
    let filters = json!([{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": false}}}]);
    let mut first = json!({"id": "", "model": "", "choices": [], "created": 0});
    first["prompt_filter_results"] = filters.clone();
    let mut last = delta(json!({}), Some("stop"));
    last["choices"][0]["content_filter_results"] = json!({"hate": {"filtered": false}});
    fake.reply(provider::Reply::sse([
        data(&first),
        data(&delta(json!({"content": "Hi"}), None)),
        data(&last),
    ]));
    let mut azure = OpenAiOptions::azure(fake.url(), "key", Some("2024-10-21"));
    azure.http.proxy = loomwork_models::Proxy::None;
    let reply = soon(OpenAi::with(azure).chat("gpt4").generate(once())).await.unwrap();
    assert_eq!((reply.text().as_str(), reply.info.id.as_deref()), ("Hi", Some("c1")));
    assert_eq!((reply.info.model.as_str(), reply.info.created), ("m", None));
    assert_eq!(reply.finish.provider_metadata["azure"]["prompt_filter_results"], filters);
    assert_eq!(reply.finish.provider_metadata["azure"]["content_filter_results"]["hate"]["filtered"], false);
    let request = fake.last_request();
    assert_eq!(request.path, "/openai/deployments/gpt4/chat/completions");
    assert_eq!((request.query.as_str(), request.header("api-key")), ("api-version=2024-10-21", Some("key")));
    assert_eq!(request.header("authorization"), None);
}

#[tokio::test]
async fn c14_ollama_gets_what_it_knows_and_no_more() {
    let fake = FakeProvider::start().await;
    let calls = json!([{"id": "call_1", "index": 0, "type": "function",
        "function": {"name": "weather", "arguments": "{}"}}]);
    fake.reply(provider::Reply::sse([
        data(&delta(json!({"role": "assistant", "content": "", "reasoning": "Hm."}), None)),
        data(&delta(json!({"role": "assistant", "content": "", "tool_calls": calls}), None)),
        data(&delta(json!({"role": "assistant", "content": ""}), Some("stop"))),
        "data: [DONE]\n\n".to_owned(),
    ]));
    let settings = Settings {
        max_output_tokens: Some(50),
        reasoning_effort: Some(ReasoningEffort::XHigh),
        top_k: Some(5),
        ..Settings::default()
    };
    let request = Request::new([Message::user("Weather?")])
        .with_tools([weather(), ToolSpec::function("other", "Another.", json!({"type": "object"}))])
        .with_tool_choice(ToolChoice::Tool { name: "weather".to_owned() })
        .with_settings(settings);
    let reply = soon(model(&fake, "ollama", Dialect::ollama(), "qwen3").generate(request)).await.unwrap();
    assert_eq!((reply.finish.reason, reply.reasoning().as_str()), (FinishReason::ToolCalls, "Hm."));
    let warned: Vec<_> = reply.info.warnings.iter().map(|warning| warning.what.as_str()).collect();
    assert_eq!(warned, ["topK", "reasoningEffort", "toolChoice"]);
    let body = fake.last_request().body;
    assert_eq!((&body["max_tokens"], &body["reasoning_effort"]), (&json!(50), &json!("high")));
    assert_eq!(body["tools"].as_array().unwrap().len(), 1);
    assert!(body.get("tool_choice").is_none() && body.get("max_completion_tokens").is_none());
}

#[tokio::test]
async fn c14_ollama_reads_images_as_bytes_and_not_by_address() {
    let fake = FakeProvider::start().await;
    let ollama = model(&fake, "ollama", Dialect::ollama(), "llava");
    fake.reply("A loom.");
    let png = Part::image(b"\x89PNG\r\n\x1a\n".as_slice());
    soon(ollama.generate(Request::new([Message::new(Role::User, [png])]))).await.unwrap();
    let url = fake.last_request().body["messages"][0]["content"][0]["image_url"]["url"].clone();
    assert_eq!(url, "data:image/png;base64,iVBORw0KGgo=");
    let address = Part::image_url("https://example.com/loom.png");
    let error = ollama.generate(Request::new([Message::new(Role::User, [address])])).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::BadRequest);
    assert!(error.to_string().starts_with("ollama/llava: bad_request: part 0 of message 0"), "{error}");
}

#[tokio::test]
async fn c14_an_image_type_that_the_provider_refuses_is_named() {
    let fake = FakeProvider::start().await;
    let bitmap = Image { data: b"BMxxxx".as_slice().into(), media_type: None, extras: Default::default() };
    let request = Request::new([Message::new(Role::User, [Part::Image(bitmap)])]);
    let error = super::openai(&fake).generate(request).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::BadRequest);
    assert!(error.to_string().contains("image/bmp") && error.to_string().contains("image/png"), "{error}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn c14_vllm_has_keys_of_its_own_and_a_stop_reason() {
    let fake = FakeProvider::start().await;
    let mut last = delta(json!({"reasoning": null, "content": "4"}), Some("stop"));
    last["choices"][0]["stop_reason"] = json!(151645);
    fake.reply(provider::Reply::sse([data(&delta(json!({"reasoning": "2+2"}), None)), data(&last)]));
    let mut request = once();
    request.settings.top_k = Some(20);
    request
        .provider_options
        .insert("vllm".to_owned(), json!({"chat_template_kwargs": {"enable_thinking": true}}));
    let reply = soon(model(&fake, "vllm", Dialect::vllm(), "q").generate(request)).await.unwrap();
    assert_eq!((reply.reasoning().as_str(), reply.text().as_str()), ("2+2", "4"));
    assert_eq!(reply.finish.provider_metadata["vllm"]["stop_reason"], 151645);
    let body = fake.last_request().body;
    assert_eq!(
        (&body["top_k"], &body["chat_template_kwargs"]["enable_thinking"]),
        (&json!(20), &json!(true))
    );
}

#[tokio::test]
async fn c14_llama_cpp_gets_a_named_choice_as_the_only_tool_and_its_timings_are_kept() {
    let fake = FakeProvider::start().await;
    let mut last = delta(json!({"content": "Hi"}), Some("stop"));
    last["timings"] = json!({"predicted_per_second": 40.5});
    let loading = provider::Reply::from(provider::Failure::status(503).header("retry-after-ms", "1"));
    fake.reply(loading).reply(provider::Reply::sse([data(&last)]));
    let request = Request::new([Message::user("Weather?")])
        .with_tools([weather(), ToolSpec::function("other", "Another.", json!({"type": "object"}))])
        .with_tool_choice(ToolChoice::Tool { name: "weather".to_owned() });
    let reply = soon(model(&fake, "llamacpp", Dialect::llama_cpp(), "m").generate(request)).await.unwrap();
    assert_eq!(reply.finish.provider_metadata["llamacpp"]["timings"]["predicted_per_second"], 40.5);
    let body = fake.last_request().body;
    assert_eq!((&body["tool_choice"], body["tools"].as_array().unwrap().len()), (&json!("required"), 1));
}

#[tokio::test]
async fn c14_openrouter_comments_costs_and_reasoning_details() {
    let fake = FakeProvider::start().await;
    let piece = |text: &str| json!([{"type": "reasoning.text", "text": text, "format": "x", "index": 0}]);
    let sealed = json!([{"type": "reasoning.encrypted", "data": "c2VhbA==", "index": 1}]);
    let calls = json!([{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]);
    let mut last = delta(json!({"content": ""}), Some("tool_calls"));
    last["choices"][0]["native_finish_reason"] = json!("tool_use");
    let mut usage =
        json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}});
    usage["usage"]["cost"] = json!(0.00045);
    let answer = provider::Reply::sse([
        ": OPENROUTER PROCESSING\n\n".to_owned(),
        data(&delta(json!({"reasoning": "Look", "reasoning_details": piece("Look")}), None)),
        ": OPENROUTER PROCESSING\n\n".to_owned(),
        data(&delta(json!({"reasoning": " it up", "reasoning_details": piece(" it up")}), None)),
        data(&delta(json!({"reasoning_details": sealed}), None)),
        data(&delta(json!({"tool_calls": calls}), None)),
        data(&last),
        data(&usage),
    ]);
    fake.reply(answer.header("x-generation-id", "gen-1")).reply("Sunny.");
    let router = model(&fake, "openrouter", Dialect::openrouter(), "anthropic/claude-sonnet-4.5");
    let reply = soon(router.generate(once())).await.unwrap();
    assert_eq!(reply.info.headers["x-generation-id"], "gen-1");
    assert_eq!(reply.usage().cost.as_deref(), Some("0.00045"));
    assert_eq!(reply.finish.provider_metadata["openrouter"]["native_finish_reason"], "tool_use");

    let call: ToolCall = reply.tool_calls().next().unwrap().clone();
    let history = [
        Message::user("Weather?"),
        Message::new(Role::Assistant, reply.parts),
        Message::tool([ToolResult::new(&call, "sunny")]),
    ];
    soon(router.generate(Request::new(history))).await.unwrap();
    let assistant = &fake.last_request().body["messages"][1];
    let details = json!([
        {"type": "reasoning.text", "text": "Look it up", "format": "x", "index": 0},
        {"type": "reasoning.encrypted", "data": "c2VhbA==", "index": 1},
    ]);
    assert_eq!((&assistant["reasoning_details"], &assistant["reasoning"]), (&details, &json!("Look it up")));
}

#[tokio::test]
async fn c14_openrouter_errors_have_numbers_for_codes_inside_the_stream_too() {
    let error =
        json!({"code": 502, "message": "Provider returned error", "metadata": {"raw": "upstream is down"}});
    let mut event = delta(json!({"content": ""}), Some("error"));
    event["error"] = error.clone();
    let cut = provider::Reply::sse([data(&delta(json!({"content": "Good"}), None)), data(&event)]);
    let failed = read(cut).await.unwrap_err();
    assert_eq!((failed.kind(), failed.code()), (&ErrorKind::Overloaded, Some("502")));
    assert!(failed.message().contains("upstream is down"), "{failed}");
    assert_eq!(failed.partial().unwrap().text(), "Good");
    let body = json!({"error": {"code": 402, "message": "Insufficient credits"}}).to_string();
    let failed = read(provider::Reply::raw(402, "application/json", body)).await.unwrap_err();
    assert_eq!((failed.kind(), failed.is_retryable()), (&ErrorKind::Quota, false));
}

#[tokio::test]
async fn c14_deepseek_counts_hits_and_misses_in_the_event_of_the_end() {
    let fake = FakeProvider::start().await;
    let mut last = delta(json!({"content": "", "reasoning_content": null}), Some("stop"));
    last["usage"] = json!({
        "prompt_tokens": 100, "completion_tokens": 30, "total_tokens": 130,
        "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36,
        "completion_tokens_details": {"reasoning_tokens": 20},
    });
    let answer = [
        data(&delta(json!({"role": "assistant", "content": null, "reasoning_content": "Hm"}), None)),
        data(&delta(json!({"content": "Yes", "reasoning_content": null}), None)),
        data(&last),
    ];
    fake.reply(provider::Reply::sse(answer));
    let mut request = once();
    request.settings.reasoning_effort = Some(ReasoningEffort::High);
    let reply =
        soon(model(&fake, "deepseek", Dialect::deepseek(), "deepseek-chat").generate(request)).await.unwrap();
    let usage = reply.usage();
    assert_eq!((usage.input_fresh, usage.input_cache_read), (36, 64));
    assert_eq!((usage.output_text, usage.output_reasoning), (10, 20));
    assert_eq!(fake.last_request().body["thinking"], json!({"type": "enabled"}));
}

#[tokio::test]
async fn c14_groq_hides_usage_and_shows_the_model_a_failed_call_once() {
    let fake = FakeProvider::start().await;
    let body = json!({"error": {
        "message": "Failed to call a function.", "type": "invalid_request_error",
        "code": "tool_use_failed", "failed_generation": "<function=weather>",
    }});
    let failed = || provider::Reply::raw(400, "application/json", body.to_string());
    let mut last = delta(json!({"content": "Sunny"}), Some("stop"));
    last["x_groq"] =
        json!({"id": "req_1", "usage": {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10}});
    fake.reply(failed()).reply(provider::Reply::sse([data(&last)])).reply(failed()).reply(failed());
    let groq = model(&fake, "groq", Dialect::groq(), "llama");
    let reply = soon(groq.generate(Request::new([Message::user("Weather?")]))).await.unwrap();
    assert_eq!((reply.usage().input(), reply.usage().output()), (8, 2));
    let messages = fake.last_request().body["messages"].clone();
    assert!(messages[1]["content"].as_str().unwrap().contains("<function=weather>"), "{messages}");
    let error = soon(groq.generate(Request::new([Message::user("Weather?")]))).await.unwrap_err();
    assert_eq!((error.kind(), fake.requests().len()), (&ErrorKind::InvalidOutput, 4));
}

#[tokio::test]
async fn c14_gemini_gets_its_signatures_back() {
    let fake = FakeProvider::start().await;
    let extra = json!({"google": {"thought_signature": "c2ln"}});
    let calls = json!([{"id": "call_1", "type": "function", "extra_content": extra,
        "function": {"name": "weather", "arguments": "{\"city\":\"Bern\"}"}}]);
    fake.reply(provider::Reply::sse([data(&delta(json!({"tool_calls": calls}), Some("stop")))]))
        .reply("Sunny.");
    let gemini = model(&fake, "gemini", Dialect::gemini(), "gemini-2.5-flash");
    let reply = soon(gemini.generate(once())).await.unwrap();
    assert_eq!(reply.finish.reason, FinishReason::ToolCalls);
    let call = reply.tool_calls().next().unwrap().clone();
    let history = [
        Message::user("Weather?"),
        Message::new(Role::Assistant, reply.parts),
        Message::tool([ToolResult::new(&call, "sunny")]),
    ];
    soon(gemini.generate(Request::new(history))).await.unwrap();
    assert_eq!(fake.last_request().body["messages"][1]["tool_calls"][0]["extra_content"], extra);
}

#[tokio::test]
async fn c14_deepseeks_thoughts_go_back_to_it_and_to_nobody_else() {
    let fake = FakeProvider::start().await;
    let thinking = provider::Reply::new().reasoning("Look.").reasoning_form(ReasoningForm::Usual);
    fake.reply(thinking.raw_tool_call("call_1", "weather", "{}")).reply("Sunny.").reply("Sunny.");
    let deepseek = model(&fake, "deepseek", Dialect::deepseek(), "deepseek-chat");
    let reply = soon(deepseek.generate(once())).await.unwrap();
    let call = reply.tool_calls().next().unwrap().clone();
    let history = [
        Message::user("Weather?"),
        Message::new(Role::Assistant, reply.parts),
        Message::tool([ToolResult::new(&call, "sunny")]),
    ];
    soon(deepseek.generate(Request::new(history.clone()))).await.unwrap();
    assert_eq!(fake.last_request().body["messages"][1]["reasoning_content"], "Look.");
    let vllm = OpenAi::with(options(&fake, "vllm", Dialect::vllm())).chat("q");
    soon(vllm.generate(Request::new(history))).await.unwrap();
    let assistant = fake.last_request().body["messages"][1].clone();
    assert!(
        assistant.get("reasoning").is_none() && assistant.get("reasoning_content").is_none(),
        "{assistant}"
    );
}

#[test]
fn servers_are_known_by_their_address() {
    for (url, name) in [
        ("https://api.openai.com/v1", "openai"),
        ("https://x.openai.azure.com/openai/v1", "azure"),
        ("http://localhost:11434/v1", "ollama"),
        ("http://localhost:1234/v1", "lmstudio"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://api.deepseek.com", "deepseek"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "gemini"),
        ("https://api.anthropic.com/v1/", "anthropic-compatible"),
        ("http://10.0.0.7:8000/v1", "10.0.0.7:8000"),
        ("https://key@Models.example.com/v1", "models.example.com"),
        ("", "openai-compatible"),
    ] {
        assert_eq!(Dialect::of(url).0, name, "{url}");
    }
}
