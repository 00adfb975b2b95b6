//! Tokens of another issuer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use data_encoding::BASE64;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use loomwork::core::{Clock, ManualClock, Secret, Tasks, Time};
use loomwork::http::Options;
use loomwork::rate_limiter::{HOUR, Limit};
use loomwork::{JwtKeys, JwtOptions, KEYS_AGAIN, KEYS_FRESH, KEYS_KEPT, Scope};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::world::{World, described, failure, serve, success};

/// A key of these tests alone, and its public half.
const SIGNING: &str = "MC4CAQAwBQYDK2VwBCIEIKl5Ceie7lrannkvrqJLoFQYjAd9iVQuaHogmuBY9SS4";
const PUBLIC: &str = "A0J18vDfKysnalkMK0GUuYkeByFHkufjcdkh5ntV204";

const NOW: i64 = 1_790_000_000;
const HUSH: &str = "a secret that an issuer and this app share";
const ISSUER: &str = "https://login.example.com";

fn key_set(names: &[&str]) -> Value {
    let keys = names.iter().map(|name| {
        json!({ "kty": "OKP", "crv": "Ed25519", "x": PUBLIC, "kid": name, "use": "sig", "alg": "EdDSA" })
    });
    json!({ "keys": keys.collect::<Vec<_>>() })
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": "support", "sub": "ada", "exp": NOW + 3_600 })
}

fn with(mut claims: Value, name: &str, value: impl Into<Value>) -> Value {
    claims[name] = value.into();
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().expect("an object").remove(name);
    claims
}

fn signed(claims: &Value, name: &str) -> String {
    let key = EncodingKey::from_ed_der(&BASE64.decode(SIGNING.as_bytes()).expect("it is base64"));
    let header = Header { kid: Some(name.to_owned()), ..Header::new(Algorithm::EdDSA) };
    encode(&header, claims, &key).expect("it is signed")
}

fn shared(claims: &Value, secret: &str) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret.as_bytes()))
        .expect("it is signed")
}

/// An app that takes tokens by the keys of a file, at a time that stands.
async fn with_file(names: &[&str]) -> (World, ManualClock, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("jwks.json");
    std::fs::write(&path, key_set(names).to_string()).expect("it is written");
    let (world, clock) = world(JwtOptions::new(JwtKeys::File(path), ISSUER, "support".to_owned())).await;
    (world, clock, folder)
}

async fn world(options: JwtOptions) -> (World, ManualClock) {
    let clock = Clock::manual(Time::from_millis(NOW * 1_000));
    (serve(described().clock(clock.clock()).jwt(options)).await, clock)
}

/// Serves the keys of an issuer, and returns their address.
async fn issuer(router: axum::Router) -> (String, Tasks) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback listens");
    let url = format!("http://{}/jwks", listener.local_addr().expect("it has an address"));
    let tasks = Tasks::new();
    tasks.spawn("issuer", |ending| async move {
        tokio::select! {
            served = async { axum::serve(listener, router).await } => served.expect("it is served"),
            () = ending.requested() => {}
        }
    });
    (url, tasks)
}

async fn come(world: &World, token: &str) -> reqwest::Response {
    world.anonymous(Method::GET, "/api/threads").bearer_auth(token).send().await.expect("it answers")
}

#[tokio::test]
async fn a_token_makes_the_user_that_it_names() {
    let (world, _clock, _folder) = with_file(&["one", "two"]).await;
    let token = signed(&claims(), "two");
    let made = world.anonymous(Method::POST, "/api/threads").bearer_auth(&token).json(&json!({}));
    assert_eq!(success(made.send().await.expect("it answers")).await["user"], "ada");
    world.post("/api/threads", json!({ "user": "bob" })).await;
    let listed = success(come(&world, &token).await).await;
    assert_eq!(listed["items"].as_array().expect("a list").len(), 1);
    let keys = world.anonymous(Method::GET, "/api/keys").bearer_auth(&token);
    failure(keys.send().await.expect("it answers"), 403).await;
}

#[tokio::test]
async fn a_token_that_is_not_right_is_refused_with_the_reason() {
    let (world, _clock, _folder) = with_file(&["one"]).await;
    let mut forged = signed(&claims(), "one");
    forged.pop();
    forged.push(if signed(&claims(), "one").ends_with('A') { 'Q' } else { 'A' });
    let cases = [
        (signed(&with(claims(), "exp", NOW - 61), "one"), "over"),
        (signed(&without(claims(), "exp"), "one"), "exp"),
        (signed(&with(claims(), "nbf", NOW + 61), "one"), "not good yet"),
        (signed(&with(claims(), "iss", "https://evil.example"), "one"), "whose tokens are not taken"),
        (signed(&with(claims(), "aud", "billing"), "one"), "InvalidAudience"),
        (signed(&without(claims(), "aud"), "one"), "aud"),
        (signed(&without(claims(), "sub"), "one"), "`sub`"),
        (signed(&with(claims(), "sub", " "), "one"), "`sub`"),
        (signed(&with(claims(), "exp", "soon"), "one"), "exp"),
        (signed(&claims(), "unheard"), "no key \"unheard\""),
        (shared(&claims(), PUBLIC), "HS256"),
        (forged, "accepted"),
        ("a.b.c".to_owned(), "no token"),
    ];
    for (token, why) in cases {
        let refused = failure(come(&world, &token).await, 401).await;
        let message = refused["message"].as_str().expect("text");
        assert!(message.contains(why), "{message} should have {why}");
    }
}

