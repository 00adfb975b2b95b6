//! Requests under idempotency keys.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::world::{World, failure, success, world};

async fn post(world: &World, key: &str, body: Value) -> Response {
    let request = world.request(Method::POST, "/api/threads").header("idempotency-key", key).json(&body);
    request.send().await.expect("it answers")
}

#[tokio::test]
async fn a_request_that_is_repeated_under_its_key_is_done_once() {
    let world = world().await;
    let first = success(post(&world, "one", json!({ "user": "alice" })).await).await;
    let again = success(post(&world, "one", json!({ "user": "alice" })).await).await;
    assert_eq!(first, again);
    let other = success(post(&world, "two", json!({ "user": "alice" })).await).await;
    assert_ne!(first, other);
    assert_eq!(world.read("/api/threads?user=alice").await["items"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_key_is_of_one_request_and_free_again_when_that_failed() {
    let world = world().await;
    success(post(&world, "one", json!({ "user": "alice" })).await).await;
    let reused = failure(post(&world, "one", json!({ "user": "bob" })).await, 400).await;
    assert!(reused["message"].as_str().is_some_and(|text| text.contains("another request")), "{reused}");
    failure(post(&world, "", json!({})).await, 400).await;

    let long = "x".repeat(2_000);
    failure(post(&world, "late", json!({ "title": long })).await, 400).await;
    success(post(&world, "late", json!({ "title": long.get(..10) })).await).await;
}

#[tokio::test]
async fn of_many_at_once_under_one_key_one_is_done() {
    let world = world().await;
    let posts = (0..8).map(|_| post(&world, "same", json!({ "user": "alice" })));
    for response in futures_util::future::join_all(posts).await {
        let status = response.status().as_u16();
        assert!(status == 200 || status == 409, "{status}");
    }
    assert_eq!(world.read("/api/threads?user=alice").await["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn an_answer_that_holds_a_secret_is_not_kept() {
    let world = world().await;
    let body = json!({ "name": "one", "scope": "read" });
    let ask = || world.request(Method::POST, "/api/keys").header("idempotency-key", "one").json(&body).send();
    let first = success(ask().await.expect("it answers")).await;
    let second = success(ask().await.expect("it answers")).await;
    assert_ne!(first["secret"], second["secret"]);
}
