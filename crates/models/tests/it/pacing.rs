//! Models that are asked no faster than their provider allows.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use loomwork_core::{Clock, ManualClock, Time};
use loomwork_models::{
    Chunk, Data, EmbedRequest, EmbeddingModel, Error, ErrorKind, Gate, HttpOptions, ImageModel, ImageRequest,
    LanguageModel, Message, MockEmbeddings, MockImages, MockModel, MockReply, OpenAi, OpenAiOptions, Paced,
    Pacing, PacingOptions, Proxy, Reply, ReplyInfo, Request, Result, Settings, TokenCounter, Usage,
};
use loomwork_testkit::provider::{self, FakeProvider};
use loomwork_testkit::soon;
use proptest::prelude::*;

/// Counts one token for each letter, and none for frames, so that tests can count along.
#[derive(Debug)]
struct Letters;

impl TokenCounter for Letters {
    fn count(&self, text: &str) -> u64 {
        text.len() as u64
    }

    fn count_request(&self, request: &Request) -> u64 {
        request.messages.iter().map(|message| self.count(&message.text())).sum()
    }
}

fn options(manual: &ManualClock) -> PacingOptions {
    PacingOptions {
        counter: Arc::new(Letters),
        expected_output_tokens: 0,
        clock: manual.clock(),
        ..PacingOptions::default()
    }
}

fn requests(manual: &ManualClock, limit: u32) -> Pacing {
    Pacing::new(PacingOptions { requests_per_minute: NonZeroU32::new(limit), ..options(manual) })
}

fn tokens(manual: &ManualClock, limit: u32) -> Pacing {
    Pacing::new(PacingOptions { tokens_per_minute: NonZeroU32::new(limit), ..options(manual) })
}

fn concurrent(manual: &ManualClock, limit: u32) -> Pacing {
    Pacing::new(PacingOptions { max_concurrent: NonZeroU32::new(limit), ..options(manual) })
}

fn clock() -> ManualClock {
    Clock::manual(Time::EPOCH)
}

/// A model whose replies don't say what they used.
fn silent() -> Arc<MockModel> {
    Arc::new(MockModel::always(using(0)))
}

/// A reply that used so many tokens.
fn using(tokens: u64) -> MockReply {
    MockReply::from("Yes.").with_usage(Usage { output_text: tokens, ..Usage::default() })
}

/// A request of so many tokens.
fn of(tokens: usize) -> Request {
    Request::new([Message::user("x".repeat(tokens))])
}

fn hello() -> Request {
    of(1)
}

async fn ask(model: &Paced<MockModel>, request: Request) -> Result<Reply> {
    LanguageModel::generate(model, request).await
}

/// Runs the work, and turns the clock to its next timer whenever all of it waits. Returns how long the work
/// took by that clock.
async fn timed<T>(manual: &ManualClock, work: impl Future<Output = T>) -> (T, Duration) {
    let turn = async {
        loop {
            manual.timers_waiting(1).await;
            manual.advance_to_next_timer();
            tokio::task::yield_now().await;
        }
    };
    let begun = manual.clock().now();
    let outcome = soon(async {
        tokio::select! {
            biased;
            outcome = work => outcome,
            () = turn => unreachable!("the clock is turned for ever"),
        }
    });
    let outcome = outcome.await;
    (outcome, manual.clock().now().since(begun))
}

fn scope(error: &Error) -> Option<&str> {
    match error.kind() {
        ErrorKind::RateLimited { scope, .. } => scope.as_deref(),
        _ => None,
    }
}

#[tokio::test]
async fn a_minutes_requests_pass_at_once_and_the_next_ones_at_their_pace() {
    let manual = clock();
    let model = Paced::new(silent(), &requests(&manual, 60));
    for _ in 0..60 {
        soon(ask(&model, hello())).await.unwrap();
    }
    for _ in 0..3 {
        let (reply, took) = timed(&manual, ask(&model, hello())).await;
        assert_eq!((reply.unwrap().text().as_str(), took), ("Yes.", Duration::from_secs(1)));
    }
    manual.advance(Duration::from_secs(600));
    // The bucket holds no more than a minute's.
    for _ in 0..60 {
        soon(ask(&model, hello())).await.unwrap();
    }
    assert_eq!(timed(&manual, ask(&model, hello())).await.1, Duration::from_secs(1));
}