#[tokio::test]
async fn a_clock_may_be_off_by_the_leeway() {
    let (world, _clock, _folder) = with_file(&["one"]).await;
    success(come(&world, &signed(&with(claims(), "exp", NOW - 59), "one")).await).await;
    success(come(&world, &signed(&with(claims(), "nbf", NOW + 60), "one")).await).await;
}

#[tokio::test]
async fn a_secret_that_is_shared_signs_too_and_takes_nothing_else() {
    let mut options = JwtOptions::new(JwtKeys::Shared(Secret::from(HUSH)), ISSUER, None);
    options.scope_claim = Some("role".to_owned());
    options.user_claim = "email".to_owned();
    options.scope = Scope::Read;
    let (world, _clock) = world(options).await;
    let ada = with(claims(), "email", "ada@example.com");
    success(come(&world, &shared(&ada, HUSH)).await).await;
    failure(come(&world, &shared(&ada, "guess")).await, 401).await;
    failure(come(&world, &signed(&ada, "one")).await, 401).await;
    let write = async |claims: &Value| {
        let made = world.anonymous(Method::POST, "/api/threads").bearer_auth(shared(claims, HUSH));
        made.json(&json!({})).send().await.expect("it answers")
    };
    failure(write(&ada).await, 403).await;
    success(write(&with(ada.clone(), "role", "chat")).await).await;
    failure(write(&with(ada, "role", "root")).await, 401).await;
}

#[tokio::test]
async fn keys_at_an_address_are_read_again_when_they_change_and_kept_while_it_is_gone() {
    let asked = Arc::new(AtomicUsize::new(0));
    let served = Arc::new(std::sync::Mutex::new(Some(key_set(&["one"]))));
    let (count, answers) = (asked.clone(), served.clone());
    let router = axum::Router::new().route(
        "/jwks",
        axum::routing::get(async move || {
            count.fetch_add(1, Ordering::Relaxed);
            let answer = answers.lock().expect("nobody panics").clone();
            answer.map(|keys| keys.to_string()).ok_or(axum::http::StatusCode::SERVICE_UNAVAILABLE)
        }),
    );
    let (url, _issuer) = issuer(router).await;
    let (world, clock) = world(JwtOptions::new(JwtKeys::Url(url), ISSUER, "support".to_owned())).await;
    let [one, two] = ["one", "two"].map(|name| signed(&with(claims(), "exp", NOW + 10_000_000), name));
    success(come(&world, &one).await).await;
    success(come(&world, &one).await).await;
    assert_eq!(asked.load(Ordering::Relaxed), 1);

    // A key that is new: not asked for again at once, so that guesses cost the issuer nothing.
    *served.lock().expect("nobody panics") = Some(key_set(&["one", "two"]));
    failure(come(&world, &two).await, 401).await;
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    clock.advance(KEYS_AGAIN);
    success(come(&world, &two).await).await;
    assert_eq!(asked.load(Ordering::Relaxed), 2);

    *served.lock().expect("nobody panics") = None;
    clock.advance(KEYS_FRESH);
    success(come(&world, &one).await).await;
    success(come(&world, &one).await).await;
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    // Once the issuer answers again, a key that it has withdrawn is refused.
    *served.lock().expect("nobody panics") = Some(key_set(&["two"]));
    clock.advance(KEYS_AGAIN);
    failure(come(&world, &one).await, 401).await;
    success(come(&world, &two).await).await;
    // Where it is gone for good, old keys are not taken for ever; and nobody is told to log in again for it.
    *served.lock().expect("nobody panics") = None;
    clock.advance(KEYS_KEPT);
    let told = failure(come(&world, &two).await, 503).await;
    assert!(told["message"].as_str().expect("text").contains("could not be read"), "{told}");
}

#[tokio::test]
async fn a_token_that_demands_what_is_not_known_is_refused() {
    let (world, _clock, _folder) = with_file(&["one"]).await;
    let key = EncodingKey::from_ed_der(&BASE64.decode(SIGNING.as_bytes()).expect("it is base64"));
    let header = Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::EdDSA) };
    let demands = Header { crit: Some(vec!["https://example.com/unheard".to_owned()]), ..header.clone() };
    let token = |header: &Header| encode(header, &claims(), &key).expect("it is signed");
    success(come(&world, &token(&header)).await).await;
    let refused = failure(come(&world, &token(&demands)).await, 401).await;
    assert!(refused["message"].as_str().expect("text").contains("extensions"), "{refused}");
}

