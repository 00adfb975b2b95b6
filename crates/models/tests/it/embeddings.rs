//! OpenAI Embeddings, over real HTTP against a fake provider.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use loomwork_core::{Clock, Time};
use loomwork_models::{
    EmbedRequest, EmbeddingLimits, EmbeddingModel, Embeddings, ErrorKind, HttpOptions, OpenAi, OpenAiOptions,
    Proxy, Result, Settings,
};
use loomwork_testkit::provider::{ClosedPort, Failure, FakeProvider, Recorded, Reply};
use loomwork_testkit::soon;
use serde_json::{Map, Value, json};

const MODEL: &str = "text-embedding-3-small";

fn model(fake: &FakeProvider, limits: EmbeddingLimits) -> Arc<dyn EmbeddingModel> {
    let options = OpenAiOptions {
        provider: "openai".to_owned(),
        embedding_limits: limits,
        http: HttpOptions { proxy: Proxy::None, ..HttpOptions::default() },
        ..OpenAiOptions::compatible(format!("{}/v1", fake.url()), "sk-test")
    };
    OpenAi::with(options).embeddings(MODEL)
}

fn once<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> EmbedRequest {
    let settings = Settings { max_retries: Some(0), ..Settings::default() };
    EmbedRequest { settings, ..EmbedRequest::new(texts) }
}

/// A provider that embeds anything.
async fn willing() -> FakeProvider {
    let fake = FakeProvider::start().await;
    fake.otherwise(|_| Reply::new());
    fake
}

async fn embed(fake: &FakeProvider, request: EmbedRequest) -> Result<Embeddings> {
    soon(model(fake, EmbeddingLimits::default()).embed(request)).await
}

fn length(vector: &[f32]) -> f64 {
    vector.iter().map(|part| f64::from(*part).powi(2)).sum::<f64>().sqrt()
}

/// How many texts each request had.
fn sizes(fake: &FakeProvider) -> Vec<usize> {
    let size = |request: Recorded| request.body["input"].as_array().map_or(0, Vec::len);
    fake.requests().into_iter().map(size).collect()
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("text number {number}")).collect()
}

#[tokio::test]
async fn e1_the_default_call_decodes() {
    let fake = willing().await;
    let embedded = embed(&fake, once(["one", "two"])).await.unwrap();
    assert_eq!(embedded.vectors.len(), 2);
    assert_eq!(
        fake.last_request().body,
        json!({ "model": MODEL, "input": ["one", "two"], "encoding_format": "base64" })
    );
    let usage = &embedded.usage;
    assert_eq!((usage.embedding, usage.total(), usage.estimated), (2, 2, false));
    assert_eq!(usage.raw, Some(json!({ "prompt_tokens": 2, "total_tokens": 2 })));
}

#[tokio::test]
async fn e2_numbers_equal_base64() {
    let fake = willing().await;
    let base64 = embed(&fake, once(["one", "two"])).await.unwrap();
    let mut request = once(["one", "two"]);
    request.provider_options = Map::from_iter([("openai".to_owned(), json!({ "encoding_format": "float" }))]);
    let floats = embed(&fake, request).await.unwrap();
    assert_eq!(fake.last_request().body["encoding_format"], "float");
    let pairs = base64.vectors.iter().flatten().zip(floats.vectors.iter().flatten());
    assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-6));
}

#[tokio::test]
async fn e2_a_server_that_ignores_the_format_is_read_too() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::json(&json!({ "data": [{ "embedding": [0.6, 0.8] }, { "embedding": [1, 0] }] })));
    let embedded = embed(&fake, once(["one", "two"])).await.unwrap();
    assert_eq!(embedded.vectors, [[0.6, 0.8], [1.0, 0.0]]);
    assert!(embedded.usage.estimated && embedded.usage.embedding > 0);
}

