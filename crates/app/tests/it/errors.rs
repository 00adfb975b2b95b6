//! Errors have one shape, whatever is wrong.

use reqwest::Method;
use serde_json::json;

use crate::world::{failure, world};

#[tokio::test]
async fn every_mistake_has_the_same_shape_and_names_what_is_wrong() {
    let world = world().await;
    let nothing = failure(world.get("/api/nothing").await, 404).await;
    assert_eq!(nothing["kind"], "not_found");
    let method = failure(world.send(Method::PUT, "/api/threads", json!({})).await, 405).await;
    assert!(method["message"].as_str().is_some_and(|text| text.contains("PUT")), "{method}");

    let field = failure(world.send(Method::POST, "/api/threads", json!({ "title": 7 })).await, 400).await;
    assert_eq!((&field["kind"], &field["field"]), (&json!("invalid"), &json!("title")));
    let list = json!({ "about": [null, null], "text": "wool" });
    let list = failure(world.send(Method::POST, "/api/knowledge/carpets/entries", list).await, 400).await;
    assert_eq!(list["field"], "about");
    let unknown = failure(world.send(Method::POST, "/api/threads", json!({ "titel": "x" })).await, 400).await;
    assert!(unknown["message"].as_str().is_some_and(|text| text.contains("titel")), "{unknown}");
    let limit = failure(world.get("/api/threads?limit=0").await, 400).await;
    assert_eq!(limit["field"], "limit");
    let id = failure(world.get("/api/threads/message_06").await, 400).await;
    assert_eq!(id["field"], "thread");
    let twice = failure(world.get("/api/threads?limit=1&limit=2").await, 400).await;
    assert_eq!(twice["field"], "limit");

    let no_json = world.request(Method::POST, "/api/threads").body("{").send().await.expect("it answers");
    failure(no_json, 400).await;
    let form = world
        .request(Method::POST, "/api/threads")
        .header("content-type", "text/plain")
        .body("title")
        .send()
        .await;
    failure(form.expect("it answers"), 415).await;
    let large = json!({ "title": "x".repeat(2 << 20) });
    failure(world.send(Method::POST, "/api/threads", large).await, 413).await;
}

#[tokio::test]
async fn a_request_without_a_key_or_with_another_one_is_refused() {
    let world = world().await;
    let none = world.anonymous(Method::GET, "/api/threads").send().await.expect("it answers");
    assert_eq!(none.headers()["www-authenticate"], "Bearer");
    failure(none, 401).await;
    let wrong = world.anonymous(Method::GET, "/api/threads").bearer_auth("lw_other").send().await;
    failure(wrong.expect("it answers"), 401).await;
}

#[tokio::test]
async fn a_request_keeps_the_name_that_its_client_gave_it() {
    let world = world().await;
    let named = world.request(Method::GET, "/api/nothing").header("x-request-id", "mine-7").send().await;
    let named = named.expect("it answers");
    assert_eq!(named.headers()["x-request-id"], "mine-7");
    assert_eq!(failure(named, 404).await["requestId"], "mine-7");
    let unnamed = world.get("/healthz").await;
    assert_eq!(unnamed.headers()["x-request-id"].len(), 24);
}