#[tokio::test]
async fn a_token_that_was_right_once_is_no_guess() {
    let one = Limit::token_bucket("one", 1, HOUR);
    let options = JwtOptions::new(JwtKeys::Shared(Secret::from(HUSH)), ISSUER, "support".to_owned());
    let clock = Clock::manual(Time::from_millis(NOW * 1_000));
    let http = Options { refusals: Some(one), ..Options::default() };
    let world = serve(described().clock(clock.clock()).http(http).jwt(options)).await;
    let over = shared(&with(claims(), "exp", NOW - 61), HUSH);
    for _ in 0..3 {
        failure(come(&world, &over).await, 401).await;
    }
    failure(come(&world, &shared(&claims(), "guess")).await, 401).await;
    failure(come(&world, &shared(&claims(), "guess")).await, 429).await;
}

#[tokio::test]
async fn nobody_is_the_user_of_another_issuer() {
    const OTHER: &str = "https://login.other.example";
    let issuer = |issuer: &str, prefix: &str| {
        let mut options = JwtOptions::new(JwtKeys::Shared(Secret::from(HUSH)), issuer, "support".to_owned());
        options.user_prefix = prefix.to_owned();
        options
    };
    for (one, other) in [("", ""), ("a:", "a:"), ("a", "ab")] {
        let both = described().jwt(issuer(ISSUER, one)).jwt(issuer(OTHER, other));
        let told = both.build().await.expect_err("they cannot be told apart").to_string();
        assert!(told.contains("JwtOptions::user_prefix"), "{told}");
    }
    let clock = Clock::manual(Time::from_millis(NOW * 1_000));
    let both = described().clock(clock.clock()).jwt(issuer(ISSUER, "")).jwt(issuer(OTHER, "other:"));
    let world = serve(both).await;
    let thread_of = async |token: &str| {
        let made = world.anonymous(Method::POST, "/api/threads").bearer_auth(token).json(&json!({}));
        made.send().await.expect("it answers")
    };
    let ours = success(thread_of(&shared(&claims(), HUSH)).await).await;
    let theirs = success(thread_of(&shared(&with(claims(), "iss", OTHER), HUSH)).await).await;
    assert_eq!((&ours["user"], &theirs["user"]), (&json!("ada"), &json!("other:ada")));
    failure(thread_of(&shared(&with(claims(), "sub", "other:ada"), HUSH)).await, 401).await;
}

#[tokio::test]
async fn an_application_says_in_its_own_way_who_comes() {
    let builder = described().identify(async |headers| {
        let session = headers.get("x-session").and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(session.map(|user| loomwork::Caller::user(user, Scope::Chat)))
    });
    let world = serve(builder).await;
    let made = world.anonymous(Method::POST, "/api/threads").header("x-session", "ada").json(&json!({}));
    assert_eq!(success(made.send().await.expect("it answers")).await["user"], "ada");
    failure(world.anonymous(Method::GET, "/api/threads").send().await.expect("it answers"), 401).await;
    success(world.get("/api/threads").await).await;
}

#[tokio::test]
async fn whoever_goes_away_while_keys_are_read_keeps_nobody_out() {
    let (begun, go) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let (beginning, waiting) = (begun.clone(), go.clone());
    let router = axum::Router::new().route(
        "/jwks",
        axum::routing::get(async move || {
            beginning.add_permits(1);
            waiting.acquire().await.expect("it is open").forget();
            key_set(&["one"]).to_string()
        }),
    );
    let (url, _issuer) = issuer(router).await;
    let (world, _clock) = world(JwtOptions::new(JwtKeys::Url(url), ISSUER, "support".to_owned())).await;
    let token = signed(&claims(), "one");
    {
        let unheard = signed(&claims(), "unheard");
        let gone = come(&world, &unheard);
        tokio::select! {
            _ = gone => panic!("the keys are not there yet"),
            permit = begun.acquire() => permit.expect("it is open").forget(),
        }
    }
    go.add_permits(1);
    success(come(&world, &token).await).await;
}

#[tokio::test]
async fn a_secret_that_could_be_guessed_is_refused() {
    let weak = |builder: loomwork::Builder| async {
        builder.build().await.expect_err("it is too short").to_string()
    };
    let told = weak(loomwork::App::memory().key(Secret::from("  admin\n"))).await;
    assert!(told.contains("5 bytes"), "{told}");
    let told = weak(described().jwt(JwtOptions::new(JwtKeys::Shared(Secret::from("")), ISSUER, None))).await;
    assert!(told.contains("the secret of tokens has 0 bytes"), "{told}");
}