#[tokio::test]
async fn e3_many_texts_are_in_order_and_equal_to_single_calls() {
    let fake = willing().await;
    let texts = texts(64);
    let embedded = embed(&fake, once(texts.clone())).await.unwrap();
    for (text, vector) in texts.iter().zip(&embedded.vectors).step_by(9) {
        assert_eq!(embed(&fake, once([text])).await.unwrap().vectors[0], *vector);
    }
}

#[tokio::test]
async fn e3_vectors_are_put_in_order_by_their_index() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().vectors(vec![vec![1.0, 0.0], vec![0.0, 1.0]]).edit(|body| {
        body["data"].as_array_mut().unwrap().reverse();
    }));
    let embedded = embed(&fake, once(["one", "two"])).await.unwrap();
    assert_eq!(embedded.vectors, [[1.0, 0.0], [0.0, 1.0]]);
}

#[tokio::test]
async fn e4_dimensions_are_asked_for_and_checked() {
    let fake = willing().await;
    let request = |dimensions| EmbedRequest { dimensions: Some(dimensions), ..once(["one"]) };
    let embedded = embed(&fake, request(8)).await.unwrap();
    assert_eq!(embedded.vectors[0].len(), 8);
    assert_eq!(fake.last_request().body["dimensions"], 8);
    fake.reply(Reply::new().vectors(vec![vec![1.0, 0.0]]));
    let error = embed(&fake, request(8)).await.unwrap_err();
    assert_eq!((error.kind(), error.provider(), error.model()), (&ErrorKind::Protocol, "openai", MODEL));
    assert!(error.message().contains("2 dimensions where 8 were asked for"), "{error}");
    let known = model(&fake, EmbeddingLimits::default());
    assert_eq!(known.dimensions(), Some(1536));
}

#[tokio::test]
async fn e5_vectors_have_length_one_also_where_the_server_shortened_them() {
    let fake = willing().await;
    let embedded = embed(&fake, once(texts(5))).await.unwrap();
    assert!(embedded.vectors.iter().all(|vector| (length(vector) - 1.0).abs() < 1e-6));
    fake.reply(Reply::new().vectors(vec![vec![3.0, 4.0]]));
    let embedded = embed(&fake, once(["one"])).await.unwrap();
    assert_eq!(embedded.vectors, [[0.6, 0.8]]);
}

#[tokio::test]
async fn e6_an_empty_text_is_refused_before_the_call_by_its_index() {
    let fake = willing().await;
    let error = embed(&fake, once(["one", "two", ""])).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::BadRequest);
    assert!(error.message().contains("text 2 is empty"), "{error}");
    assert_eq!(fake.requests().len(), 0);
    let nothing = embed(&fake, once(Vec::<String>::new())).await.unwrap();
    assert_eq!(nothing, Embeddings::default());
    assert_eq!(fake.requests().len(), 0);
}

#[tokio::test]
async fn e6_an_oversize_text_is_found_among_the_others_and_named() {
    let fake = willing().await;
    let mut texts = texts(8);
    texts[5] = "word ".repeat(10_000);
    let error = embed(&fake, once(texts)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ContextTooLong | ErrorKind::BadRequest), "{error}");
    assert!(error.message().starts_with("text 5: "), "{error}");
    assert_eq!(error.status(), Some(400));
    assert_eq!(sizes(&fake), [8, 4, 4, 2, 1, 1]);
}

#[tokio::test]
async fn batches_are_closed_by_count() {
    let fake = willing().await;
    let embedded = embed(&fake, once(texts(5000))).await.unwrap();
    assert_eq!(embedded.vectors.len(), 5000);
    let mut sizes = sizes(&fake);
    sizes.sort_unstable();
    assert_eq!(sizes, [904, 2048, 2048]);
    assert!(embedded.usage.embedding > 5000 && embedded.usage.raw.is_none());
}