#[tokio::test]
async fn tokens_are_taken_as_they_are_estimated() {
    let manual = clock();
    let model = Paced::new(silent(), &tokens(&manual, 600));
    assert_eq!(timed(&manual, ask(&model, of(580))).await.1, Duration::ZERO);
    // 20 are left, and 10 more come in each second.
    assert_eq!(timed(&manual, ask(&model, of(50))).await.1, Duration::from_secs(3));
}

#[tokio::test]
async fn the_expected_answer_counts_too_by_its_limit_or_by_the_options() {
    let manual = clock();
    let limits = PacingOptions {
        tokens_per_minute: NonZeroU32::new(600),
        expected_output_tokens: 100,
        ..options(&manual)
    };
    let model = Paced::new(silent(), &Pacing::new(limits));
    let settings = Settings { max_output_tokens: Some(400), ..Settings::default() };
    soon(ask(&model, of(50).with_settings(settings))).await.unwrap();
    soon(ask(&model, of(50))).await.unwrap();
    assert_eq!(timed(&manual, ask(&model, of(10))).await.1, Duration::from_secs(11));
}

#[tokio::test]
async fn an_estimate_is_put_right_by_the_real_usage() {
    let manual = clock();
    let replies = [using(60), using(200), using(5)];
    let model = Paced::new(Arc::new(MockModel::new(replies)), &tokens(&manual, 600));
    // It was estimated at 600 and used 60, so 540 are there again.
    soon(ask(&model, of(600))).await.unwrap();
    // It was estimated at 540 and used 200.
    assert_eq!(timed(&manual, ask(&model, of(540))).await.1, Duration::ZERO);
    assert_eq!(timed(&manual, ask(&model, of(340))).await.1, Duration::ZERO);
}

#[tokio::test]
async fn what_was_used_beyond_the_estimate_holds_up_the_next_calls() {
    let manual = clock();
    let model = Paced::new(Arc::new(MockModel::new([using(1200), using(1)])), &tokens(&manual, 600));
    soon(ask(&model, of(10))).await.unwrap();
    // 600 of 1200 are owed, so one more is there after 601 have come in.
    assert_eq!(timed(&manual, ask(&model, of(1))).await.1, Duration::from_millis(60_100));
}

#[tokio::test]
async fn a_count_that_makes_no_sense_holds_nobody_up_for_ever() {
    let manual = clock();
    let model = Paced::new(Arc::new(MockModel::new([using(u64::MAX), using(1)])), &tokens(&manual, 600));
    soon(ask(&model, of(1))).await.unwrap();
    manual.advance(Duration::from_secs(600));
    soon(ask(&model, of(1))).await.unwrap();
}

#[tokio::test]
async fn a_call_that_is_larger_than_the_limit_waits_until_nothing_is_used_up() {
    let manual = clock();
    let model = Paced::new(silent(), &tokens(&manual, 600));
    soon(ask(&model, of(300))).await.unwrap();
    assert_eq!(timed(&manual, ask(&model, of(1200))).await.1, Duration::from_secs(30));
    // And what it took beyond the limit is owed.
    assert_eq!(timed(&manual, ask(&model, of(1))).await.1, Duration::from_millis(60_100));
}

#[tokio::test]
async fn calls_take_their_turns_in_the_order_in_which_they_came() {
    let (manual, model) = (clock(), silent());
    let paced = Paced::new(model.clone(), &tokens(&manual, 600));
    let sizes = [600, 300, 1, 100, 2];
    let calls = join_all(sizes.map(|size| ask(&paced, of(size))));
    let (replies, took) = timed(&manual, calls).await;
    assert!(replies.iter().all(Result::is_ok));
    // Small calls don't overtake large ones.
    let order: Vec<usize> = model.requests().iter().map(|request| request.messages[0].text().len()).collect();
    assert_eq!((order.as_slice(), took), (sizes.as_slice(), Duration::from_millis(40_300)));
}

#[tokio::test]
async fn several_models_share_the_limits_of_their_account() {
    let manual = clock();
    let pacing = requests(&manual, 1);
    let (small, large) = (Paced::new(silent(), &pacing), Paced::new(silent(), &pacing));
    soon(ask(&small, hello())).await.unwrap();
    assert_eq!(timed(&manual, ask(&large, hello())).await.1, Duration::from_secs(60));
}

