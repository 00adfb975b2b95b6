//! What providers are sent, and what readers hear of them.

use loomwork::agent::AgentError;
use loomwork::models::{Error as ModelError, ErrorKind, HttpOptions, OpenAi, OpenAiOptions, Proxy};
use loomwork::{Agent, Builder};
use loomwork_testkit::provider::{Failure, FakeProvider, Reply};
use reqwest::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answers::shown;
use crate::world::{World, described, failure, serve, success};

fn asking(provider: &FakeProvider) -> Builder {
    let http = HttpOptions { proxy: Proxy::None, ..HttpOptions::default() };
    let openai = OpenAi::with(OpenAiOptions { http, ..OpenAiOptions::compatible(provider.url(), "sk-test") });
    described().agent(Agent::new("asking", openai.chat("loom-1")))
}

async fn answered(world: &World, said: Value) -> (Value, Value) {
    let thread = world.post("/api/threads", json!({ "user": "ada" })).await;
    let thread = thread["id"].as_str().expect("an id");
    let asked = json!({ "agent": "asking", "messages": [{ "role": "user", "content": said }] });
    let started = world.post(&format!("/api/threads/{thread}/runs"), asked).await;
    let is_over = |page: &Value| {
        page["messages"][1]["status"] == "success" || page["messages"][1]["status"] == "failed"
    };
    let page = shown(world, thread, is_over).await;
    let run = world.read(&format!("/api/runs/{}", started["run"].as_str().expect("a run"))).await;
    (page, run)
}

#[tokio::test]
async fn files_go_to_providers_as_their_bytes_and_never_as_our_addresses() {
    let provider = FakeProvider::start().await;
    provider.lenient().otherwise(|_| Reply::new().text("A picture."));
    let world = serve(asking(&provider)).await;
    let png = b"\x89PNG\r\n\x1a\n it is short";
    let upload = world.request(Method::POST, "/api/files?name=a.png").body(png.to_vec()).send().await;
    let file = success(upload.expect("it answers")).await;
    let address = format!("loomwork://{}", file["id"].as_str().expect("an id"));
    let said = json!([{ "type": "file", "mediaType": "image/png", "data": address }]);
    let (page, _) = answered(&world, said).await;
    assert_eq!(page["messages"][1]["status"], "success", "{page}");
    let sent = provider.last_request().body.to_string();
    assert!(sent.contains(&data_encoding::BASE64.encode(png)), "{sent}");
    assert!(!sent.contains("loomwork://") && !sent.contains(&world.address), "{sent}");
}

const SAID: &str = "Incorrect API key provided: sk-live-abcdef";

#[tokio::test]
async fn readers_do_not_hear_what_a_provider_has_against_our_key() {
    let provider = FakeProvider::start().await;
    provider.lenient().otherwise(|_| Failure::status(401).message(SAID).into());
    let world = serve(asking(&provider)).await;
    let (page, run) = answered(&world, json!("hello")).await;
    assert_eq!(run["error"]["code"], "auth", "{run}");
    for shown in [page, run] {
        assert!(!shown.to_string().contains("sk-live"), "{shown}");
    }
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

#[tokio::test]
async fn a_provider_that_refuses_our_key_is_no_refusal_of_the_client() {
    let builder = described().action("ask", |_, _, _: Nothing| async {
        let source = Box::new(ModelError::new(ErrorKind::Auth, "openai", "gpt", SAID));
        let failed = AgentError::Model { agent: "asking".to_owned(), source };
        Err::<Value, _>(loomwork::store::Error::from(failed).into())
    });
    let builder = builder.action("embed", |_, _, _: Nothing| async {
        let failed = ModelError::new(ErrorKind::Quota, "openai", "embedder", SAID);
        Err::<Value, _>(loomwork::store::Error::from(failed).into())
    });
    let world = serve(builder).await;
    for path in ["/api/action/ask", "/api/action/embed"] {
        let told = failure(world.send(Method::POST, path, json!({})).await, 503).await;
        assert_eq!((&told["kind"], &told["data"]["provider"]), (&json!("unavailable"), &json!("openai")));
        assert!(!told.to_string().contains("sk-live"), "{told}");
    }
}
