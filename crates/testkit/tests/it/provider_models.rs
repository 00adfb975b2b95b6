//! Lists of models, and keys.

use loomwork_testkit::provider::FakeProvider;
use serde_json::json;

use crate::client::{get, post};

#[tokio::test]
async fn models_are_listed_in_each_form() {
    let fake = FakeProvider::start().await;
    fake.has_models(["small", "large"]);
    let openai = get(fake.url(), "/v1/models", &[]).await.json();
    assert_eq!((&openai["object"], &openai["data"][1]["id"]), (&json!("list"), &json!("large")));
    assert_eq!(openai["data"][0]["object"], "model");
    let anthropic = get(fake.url(), "/v1/models", &[("anthropic-version", "2023-06-01")]).await.json();
    assert_eq!((&anthropic["data"][0]["type"], &anthropic["last_id"]), (&json!("model"), &json!("large")));
    let ollama = get(fake.url(), "/api/tags", &[]).await.json();
    assert_eq!(ollama["models"][0]["name"], "small");
}

#[tokio::test]
async fn without_a_choice_of_models_any_is_taken() {
    let fake = FakeProvider::start().await;
    fake.reply("Hi");
    let body = json!({"model": "gpt-none", "messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(post(fake.url(), "/chat/completions", &body).await.status, 200);
    assert_eq!(get(fake.url(), "/models", &[]).await.json()["data"][0]["id"], "fake-model");
}

#[tokio::test]
async fn a_model_that_it_does_not_have_is_not_found() {
    let fake = FakeProvider::start().await;
    fake.has_models(["small"]);
    let body = json!({"model": "large", "messages": [{"role": "user", "content": "Hi"}]});
    let answer = post(fake.url(), "/chat/completions", &body).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (404, &json!("model_not_found")));
    assert_eq!(
        fake.refused(),
        ["request 1 (POST /chat/completions) is refused: The model `large` does not exist."]
    );
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_each_way_to_send_the_right_one_is_taken() {
    let fake = FakeProvider::start().await;
    fake.requires_key("sk-right");
    assert_eq!(get(fake.url(), "/models", &[]).await.status, 401);
    let wrong = get(fake.url(), "/models", &[("authorization", "Bearer sk-wrong")]).await;
    assert_eq!((wrong.status, &wrong.json()["error"]["code"]), (401, &json!("invalid_api_key")));
    assert_eq!(get(fake.url(), "/models", &[("authorization", "Bearer sk-right")]).await.status, 200);
    assert_eq!(get(fake.url(), "/models", &[("x-api-key", "sk-right")]).await.status, 401);
    let version = ("anthropic-version", "2026-10-21");
    let wrong = get(fake.url(), "/models", &[version]).await;
    assert_eq!((wrong.status, &wrong.json()["error"]["type"]), (401, &json!("authentication_error")));
    for key in [("x-api-key", "sk-right"), ("authorization", "Bearer sk-right")] {
        assert_eq!(get(fake.url(), "/models", &[version, key]).await.status, 200);
    }
}