#[tokio::test]
async fn a_call_that_would_wait_too_long_is_refused_at_once_and_takes_nothing() {
    let manual = clock();
    let limits = PacingOptions {
        requests_per_minute: NonZeroU32::new(2),
        tokens_per_minute: NonZeroU32::new(600),
        max_wait: Duration::from_secs(5),
        ..options(&manual)
    };
    let model = Paced::new(silent(), &Pacing::new(limits));
    soon(ask(&model, of(600))).await.unwrap();
    let error = soon(ask(&model, of(100))).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "mock/mock: rate_limited: the limit of 600 tokens a minute holds the call up for 10s, and it may \
         wait for 5s"
    );
    assert_eq!((scope(&error), error.retry_after()), (Some("tokens"), Some(Duration::from_secs(10))));
    // It has taken no request: the second one is still there.
    assert_eq!(timed(&manual, ask(&model, of(30))).await.1, Duration::from_secs(3));
    let error = soon(ask(&model, of(1))).await.unwrap_err();
    assert_eq!((scope(&error), error.retry_after()), (Some("requests"), Some(Duration::from_secs(27))));
}

#[tokio::test]
async fn a_call_behind_others_waits_no_longer_than_it_may() {
    let manual = clock();
    let limits = PacingOptions { max_wait: Duration::from_secs(5), ..options(&manual) };
    let limits = PacingOptions { tokens_per_minute: NonZeroU32::new(600), ..limits };
    let model = Paced::new(silent(), &Pacing::new(limits));
    let calls = async { tokio::join!(ask(&model, of(600)), ask(&model, of(40)), ask(&model, of(40))) };
    let ((first, second, third), took) = timed(&manual, calls).await;
    assert!(first.is_ok() && second.is_ok());
    let error = third.unwrap_err();
    assert_eq!((scope(&error), took), (Some("tokens"), Duration::from_secs(4)));
}

#[tokio::test]
async fn the_line_is_bounded() {
    let manual = clock();
    let limits =
        PacingOptions { max_waiting: 2, requests_per_minute: NonZeroU32::new(60), ..options(&manual) };
    let model = Paced::new(silent(), &Pacing::new(limits));
    let calls = join_all((0..60 + 2 + 1).map(|_| ask(&model, hello())));
    let (mut replies, _) = timed(&manual, calls).await;
    let error = replies.pop().unwrap().unwrap_err();
    assert!(replies.iter().all(Result::is_ok));
    assert_eq!(scope(&error), Some("waiting"));
    assert_eq!(error.message(), "2 calls wait for their turn already, the limit `max_waiting`");
}

#[tokio::test]
async fn only_so_many_calls_run_at_once_and_each_end_lets_one_pass() {
    let (manual, gate) = (clock(), Gate::new());
    let inner = Arc::new(MockModel::new([MockReply::from("one").gate(&gate), MockReply::from("two")]));
    inner.push(Error::new(ErrorKind::Overloaded, "mock", "mock", "no room"));
    inner.push(MockReply::default().hang());
    inner.push("five");
    let model = Paced::new(inner.clone(), &concurrent(&manual, 1));

    let test = async {
        gate.reached().await;
        assert_eq!(inner.requests().len(), 1);
        gate.open();
    };
    let (one, two, ()) = soon(async { tokio::join!(ask(&model, hello()), ask(&model, hello()), test) }).await;
    assert_eq!((one.unwrap().text(), two.unwrap().text()), ("one".into(), "two".into()));
    // A failure is an end, and so is an answer that is dropped.
    soon(ask(&model, hello())).await.unwrap_err();
    drop(soon(model.stream(hello())).await.unwrap());
    // An answer that has been read to its end runs no longer, even if it is kept.
    let mut five = soon(model.stream(hello())).await.unwrap();
    while let Some(chunk) = soon(five.next()).await {
        chunk.unwrap();
    }
    inner.push("six");
    assert_eq!(soon(ask(&model, hello())).await.unwrap().text(), "six");
}

#[tokio::test]
async fn a_call_that_waits_for_another_to_end_names_that_limit() {
    let (manual, gate) = (clock(), Gate::new());
    let inner = Arc::new(MockModel::always(MockReply::from("one").gate(&gate)));
    let limits = PacingOptions { max_concurrent: NonZeroU32::new(1), ..options(&manual) };
    let limits = PacingOptions { max_wait: Duration::from_secs(5), ..limits };
    let model = Paced::new(inner, &Pacing::new(limits));
    let running = soon(model.stream(hello())).await.unwrap();
    let (outcome, took) = timed(&manual, ask(&model, hello())).await;
    let error = outcome.unwrap_err();
    assert_eq!((scope(&error), took), (Some("concurrent"), Duration::from_secs(5)));
    assert!(error.message().contains("held up by the limit of 1 calls at once"), "{error}");
    drop(running);
}

