//! A model that is asked again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use loomwork_core::{Clock, ManualClock, Random, RetryPolicy, Time};
use loomwork_models::{
    Chunk, Data, EmbedRequest, EmbeddingModel, Error, ErrorKind, Gate, HttpOptions, ImageModel, ImageRequest,
    LanguageModel, Message, MockEmbeddings, MockImages, MockModel, MockReply, OpenAi, OpenAiOptions, Proxy,
    Request, Retry, RetryOptions, SchemaSupport, Settings, Usage,
};
use loomwork_testkit::provider::{Failure, FakeProvider};
use loomwork_testkit::soon;

fn overloaded() -> Error {
    Error::new(ErrorKind::Overloaded, "mock", "mock", "too many weavers")
}

fn limited(wait: Duration) -> Error {
    let kind = ErrorKind::RateLimited { retry_after: Some(wait), scope: None };
    Error::new(kind, "mock", "mock", "not so fast")
}

fn request() -> Request {
    Request::new([Message::user("Are you there?")])
}

fn within(timeout: Duration) -> Request {
    request().with_settings(Settings { timeout: Some(timeout), ..Settings::default() })
}

/// Three attempts, with waits of 100 and 200 ms between them.
fn options(clock: Clock) -> RetryOptions {
    let policy =
        RetryPolicy::default().with_attempts(3).with_initial(Duration::from_millis(100)).with_jitter(false);
    RetryOptions { policy, clock, random: Random::seeded(1), ..RetryOptions::default() }
}

/// A model on a clock that moves on by itself whenever somebody waits for it.
fn retried(model: &Arc<MockModel>, manual: &ManualClock) -> Retry<MockModel> {
    Retry::with(model.clone(), options(manual.clock()))
}

fn clock() -> ManualClock {
    Clock::manual(Time::EPOCH)
}

/// Turns the clock to its next timer as often as there is one, until the work is done.
async fn turning<T>(manual: &ManualClock, work: impl Future<Output = T>) -> T {
    let turn = async {
        loop {
            manual.timers_waiting(1).await;
            manual.advance_to_next_timer();
            tokio::task::yield_now().await;
        }
    };
    soon(async {
        tokio::select! {
            biased;
            outcome = work => outcome,
            () = turn => unreachable!("the clock is turned for ever"),
        }
    })
    .await
}

#[tokio::test]
async fn a_call_that_fails_is_made_again_after_the_waits_of_the_policy() {
    let (manual, model) = (clock(), Arc::new(MockModel::new([overloaded(), overloaded()])));
    model.push("Here I am.");
    let reply = turning(&manual, retried(&model, &manual).generate(request())).await.unwrap();
    assert_eq!(reply.text(), "Here I am.");
    assert_eq!(manual.clock().now(), Time::from_millis(100 + 200));
    assert_eq!(model.requests().len(), 3);
}

#[tokio::test]
async fn waits_are_spread_and_never_above_the_ceiling() {
    let (manual, model) = (clock(), Arc::new(MockModel::always(overloaded())));
    let policy = RetryPolicy::default().with_attempts(6).with_ceiling(Duration::from_secs(1));
    let options = RetryOptions { policy, ..options(manual.clock()) };
    let retry = Retry::with(model.clone(), options);
    let (mut times, mut waits) = (vec![Time::EPOCH], Vec::new());
    let turn = async {
        for _ in 1..6 {
            manual.timers_waiting(1).await;
            let now = manual.advance_to_next_timer().unwrap();
            waits.push(now.since(*times.last().unwrap()));
            times.push(now);
        }
    };
    let (outcome, ()) = soon(async { tokio::join!(retry.generate(request()), turn) }).await;
    outcome.unwrap_err();
    let millis =
        |range: std::ops::RangeInclusive<u64>, wait: Duration| range.contains(&(wait.as_millis() as u64));
    assert!(millis(125..=375, waits[0]) && millis(250..=750, waits[1]), "{waits:?}");
    assert!(millis(500..=1000, waits[2]) && millis(1000..=1000, waits[3]), "{waits:?}");
    assert_ne!(waits[0], Duration::from_millis(250));
}

