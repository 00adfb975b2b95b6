//! By which names, and from which pages, a server can be called; and how often.

use loomwork::http::Options;
use loomwork::rate_limiter::{HOUR, Limit, SECOND};
use reqwest::Method;

use crate::world::{World, described, failure, serve, success, world};

const FEW: Limit<'static> = Limit::token_bucket("few", 1, SECOND).capacity(3);

async fn asked(world: &World, name: &str, value: &str) -> reqwest::Response {
    world.request(Method::GET, "/api/threads").header(name, value).send().await.expect("it answers")
}

#[tokio::test]
async fn a_name_that_was_pointed_at_this_machine_is_refused() {
    let world = world().await;
    for host in [
        "evil.example",
        "evil.example:3210",
        "127.0.0.1.evil.example",
        "192.168.0.7",
        "localhost.evil.example",
    ] {
        let refused = failure(asked(&world, "host", host).await, 421).await;
        assert!(refused["message"].as_str().expect("text").contains("http::Options::hosts"), "{refused}");
    }
    for host in ["localhost", "LOCALHOST:3210", "127.0.0.1:80", "[::1]:3210"] {
        success(asked(&world, "host", host).await).await;
    }
    let named = Options { hosts: vec!["api.example.com".to_owned()], ..Options::default() };
    let world = serve(described().http(named)).await;
    success(asked(&world, "host", "api.example.com").await).await;
    failure(asked(&world, "host", "other.example.com").await, 421).await;
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_unless_it_is_named() {
    let world = world().await;
    let own = world.address.clone();
    success(asked(&world, "origin", &own).await).await;
    for origin in ["https://evil.example", "null", "http://localhost:1", "file://"] {
        let refused = failure(asked(&world, "origin", origin).await, 403).await;
        assert!(refused["message"].as_str().expect("text").contains("http::Options::origins"), "{refused}");
    }
    let named = Options { origins: vec!["https://app.example.com".to_owned()], ..Options::default() };
    let world = serve(described().http(named)).await;
    let answer = asked(&world, "origin", "https://app.example.com").await;
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://app.example.com");
    assert!(answer.headers().get("access-control-allow-credentials").is_none());
    failure(asked(&world, "origin", "https://app.example.com.evil.example").await, 403).await;
}

#[tokio::test]
async fn every_route_is_behind_both() {
    let world = world().await;
    for path in ["/healthz", "/readyz", "/api/openapi.json", "/api/exchange", "/nowhere"] {
        let foreign = world.anonymous(Method::GET, path).header("origin", "https://evil.example");
        assert_eq!(foreign.send().await.expect("it answers").status().as_u16(), 403, "{path}");
        let rebound = world.anonymous(Method::GET, path).header("host", "evil.example");
        assert_eq!(rebound.send().await.expect("it answers").status().as_u16(), 421, "{path}");
    }
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let world = serve(described().http(Options { requests: Some(FEW), ..Options::default() })).await;
    for _ in 0..3 {
        success(world.get("/api/threads").await).await;
    }
    let limited = world.get("/api/threads").await;
    assert!(limited.headers().contains_key("retry-after"));
    let told = failure(limited, 429).await;
    assert_eq!(told["data"]["name"], "few");
}

/// Comes with a key from an address behind a proxy on this machine.
async fn come(world: &World, key: &str, from: &str) -> reqwest::Response {
    let asked = world.anonymous(Method::GET, "/api/threads").bearer_auth(key).header("x-forwarded-for", from);
    asked.send().await.expect("it answers")
}

#[tokio::test]
async fn who_guesses_keys_is_slowed_before_another_is_tried() {
    let world = serve(described().http(Options { refusals: Some(FEW), ..Options::default() })).await;
    let made = async |name: &str| {
        let made = world.post("/api/keys", serde_json::json!({ "name": name, "scope": "read" })).await;
        made["secret"].as_str().expect("a secret").to_owned()
    };
    let (known, right) = (made("known").await, made("right").await);
    success(come(&world, &known, "").await).await;
    let mut answers = Vec::new();
    for at in 0..5 {
        answers.push(come(&world, &format!("lw_guess{at}"), "").await.status().as_u16());
    }
    assert!(answers.starts_with(&[401, 401, 401]) && answers.ends_with(&[429]), "{answers:?}");
    // Not even the right one is tried; but who has come in from there before is not kept out.
    let limited = come(&world, &right, "").await;
    assert!(limited.headers().contains_key("retry-after"));
    assert_eq!(failure(limited, 429).await["data"]["name"], "few");
    success(come(&world, &known, "").await).await;
}

#[tokio::test]
async fn behind_a_proxy_that_is_trusted_each_address_is_slowed_for_itself() {
    let behind = |proxies: Vec<String>| Options {
        refusals: Some(Limit::token_bucket("one", 1, HOUR)),
        trusted_proxies: proxies,
        ..Options::default()
    };
    let world = serve(described().http(behind(vec!["127.0.0.0/8".to_owned()]))).await;
    let guess = async |world: &World, from: &str| come(world, "lw_guess", from).await.status().as_u16();
    assert_eq!(guess(&world, "198.51.100.1").await, 401);
    assert_eq!(guess(&world, "198.51.100.1").await, 429);
    assert_eq!(guess(&world, "198.51.100.2").await, 401);
    // What a client has written itself stands before what the proxy has, and counts for nothing.
    assert_eq!(guess(&world, "203.0.113.9, 198.51.100.2").await, 429);
    // One home has many addresses.
    assert_eq!(guess(&world, "2001:db8::1").await, 401);
    assert_eq!(guess(&world, "2001:db8::2").await, 429);

    let world = serve(described().http(behind(Vec::new()))).await;
    assert_eq!(guess(&world, "198.51.100.1").await, 401);
    assert_eq!(guess(&world, "198.51.100.2").await, 429);
}

#[tokio::test]
async fn who_comes_with_nothing_has_guessed_nothing() {
    let world = serve(described().http(Options { refusals: Some(FEW), ..Options::default() })).await;
    for _ in 0..5 {
        failure(world.anonymous(Method::GET, "/api/threads").send().await.expect("it answers"), 401).await;
    }
    for at in 0..4 {
        let trade = world.anonymous(Method::POST, "/api/exchange");
        let trade = trade.json(&serde_json::json!({ "code": format!("guess {at}") })).send().await;
        failure(trade.expect("it answers"), if at < 3 { 401 } else { 429 }).await;
    }
}
