//! What goes wrong: each failure is an error that names provider, model and cause, and says what can help.

use std::time::Duration;

use loomwork_core::{Clock, Fault, Kind, Time};
use loomwork_models::{
    Advice, Anthropic, AnthropicOptions, Dialect, Error, ErrorKind, HttpOptions, Message, OpenAi,
    OpenAiOptions, Proxy, Request, Settings, ToolChoice, ToolSpec,
};
use loomwork_testkit::provider::{ClosedPort, Failure, FakeProvider, Reply};
use loomwork_testkit::soon;
use serde_json::json;

use super::{once, openai, options, read};

async fn fails(reply: impl Into<Reply>) -> Error {
    let error = read(reply).await.unwrap_err();
    assert_eq!((error.provider(), error.model()), ("openai", "gpt-4o-mini"));
    error
}

#[tokio::test]
async fn each_status_has_its_kind_and_says_what_can_help() {
    let limited = |retry_after| ErrorKind::RateLimited { retry_after, scope: Some("requests".to_owned()) };
    let cases = [
        (Failure::status(400), ErrorKind::BadRequest, Advice::Stop),
        (Failure::status(401), ErrorKind::Auth, Advice::Fallback),
        (Failure::status(402), ErrorKind::Quota, Advice::Fallback),
        (Failure::status(403), ErrorKind::Auth, Advice::Fallback),
        (Failure::status(404), ErrorKind::NotFound, Advice::Fallback),
        (Failure::status(408), ErrorKind::Timeout, Advice::Retry),
        (Failure::status(409), ErrorKind::BadRequest, Advice::Retry),
        (Failure::status(413), ErrorKind::BadRequest, Advice::Stop),
        (Failure::status(422), ErrorKind::BadRequest, Advice::Stop),
        (Failure::status(429), limited(None), Advice::Retry),
        (Failure::status(429).retry_after("7"), limited(Some(Duration::from_secs(7))), Advice::Retry),
        (Failure::status(429).code("insufficient_quota"), ErrorKind::Quota, Advice::Fallback),
        (Failure::status(500), ErrorKind::Overloaded, Advice::Retry),
        (Failure::status(503), ErrorKind::Overloaded, Advice::Retry),
        (Failure::status(504), ErrorKind::Timeout, Advice::Retry),
        (Failure::status(529), ErrorKind::Overloaded, Advice::Retry),
        (Failure::context_too_long(), ErrorKind::ContextTooLong, Advice::Fallback),
        (Failure::status(400).code("content_filter"), ErrorKind::ContentPolicy, Advice::Fallback),
        (Failure::status(500).header("x-should-retry", "false"), ErrorKind::Overloaded, Advice::Fallback),
        (Failure::status(400).header("x-should-retry", "true"), ErrorKind::BadRequest, Advice::Retry),
    ];
    for (failure, kind, advice) in cases {
        let error = fails(failure.clone()).await;
        assert_eq!((error.kind(), error.advice()), (&kind, advice), "{failure:?} became {error}");
    }
}

#[tokio::test]
async fn an_error_shows_status_code_request_and_field() {
    let failure =
        Failure::status(400).message("too hot").param("temperature").code("bad").header("x-request-id", "r1");
    let error = fails(failure).await;
    assert_eq!(
        error.to_string(),
        "openai/gpt-4o-mini: bad_request: too hot (field `temperature`) (status 400, code bad, request r1)"
    );
    assert_eq!((error.status(), error.code(), error.request_id()), (Some(400), Some("bad"), Some("r1")));
}

