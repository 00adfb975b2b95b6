//! Recorded exchanges.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use loomwork_core::{Clock, Secret, Time};
use loomwork_models::{
    Cassette, CassetteError, CassetteOptions, Chunk, Error, ErrorKind, LanguageModel, Matching, Message,
    MockModel, MockReply, Part, PartKind, Reply, Request, SchemaSupport, Settings, Timing, Usage,
};
use loomwork_testkit::soon;
use serde_json::{Value, json};
use tempfile::TempDir;

fn request(text: &str) -> Request {
    Request::new([Message::system("Be brief."), Message::user(text)])
}

fn options() -> CassetteOptions {
    CassetteOptions::default()
}

fn lenient() -> CassetteOptions {
    CassetteOptions { matching: Matching::Lenient, ..options() }
}

struct Shelf {
    _folder: TempDir,
    path: PathBuf,
}

fn shelf() -> Shelf {
    let folder = tempfile::tempdir().expect("a folder");
    Shelf { path: folder.path().join("tape.jsonl"), _folder: folder }
}

/// Records what a model answers to these requests.
async fn record(path: &Path, model: MockModel, requests: impl IntoIterator<Item = Request>) {
    let recorder = Cassette::record(Arc::new(model), path, options()).expect("a recorder");
    for request in requests {
        let _ = recorder.generate(request).await;
    }
}

#[tokio::test]
async fn what_was_recorded_is_played_without_the_model() {
    let shelf = shelf();
    let reply = MockReply::default().reasoning("hm").text("It is sunny.").tool_call(
        "call_1",
        "weather",
        json!({ "city": "Paris" }),
    );
    let model = Arc::new(
        MockModel::always(reply).with_name("lyon", "loom-1").with_schema_support(SchemaSupport::Native),
    );
    let recorder = Cassette::record(model.clone(), &shelf.path, options()).expect("a recorder");
    let answer = recorder.generate(request("weather?")).await.expect("an answer");

    let player = Cassette::open(model.clone(), &shelf.path, options()).expect("a player");
    assert_eq!(player.name().to_string(), "lyon/loom-1");
    assert_eq!(player.schema_support(), SchemaSupport::Native);
    assert_eq!(player.generate(request("weather?")).await.expect("an answer"), answer);
    assert_eq!(model.requests().len(), 1);
}

#[tokio::test]
async fn the_file_is_lines_of_json_that_tell_what_happened() {
    let shelf = shelf();
    record(&shelf.path, MockModel::always("It is sunny."), [request("weather?")]).await;
    let text = std::fs::read_to_string(&shelf.path).expect("a file");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        lines[0],
        json!({ "cassette": 1, "provider": "mock", "model": "mock", "schemaSupport": "tool" })
    );
    assert_eq!(lines[1]["request"]["messages"][1], json!({ "role": "user", "content": "weather?" }));
    assert_eq!(lines[1]["exchange"].as_str().map(str::len), Some(16));
    assert_eq!(lines[2]["chunk"]["type"], "start");
    assert_eq!(lines[4]["chunk"]["delta"], "It ");
    assert_eq!(lines.last().map(|line| &line["chunk"]["type"]), Some(&json!("finish")));
    assert!(lines[2..].iter().all(|line| line["at"].is_u64()));
}

#[tokio::test]
async fn errors_are_recorded_too() {
    let shelf = shelf();
    let kind =
        ErrorKind::RateLimited { retry_after: Some(Duration::from_secs(2)), scope: Some("tokens".into()) };
    let spent = Usage { input_fresh: 7, ..Usage::default() };
    let limited = Error::new(kind.clone(), "mock", "mock", "slow down").with_status(429).with_code("tpm");
    let limited = limited.with_request_id("req_1").with_retryable(false).with_usage(spent.clone());
    let cut = Error::new(ErrorKind::Interrupted, "mock", "mock", "the line is dead");
    let cut = cut.with_retry_after(Duration::from_secs(3));
    let model = MockModel::new([MockReply::from(limited), MockReply::from("one two").fail_in(0, 1, cut)]);
    record(&shelf.path, model, [request("a"), request("b")]).await;

    let player = Cassette::replay(&shelf.path, options()).expect("a player");
    let error = player.generate(request("a")).await.expect_err("limited");
    assert_eq!((error.kind(), error.status(), error.code()), (&kind, Some(429), Some("tpm")));
    assert_eq!((error.request_id(), error.usage()), (Some("req_1"), Some(&spent)));
    assert!(!error.is_retryable());
    let error = player.generate(request("b")).await.expect_err("interrupted");
    assert_eq!((error.retry_after(), error.is_retryable()), (Some(Duration::from_secs(3)), true));
    assert_eq!(error.partial().map(Reply::text).as_deref(), Some("one "));
}

