//! Models that stand in for each other.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use loomwork_core::{Clock, ManualClock, Time};
use loomwork_models::{
    Advice, Anthropic, AnthropicOptions, Chunk, Data, Error, ErrorKind, Fallback, FallbackOptions,
    HttpOptions, ImageModel, ImageRequest, LanguageModel, Message, MockImages, MockModel, MockReply, OpenAi,
    OpenAiOptions, Proxy, Reply, Request, Role, SchemaSupport, Settings, Usage,
};
use loomwork_testkit::provider::{self, Endpoint, Failure, FakeProvider};
use loomwork_testkit::soon;
use serde_json::{Value, json};

fn request() -> Request {
    Request::new([Message::user("Good morning!")])
}

fn error(name: &str, kind: ErrorKind) -> Error {
    Error::new(kind, name, "loom", "no")
}

fn limited(wait: u64) -> ErrorKind {
    ErrorKind::RateLimited { retry_after: Some(Duration::from_secs(wait)), scope: None }
}

/// A model of a provider of this name that gives these replies.
fn model<R: Into<MockReply>>(name: &str, replies: impl IntoIterator<Item = R>) -> Arc<MockModel> {
    Arc::new(MockModel::new(replies).with_name(name, "loom"))
}

/// A model that always fails so.
fn broken(name: &str, kind: ErrorKind) -> Arc<MockModel> {
    Arc::new(MockModel::always(error(name, kind)).with_name(name, "loom"))
}

fn always(name: &str, reply: impl Into<MockReply>) -> Arc<MockModel> {
    Arc::new(MockModel::always(reply).with_name(name, "loom"))
}

type Models = Fallback<dyn LanguageModel>;

fn chain(models: &[&Arc<MockModel>], options: FallbackOptions) -> Models {
    let [first, others @ ..] = models else { panic!("a test has models") };
    let fallback = Models::new((*first).clone()).with_options(options);
    others.iter().fold(fallback, |fallback, model| fallback.or((*model).clone()))
}

fn plain(models: &[&Arc<MockModel>]) -> Models {
    chain(models, FallbackOptions::default())
}

/// Returns a chain whose models rest for ten seconds, and the clock that they rest by.
fn resting(models: &[&Arc<MockModel>]) -> (Models, ManualClock) {
    let manual = Clock::manual(Time::EPOCH);
    let cool_down = Some(Duration::from_secs(10));
    let options = FallbackOptions { cool_down, clock: manual.clock(), ..FallbackOptions::default() };
    (chain(models, options), manual)
}

async fn ask(model: &Models) -> Reply {
    soon(LanguageModel::generate(model, request())).await.unwrap()
}

fn warned(reply: &Reply) -> Vec<(&str, &str)> {
    reply.info.warnings.iter().map(|warning| (warning.what.as_str(), warning.why.as_str())).collect()
}

#[tokio::test]
async fn the_next_model_answers_and_the_reply_says_so() {
    let spent = Usage { input_fresh: 12, ..Usage::default() };
    let failure = error("paris", ErrorKind::Overloaded).with_usage(spent.clone());
    let (paris, lyon, rome) =
        (model("paris", [failure]), model("lyon", ["Bonjour."]), model("rome", ["Ciao."]));
    let reply = ask(&plain(&[&paris, &lyon, &rome])).await;

    assert_eq!(reply.text(), "Bonjour.");
    assert_eq!((reply.info.provider.as_str(), reply.info.model.as_str()), ("lyon", "loom"));
    assert_eq!(
        warned(&reply),
        [("model paris/loom", "it failed, so the next model was asked: overloaded: no")]
    );
    let failed = json!({ "provider": "paris", "model": "loom", "kind": "overloaded", "usage": json!(spent) });
    assert_eq!(reply.finish.provider_metadata["fallback"], json!({ "failed": [failed] }));
    // Other models have other prices, so their tokens are not among those of the answer.
    assert_eq!(reply.usage(), &MockReply::default_usage());
    assert!(rome.requests().is_empty());
}

#[tokio::test]
async fn a_first_model_that_answers_leaves_no_trace_of_the_others() {
    let (paris, lyon) = (always("paris", "Bonjour."), always("lyon", "Bonsoir."));
    let through = ask(&plain(&[&paris, &lyon])).await;
    assert_eq!(through, soon(paris.generate(request())).await.unwrap());
}