#[tokio::test]
async fn the_wait_that_the_provider_asks_for_goes_before_the_policy() {
    for asked in [Duration::from_millis(7), Duration::from_secs(90)] {
        let (manual, model) = (clock(), Arc::new(MockModel::new([limited(asked)])));
        model.push("Here I am.");
        turning(&manual, retried(&model, &manual).generate(request())).await.unwrap();
        assert_eq!(manual.clock().now(), Time::EPOCH + asked);
    }
}

#[tokio::test]
async fn a_provider_that_asks_for_too_long_a_wait_is_not_asked_again() {
    let (manual, model) = (clock(), Arc::new(MockModel::new([limited(Duration::from_secs(121))])));
    let error = soon(retried(&model, &manual).generate(request())).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(121)));
    assert_eq!(model.requests().len(), 1);
}

#[tokio::test]
async fn what_a_retry_cannot_help_is_returned_at_once() {
    for kind in [ErrorKind::Auth, ErrorKind::BadRequest, ErrorKind::ContextTooLong, ErrorKind::Cancelled] {
        let error = Error::new(kind.clone(), "mock", "mock", "no");
        let (manual, model) = (clock(), Arc::new(MockModel::always(error)));
        let error = soon(retried(&model, &manual).generate(request())).await.unwrap_err();
        assert_eq!((error.kind(), model.requests().len()), (&kind, 1));
    }
    // The provider's own word decides before the kind.
    let (manual, model) = (clock(), Arc::new(MockModel::always(overloaded().with_retryable(false))));
    soon(retried(&model, &manual).generate(request())).await.unwrap_err();
    assert_eq!(model.requests().len(), 1);
}

#[tokio::test]
async fn after_all_attempts_the_last_error_is_returned() {
    let (manual, model) = (clock(), Arc::new(MockModel::new([overloaded(), overloaded()])));
    model.push(limited(Duration::from_secs(1)));
    let error = turning(&manual, retried(&model, &manual).generate(request())).await.unwrap_err();
    assert_eq!(error.message(), "not so fast");
    assert_eq!(model.requests().len(), 3);
}

#[tokio::test]
async fn a_requests_own_retries_go_before_the_policy_and_the_model_makes_none() {
    for retries in [0, 1, 6] {
        let (manual, model) = (clock(), Arc::new(MockModel::always(overloaded())));
        let settings = Settings { max_retries: Some(retries), ..Settings::default() };
        let call = request().with_settings(settings);
        turning(&manual, retried(&model, &manual).generate(call)).await.unwrap_err();
        let asked = model.requests();
        assert_eq!(asked.len() as u32, retries + 1);
        assert!(asked.iter().all(|request| request.settings.max_retries == Some(0)));
    }
}

#[tokio::test]
async fn nothing_is_tried_again_twice() {
    let fake = FakeProvider::start().await;
    fake.otherwise(|_| Failure::status(500).into());
    let http = HttpOptions { proxy: Proxy::None, ..HttpOptions::default() };
    let provider = OpenAi::with(OpenAiOptions { http, ..OpenAiOptions::compatible(fake.url(), "key") });
    let policy = RetryPolicy::default().with_attempts(3).with_initial(Duration::ZERO);
    let retry = Retry::with(provider.chat("loom"), RetryOptions { policy, ..RetryOptions::default() });
    let error = soon(retry.generate(request())).await.unwrap_err();
    assert_eq!(error.status(), Some(500));
    assert_eq!(fake.requests().len(), 3);
}

#[tokio::test]
async fn a_stream_is_begun_anew_until_its_first_part() {
    let (manual, model) = (clock(), Arc::new(MockModel::new([overloaded()])));
    // It says who answers, and then fails.
    model.push(MockReply::default().wait(Duration::ZERO).fail(overloaded()));
    model.push("Here I am.");
    let stream = turning(&manual, retried(&model, &manual).stream(request())).await.unwrap();
    let chunks: Vec<Chunk> = soon(stream.map(Result::unwrap).collect()).await;
    assert!(matches!(&chunks[0], Chunk::Start(info) if info.provider == "mock"));
    let starts = chunks.iter().filter(|chunk| matches!(chunk, Chunk::Start(_)));
    assert_eq!((starts.count(), model.requests().len()), (1, 3));
}