#[tokio::test]
async fn who_leaves_the_line_has_taken_nothing() {
    let manual = clock();
    let model = Paced::new(silent(), &tokens(&manual, 600));
    soon(ask(&model, of(600))).await.unwrap();

    let call = of(300);
    let cancel = call.cancel.clone();
    let calling_off = async {
        manual.timers_waiting(1).await;
        cancel.cancel();
    };
    let (outcome, ()) = soon(async { tokio::join!(ask(&model, call), calling_off) }).await;
    assert_eq!(outcome.unwrap_err().kind(), &ErrorKind::Cancelled);
    assert_eq!(timed(&manual, ask(&model, of(10))).await.1, Duration::from_secs(1));
}

#[tokio::test]
async fn waiting_is_part_of_a_calls_time() {
    let manual = clock();
    let inner = silent();
    let model = Paced::new(inner.clone(), &tokens(&manual, 600));
    let timeout = Some(Duration::from_secs(8));
    let within = |tokens| of(tokens).with_settings(Settings { timeout, ..Settings::default() });
    soon(ask(&model, of(600))).await.unwrap();
    timed(&manual, ask(&model, within(30))).await.0.unwrap();
    assert_eq!(inner.requests()[1].settings.timeout, Some(Duration::from_secs(5)));
    let error = soon(ask(&model, within(100))).await.unwrap_err();
    assert_eq!((scope(&error), error.retry_after()), (Some("tokens"), Some(Duration::from_secs(10))));
}

/// A reply with a header of the provider.
fn saying<const N: usize>(headers: [(&str, &str); N]) -> MockReply {
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let info = ReplyInfo { headers: BTreeMap::from(headers), ..ReplyInfo::default() };
    MockReply::default().chunk(Chunk::Start(info)).text("Yes.").with_usage(Usage::default())
}

#[tokio::test]
async fn what_a_provider_says_is_left_is_heeded_where_it_is_less() {
    let manual = clock();
    let told = [
        saying([("x-ratelimit-remaining-tokens", "100"), ("x-ratelimit-remaining-requests", "9000")]),
        saying([("x-ratelimit-remaining-tokens", "599")]),
        saying([]),
    ];
    let model = Paced::new(Arc::new(MockModel::new(told)), &tokens(&manual, 600));
    soon(ask(&model, of(1))).await.unwrap();
    assert_eq!(timed(&manual, ask(&model, of(110))).await.1, Duration::from_secs(1));
    // It says that more is left, since it counts otherwise; we go by our own count.
    assert_eq!(timed(&manual, ask(&model, of(10))).await.1, Duration::from_secs(1));
}

#[tokio::test]
async fn headers_of_a_real_answer_are_heeded() {
    let fake = FakeProvider::start().await;
    fake.reply(provider::Reply::new().text("Yes.").header("x-ratelimit-remaining-requests", "1"))
        .reply("Yes.");
    fake.reply("Yes.");
    let http = HttpOptions { proxy: Proxy::None, ..HttpOptions::default() };
    let provider = OpenAi::with(OpenAiOptions { http, ..OpenAiOptions::compatible(fake.url(), "key") });
    let manual = clock();
    let model = Paced::new(provider.chat("loom"), &requests(&manual, 60));
    soon(LanguageModel::generate(&model, hello())).await.unwrap();
    soon(LanguageModel::generate(&model, hello())).await.unwrap();
    // The clock stands still until the call waits for the limit, so the network's time is no part of this.
    let turn = async {
        manual.timers_waiting(2).await;
        manual.advance(Duration::from_secs(1));
    };
    let (third, ()) = soon(async { tokio::join!(LanguageModel::generate(&model, hello()), turn) }).await;
    third.unwrap();
    assert_eq!(fake.left_over(), 0);
}

#[tokio::test]
async fn after_a_refusal_all_wait_for_as_long_as_the_provider_asks() {
    let manual = clock();
    let kind = ErrorKind::RateLimited { retry_after: Some(Duration::from_secs(20)), scope: None };
    let inner = Arc::new(MockModel::new([Error::new(kind, "mock", "mock", "not so fast")]));
    inner.push("Yes.");
    let model = Paced::new(inner, &requests(&manual, 60));
    soon(ask(&model, hello())).await.unwrap_err();
    assert_eq!(timed(&manual, ask(&model, hello())).await.1, Duration::from_secs(20));
}