#[tokio::test]
async fn error_bodies_come_in_many_forms() {
    let cases = [
        (400, json!({"error": {"message": "no", "code": 400}}).to_string(), "no"),
        (400, json!({"error": "model is required"}).to_string(), "model is required"),
        (422, json!({"detail": "Not valid"}).to_string(), "Not valid"),
        (422, json!({"detail": [{"loc": ["body"], "msg": "missing"}]}).to_string(), "missing"),
        (400, json!({"object": "error", "message": "flat", "code": 40303}).to_string(), "flat"),
        (
            400,
            json!([{"error": {"message": "in a list", "status": "INVALID_ARGUMENT"}}]).to_string(),
            "in a list",
        ),
        (400, "plain words".to_owned(), "answered 400: plain words"),
        (502, String::new(), "answered 502 and nothing else"),
    ];
    for (status, body, message) in cases {
        let error = fails(Reply::raw(status, "application/json", body.clone())).await;
        assert!(error.message().contains(message), "{body}: {error}");
    }
    let error =
        fails(Reply::raw(400, "application/json", json!({"error": {"code": 7, "message": "m"}}).to_string()));
    assert_eq!(error.await.code(), Some("7"));
}

#[tokio::test]
async fn a_web_page_is_told_from_an_answer_whatever_its_status() {
    let page = "<!DOCTYPE html><html><head><title>Bad gateway</title></head><body>…</body></html>";
    for (status, kind) in
        [(502, ErrorKind::Overloaded), (404, ErrorKind::NotFound), (200, ErrorKind::Protocol)]
    {
        let error = fails(Reply::raw(status, "text/html", page)).await;
        assert_eq!(error.kind(), &kind);
        assert!(error.message().contains("a web page titled \"Bad gateway\""), "{error}");
        assert!(error.message().contains("/v1/chat/completions"), "{error}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_since_it_would_take_the_key_along() {
    let error =
        fails(Reply::raw(302, "text/html", "").header("location", "https://elsewhere.example/")).await;
    assert_eq!(error.kind(), &ErrorKind::NotFound);
    assert!(error.message().contains("leads to https://elsewhere.example/"), "{error}");
}

#[tokio::test]
async fn a_wrong_key_and_an_unknown_model_are_named() {
    let fake = FakeProvider::start().await;
    fake.requires_key("another").has_models(["gpt-4o"]);
    let error = soon(openai(&fake).generate(once())).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (&ErrorKind::Auth, false));
    assert!(!error.to_string().contains("sk-test"), "{error}");
    let fake = FakeProvider::start().await;
    fake.has_models(["gpt-4o"]);
    let error = soon(openai(&fake).generate(once())).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (&ErrorKind::NotFound, Some("model_not_found")));
    assert!(error.message().contains("gpt-4o-mini"), "{error}");
}

async fn at(base_url: &str, proxy: Proxy) -> Error {
    let http = HttpOptions { proxy, ..HttpOptions::default() };
    let options = OpenAiOptions { http, ..OpenAiOptions::compatible(base_url, "sk-test") };
    soon(OpenAi::with(options).chat("m").generate(once())).await.unwrap_err()
}

#[tokio::test]
async fn a_wrong_base_url_is_shown_with_what_would_be_right() {
    let taken = ClosedPort::take();
    let error = at(taken.url(), Proxy::None).await;
    assert_eq!((error.kind(), error.is_retryable()), (&ErrorKind::Network, true));
    let shown = format!("{}/chat/completions cannot be reached: Connection refused", taken.url());
    assert!(error.message().contains(&shown), "{error}");
    for (url, why) in [("htp//x", "is no URL"), ("ftp://x/v1", "is none of a web server"), ("", "is no URL")]
    {
        let error = at(url, Proxy::None).await;
        assert_eq!((error.kind(), error.is_retryable()), (&ErrorKind::BadRequest, false));
        assert!(
            error.message().contains(why) && error.message().contains("https://api.example.com/v1"),
            "{error}"
        );
    }
    let error = at("http://127.0.0.1:1/v1", Proxy::Url("not a proxy".to_owned())).await;
    assert!(error.message().contains("the proxy is no URL"), "{error}");
}