#[tokio::test]
async fn a_stream_is_not_begun_anew_once_a_part_was_handed_on() {
    let (manual, model) =
        (clock(), Arc::new(MockModel::new([MockReply::from("Here I am.").fail_in(0, 1, overloaded())])));
    model.push("Here I am again.");
    let stream = soon(retried(&model, &manual).stream(request())).await.unwrap();
    let last = soon(stream.collect::<Vec<_>>()).await.pop().unwrap();
    assert_eq!(last.unwrap_err().kind(), &ErrorKind::Overloaded);
    assert_eq!(model.requests().len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_asked_for_as_a_whole_is_begun_anew_wherever_it_breaks_off() {
    let spent = Usage { input_fresh: 5, output_text: 1, ..Usage::default() };
    let cut = MockReply::from("Here I").fail_in(0, 1, overloaded().with_usage(spent));
    let (manual, model) = (clock(), Arc::new(MockModel::new([cut])));
    model.push("Here I am.");
    let reply = turning(&manual, retried(&model, &manual).generate(request())).await.unwrap();
    assert_eq!(reply.text(), "Here I am.");
    // Both attempts are paid for.
    assert_eq!((reply.usage().input_fresh, reply.usage().output_text), (5 + 3, 1 + 10));
}

#[tokio::test]
async fn what_failed_attempts_used_is_told_when_all_fail() {
    let spent = Usage { input_fresh: 5, ..Usage::default() };
    let (manual, model) = (clock(), Arc::new(MockModel::always(overloaded().with_usage(spent))));
    let error = turning(&manual, retried(&model, &manual).stream(request())).await;
    assert_eq!(error.err().unwrap().usage().unwrap().input_fresh, 3 * 5);
}

#[tokio::test]
async fn the_time_out_spans_all_attempts() {
    let (manual, model) = (clock(), Arc::new(MockModel::always(overloaded())));
    let call = within(Duration::from_millis(250));
    turning(&manual, retried(&model, &manual).generate(call)).await.unwrap_err();
    // The second wait would end after the call's time, so it is not begun.
    let given: Vec<_> = model.requests().iter().map(|request| request.settings.timeout).collect();
    assert_eq!(given, [Some(Duration::from_millis(250)), Some(Duration::from_millis(150))]);
    assert_eq!(manual.clock().now(), Time::from_millis(100));
}

#[tokio::test]
async fn a_model_that_does_not_mind_its_time_is_ended() {
    let manual = clock();
    let model = Arc::new(MockModel::always(MockReply::default().hang()).with_clock(Clock::system()));
    let call = within(Duration::from_secs(3600));
    let error = turning(&manual, retried(&model, &manual).generate(call)).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Timeout);
    assert_eq!(error.message(), "the call took longer than 3600s, the time that it was given");
}

#[tokio::test]
async fn a_call_that_is_called_off_stops_waiting_for_its_next_attempt() {
    let (manual, model) = (clock(), Arc::new(MockModel::always(overloaded())));
    let (call, retry) = (request(), retried(&model, &manual));
    let cancel = call.cancel.clone();
    let calling_off = async {
        manual.timers_waiting(1).await;
        cancel.cancel();
    };
    let (outcome, ()) = soon(async { tokio::join!(retry.generate(call), calling_off) }).await;
    assert_eq!(outcome.unwrap_err().kind(), &ErrorKind::Cancelled);
    assert_eq!(model.requests().len(), 1);
}

#[tokio::test]
async fn dropping_the_stream_drops_that_of_the_model() {
    let (manual, gate) = (clock(), Gate::new());
    let model = Arc::new(MockModel::always(MockReply::from("Once").gate(&gate)));
    let mut stream = soon(retried(&model, &manual).stream(request())).await.unwrap();
    soon(stream.next()).await.unwrap().unwrap();
    drop(stream);
    assert_eq!(model.dropped(), 1);
}

#[tokio::test]
async fn embeddings_and_images_are_asked_for_again() {
    let manual = clock();
    let embedder = Arc::new(MockEmbeddings::new(8));
    embedder.fail_next(overloaded().with_usage(Usage { embedding: 2, ..Usage::default() }));
    let retry = Retry::with(embedder.clone(), options(manual.clock()));
    let embeddings = turning(&manual, retry.embed(EmbedRequest::new(["one two three"]))).await.unwrap();
    assert_eq!((embeddings.vectors.len(), embeddings.usage.embedding), (1, 2 + 3));
    assert_eq!(EmbeddingModel::dimensions(&retry), Some(8));
    assert_eq!(embedder.requests()[1].settings.max_retries, Some(0));

    let artist = Arc::new(MockImages::new(Data::Url("https://example.com/cat.png".into())));
    artist.fail_next(overloaded());
    let retry = Retry::with(artist.clone(), options(manual.clock()));
    let images = turning(&manual, ImageModel::generate(&retry, ImageRequest::default())).await.unwrap();
    assert_eq!((images.images.len(), artist.requests().len()), (1, 2));
}

#[test]
fn it_is_the_model_that_it_asks() {
    let model =
        MockModel::new(["hello"]).with_name("lyon", "loom").with_schema_support(SchemaSupport::Native);
    let model: Arc<dyn LanguageModel> = Arc::new(Retry::new(Arc::new(model)));
    assert_eq!(model.name().to_string(), "lyon/loom");
    assert_eq!(model.schema_support(), SchemaSupport::Native);
}

#[tokio::test]
async fn what_failed_attempts_used_is_told_when_the_call_ends_otherwise() {
    let spent = || Usage { input_fresh: 5, ..Usage::default() };
    let used = |error: &Error| error.usage().map(Usage::total);

    // Behind the first part of a stream.
    let cut = MockReply::from("Here I").fail_in(0, 1, overloaded().with_usage(spent()));
    let (manual, model) = (clock(), Arc::new(MockModel::new([overloaded().with_usage(spent()).into(), cut])));
    let stream = turning(&manual, retried(&model, &manual).stream(request())).await.unwrap();
    let last = soon(stream.collect::<Vec<_>>()).await.pop().unwrap();
    assert_eq!(used(&last.unwrap_err()), Some(10));

    // When the time is over, or nobody wants the answer any more.
    let hang = || MockReply::default().hang();
    let (manual, model) =
        (clock(), Arc::new(MockModel::new([overloaded().with_usage(spent()).into(), hang()])));
    let call = within(Duration::from_secs(9));
    let error = turning(&manual, retried(&model, &manual).generate(call)).await.unwrap_err();
    assert_eq!((error.kind(), used(&error)), (&ErrorKind::Timeout, Some(5)));
    let (manual, model) = (clock(), Arc::new(MockModel::always(overloaded().with_usage(spent()))));
    let (call, retry) = (request(), retried(&model, &manual));
    let cancel = call.cancel.clone();
    let calling_off = async {
        manual.timers_waiting(1).await;
        cancel.cancel();
    };
    let (outcome, ()) = soon(async { tokio::join!(retry.generate(call), calling_off) }).await;
    assert_eq!(used(&outcome.unwrap_err()), Some(5));
}

#[tokio::test]
async fn a_call_whose_term_is_over_says_itself_what_it_used() {
    let fake = FakeProvider::start().await;
    fake.reply(loomwork_testkit::provider::Reply::from("Good morning to you").hangs_after(4));
    let http = HttpOptions { proxy: Proxy::None, ..HttpOptions::default() };
    let options = OpenAiOptions { http, ..OpenAiOptions::compatible(format!("{}/v1", fake.url()), "key") };
    let retry = Retry::new(OpenAi::with(options).chat("m"));
    let call = request();
    let cancel = call.cancel.clone();
    let calling_off = async {
        fake.arrived(1).await;
        cancel.cancel();
    };
    // The prompt is read before the answer is called off, or the call ends before it is answered at all.
    let (outcome, ()) = soon(async { tokio::join!(retry.generate(call), calling_off) }).await;
    let error = outcome.unwrap_err();
    assert_eq!((error.kind(), error.usage().is_some()), (&ErrorKind::Cancelled, error.partial().is_some()));
}