#[tokio::test]
async fn a_strict_cassette_plays_each_exchange_once_and_in_order() {
    let shelf = shelf();
    let model = MockModel::new(["first", "second", "other"]);
    record(&shelf.path, model, [request("a"), request("a"), request("b")]).await;
    let player = Cassette::replay(&shelf.path, options()).expect("a player");
    for (asked, said) in [("b", "other"), ("a", "first"), ("a", "second")] {
        assert_eq!(player.generate(request(asked)).await.expect("an answer").text(), said);
    }
    let error = player.generate(request("a")).await.expect_err("no more");
    assert!(error.message().ends_with("has this request 2 times, and it was asked once more"), "{error}");
}

#[tokio::test]
async fn a_request_that_is_not_there_is_told_what_differs() {
    let shelf = shelf();
    record(&shelf.path, MockModel::always("yes"), [request("a"), request("Is wool warm?")]).await;
    let player = Cassette::replay(&shelf.path, options()).expect("a player");
    let settings = Settings { temperature: Some(0.5), ..Settings::default() };
    let error = player.generate(request("Is wool warm?").with_settings(settings)).await.expect_err("differs");
    assert_eq!(error.kind(), &ErrorKind::BadRequest);
    assert!(
        error.message().contains("exchange 1 is nearest: `/settings/temperature` was null and is 0.5"),
        "{error}"
    );
    let error = player.generate(request("Is wool cold?")).await.expect_err("differs");
    assert!(error.message().contains(r#"`/messages/1/content` was "a" and is "Is wool cold?""#), "{error}");
}

#[tokio::test]
async fn a_lenient_cassette_goes_by_the_words_and_plays_again() {
    let shelf = shelf();
    record(
        &shelf.path,
        MockModel::new(["first", "second"]),
        [request("Is  wool warm?"), request("Is wool warm?")],
    )
    .await;
    let player = Cassette::replay(&shelf.path, lenient()).expect("a player");
    let settings = Settings { temperature: Some(0.5), ..Settings::default() };
    let asked = || request("Is wool\nwarm?").with_settings(settings.clone());
    for said in ["first", "second", "second"] {
        assert_eq!(player.generate(asked()).await.expect("an answer").text(), said);
    }
    assert!(player.generate(request("Is silk warm?")).await.is_err());
}

#[tokio::test]
async fn headers_timeouts_and_retries_are_no_part_of_a_request() {
    let shelf = shelf();
    record(&shelf.path, MockModel::always("yes"), [request("a")]).await;
    let player = Cassette::replay(&shelf.path, options()).expect("a player");
    let settings = Settings {
        headers: [("x-trace".to_owned(), "1".to_owned())].into(),
        timeout: Some(Duration::from_secs(9)),
        max_retries: Some(7),
        ..Settings::default()
    };
    assert!(player.generate(request("a").with_settings(settings)).await.is_ok());
}

#[tokio::test]
async fn secrets_are_not_in_the_file_and_do_not_keep_requests_from_matching() {
    let shelf = shelf();
    let key = "sk-proj-abcdefghijklmnop0123456789";
    let asked = |key: &str, password: &str| {
        let mut asked = request(&format!("My key is {key}, and the word is open-sesame."));
        asked.provider_options.insert("gateway".into(), json!({ "api_key": password }));
        let headers = [("authorization".to_owned(), "Bearer very-secret-token".to_owned())];
        asked.with_settings(Settings { headers: headers.into(), ..Settings::default() })
    };
    let reply = MockReply::default().part(Part::text(format!("You said {key} and open-sesame.")));
    let secrets = vec![Secret::from("open-sesame")];
    let options = CassetteOptions { secrets, ..options() };
    let recorder = Cassette::record(Arc::new(MockModel::always(reply)), &shelf.path, options.clone())
        .expect("a recorder");
    let answer = recorder.generate(asked(key, "hunter2")).await.expect("an answer");
    assert!(answer.text().contains(key), "the caller sees what came");

    let text = std::fs::read_to_string(&shelf.path).expect("a file");
    for secret in [key, "hunter2", "very-secret-token", "open-sesame", "authorization"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    let player = Cassette::replay(&shelf.path, options).expect("a player");
    let other_key = asked("sk-proj-9876543210ponmlkjihgfedcba", "swordfish");
    assert_eq!(
        player.generate(other_key).await.expect("an answer").text(),
        "You said [secret] and [secret]."
    );
}

#[tokio::test]
async fn an_answer_takes_its_time_if_it_shall() {
    let shelf = shelf();
    let manual = Clock::manual(Time::EPOCH);
    let reply = MockReply::default().wait(Duration::from_millis(300)).text("yes");
    let model = Arc::new(MockModel::always(reply).with_clock(manual.clock()));
    let timed = CassetteOptions { clock: manual.clock(), timing: Timing::Recorded, ..options() };
    let recorder = Cassette::record(model, &shelf.path, timed.clone()).expect("a recorder");
    let turn = async || {
        manual.timers_waiting(1).await;
        manual.advance_to_next_timer();
    };
    let (answer, ()) = soon(async { tokio::join!(recorder.generate(request("a")), turn()) }).await;
    assert!(answer.is_ok());

    let player = Cassette::replay(&shelf.path, timed).expect("a player");
    let start = manual.clock().now();
    let (answer, ()) = soon(async { tokio::join!(player.generate(request("a")), turn()) }).await;
    assert!(answer.is_ok());
    assert_eq!(manual.clock().now().since(start), Duration::from_millis(300));

    let hasty = Cassette::replay(&shelf.path, options()).expect("a player");
    assert!(hasty.generate(request("a")).await.is_ok());
}

#[tokio::test]
async fn an_exchange_that_is_dropped_leaves_nothing() {
    let shelf = shelf();
    let recorder =
        Cassette::record(Arc::new(MockModel::always("one two")), &shelf.path, options()).expect("a recorder");
    let mut stream = recorder.stream(request("a")).await.expect("a stream");
    while !matches!(stream.next().await, Some(Ok(Chunk::PartDelta { .. }))) {}
    drop(stream);
    let player = Cassette::replay(&shelf.path, options()).expect("a player");
    let error = player.generate(request("a")).await.expect_err("nothing there");
    assert!(error.message().ends_with("is empty"), "{error}");
}

#[test]
fn a_file_that_is_no_cassette_is_refused_with_its_line() {
    let shelf = shelf();
    assert!(matches!(Cassette::replay(&shelf.path, options()), Err(CassetteError::Io { .. })));
    let head = r#"{"cassette":1,"provider":"a","model":"b","schemaSupport":"tool"}"#;
    let cases = [
        (String::new(), "line 1 "),
        ("hello".to_owned(), "line 1 "),
        (head.replace("\":1", "\":9"), "its version is 9, and this program reads 1"),
        (format!("{head}\n{{\"at\":1,\"chunk\":{{\"type\":\"finish\"}}}}"), "no request comes before it"),
        (format!("{head}\n\n{{\"request\":{{}}}}\n{{\"at\":1,\"chunk\":{{\"type\":\"dance\"}}}}"), "line 4 "),
        (
            format!("{head}\n{{\"request\":{{}}}}\n{{\"at\":1,\"error\":{{\"kind\":\"sad\"}}}}"),
            "of kind `sad`, which is none",
        ),
    ];
    for (text, wrong) in cases {
        std::fs::write(&shelf.path, text).expect("a file");
        let error = Cassette::replay(&shelf.path, options()).expect_err("no cassette").to_string();
        assert!(error.contains(wrong), "{error}");
    }
}

#[tokio::test]
async fn a_secret_that_several_deltas_spell_out_is_masked() {
    let shelf = shelf();
    let keys = ["gsk_0123456789abcdefghij", "xai-0123456789abcdefghij", "hf_0123456789abcdefghij"];
    let text = format!("Say open \"sesame\" twice, open \"sesame\", and {}!", keys.join(" or "));
    let part = |part, text: &str| {
        let letters: Vec<char> = text.chars().collect();
        let deltas: Vec<String> = letters.chunks(3).map(|letters| letters.iter().collect()).collect();
        deltas.into_iter().map(move |delta| Chunk::PartDelta { part, delta })
    };
    let start = |part, kind| Chunk::PartStart { part, kind, provider_metadata: Default::default() };
    let call =
        PartKind::ToolCall { tool_call_id: "c".into(), tool_name: "t".into(), provider_executed: false };
    // Within the arguments of a call, the quotes of the secret are escaped.
    let arguments = json!({ "text": text }).to_string();
    let chunks = [start(0, PartKind::Text), start(1, call)].into_iter();
    let chunks = chunks.chain(part(0, &text)).chain(part(1, &arguments));
    let reply = chunks.fold(MockReply::default(), MockReply::chunk);
    let secrets = vec![Secret::from("open \"sesame\"")];
    let options = CassetteOptions { secrets, ..options() };
    let model = Arc::new(MockModel::always(reply));
    let recorder = Cassette::record(model, &shelf.path, options.clone()).expect("a recorder");
    assert_eq!(recorder.generate(request("a")).await.expect("an answer").text(), text);

    let player = Cassette::replay(&shelf.path, options).expect("a player");
    let played = player.generate(request("a")).await.expect("an answer");
    let masked = "Say [secret] twice, [secret], and [secret] or [secret] or [secret]!";
    assert_eq!(played.text(), masked);
    assert_eq!(played.tool_calls().next().expect("a call").input, json!({ "text": masked }));
    let file = std::fs::read_to_string(&shelf.path).expect("a file");
    assert!(!file.contains("012") && !file.contains("sesame"), "{file}");
}