#[tokio::test]
async fn an_address_is_shown_without_what_may_be_secret() {
    let taken = ClosedPort::take();
    let address = taken.url().replace("http://", "http://user:hunter2@");
    let error = at(&format!("{address}/v1?key=hunter3"), Proxy::None).await;
    assert!(error.message().contains("/v1/chat/completions"), "{error}");
    assert!(!error.to_string().contains("hunter"), "{error}");
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_is_named_and_its_value_is_not_shown() {
    let fake = FakeProvider::start().await;
    let options = OpenAiOptions { key: Some("sk-\n1".into()), ..options(&fake, "openai", Dialect::openai()) };
    let error = OpenAi::with(options).chat("m").generate(once()).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::BadRequest);
    assert!(error.message().contains("\"authorization\"") && !error.to_string().contains("sk-"), "{error}");
}

#[tokio::test]
async fn answers_that_are_none_are_protocol_errors() {
    for reply in [
        Reply::json(&json!({"choices": []})),
        Reply::json(&json!({"id": "c1"})),
        Reply::sse(["data: [DONE]\n\n"]),
        Reply::sse(["data: {\"choices\":[]}\n\n", "data: [DONE]\n\n"]),
        Reply::sse(["data: {not json}\n\n"]),
        Reply::sse(["data: [1,2]\n\n"]),
        Reply::sse([b"data: \xff\xfe\n\n".as_slice()]),
        Reply::raw(200, "application/json", "{\"choices\": [tru"),
        Reply::raw(200, "application/json", ""),
    ] {
        let error = fails(reply.clone()).await;
        assert_eq!(
            (error.kind(), error.advice()),
            (&ErrorKind::Protocol, Advice::Fallback),
            "{reply:?}: {error}"
        );
        assert_eq!(Fault::kind(&error), Kind::Unavailable);
    }
}

#[tokio::test]
async fn arguments_that_are_no_json_are_kept_raw_and_reported() {
    let reply = read(Reply::new().raw_tool_call("call_a", "weather", "{\"city\": Bern")).await.unwrap();
    let call = reply.tool_calls().next().unwrap();
    assert_eq!(call.input, json!("{\"city\": Bern"));
    assert!(call.invalid.as_ref().unwrap().contains("no JSON"));
    let reply = read(Reply::new().raw_tool_call("call_a", "now", "")).await.unwrap();
    assert_eq!(reply.tool_calls().next().unwrap().input, json!({}));
}

#[tokio::test]
async fn a_tool_call_without_a_name_is_an_error() {
    let call = json!([{"index": 0, "id": "call_a", "function": {"arguments": "{}"}}]);
    let event = json!({"choices": [{"delta": {"tool_calls": call}, "finish_reason": "tool_calls"}]});
    let error = fails(Reply::sse([format!("data: {event}\n\n")])).await;
    assert!(error.message().contains("call_a names no tool"), "{error}");
}

#[tokio::test]
async fn a_tool_choice_of_no_tool_is_refused_here() {
    let fake = FakeProvider::start().await;
    let tool = ToolSpec::function("weather", "", json!({"type": "object"}));
    let request = once().with_tools([tool]).with_tool_choice(ToolChoice::Tool { name: "wether".to_owned() });
    let error = openai(&fake).generate(request).await.unwrap_err();
    assert!(error.message().contains("`wether`"), "{error}");
    assert_eq!(fake.requests().len(), 0);
}

#[tokio::test]
async fn a_stream_that_breaks_off_keeps_what_came() {
    for reply in
        [Reply::from("Good morning to you").cut_after(3), Reply::from("Good morning to you").ends_after(3)]
    {
        let error = fails(reply).await;
        assert_eq!((error.kind(), error.is_retryable()), (&ErrorKind::Interrupted, true));
        assert_eq!(error.partial().unwrap().text(), "Good morning ");
    }
}

#[tokio::test]
async fn c10_an_error_inside_the_stream_comes_after_the_partial_text() {
    let failure = Failure::status(500).kind("server_error").message("it burns");
    let error = fails(Reply::from("Good morning").fails(failure)).await;
    assert_eq!((error.kind(), error.message()), (&ErrorKind::Overloaded, "it burns"));
    assert_eq!(error.partial().unwrap().text(), "Good morning");
}