#[tokio::test]
async fn batches_are_closed_by_tokens() {
    let fake = willing().await;
    let limits = EmbeddingLimits { tokens: 10, calls: 1, ..EmbeddingLimits::default() };
    let texts = ["one two three four five six", "seven", "eight nine ten eleven twelve"];
    soon(model(&fake, limits).embed(once(texts))).await.unwrap();
    assert_eq!(sizes(&fake), [2, 1]);
}

#[tokio::test]
async fn what_a_server_finds_too_much_is_split_and_stays_in_order() {
    for status in [400, 413] {
        let fake = FakeProvider::start().await;
        fake.otherwise(move |request| {
            let size = request.body["input"].as_array().map_or(0, Vec::len);
            if size > 2 { Failure::status(status).message("too many").into() } else { Reply::new() }
        });
        let texts = texts(7);
        let embedded = embed(&fake, once(texts.clone())).await.unwrap();
        let plain = willing().await;
        assert_eq!(embedded.vectors, embed(&plain, once(texts)).await.unwrap().vectors);
        // A 400 may be about anything, so one text is tried alone before the others are split.
        let tried = usize::from(status == 400);
        assert_eq!(sizes(&fake).into_iter().filter(|size| *size <= 2).sum::<usize>(), 7 + tried);
    }
}

#[tokio::test]
async fn other_failures_are_not_split() {
    let fake = FakeProvider::start().await;
    fake.reply(Failure::status(401));
    let error = embed(&fake, once(["one", "two"])).await.unwrap_err();
    assert_eq!((error.kind(), fake.requests().len()), (&ErrorKind::Auth, 1));
    fake.reply(Failure::status(404));
    assert_eq!(embed(&fake, once(["one", "two"])).await.unwrap_err().kind(), &ErrorKind::NotFound);
    let closed = ClosedPort::take();
    let http = HttpOptions { proxy: Proxy::None, ..HttpOptions::default() };
    let options = OpenAiOptions { http, ..OpenAiOptions::compatible(closed.url(), "none") };
    let error = soon(OpenAi::with(options).embeddings(MODEL).embed(once(["one"]))).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Network);
}

#[tokio::test]
async fn calls_that_fail_for_now_are_made_again() {
    let fake = FakeProvider::start().await;
    fake.reply(Failure::status(429).header("retry-after-ms", "1")).reply(Reply::new());
    let embedded = embed(&fake, EmbedRequest::new(["one"])).await.unwrap();
    assert_eq!((embedded.vectors.len(), fake.requests().len()), (1, 2));
}

#[tokio::test]
async fn answers_that_do_not_fit_the_question_are_protocol_errors() {
    let entry = |index: u64, vector: Value| json!({ "index": index, "embedding": vector });
    let cases = [
        (json!([entry(0, json!([1.0]))]), "2 texts were sent, and 1 vectors came"),
        (json!([entry(0, json!([1.0])), entry(0, json!([1.0]))]), "two vectors came for text 0"),
        (json!([entry(0, json!([1.0])), entry(9, json!([1.0]))]), "text 9"),
        (json!([entry(0, json!([1.0])), entry(1, json!([0.0]))]), "text 1 has no direction"),
        (
            json!([entry(0, json!([1.0])), entry(1, json!([1.0, 0.0]))]),
            "has 2 dimensions, that of text 0 has 1",
        ),
        (json!([entry(0, json!("AAA=")), entry(1, json!("AAA="))]), "no whole floats"),
        (json!([entry(0, json!("!")), entry(1, json!("!"))]), "base64"),
        (json!([entry(0, json!({})), entry(1, json!({}))]), "a list of numbers"),
    ];
    for (data, words) in cases {
        let fake = FakeProvider::start().await;
        fake.reply(Reply::json(&json!({ "data": data })));
        let error = embed(&fake, once(["one", "two"])).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Protocol, "{error}");
        assert!(error.message().contains(words), "{error}");
    }
}

