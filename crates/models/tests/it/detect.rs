//! Models by name, and the model that is at hand.

use std::time::Duration;

use loomwork_core::{Clock, Time};
use loomwork_models::{
    EmbedRequest, Environment, Error, ErrorKind, HttpOptions, Message, Proxy, Request, embeddings_from_str,
    from_str, images_from_str,
};
use loomwork_testkit::provider::{ClosedPort, Endpoint, FakeProvider, Reply};
use loomwork_testkit::soon;

/// An environment whose providers are reached without a proxy.
fn environment(variables: &[(&str, &str)]) -> Environment {
    let http = HttpOptions { proxy: Proxy::None, ..HttpOptions::default() };
    Environment::new(variables.iter().copied()).with_http(http)
}

fn hello() -> Request {
    Request::new([Message::user("Hello")])
}

fn refused(variables: &[(&str, &str)], name: &str) -> Error {
    environment(variables).language_model(name).expect_err("no model")
}

const PROVIDERS: &str =
    "anthropic, azure, deepseek, gemini, groq, lmstudio, offline, ollama, openai, openrouter";

#[test]
fn each_provider_has_its_name_and_its_key() {
    let check = |variables: &[(&str, &str)], name: &str, expected: &str| {
        let model = environment(variables).language_model(name).expect(name);
        assert_eq!(model.name().to_string(), expected);
    };
    let azure = [("AZURE_OPENAI_API_KEY", "k"), ("AZURE_OPENAI_ENDPOINT", "https://x.openai.azure.com")];
    check(&[("OPENAI_API_KEY", "k")], "openai/gpt-4o-mini", "openai/gpt-4o-mini");
    check(&[("ANTHROPIC_API_KEY", "k")], "anthropic/claude-sonnet-4-5", "anthropic/claude-sonnet-4-5");
    check(&[("ANTHROPIC_AUTH_TOKEN", "k")], "anthropic/claude-sonnet-4-5", "anthropic/claude-sonnet-4-5");
    check(&[("OPENROUTER_API_KEY", "k")], "openrouter/qwen/qwen3", "openrouter/qwen/qwen3");
    check(&[("GROQ_API_KEY", "k")], "groq/llama-3.3-70b-versatile", "groq/llama-3.3-70b-versatile");
    check(&[("DEEPSEEK_API_KEY", "k")], "deepseek/deepseek-chat", "deepseek/deepseek-chat");
    check(&[("GOOGLE_API_KEY", "k")], "gemini/gemini-2.5-flash", "gemini/gemini-2.5-flash");
    check(&azure, "azure/mine", "azure/mine");
    check(&[], "ollama/qwen3:4b", "ollama/qwen3:4b");
    check(&[], "lmstudio/qwen/qwen3-4b", "lmstudio/qwen/qwen3-4b");
    check(&[], " offline\n", "offline/offline");
    check(&[], "offline/anything", "offline/offline");
}

#[test]
fn a_provider_that_is_not_known_is_told_with_those_that_are() {
    let error = refused(&[], "opnai/gpt-4o-mini");
    assert_eq!(
        error.to_string(),
        format!("opnai/*: not_found: there is no provider of this name; known are {PROVIDERS}")
    );
}

#[test]
fn a_name_without_a_model_is_told_with_what_would_be_right() {
    for name in ["gpt-4o-mini", "openai/", "openai"] {
        let error = refused(&[("OPENAI_API_KEY", "k")], name);
        assert_eq!(error.kind(), &ErrorKind::BadRequest);
        let text = format!(
            "{name:?} is no name of a model: write PROVIDER/MODEL, like openai/gpt-4o-mini; known providers \
             are {PROVIDERS}"
        );
        assert_eq!(error.message(), text);
    }
    assert_eq!(refused(&[], "").to_string().split(": ").next(), Some("*/*"));
}

#[test]
fn a_missing_key_is_told_by_its_variables() {
    let cases = [
        ("openai/m", "OPENAI_API_KEY"),
        ("anthropic/m", "ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN"),
        ("gemini/m", "GEMINI_API_KEY or GOOGLE_API_KEY"),
        ("openrouter/m", "OPENROUTER_API_KEY"),
    ];
    for (name, variables) in cases {
        // A blank variable is as good as none.
        let error = refused(&[("OPENAI_API_KEY", " "), ("OPENROUTER_API_KEY", "")], name);
        assert_eq!(error.kind(), &ErrorKind::Auth);
        assert!(error.message().contains(variables), "{error}");
    }
    let error = refused(&[("AZURE_OPENAI_API_KEY", "k")], "azure/mine");
    assert!(error.message().contains("AZURE_OPENAI_ENDPOINT"), "{error}");
}

#[test]
fn keys_are_not_shown() {
    let environment = environment(&[("OPENAI_API_KEY", "sk-1"), ("ANTHROPIC_API_KEY", "sk-ant-1")]);
    let models = ["openai/m", "anthropic/m"].map(|name| environment.language_model(name).expect(name));
    let shown = format!("{environment:?} {models:?}");
    assert!(shown.contains("OPENAI_API_KEY") && !shown.contains("sk-"), "{shown}");
}