#[tokio::test]
async fn c9_a_call_is_made_again_after_a_limit_and_after_a_break_before_the_first_part() {
    let fake = FakeProvider::start().await;
    let soon_again = |failure: Failure| failure.header("retry-after-ms", "1");
    fake.reply(soon_again(Failure::status(429))).reply(soon_again(Failure::status(503))).reply("Hello");
    let request = Request::new([Message::user("Hi")]);
    assert_eq!(soon(openai(&fake).generate(request.clone())).await.unwrap().text(), "Hello");
    assert_eq!(fake.requests().len(), 3);

    let fake = FakeProvider::start().await;
    fake.reply(Reply::from("Hello").ends_after(1)).reply("Hello");
    let reply = soon(openai(&fake).generate(request.clone())).await.unwrap();
    assert_eq!((reply.text().as_str(), fake.requests().len()), ("Hello", 2));

    // With a part handed on there is no other attempt.
    let fake = FakeProvider::start().await;
    fake.reply(Reply::from("Hello there").cut_after(2)).reply("Hello");
    assert_eq!(soon(openai(&fake).generate(request)).await.unwrap_err().kind(), &ErrorKind::Interrupted);
    assert_eq!((fake.requests().len(), fake.left_over()), (1, 1));
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_not_begun() {
    let fake = FakeProvider::start().await;
    fake.reply(Failure::status(429).retry_after("121")).reply(Failure::status(429).retry_after("60"));
    let error = soon(openai(&fake).generate(Request::new([Message::user("Hi")]))).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(121)));
    let settings = Settings { timeout: Some(Duration::from_secs(59)), ..Settings::default() };
    let request = Request::new([Message::user("Hi")]).with_settings(settings);
    let error = soon(openai(&fake).generate(request)).await.unwrap_err();
    assert_eq!((error.retry_after(), fake.requests().len()), (Some(Duration::from_secs(60)), 2));
}

#[tokio::test]
async fn silence_ends_by_the_clock_before_the_answer_and_within_it() {
    for reply in [Reply::new().hangs(), Reply::from("Good morning").hangs_after(2)] {
        let fake = FakeProvider::start().await;
        fake.reply(reply);
        let manual = Clock::manual(Time::EPOCH);
        let mut options = options(&fake, "openai", Dialect::openai());
        options.http.clock = manual.clock();
        options.http.idle_timeout = Duration::from_secs(30);
        let model = OpenAi::with(options).chat("m");
        let turn = async {
            fake.arrived(1).await;
            loop {
                manual.timers_waiting(1).await;
                manual.advance(Duration::from_secs(5));
                tokio::task::yield_now().await;
            }
        };
        let asked = soon(async {
            tokio::select! {
                outcome = model.generate(once()) => outcome,
                () = turn => unreachable!(),
            }
        });
        let error = asked.await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (&ErrorKind::Timeout, true));
        assert!(error.message().contains("30s, the idle time-out"), "{error}");
        assert_eq!(error.usage().is_some(), error.partial().is_some());
    }
}

#[tokio::test]
async fn a_call_that_takes_too_long_ends_with_its_time_and_is_not_made_again() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().hangs()).reply("Hello");
    let manual = Clock::manual(Time::EPOCH);
    let mut options = options(&fake, "openai", Dialect::openai());
    options.http.clock = manual.clock();
    let model = OpenAi::with(options).chat("m");
    let settings = Settings { timeout: Some(Duration::from_secs(9)), ..Settings::default() };
    let request = Request::new([Message::user("Hi")]).with_settings(settings);
    let turn = async {
        fake.arrived(1).await;
        manual.advance(Duration::from_secs(9));
    };
    let (outcome, ()) = soon(async { tokio::join!(model.generate(request), turn) }).await;
    let error = outcome.unwrap_err();
    assert_eq!((error.kind(), fake.requests().len()), (&ErrorKind::Timeout, 1));
    assert!(error.message().contains("longer than 9s"), "{error}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_says_what_it_used_as_an_estimate() {
    let answer = || Reply::from("Good morning to you");
    for reply in [answer().cut_after(4), answer().ends_after(4), answer().fails(Failure::status(500))] {
        let error = fails(reply).await;
        let usage = error.usage().unwrap();
        assert!(usage.estimated && usage.input() > 0 && usage.output() >= 3, "{usage:?}");
        assert_eq!(error.partial().unwrap().usage(), usage);
    }
    // Nothing is charged for an answer that never began.
    for reply in [Failure::status(503).into(), Reply::json(&json!({"hello": "world"}))] {
        assert_eq!(fails(reply).await.usage(), None);
    }
}