#[tokio::test]
async fn dropping_the_call_closes_the_connection() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().hangs_after(0));
    let model = model(&fake, EmbeddingLimits::default());
    let call = model.embed(once(["one"]));
    match select(call, Box::pin(fake.arrived(1))).await {
        Either::Left((answer, _)) => panic!("the fake hangs, but it answered {answer:?}"),
        Either::Right((_, call)) => drop(call),
    }
    soon(fake.dropped()).await;
}

#[tokio::test]
async fn a_refusal_that_concerns_no_text_is_told_as_it_came() {
    let refusal = || Failure::status(400).message("no such dimensions").param("dimensions");
    for count in [1, 2, 9] {
        let fake = FakeProvider::start().await;
        fake.otherwise(move |_| refusal().into());
        let error = embed(&fake, once(texts(count))).await.unwrap_err();
        assert_eq!(error.message(), "no such dimensions");
        assert_eq!((error.kind(), error.status()), (&ErrorKind::BadRequest, Some(400)));
        assert!(fake.requests().len() <= 3, "{count} texts took {} calls", fake.requests().len());
    }
}

#[tokio::test]
async fn a_text_that_is_refused_is_found_by_the_others_that_are_not() {
    for bad in [0, 4, 6] {
        let fake = FakeProvider::start().await;
        fake.otherwise(|request| {
            let texts = request.body["input"].as_array().cloned().unwrap_or_default();
            if texts.contains(&json!("no")) { Failure::status(400).into() } else { Reply::new() }
        });
        let mut texts = texts(7);
        "no".clone_into(&mut texts[bad]);
        let error = embed(&fake, once(texts)).await.unwrap_err();
        assert!(error.message().starts_with(&format!("text {bad}: ")), "{error}");
    }
}

#[tokio::test]
async fn what_was_paid_for_before_a_failure_is_in_its_error() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new()).reply(Reply::new()).reply(Failure::status(401));
    let limits = EmbeddingLimits { texts: 1, calls: 1, ..EmbeddingLimits::default() };
    let error = soon(model(&fake, limits).embed(once(["one", "two", "three"]))).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Auth);
    assert_eq!(error.usage().map(|usage| usage.embedding), Some(2));
}

#[tokio::test]
async fn the_time_out_spans_all_calls_of_a_request() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new()).reply(Reply::new().hangs());
    let manual = Clock::manual(Time::EPOCH);
    let options = OpenAiOptions {
        embedding_limits: EmbeddingLimits { texts: 1, calls: 1, ..EmbeddingLimits::default() },
        http: HttpOptions { proxy: Proxy::None, clock: manual.clock(), ..HttpOptions::default() },
        ..OpenAiOptions::compatible(format!("{}/v1", fake.url()), "sk-test")
    };
    let settings = Settings { timeout: Some(Duration::from_secs(10)), ..Settings::default() };
    let request = EmbedRequest { settings, ..once(["one", "two"]) };
    let model = OpenAi::with(options).embeddings(MODEL);
    let turn = async {
        fake.arrived(1).await;
        manual.advance(Duration::from_secs(6));
        fake.arrived(2).await;
        manual.advance(Duration::from_secs(4));
    };
    let (outcome, ()) = soon(async { tokio::join!(model.embed(request), turn) }).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Timeout);
    assert!(error.message().contains("longer than 10s"), "{error}");
}

/// A request with all that this protocol has a place for, as it is sent.
#[tokio::test]
async fn a_request_of_all_features() {
    let fake = FakeProvider::start().await;
    fake.lenient().reply(Reply::new().vectors(vec![vec![0.6, 0.8], vec![1.0, 0.0]]));
    let mut request = EmbedRequest { dimensions: Some(2), ..once(["one", "Grüezi, 世界"]) };
    request.provider_options = Map::from_iter([("openai".to_owned(), json!({ "user": "ada" }))]);
    embed(&fake, request).await.unwrap();
    insta::assert_json_snapshot!(fake.last_request().body);
}