#[tokio::test]
async fn the_error_when_all_fail_names_each_model_and_its_cause() {
    let paris = broken("paris", ErrorKind::Auth);
    let (lyon, rome) = (broken("lyon", limited(30)), broken("rome", limited(20)));
    let failure =
        soon(LanguageModel::generate(&plain(&[&paris, &lyon, &rome]), request())).await.unwrap_err();
    assert_eq!(
        failure.message(),
        "none of 3 models answered: paris/loom: auth: no; lyon/loom: rate_limited: no; \
         rome/loom: rate_limited: no"
    );
    // Who asks again asks all of them, so the soonest hope counts.
    assert_eq!((failure.advice(), failure.retry_after()), (Advice::Retry, Some(Duration::from_secs(20))));

    let alone = soon(LanguageModel::generate(&plain(&[&paris]), request())).await.unwrap_err();
    assert_eq!(alone.to_string(), "paris/loom: auth: no");
}

#[tokio::test]
async fn what_no_other_model_can_help_is_the_calls_error() {
    for kind in [ErrorKind::BadRequest, ErrorKind::Cancelled] {
        let (paris, lyon) = (broken("paris", kind.clone()), always("lyon", "Bonjour."));
        let failure = soon(LanguageModel::generate(&plain(&[&paris, &lyon]), request())).await.unwrap_err();
        assert_eq!((failure.kind(), lyon.requests().len()), (&kind, 0));
    }
    for kind in [ErrorKind::Auth, ErrorKind::ContextTooLong, ErrorKind::ContentPolicy, ErrorKind::Quota] {
        let (paris, lyon) = (broken("paris", kind), always("lyon", "Bonjour."));
        assert_eq!(ask(&plain(&[&paris, &lyon])).await.text(), "Bonjour.");
    }
}

#[tokio::test]
async fn what_counts_as_a_failure_can_be_set() {
    let only_limits = FallbackOptions {
        falls_over: |error| matches!(error.kind(), ErrorKind::RateLimited { .. }),
        ..FallbackOptions::default()
    };
    let lyon = always("lyon", "Bonjour.");
    let failure = chain(&[&broken("paris", ErrorKind::Auth), &lyon], only_limits.clone());
    let failure = soon(LanguageModel::generate(&failure, request())).await.unwrap_err();
    assert_eq!(failure.kind(), &ErrorKind::Auth);
    let limited = chain(&[&broken("paris", limited(1)), &lyon], only_limits);
    assert_eq!(ask(&limited).await.text(), "Bonjour.");
}