#[tokio::test]
async fn what_failed_attempts_used_is_in_the_answer_or_the_error() {
    // An answer that begins and breaks off before its first part: its prompt was read.
    let cut = || Reply::from("Hello").ends_after(1);
    let request = |retries| {
        let settings = Settings { max_retries: Some(retries), ..Settings::default() };
        Request::new([Message::user("Hi")]).with_settings(settings)
    };
    let fake = FakeProvider::start().await;
    fake.reply(cut());
    let once = soon(openai(&fake).generate(request(0))).await.unwrap_err();
    let prompt = once.usage().unwrap().input();
    assert!(prompt > 0);

    fake.reply(cut()).reply(cut());
    let twice = soon(openai(&fake).generate(request(1))).await.unwrap_err();
    assert_eq!(twice.usage().unwrap().input(), 2 * prompt);

    fake.reply("Hello").reply(cut()).reply("Hello");
    let plain = soon(openai(&fake).generate(request(1))).await.unwrap();
    let again = soon(openai(&fake).generate(request(1))).await.unwrap();
    assert_eq!(again.usage().input(), plain.usage().input() + prompt);
    assert!(again.usage().estimated && !plain.usage().estimated);
}

#[tokio::test]
async fn the_time_out_spans_a_second_ask_too() {
    let fake = FakeProvider::start().await;
    fake.reply(Failure::status(400).code("tool_use_failed")).reply(Reply::new().hangs());
    let manual = Clock::manual(Time::EPOCH);
    let mut options = options(&fake, "groq", Dialect::groq());
    options.http.clock = manual.clock();
    let settings = Settings { timeout: Some(Duration::from_secs(10)), ..Settings::default() };
    let request = Request::new([Message::user("Hi")]).with_settings(settings);
    let model = OpenAi::with(options).chat("m");
    let turn = async {
        fake.arrived(1).await;
        manual.advance(Duration::from_secs(6));
        fake.arrived(2).await;
        manual.advance(Duration::from_secs(4));
    };
    let (outcome, ()) = soon(async { tokio::join!(model.generate(request), turn) }).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Timeout);
    assert!(error.message().contains("longer than 10s"), "{error}");
}

