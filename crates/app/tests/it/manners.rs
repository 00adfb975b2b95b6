//! How answers travel: compressed, to pages of other origins, within other services; and what the log says of them.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use loomwork::Caller;
use loomwork::http::Options;
use reqwest::{Method, header};
use serde_json::json;
use tokio::net::TcpListener;

use crate::world::{KEY, World, described, failure, serve, success, world};

async fn fetch(world: &World, path: &str, accepts: &str) -> reqwest::Response {
    let asked = world.request(Method::GET, path).header(header::ACCEPT_ENCODING, "gzip");
    asked.header(header::ACCEPT, accepts).send().await.expect("it answers")
}

#[tokio::test]
async fn long_answers_are_compressed_for_those_who_take_it_and_streams_are_not() {
    let world = world().await;
    world.post("/api/threads", json!({ "title": "a long title ".repeat(10) })).await;
    for path in ["/api/threads", "/api/openapi.json"] {
        let packed = fetch(&world, path, "*/*").await;
        assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip", "{path}");
        assert!(packed.bytes().await.expect("a body").starts_with(&[0x1f, 0x8b]), "{path}");
        assert!(world.get(path).await.headers().get(header::CONTENT_ENCODING).is_none(), "{path}");
    }
    let live = fetch(&world, "/api/threads", "text/event-stream").await;
    assert!(live.headers().get(header::CONTENT_ENCODING).is_none());
}

#[tokio::test]
async fn the_description_is_not_sent_to_those_who_have_it() {
    let world = world().await;
    let tag = world.get("/api/openapi.json").await.headers()[header::ETAG].clone();
    let asked = world.anonymous(Method::GET, "/api/openapi.json").header(header::IF_NONE_MATCH, tag);
    assert_eq!(asked.send().await.expect("it answers").status(), 304);
}

#[tokio::test]
async fn a_page_that_is_named_may_ask_with_all_that_the_api_takes() {
    let named = Options { origins: vec!["https://app.example.com".to_owned()], ..Options::default() };
    let world = serve(described().http(named)).await;
    let ask = |origin: &str| {
        let asked = world.anonymous(Method::OPTIONS, "/api/threads").header(header::ORIGIN, origin);
        let asked = asked.header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST");
        asked.header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization,idempotency-key").send()
    };
    let allowed = ask("https://app.example.com").await.expect("it answers");
    assert_eq!(allowed.status(), 200);
    let told = |name: header::HeaderName| allowed.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(told(header::ACCESS_CONTROL_ALLOW_ORIGIN), "https://app.example.com");
    assert!(told(header::ACCESS_CONTROL_ALLOW_METHODS).contains("POST"));
    let headers = told(header::ACCESS_CONTROL_ALLOW_HEADERS);
    assert!(["authorization", "idempotency-key", "last-event-id"].iter().all(|name| headers.contains(name)));
    assert_eq!(ask("https://evil.example").await.expect("it answers").status(), 403);
}

#[tokio::test]
async fn names_that_can_never_fit_are_told_when_the_app_is_built() {
    let list = |value: &str| vec![value.to_owned()];
    let origins = [
        "https://app.example.com/",
        "app.example.com",
        "https://App.example.com",
        "https://app.example.com/page",
        "null",
        "https://ä.example",
    ];
    let mut wrong: Vec<(Options, &str)> = Vec::new();
    for origin in origins {
        wrong.push((Options { origins: list(origin), ..Options::default() }, "http::Options::origins"));
    }
    for host in ["https://api.example.com", "api.example.com:80", "a b"] {
        wrong.push((Options { hosts: list(host), ..Options::default() }, "http::Options::hosts"));
    }
    let proxies = Options { trusted_proxies: list("proxy.example.com"), ..Options::default() };
    wrong.push((proxies, "http::Options::trusted_proxies"));
    for (options, told) in wrong {
        let shown = format!("{options:?}");
        let error = described().http(options).build().await.expect_err(&shown);
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[tokio::test]
async fn the_api_is_merged_and_nested_and_leaves_the_paths_of_others_alone() {
    let inner = described().build().await.expect("the app is built");
    let around = Router::new()
        .fallback(async || "a page")
        .merge(inner.router())
        .nest("/nested", described().build().await.expect("the app is built").router());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback listens");
    let address = format!("http://{}", listener.local_addr().expect("it has an address"));
    let tasks = loomwork::core::Tasks::new();
    tasks.spawn("service", |ending| async move {
        tokio::select! {
            served = async { axum::serve(listener, around).await } => served.expect("it is served"),
            () = ending.requested() => {}
        }
    });
    let client = reqwest::Client::new();
    let ask = async |method: Method, path: &str, host: &str| {
        let asked = client.request(method, format!("{address}{path}")).bearer_auth(KEY);
        asked.header(header::HOST, host).send().await.expect("it answers")
    };
    for path in ["/api/threads", "/nested/api/threads"] {
        success(ask(Method::GET, path, "localhost").await).await;
        failure(ask(Method::GET, path, "evil.example").await, 421).await;
        assert_eq!(failure(ask(Method::PUT, path, "localhost").await, 405).await["kind"], "invalid");
    }
    let page = ask(Method::GET, "/somewhere", "shop.example.com").await;
    assert_eq!(page.text().await.expect("a body"), "a page");
}

#[tokio::test]
async fn a_route_of_ones_own_asks_who_comes() {
    let own = Router::new().route("/me", get(async |caller: Caller| caller.name().to_owned()));
    let world = serve(described().routes(own)).await;
    failure(world.anonymous(Method::GET, "/me").send().await.expect("it answers"), 401).await;
    assert_eq!(world.get("/me").await.text().await.expect("a body"), "operator");
}

/// What a log has written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nothing panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_names_routes_and_not_what_stands_in_paths() {
    let written = Written::default();
    let writer = written.clone();
    let log = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    let _logged = tracing::subscriber::set_default(log);
    let world = world().await;
    let thread = world.post("/api/threads", json!({ "user": "ada" })).await;
    let path = format!("/api/threads/{}/members/ada@example.com", thread["id"].as_str().expect("an id"));
    world.request(Method::DELETE, &path).send().await.expect("it answers");
    world.get("/nowhere/ada@example.com").await;
    let written = String::from_utf8(written.0.lock().expect("nothing panics").clone()).expect("text");
    let lines: Vec<serde_json::Value> =
        written.lines().map(|line| serde_json::from_str(line).expect("each line is an object")).collect();
    let routes: Vec<_> = lines.iter().filter_map(|line| line["span"]["route"].as_str()).collect();
    assert!(
        routes.contains(&"/api/threads/{thread}/members/{user}") && routes.contains(&"none"),
        "{written}"
    );
    assert!(!written.contains("ada@example.com"), "{written}");
}
