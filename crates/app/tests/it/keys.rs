//! API keys: made, used, rotated, ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use loomwork::core::{Clock, Time};
use loomwork::keys::{LAST_USE_GRAIN, MAX_OVERLAP};
use loomwork::store::Page;
use loomwork::{App, CODE_TERM};
use reqwest::{Method, Response, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::world::{World, described, failure, serve, success, world};

#[derive(Clone, Deserialize, JsonSchema)]
struct Nothing {}

/// Makes a key, and returns its secret and its row.
async fn key(world: &World, new: Value) -> (String, Value) {
    let made = world.post("/api/keys", new).await;
    (made["secret"].as_str().expect("a secret").to_owned(), made["key"].clone())
}

async fn get_as(world: &World, key: &str, path: &str) -> Response {
    world.anonymous(Method::GET, path).bearer_auth(key).send().await.expect("it answers")
}

async fn post_as(world: &World, key: &str, path: &str, body: Value) -> Response {
    world.anonymous(Method::POST, path).bearer_auth(key).json(&body).send().await.expect("it answers")
}

#[tokio::test]
async fn a_key_is_seen_once_and_kept_as_a_digest() {
    let world = world().await;
    let (secret, row) = key(&world, json!({ "name": "deploy", "scope": "chat" })).await;
    assert!(secret.starts_with(row["start"].as_str().expect("a start")), "{secret} {row}");
    success(get_as(&world, &secret, "/api/threads").await).await;

    let shown = world.read("/api/keys").await;
    assert_eq!(shown["items"][0]["name"], "deploy");
    let proving = secret.rsplit('_').next().expect("it has parts");
    assert!(!shown.to_string().contains(proving));
    // Nothing that is stored holds it: neither the rows of keys nor those of what was done.
    let events = world.read("/api/keys/events").await;
    assert_eq!(
        (&events["items"][0]["did"], &events["items"][0]["by"]),
        (&json!("created"), &json!("operator"))
    );
    assert!(!events.to_string().contains(proving));
}

#[tokio::test]
async fn a_wrong_key_is_told_from_a_missing_one_and_says_nothing_else() {
    let world = world().await;
    let (secret, _) = key(&world, json!({ "name": "deploy", "scope": "read" })).await;
    let missing = world.anonymous(Method::GET, "/api/threads").send().await.expect("it answers");
    assert!(failure(missing, 401).await["message"].as_str().expect("text").contains("Authorization: Bearer"));
    // The part that finds it is right, and the part that proves it is not.
    let wrong = format!("{}x", &secret[..secret.len() - 1]);
    let unknown = "lw_aaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let (wrong, unknown) = (
        failure(get_as(&world, &wrong, "/api/threads").await, 401).await,
        failure(get_as(&world, unknown, "/api/threads").await, 401).await,
    );
    assert_eq!(wrong["message"], unknown["message"]);
}

#[tokio::test]
async fn a_key_does_what_its_scope_says_and_no_more() {
    let world = world().await;
    let (reads, _) = key(&world, json!({ "name": "dashboard", "scope": "read" })).await;
    let (chats, _) = key(&world, json!({ "name": "bot", "scope": "chat" })).await;
    success(get_as(&world, &reads, "/api/threads").await).await;
    let refused = failure(post_as(&world, &reads, "/api/threads", json!({})).await, 403).await;
    assert!(refused["message"].as_str().expect("text").contains("`chat`"), "{refused}");
    success(post_as(&world, &chats, "/api/threads", json!({ "user": "ada" })).await).await;
    failure(post_as(&world, &chats, "/api/keys", json!({ "name": "more", "scope": "manage" })).await, 403)
        .await;
}

#[tokio::test]
async fn a_users_key_sees_what_is_theirs_alone() {
    let world = world().await;
    let (ada, _) = key(&world, json!({ "name": "ada's phone", "user": "ada", "scope": "chat" })).await;
    let theirs = world.post("/api/threads", json!({ "user": "bob" })).await;
    let own = success(post_as(&world, &ada, "/api/threads", json!({})).await).await;
    assert_eq!(own["user"], "ada");
    let path = |thread: &Value| format!("/api/threads/{}", thread["id"].as_str().expect("an id"));
    failure(get_as(&world, &ada, &path(&theirs)).await, 404).await;
    failure(get_as(&world, &ada, "/api/threads?user=bob").await, 403).await;
    failure(post_as(&world, &ada, "/api/threads", json!({ "user": "bob" })).await, 403).await;
    let listed = success(get_as(&world, &ada, "/api/threads").await).await;
    assert_eq!(listed["items"].as_array().expect("a list").len(), 1);
    success(get_as(&world, &ada, &path(&own)).await).await;
}