/// Events of one choice each, and then nothing more.
fn cut(deltas: impl IntoIterator<Item = serde_json::Value>) -> Reply {
    let event = |delta| json!({"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta}]});
    Reply::sse(deltas.into_iter().map(|delta| format!("data: {}\n\n", event(delta))))
}

#[tokio::test]
async fn an_answer_that_breaks_off_keeps_what_was_held_back() {
    let fake = FakeProvider::start().await;
    let mut options = options(&fake, "openrouter", Dialect::openrouter());
    options.dialect.think_tags = loomwork_models::ThinkTags::AtStart;
    let model = OpenAi::with(options).chat("m");
    let partial = async |reply| {
        fake.reply(reply);
        soon(model.generate(once())).await.unwrap_err().take_partial().unwrap()
    };
    // The rest of a tag.
    let tag = partial(cut([json!({"content": "<think>Hm"}), json!({"content": " so </thi"})])).await;
    assert_eq!(super::gist(&tag)["parts"], json!([{"reasoning": "Hm so </thi"}]));
    // Thoughts that go back.
    let details = json!([{"type": "reasoning.encrypted", "data": "abc", "index": 0}]);
    let sealed = partial(cut([json!({"reasoning": "Hm", "reasoning_details": details})])).await;
    let bag = &sealed.parts[0].extras().unwrap().provider_metadata["openrouter"];
    assert_eq!(bag["reasoning_details"], details);
    // Arguments whose tool is not named yet.
    let call = json!([{"index": 0, "id": "call_a", "function": {"arguments": "{\"city\":"}}]);
    let late = partial(cut([json!({"content": "So"}), json!({"tool_calls": call})])).await;
    let call = late.tool_calls().next().unwrap();
    assert_eq!((call.id.as_str(), call.name.as_str(), &call.input), ("call_a", "", &json!("{\"city\":")));
    assert_eq!(late.text(), "So");
}

#[tokio::test]
async fn an_answer_that_ends_with_an_error_is_one_though_the_provider_says_no_more() {
    let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]});
    let said = json!({"id": "c1", "choices": [{"index": 0, "delta": {"content": "Good"}}]});
    let error = fails(Reply::sse([said, end].map(|event| format!("data: {event}\n\n")))).await;
    assert_eq!((error.kind(), error.is_retryable()), (&ErrorKind::Interrupted, true));
    assert!(error.message().contains("`error`"), "{error}");
    assert_eq!(error.partial().unwrap().text(), "Good");
}

#[tokio::test]
async fn options_settings_and_models_are_shown_without_their_secrets() {
    let pairs = |name: &str| [(name.to_owned(), "hunter2".to_owned())].into();
    let http = || HttpOptions {
        proxy: Proxy::Url("http://user:hunter2@127.0.0.1:1".to_owned()),
        ..HttpOptions::default()
    };
    let address = "http://user:hunter2@127.0.0.1:1/v1?key=hunter2";
    let openai = OpenAiOptions {
        headers: pairs("x-own-key"),
        query: pairs("sig"),
        http: http(),
        ..OpenAiOptions::compatible(address, "hunter2")
    };
    let anthropic = AnthropicOptions {
        headers: pairs("x-own-key"),
        http: http(),
        ..AnthropicOptions::compatible(address, "hunter2")
    };
    let settings = Settings { headers: pairs("x-own-key"), ..Settings::default() };
    let request = Request::new([Message::user("Hi")]).with_settings(settings.clone());
    let error = soon(OpenAi::with(openai.clone()).chat("m").generate(request.clone())).await.unwrap_err();
    let shown = [
        format!("{openai:?} {:?} {:?}", OpenAi::with(openai.clone()), OpenAi::with(openai.clone()).chat("m")),
        format!("{anthropic:?} {:?}", Anthropic::with(anthropic.clone())),
        format!("{settings:?} {request:?}"),
        format!("{error:?} {error}"),
        at("http://user:hunter2@a b/v1?key=hunter2", Proxy::None).await.to_string(),
        at("http://127.0.0.1:1", Proxy::Url("http://user:hunter2@a b".to_owned())).await.to_string(),
    ];
    for shown in shown {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert!(format!("{openai:?}").contains("x-own-key"));
}

#[tokio::test]
async fn the_body_of_a_failed_answer_is_waited_for_only_briefly() {
    let head = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 100\r\n\r\n{";
    let server = crate::wire::Server::start(move |_| head.into()).await;
    let manual = Clock::manual(Time::EPOCH);
    let http = HttpOptions { proxy: Proxy::None, clock: manual.clock(), ..HttpOptions::default() };
    let options = OpenAiOptions { http, ..OpenAiOptions::compatible(server.url(), "key") };
    let model = OpenAi::with(options).chat("m");
    let turn = async {
        server.answered().await;
        loop {
            manual.timers_waiting(1).await;
            manual.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    };
    let asked = soon(async {
        tokio::select! {
            outcome = model.generate(once()) => outcome,
            () = turn => unreachable!("the clock is turned for ever"),
        }
    });
    let error = asked.await.unwrap_err();
    assert_eq!((error.status(), error.retry_after()), (Some(429), Some(Duration::from_secs(7))));
}
