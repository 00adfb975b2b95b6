//! Threads.

use reqwest::{Method, StatusCode, header};
use serde_json::json;

use crate::world::{failure, success, world};

#[tokio::test]
async fn a_thread_is_made_found_changed_and_deleted() {
    let world = world().await;
    let made =
        world.post("/api/threads", json!({ "user": "alice", "title": "Carpets", "tags": ["new"] })).await;
    let path = format!("/api/threads/{}", made["id"].as_str().expect("it has an id"));
    assert_eq!(world.read(&path).await, made);

    let changed =
        success(world.send(Method::PATCH, &path, json!({ "title": null, "summary": "Wool" })).await).await;
    assert_eq!((&changed["summary"], changed.get("title")), (&json!("Wool"), None));
    assert_eq!(changed["tags"], json!(["new"]));

    let hers = world.read("/api/threads?user=alice&tag=new").await;
    assert_eq!(hers["items"], json!([changed]));
    assert_eq!(world.read("/api/threads?user=bob").await["items"], json!([]));

    let deleted = success(world.request(Method::DELETE, &path).send().await.expect("it answers")).await;
    assert_eq!(deleted, json!({ "deleted": true }));
    failure(world.get(&path).await, 404).await;
}

#[tokio::test]
async fn a_list_comes_in_pages() {
    let world = world().await;
    for number in 0..5 {
        world.post("/api/threads", json!({ "user": "alice", "title": number.to_string() })).await;
    }
    let mut titles = Vec::new();
    let mut path = "/api/threads?user=alice&limit=2&order=oldest".to_owned();
    loop {
        let page = world.read(&path).await;
        titles.extend(page["items"].as_array().expect("a list").iter().map(|thread| thread["title"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/threads?user=alice&limit=2&order=oldest&after={next}");
    }
    assert_eq!(titles, ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn what_a_client_has_already_is_not_sent_again() {
    let world = world().await;
    world.post("/api/threads", json!({ "user": "alice" })).await;
    let first = world.get("/api/threads?user=alice").await;
    let tag = first.headers()[header::ETAG].clone();
    let asked = || world.request(Method::GET, "/api/threads?user=alice").header(header::IF_NONE_MATCH, &tag);
    assert_eq!(asked().send().await.expect("it answers").status(), StatusCode::NOT_MODIFIED);
    world.post("/api/threads", json!({ "user": "alice" })).await;
    assert_eq!(asked().send().await.expect("it answers").status(), StatusCode::OK);
}