#[tokio::test]
async fn a_stream_fails_over_before_its_first_part_and_not_after_it() {
    let overloaded = || error("paris", ErrorKind::Overloaded);
    let paris = model("paris", [MockReply::default().wait(Duration::ZERO).fail(overloaded())]);
    paris.push(MockReply::from("Bon jour").fail_in(0, 1, overloaded()));
    let lyon = always("lyon", "Bonjour.");
    let models = plain(&[&paris, &lyon]);

    let stream = soon(models.stream(request())).await.unwrap();
    let chunks: Vec<Chunk> = soon(stream.map(Result::unwrap).collect()).await;
    assert!(matches!(&chunks[0], Chunk::Start(info) if info.provider == "lyon" && info.warnings.len() == 1));

    let stream = soon(models.stream(request())).await.unwrap();
    let last = soon(stream.collect::<Vec<_>>()).await.pop().unwrap();
    assert_eq!(last.unwrap_err().provider(), "paris");
    assert_eq!(lyon.requests().len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_asked_for_as_a_whole_fails_over_wherever_it_breaks_off() {
    let cut = MockReply::from("Bon jour").fail_in(0, 1, error("paris", ErrorKind::Interrupted));
    let reply = ask(&plain(&[&model("paris", [cut]), &always("lyon", "Bonjour.")])).await;
    assert_eq!((reply.text().as_str(), reply.info.provider.as_str()), ("Bonjour.", "lyon"));
}

#[tokio::test]
async fn a_model_that_hangs_is_left_after_the_limit_of_its_first_part() {
    let manual = Clock::manual(Time::EPOCH);
    let first_part_within = Some(Duration::from_secs(5));
    let options = FallbackOptions { first_part_within, clock: manual.clock(), ..FallbackOptions::default() };
    let hanging = always("paris", MockReply::default().hang());
    let slow = always("lyon", MockReply::from("Bonjour.").wait(Duration::from_millis(1)));
    let models = chain(&[&hanging, &slow], options);
    let turn = async {
        manual.timers_waiting(1).await;
        manual.advance(Duration::from_secs(5));
    };
    let (reply, ()) = soon(async { tokio::join!(LanguageModel::generate(&models, request()), turn) }).await;
    let reply = reply.unwrap();
    let why = "it failed, so the next model was asked: timeout: no part of an answer came within 5s, the \
               limit `first_part_within`";
    assert_eq!(warned(&reply), [("model paris/loom", why)]);
    assert_eq!(hanging.dropped(), 1);
}

#[tokio::test]
async fn a_model_that_failed_is_asked_last_until_it_has_cooled_down() {
    let paris = model("paris", [error("paris", ErrorKind::Overloaded)]);
    paris.push("Bonjour.");
    let lyon = always("lyon", "Salut.");
    let (models, manual) = resting(&[&paris, &lyon]);

    assert_eq!(ask(&models).await.text(), "Salut.");
    let reply = ask(&models).await;
    let why = "it failed before and is asked last until 1970-01-01T00:00:10.000Z: overloaded: no";
    assert_eq!(warned(&reply), [("model paris/loom", why)]);
    assert_eq!(paris.requests().len(), 1);

    manual.advance(Duration::from_secs(10));
    let reply = ask(&models).await;
    assert_eq!((reply.text().as_str(), warned(&reply).len()), ("Bonjour.", 0));
}

#[tokio::test]
async fn a_resting_model_is_asked_when_all_others_fail() {
    let paris = model("paris", [error("paris", ErrorKind::Overloaded)]);
    paris.push("Bonjour.");
    let lyon = model("lyon", ["Salut."]);
    lyon.push(error("lyon", ErrorKind::Network));
    let (models, _manual) = resting(&[&paris, &lyon]);
    assert_eq!(ask(&models).await.text(), "Salut.");
    let reply = ask(&models).await;
    assert_eq!((reply.text().as_str(), warned(&reply)[0].0), ("Bonjour.", "model lyon/loom"));
}

#[tokio::test]
async fn a_model_rests_for_as_long_as_its_provider_asks() {
    let paris = model("paris", [error("paris", limited(60))]);
    paris.push("Bonjour.");
    let (models, manual) = resting(&[&paris, &always("lyon", "Salut.")]);
    assert_eq!(ask(&models).await.text(), "Salut.");
    manual.advance(Duration::from_secs(59));
    assert_eq!(ask(&models).await.text(), "Salut.");
    manual.advance(Duration::from_secs(1));
    assert_eq!(ask(&models).await.text(), "Bonjour.");
}

#[tokio::test]
async fn a_model_that_breaks_off_within_its_answer_rests_too() {
    let cut = MockReply::from("Bon jour").fail_in(0, 1, error("paris", ErrorKind::Interrupted));
    let paris = model("paris", [cut]);
    let (models, _manual) = resting(&[&paris, &always("lyon", "Salut.")]);
    let stream = soon(models.stream(request())).await.unwrap();
    assert!(soon(stream.collect::<Vec<_>>()).await.pop().unwrap().is_err());
    assert_eq!(ask(&models).await.text(), "Salut.");
}

#[tokio::test]
async fn a_fault_of_the_request_makes_no_model_rest() {
    let paris = model("paris", [error("paris", ErrorKind::ContextTooLong)]);
    paris.push("Bonjour.");
    let (models, _manual) = resting(&[&paris, &always("lyon", "Salut.")]);
    assert_eq!(ask(&models).await.text(), "Salut.");
    assert_eq!(ask(&models).await.text(), "Bonjour.");
}

#[tokio::test]
async fn the_time_out_spans_all_models() {
    let manual = Clock::manual(Time::EPOCH);
    let options = FallbackOptions { clock: manual.clock(), ..FallbackOptions::default() };
    let slow = MockReply::default().wait(Duration::from_secs(4)).fail(error("paris", ErrorKind::Overloaded));
    let paris = Arc::new(MockModel::always(slow).with_name("paris", "loom").with_clock(manual.clock()));
    let (lyon, rome) = (always("lyon", MockReply::default().hang()), always("rome", "Ciao."));
    let models = chain(&[&paris, &lyon, &rome], options);
    let settings = Settings { timeout: Some(Duration::from_secs(6)), ..Settings::default() };
    let turn = async {
        loop {
            manual.timers_waiting(1).await;
            manual.advance_to_next_timer();
            tokio::task::yield_now().await;
        }
    };
    let failure = soon(async {
        tokio::select! {
            biased;
            outcome = LanguageModel::generate(&models, request().with_settings(settings)) => outcome,
            () = turn => unreachable!("the clock is turned for ever"),
        }
    });
    assert_eq!(failure.await.unwrap_err().kind(), &ErrorKind::Timeout);
    assert_eq!(lyon.requests()[0].settings.timeout, Some(Duration::from_secs(2)));
    assert!(rome.requests().is_empty());
}

#[tokio::test]
async fn a_call_that_is_called_off_asks_no_other_model() {
    let (paris, lyon) = (always("paris", MockReply::default().hang()), always("lyon", "Bonjour."));
    let (models, call) = (plain(&[&paris, &lyon]), request());
    call.cancel.cancel();
    let failure = soon(LanguageModel::generate(&models, call)).await.unwrap_err();
    assert_eq!((failure.kind(), lyon.requests().len()), (&ErrorKind::Cancelled, 0));
}

#[tokio::test]
async fn only_headers_that_mean_the_same_everywhere_go_to_other_models() {
    let (paris, lyon) = (broken("paris", ErrorKind::Overloaded), always("lyon", "Bonjour."));
    let headers = [("Authorization", "Bearer secret"), ("x-own-key", "secret"), ("Traceparent", "7")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let settings = Settings { headers, ..Settings::default() };
    soon(LanguageModel::generate(&plain(&[&paris, &lyon]), request().with_settings(settings))).await.unwrap();
    assert_eq!(paris.requests()[0].settings.headers.len(), 3);
    let others: Vec<String> = lyon.requests()[0].settings.headers.keys().cloned().collect();
    assert_eq!(others, ["Traceparent"]);
}

fn http() -> HttpOptions {
    HttpOptions { proxy: Proxy::None, ..HttpOptions::default() }
}

/// Two providers over HTTP, neither of which tries again by itself.
fn providers(fake: &FakeProvider) -> (Arc<dyn LanguageModel>, Arc<dyn LanguageModel>) {
    let claude = AnthropicOptions { http: http(), ..AnthropicOptions::compatible(fake.url(), "key") };
    let deepseek = OpenAiOptions {
        http: http(),
        provider: "deepseek".to_owned(),
        dialect: loomwork_models::Dialect::deepseek(),
        ..OpenAiOptions::compatible(format!("{}/v1", fake.url()), "key")
    };
    let claude = Anthropic::with(claude).messages("claude-sonnet-4-5");
    (claude, OpenAi::with(deepseek).chat("deepseek-chat"))
}

async fn say(model: &Models, messages: &mut Vec<Message>, text: &str) -> Reply {
    messages.push(Message::user(text));
    let settings = Settings { max_retries: Some(0), ..Settings::default() };
    let request = Request::new(messages.clone()).with_settings(settings);
    let reply = soon(LanguageModel::generate(model, request)).await.unwrap();
    messages.push(Message::new(Role::Assistant, reply.parts.clone()));
    reply
}

fn body(fake: &FakeProvider) -> Value {
    fake.last_request().body
}

#[tokio::test]
async fn what_only_one_provider_reads_does_not_reach_another_in_mid_conversation() {
    let fake = FakeProvider::start().await;
    let thoughtful = |thought: &str, text: &str| provider::Reply::new().reasoning(thought).text(text);
    fake.reply_to(Endpoint::Messages, thoughtful("of Rome", "It is in Italy."))
        .reply_to(Endpoint::Messages, Failure::status(529))
        .reply_to(Endpoint::Chat, thoughtful("of Bern", "It is in Switzerland."))
        .reply_to(Endpoint::Messages, "It is in France.");
    let (claude, deepseek) = providers(&fake);
    let models = Models::new(claude).or(deepseek);
    let mut messages = Vec::new();

    assert_eq!(say(&models, &mut messages, "Where is Rome?").await.info.provider, "anthropic");
    assert_eq!(say(&models, &mut messages, "Where is Bern?").await.info.provider, "deepseek");
    let seen = body(&fake).to_string();
    assert!(
        seen.contains("It is in Italy.") && !seen.contains("of Rome") && !seen.contains("signature"),
        "{seen}"
    );

    assert_eq!(say(&models, &mut messages, "Where is Lyon?").await.info.provider, "anthropic");
    let seen = body(&fake);
    assert_eq!(seen["messages"][1]["content"][0]["thinking"], "of Rome");
    assert!(seen["messages"][1]["content"][0]["signature"].is_string());
    assert!(!seen.to_string().contains("of Bern"), "{seen}");
    assert_eq!((fake.refused(), fake.left_over()), (vec![], 0));
}

#[tokio::test]
async fn sealed_thoughts_go_back_to_their_own_provider_alone() {
    let fake = FakeProvider::start().await;
    fake.reply_to(Endpoint::Responses, provider::Reply::new().reasoning("of Rome").text("It is in Italy."))
        .reply_to(Endpoint::Responses, Failure::status(500))
        .reply_to(Endpoint::Messages, "It is in Switzerland.")
        .reply_to(Endpoint::Responses, "It is in France.");
    let openai = OpenAiOptions {
        http: http(),
        provider: "openai".to_owned(),
        dialect: loomwork_models::Dialect::openai(),
        ..OpenAiOptions::compatible(format!("{}/v1", fake.url()), "key")
    };
    let models = Models::new(OpenAi::with(openai).responses("gpt-5-mini")).or(providers(&fake).0);
    let mut messages = Vec::new();

    assert_eq!(say(&models, &mut messages, "Where is Rome?").await.info.provider, "openai");
    assert_eq!(say(&models, &mut messages, "Where is Bern?").await.info.provider, "anthropic");
    let seen = body(&fake).to_string();
    assert!(seen.contains("It is in Italy.") && !seen.contains("encrypted"), "{seen}");

    assert_eq!(say(&models, &mut messages, "Where is Lyon?").await.info.provider, "openai");
    let seen = body(&fake).to_string();
    assert!(seen.contains("\"encrypted_content\":\""), "{seen}");
    assert_eq!((fake.refused(), fake.left_over()), (vec![], 0));
}

#[tokio::test]
async fn images_come_from_the_next_model_too() {
    let image = |name: &str| Data::Url(format!("https://example.com/{name}.png"));
    let (paris, lyon) = (Arc::new(MockImages::new(image("paris"))), Arc::new(MockImages::new(image("lyon"))));
    paris.fail_next(error("paris", ErrorKind::ContentPolicy));
    let models = Fallback::<dyn ImageModel>::new(paris).or(lyon);
    let images = soon(ImageModel::generate(&models, ImageRequest::default())).await.unwrap();
    assert_eq!((&images.images[0].data, images.warnings.len()), (&image("lyon"), 1));
}

#[test]
fn it_has_the_first_models_name_and_the_way_to_schemas_that_all_know() {
    let model =
        |name: &str, support| MockModel::new([""]).with_name(name, "loom").with_schema_support(support);
    let models = Models::new(Arc::new(model("paris", SchemaSupport::Native)))
        .or(Arc::new(model("lyon", SchemaSupport::Prompt)))
        .or(Arc::new(model("rome", SchemaSupport::Tool)));
    assert_eq!(LanguageModel::name(&models).to_string(), "paris/loom");
    assert_eq!(models.schema_support(), SchemaSupport::Prompt);
}

#[tokio::test]
async fn the_error_when_none_answers_has_what_all_of_them_used() {
    let spent = |tokens| Usage { input_fresh: tokens, ..Usage::default() };
    let failing = |name: &str, kind, tokens| {
        let failure = error(name, kind).with_usage(spent(tokens));
        Arc::new(MockModel::always(failure).with_name(name, "loom"))
    };
    let used = |error: Error| error.usage().map(Usage::total);
    let (paris, lyon) = (failing("paris", ErrorKind::Overloaded, 5), failing("lyon", ErrorKind::Auth, 7));
    let none = soon(LanguageModel::generate(&plain(&[&paris, &lyon]), request())).await;
    assert_eq!(used(none.unwrap_err()), Some(12));

    let wrong = failing("lyon", ErrorKind::BadRequest, 7);
    let stopped = soon(LanguageModel::generate(&plain(&[&paris, &wrong]), request())).await;
    assert_eq!(used(stopped.unwrap_err()), Some(12));

    let cut =
        MockReply::from("Bon jour").fail_in(0, 1, error("lyon", ErrorKind::Interrupted).with_usage(spent(7)));
    let stream = soon(plain(&[&paris, &model("lyon", [cut])]).stream(request())).await.unwrap();
    let last = soon(stream.collect::<Vec<_>>()).await.pop().unwrap();
    assert_eq!(used(last.unwrap_err()), Some(12));
}