#[tokio::test]
async fn addresses_of_the_environment_are_heeded() {
    let fake = FakeProvider::start().await;
    let v1 = format!("{}/v1", fake.url());
    let environment = environment(&[
        ("OPENAI_API_KEY", "secret"),
        ("OPENAI_BASE_URL", &v1),
        ("ANTHROPIC_API_KEY", "secret"),
        ("ANTHROPIC_BASE_URL", fake.url()),
        ("AZURE_OPENAI_API_KEY", "secret"),
        ("AZURE_OPENAI_ENDPOINT", fake.url()),
        ("OPENAI_API_VERSION", "2024-10-21"),
    ]);
    let cases = [
        ("openai/loom", "/v1/chat/completions", ("authorization", "Bearer secret")),
        ("anthropic/loom", "/v1/messages", ("x-api-key", "secret")),
        ("azure/loom", "/openai/deployments/loom/chat/completions", ("api-key", "secret")),
    ];
    for (name, path, (header, key)) in cases {
        fake.reply("Hello.");
        let model = environment.language_model(name).expect(name);
        assert_eq!(soon(model.generate(hello())).await.expect(name).text(), "Hello.");
        let asked = fake.last_request();
        assert_eq!((asked.path.as_str(), asked.header(header)), (path, Some(key)));
    }
}

#[test]
fn openai_itself_is_asked_by_responses_and_others_by_chat_completions() {
    let environment = environment(&[("OPENAI_API_KEY", "k"), ("GROQ_API_KEY", "k")]);
    let shown = |name| format!("{:?}", environment.language_model(name).expect(name));
    assert!(shown("openai/gpt-4o-mini").starts_with("Responses"), "{}", shown("openai/gpt-4o-mini"));
    assert!(shown("groq/qwen3").starts_with("Chat"), "{}", shown("groq/qwen3"));
}

#[tokio::test]
async fn embedding_and_image_models_have_names_too() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new());
    let environment = environment(&[("OLLAMA_HOST", fake.url()), ("ANTHROPIC_API_KEY", "k")]);
    let model = environment.embedding_model("ollama/nomic-embed-text").expect("an embedding model");
    assert_eq!(soon(model.embed(EmbedRequest::new(["Hello"]))).await.expect("a vector").vectors.len(), 1);
    assert_eq!(fake.last_request().path, "/v1/embeddings");

    assert_eq!(embeddings_from_str("offline").expect("a model").name().to_string(), "offline/lexical");
    assert_eq!(images_from_str("offline").expect("a model").name().provider, "offline");
    assert_eq!(from_str("offline").expect("a model").name().provider, "offline");
    assert_eq!(environment.image_model("ollama/flux").expect("a model").name().to_string(), "ollama/flux");

    let errors = [
        environment.embedding_model("anthropic/claude").expect_err("no such models"),
        environment.image_model("anthropic/claude").expect_err("no such models"),
    ];
    for (error, sort) in errors.iter().zip(["embedding", "image"]) {
        assert!(error.message().starts_with(&format!("anthropic has no {sort} models")), "{error}");
    }
}

#[tokio::test]
async fn the_model_that_is_named_goes_before_any_key() {
    let keys = [("OPENAI_API_KEY", "k"), ("GROQ_API_KEY", "k")];
    for (named, expected) in [("offline", "offline/offline"), ("groq/qwen3", "groq/qwen3")] {
        let environment = environment(&[keys[0], keys[1], ("LOOMWORK_MODEL", named)]);
        let detected = soon(environment.detect()).await.expect("a model");
        assert_eq!(detected.to_string(), format!("{expected}, since LOOMWORK_MODEL says so"));
    }
    let environment = environment(&[keys[0], ("LOOMWORK_MODEL", "opnai/gpt-4o-mini")]);
    let error = soon(environment.detect()).await.expect_err("no model");
    assert!(error.message().starts_with("the variable LOOMWORK_MODEL: there is no provider"), "{error}");
}

#[tokio::test]
async fn the_first_provider_with_a_key_is_taken_and_the_others_are_told() {
    let environment = environment(&[
        ("DEEPSEEK_API_KEY", "k"),
        ("ANTHROPIC_API_KEY", "k"),
        ("OPENAI_API_KEY", " "),
        ("AZURE_OPENAI_API_KEY", "k"),
    ]);
    let detected = soon(environment.detect()).await.expect("a model");
    assert_eq!(
        detected.to_string(),
        "anthropic/claude-haiku-4-5, since ANTHROPIC_API_KEY is set; AZURE_OPENAI_API_KEY is set, but a model \
         has to be named, as in LOOMWORK_MODEL=azure/NAME"
    );
    let others: Vec<String> = detected.others.iter().map(ToString::to_string).collect();
    assert_eq!(others, ["deepseek/deepseek-chat"]);
}