#[tokio::test]
async fn a_clock_that_is_set_back_holds_nobody_up() {
    let manual = Clock::manual(Time::from_millis(1_000_000_000));
    let model = Paced::new(silent(), &requests(&manual, 60));
    for _ in 0..60 {
        soon(ask(&model, hello())).await.unwrap();
    }
    manual.set(Time::EPOCH);
    assert_eq!(timed(&manual, ask(&model, hello())).await.1, Duration::from_secs(1));
}

#[tokio::test]
async fn embeddings_and_images_take_their_turns_too() {
    let manual = clock();
    let pacing = tokens(&manual, 600);
    let embedder = Paced::new(Arc::new(MockEmbeddings::new(8)), &pacing);
    let artist = Arc::new(MockImages::new(Data::Url("https://example.com/cat.png".into())));
    let artist = Paced::new(artist, &pacing);

    // Estimated at 600 letters, and counted as 100 words.
    let text = "weave ".repeat(100);
    let embeddings = soon(embedder.embed(EmbedRequest::new([text]))).await.unwrap();
    assert_eq!((embeddings.vectors.len(), EmbeddingModel::dimensions(&embedder)), (1, Some(8)));
    let request = ImageRequest { prompt: "x".repeat(510), ..ImageRequest::default() };
    let (images, took) = timed(&manual, ImageModel::generate(&artist, request)).await;
    assert_eq!((images.unwrap().images.len(), took), (1, Duration::from_secs(1)));
}

#[test]
fn no_limits_hold_nobody_up() {
    let model: Arc<dyn LanguageModel> =
        Arc::new(Paced::new(silent(), &Pacing::new(PacingOptions::default())));
    assert_eq!(model.name().to_string(), "mock/mock");
}

proptest! {
    /// Whatever comes when, from the start to any moment no more passes than a full bucket and what flowed
    /// in since.
    #[test]
    fn no_more_passes_than_the_limit(
        calls in proptest::collection::vec((1..400_usize, 0..20_000_u64), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let manual = clock();
            let inner = silent();
            let model = Paced::new(inner, &tokens(&manual, 600));
            let mut passed = 0;
            for (size, pause) in calls {
                manual.advance(Duration::from_millis(pause));
                timed(&manual, ask(&model, of(size))).await.0.expect("a turn");
                passed += size as u128;
                let elapsed = manual.clock().now().since(Time::EPOCH).as_millis();
                assert!(passed <= 600 + elapsed / 100, "{passed} tokens within {elapsed} ms");
            }
        });
    }
}

#[tokio::test]
async fn headers_of_embeddings_and_images_are_heeded() {
    for is_embedder in [true, false] {
        let fake = FakeProvider::start().await;
        let image = || provider::Reply::new().image("picture");
        let reply = || if is_embedder { provider::Reply::new() } else { image() };
        fake.reply(
            reply().header("x-ratelimit-remaining-requests", "0").header("x-ratelimit-reset-requests", "1s"),
        );
        fake.reply(reply());
        let http = HttpOptions { proxy: Proxy::None, ..HttpOptions::default() };
        let provider = OpenAi::with(OpenAiOptions { http, ..OpenAiOptions::compatible(fake.url(), "key") });
        let manual = clock();
        let pacing = requests(&manual, 60);
        let embedder = Paced::new(provider.embeddings("loom"), &pacing);
        let artist = Paced::new(provider.images("loom"), &pacing);
        let ask = async || {
            if is_embedder {
                embedder.embed(EmbedRequest::new(["weave"])).await.map(|_| ())
            } else {
                let request = ImageRequest { prompt: "a loom".to_owned(), ..ImageRequest::default() };
                ImageModel::generate(&artist, request).await.map(|_| ())
            }
        };
        soon(ask()).await.unwrap();
        // The clock stands still until the call waits for the limit.
        let turn = async {
            manual.timers_waiting(2).await;
            assert_eq!(fake.left_over(), 1);
            manual.advance(Duration::from_secs(1));
        };
        let (second, ()) = soon(async { tokio::join!(ask(), turn) }).await;
        second.unwrap();
    }
}