#[tokio::test]
async fn a_key_ends_at_its_term_and_when_it_is_revoked() {
    let clock = Clock::manual(Time::from_millis(1_790_000_000_000));
    let world = serve(described().clock(clock.clock())).await;
    let (short, _) = key(&world, json!({ "name": "an hour", "scope": "read", "term": 3_600_000 })).await;
    let (other, row) = key(&world, json!({ "name": "other", "scope": "read" })).await;
    clock.advance(Duration::from_secs(3_599));
    success(get_as(&world, &short, "/api/threads").await).await;
    clock.advance(Duration::from_secs(1));
    failure(get_as(&world, &short, "/api/threads").await, 401).await;

    let path = format!("/api/keys/{}/revoke", row["id"].as_str().expect("an id"));
    assert_eq!(world.post(&path, json!({})).await["revoked"], true);
    assert_eq!(world.post(&path, json!({})).await["revoked"], false);
    failure(get_as(&world, &other, "/api/threads").await, 401).await;
}

#[tokio::test]
async fn a_rotated_key_takes_both_secrets_for_as_long_as_was_said() {
    let clock = Clock::manual(Time::from_millis(1_790_000_000_000));
    let world = serve(described().clock(clock.clock())).await;
    let (old, row) = key(&world, json!({ "name": "deploy", "scope": "read" })).await;
    let path = format!("/api/keys/{}/rotate", row["id"].as_str().expect("an id"));
    let rotated = world.post(&path, json!({ "overlap": 60_000 })).await;
    let new = rotated["secret"].as_str().expect("a secret");
    assert_eq!(rotated["key"]["id"], row["id"]);
    success(get_as(&world, &old, "/api/threads").await).await;
    success(get_as(&world, new, "/api/threads").await).await;
    clock.advance(Duration::from_secs(60));
    failure(get_as(&world, &old, "/api/threads").await, 401).await;
    success(get_as(&world, new, "/api/threads").await).await;

    let again = world.post(&path, json!({})).await;
    failure(get_as(&world, new, "/api/threads").await, 401).await;
    success(get_as(&world, again["secret"].as_str().expect("a secret"), "/api/threads").await).await;
    let too_long = u64::try_from(MAX_OVERLAP.as_millis()).expect("it fits") + 1;
    failure(world.send(Method::POST, &path, json!({ "overlap": too_long })).await, 400).await;
    let events = world.read(&format!("/api/keys/events?key={}", row["id"].as_str().expect("an id"))).await;
    let did: Vec<_> = events["items"].as_array().expect("a list").iter().map(|event| &event["did"]).collect();
    assert_eq!(did, ["rotated", "rotated", "created"]);
}

#[tokio::test]
async fn the_last_use_of_a_key_is_written_to_the_minute() {
    let start = Time::from_millis(1_790_000_000_000);
    let clock = Clock::manual(start);
    let world = serve(described().clock(clock.clock())).await;
    let (secret, row) = key(&world, json!({ "name": "deploy", "scope": "read" })).await;
    let path = format!("/api/keys/{}", row["id"].as_str().expect("an id"));
    assert!(world.read(&path).await.get("lastUsed").is_none());
    success(get_as(&world, &secret, "/api/threads").await).await;
    assert_eq!(world.read(&path).await["lastUsed"], start.millis());
    clock.advance(LAST_USE_GRAIN / 2);
    success(get_as(&world, &secret, "/api/threads").await).await;
    assert_eq!(world.read(&path).await["lastUsed"], start.millis());
    clock.advance(LAST_USE_GRAIN / 2);
    success(get_as(&world, &secret, "/api/threads").await).await;
    assert_eq!(world.read(&path).await["lastUsed"], (start + LAST_USE_GRAIN).millis());
}