#[tokio::test]
async fn a_server_in_openais_place_is_asked_which_models_it_has() {
    let fake = FakeProvider::start().await;
    fake.has_models(["text-embedding-3-small", "loom-1", "loom-2"]).reply("Hello.");
    let v1 = format!("{}/v1", fake.url());
    let variables = [("OPENAI_API_KEY", "k"), ("OPENAI_BASE_URL", v1.as_str())];
    let detected = soon(environment(&variables).detect()).await.expect("a model");
    assert_eq!(detected.model.name().model, "loom-1");
    assert_eq!(soon(detected.model.generate(hello())).await.expect("a reply").text(), "Hello.");

    let closed = ClosedPort::take();
    let variables = [variables[0], ("OPENAI_BASE_URL", closed.url()), ("GROQ_API_KEY", "k")];
    let detected = soon(environment(&variables).detect()).await.expect("a model");
    let missing = format!("OPENAI_API_KEY is set, but {} does not say which models it has", closed.url());
    assert_eq!(detected.model.name().provider, "groq");
    assert!(
        detected.reason.starts_with("GROQ_API_KEY is set; ") && detected.reason.contains(&missing),
        "{detected}"
    );
}

#[tokio::test]
async fn without_a_key_a_local_ollama_is_taken() {
    let fake = FakeProvider::start().await;
    fake.has_models(["nomic-embed-text:latest", "qwen3:4b"]).reply("Hello.");
    let detected = soon(environment(&[("OLLAMA_HOST", fake.url())]).detect()).await.expect("a model");
    let reason = format!("no key of a provider is set and an Ollama answers at {}/v1", fake.url());
    assert_eq!(detected.to_string(), format!("ollama/qwen3:4b, since {reason}"));
    let listed = soon(environment(&[("OLLAMA_HOST", fake.url())]).ollama_models()).await.expect("it answers");
    assert_eq!(listed, ["nomic-embed-text:latest", "qwen3:4b"]);
    assert_eq!(soon(detected.model.generate(hello())).await.expect("a reply").text(), "Hello.");
}

#[tokio::test]
async fn where_there_is_nothing_the_offline_model_answers() {
    let closed = ClosedPort::take();
    let detected = soon(environment(&[("OLLAMA_HOST", closed.url())]).detect()).await.expect("a model");
    let reason = format!("no key of a provider is set and no Ollama answers at {}/v1", closed.url());
    assert_eq!(detected.to_string(), format!("offline/offline, since {reason}"));

    let fake = FakeProvider::start().await;
    fake.has_models(["nomic-embed-text:latest"]);
    let detected = soon(environment(&[("OLLAMA_HOST", fake.url())]).detect()).await.expect("a model");
    assert_eq!(detected.model.name().provider, "offline");
    assert!(detected.reason.ends_with("has no model that talks"), "{detected}");
}

#[tokio::test]
async fn an_ollama_that_does_not_answer_holds_nobody_up() {
    let fake = FakeProvider::start().await;
    fake.reply_to(Endpoint::Models, Reply::new().hangs());
    let manual = Clock::manual(Time::EPOCH);
    let http = HttpOptions { proxy: Proxy::None, clock: manual.clock(), ..HttpOptions::default() };
    let environment = Environment::new([("OLLAMA_HOST", fake.url())]).with_http(http);
    let turn = async {
        fake.arrived(1).await;
        manual.timers_waiting(1).await;
        manual.advance(Duration::from_millis(500));
    };
    let (detected, ()) = soon(async { tokio::join!(environment.detect(), turn) }).await;
    assert_eq!(detected.expect("a model").model.name().provider, "offline");
}

#[tokio::test]
async fn a_server_in_openais_place_may_want_no_key() {
    let fake = FakeProvider::start().await;
    fake.has_models(["loom-1"]).reply("Hello.");
    let v1 = format!("{}/v1", fake.url());
    let detected = soon(environment(&[("OPENAI_BASE_URL", v1.as_str())]).detect()).await.expect("a model");
    assert_eq!(
        (detected.model.name().model.as_str(), detected.reason.as_str()),
        ("loom-1", "OPENAI_BASE_URL is set")
    );
    assert_eq!(soon(detected.model.generate(hello())).await.expect("a reply").text(), "Hello.");
    assert_eq!(fake.last_request().header("authorization"), None);

    // One that does not answer, and OpenAI itself, which wants a key, are remarked on.
    let closed = ClosedPort::take();
    for (address, remark) in [
        (closed.url(), "does not say which models it has"),
        ("https://api.openai.com/v1", "there is no key: set the variable OPENAI_API_KEY"),
    ] {
        let variables = [("OPENAI_BASE_URL", address), ("OLLAMA_HOST", closed.url())];
        let detected = soon(environment(&variables).detect()).await.expect("a model");
        assert_eq!(detected.model.name().provider, "offline");
        assert!(detected.reason.starts_with("OPENAI_BASE_URL is set, but "), "{detected}");
        assert!(detected.reason.contains(remark), "{detected}");
    }
}