#[tokio::test]
async fn what_is_followed_by_a_key_ends_when_it_does() {
    let world = world().await;
    let (secret, row) = key(&world, json!({ "name": "page", "scope": "read" })).await;
    let follow = world.anonymous(Method::GET, "/api/threads").bearer_auth(&secret);
    let mut live = follow.header("accept", "text/event-stream").send().await.expect("it answers");
    assert_eq!(live.status(), StatusCode::OK);
    let first = live.chunk().await.expect("it goes on").expect("an event");
    assert!(String::from_utf8_lossy(&first).contains("event: result"));
    world.post(&format!("/api/keys/{}/revoke", row["id"].as_str().expect("an id")), json!({})).await;
    let mut rest = String::new();
    while let Some(chunk) = live.chunk().await.expect("it ends in order") {
        rest.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(rest.contains("event: error") && rest.contains("\"denied\""), "{rest}");
}

#[tokio::test]
async fn what_is_followed_by_a_secret_ends_when_its_key_gets_another() {
    let world = world().await;
    let (secret, row) = key(&world, json!({ "name": "leaked", "scope": "read" })).await;
    let follow = world.anonymous(Method::GET, "/api/threads").bearer_auth(&secret);
    let mut live = follow.header("accept", "text/event-stream").send().await.expect("it answers");
    live.chunk().await.expect("it goes on").expect("an event");
    world.post(&format!("/api/keys/{}/rotate", row["id"].as_str().expect("an id")), json!({})).await;
    let mut rest = String::new();
    while let Some(chunk) = live.chunk().await.expect("it ends in order") {
        rest.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(rest.contains("another secret"), "{rest}");
}

#[tokio::test]
async fn what_is_followed_by_a_key_ends_with_its_term() {
    let clock = Clock::manual(Time::from_millis(1_790_000_000_000));
    let world = serve(described().clock(clock.clock())).await;
    let (secret, _) = key(&world, json!({ "name": "page", "scope": "read", "term": 60_000 })).await;
    let follow = world.anonymous(Method::GET, "/api/threads").bearer_auth(&secret);
    let mut live = follow.header("accept", "text/event-stream").send().await.expect("it answers");
    live.chunk().await.expect("it goes on").expect("an event");
    clock.advance(Duration::from_secs(60));
    let mut rest = String::new();
    while let Some(chunk) = live.chunk().await.expect("it ends in order") {
        rest.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(rest.contains("event: error") && rest.contains("is over"), "{rest}");
}

#[tokio::test]
async fn what_is_followed_does_not_run_again_because_its_key_was_used() {
    let clock = Clock::manual(Time::from_millis(1_790_000_000_000));
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let builder = described().clock(clock.clock()).query("counted", move |tx, _, _: Nothing| {
        counted.fetch_add(1, Ordering::Relaxed);
        loomwork::keys::list(tx, Page::first(10)).map(|found| found.rows.len())
    });
    let world = serve(builder).await;
    let (secret, row) = key(&world, json!({ "name": "page", "scope": "read" })).await;
    let follow = world.anonymous(Method::GET, "/api/query/counted").bearer_auth(&secret);
    let mut live = follow.header("accept", "text/event-stream").send().await.expect("it answers");
    live.chunk().await.expect("it goes on").expect("an event");
    let path = format!("/api/keys/{}", row["id"].as_str().expect("an id"));
    for minute in 1..=3 {
        clock.advance(LAST_USE_GRAIN);
        success(get_as(&world, &secret, "/api/threads").await).await;
        let used = Time::from_millis(1_790_000_000_000) + LAST_USE_GRAIN * minute;
        assert_eq!(world.read(&path).await["lastUsed"], used.millis());
    }
    key(&world, json!({ "name": "another", "scope": "read" })).await;
    live.chunk().await.expect("it goes on").expect("the next event");
    assert_eq!(runs.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn whoever_ends_makes_no_key_that_goes_on() {
    let clock = Clock::manual(Time::from_millis(1_790_000_000_000));
    let world = serve(described().clock(clock.clock())).await;
    let (page, _) = key(&world, json!({ "name": "page", "scope": "manage", "term": 60_000 })).await;
    let (_, endless) = key(&world, json!({ "name": "endless", "scope": "manage" })).await;
    for term in [Value::Null, json!(60_001)] {
        let new = json!({ "name": "more", "scope": "manage", "term": term });
        let refused = failure(post_as(&world, &page, "/api/keys", new).await, 403).await;
        assert!(refused["message"].as_str().expect("text").contains("shorter term"), "{refused}");
    }
    let rotate = format!("/api/keys/{}/rotate", endless["id"].as_str().expect("an id"));
    failure(post_as(&world, &page, &rotate, json!({})).await, 403).await;
    let as_long = json!({ "name": "more", "scope": "manage", "term": 60_000 });
    success(post_as(&world, &page, "/api/keys", as_long).await).await;
}

#[tokio::test]
async fn a_key_must_have_a_name_and_a_term() {
    let world = world().await;
    for new in [
        json!({ "name": "  ", "scope": "read" }),
        json!({ "name": "x".repeat(201), "scope": "read" }),
        json!({ "name": "none", "scope": "read", "term": 0 }),
        json!({ "name": "what", "scope": "everything" }),
        json!({ "name": "what" }),
    ] {
        failure(world.send(Method::POST, "/api/keys", new).await, 400).await;
    }
    failure(world.get("/api/keys/key_00000000000000000000000000").await, 404).await;
    failure(world.get("/api/keys/thread_00000000000000000000000000").await, 400).await;
}

#[tokio::test]
async fn a_page_trades_its_code_once_and_in_time() {
    let clock = Clock::manual(Time::from_millis(1_790_000_000_000));
    let world = serve(described().clock(clock.clock())).await;
    let trade = async |code: &str| {
        let asked = world.anonymous(Method::POST, "/api/exchange").json(&json!({ "code": code }));
        asked.send().await.expect("it answers")
    };
    let (first, late) = (world.app.page_code(), world.app.page_code());
    let traded = success(trade(first.expose()).await).await;
    success(get_as(&world, traded["key"].as_str().expect("a key"), "/api/keys").await).await;
    failure(trade(first.expose()).await, 401).await;
    clock.advance(CODE_TERM);
    failure(trade(late.expose()).await, 401).await;
    failure(trade("guessed").await, 401).await;
}

#[tokio::test]
async fn an_app_that_nobody_guards_is_not_served_to_others() {
    let open = App::memory().build().await.expect("the app is built");
    let refused = open.serve("0.0.0.0:0").await.expect_err("nobody said who may enter");
    assert!(refused.to_string().contains("nothing says who may enter"), "{refused}");
    open.shutdown(Duration::from_secs(5)).await.expect("the app ends");
}
