//! Access, route by route: whatever the description of the API names is behind a key, a scope and a membership.

use loomwork::http::Options;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::world::{World, described, failure, serve, success, world};

/// A route of the description.
#[derive(Debug)]
struct Route {
    method: Method,
    path: String,
    scope: String,
    names_rows_of_a_user: bool,
}

/// Returns all routes, with their names filled in by what is bob's.
async fn routes(world: &World) -> Vec<Route> {
    let thread = world.post("/api/threads", json!({ "user": "bob" })).await;
    let thread = thread["id"].as_str().expect("an id").to_owned();
    let said = world
        .post(
            &format!("/api/threads/{thread}/messages"),
            json!({ "messages": [{ "role": "user", "content": "hi" }] }),
        )
        .await;
    let message = find_id(&said, "message_").unwrap_or_else(|| panic!("no message in {said}"));
    let run = world
        .post(&format!("/api/threads/{thread}/runs"), json!({ "agent": "assistant", "prompt": "hello" }))
        .await;
    let run = find_id(&run, "run_").unwrap_or_else(|| panic!("no run in {run}"));
    let described = world.read("/api/openapi.json").await;
    let paths = described["paths"].as_object().expect("paths");
    let mut routes = Vec::new();
    for (path, methods) in paths {
        for (method, route) in methods.as_object().expect("methods") {
            // What takes no key says so.
            if route["security"] == json!([]) {
                continue;
            }
            let filled =
                path.replace("{thread}", &thread).replace("{message}", &message).replace("{run}", &run);
            routes.push(Route {
                method: method.to_uppercase().parse().expect("a method"),
                names_rows_of_a_user: filled != *path,
                path: filled.replace(['{', '}'], ""),
                scope: route["x-scope"].as_str().expect("a scope").to_owned(),
            });
        }
    }
    assert!(routes.len() > 20, "{routes:?}");
    routes
}

fn find_id(value: &Value, start: &str) -> Option<String> {
    match value {
        Value::String(text) if text.starts_with(start) => Some(text.clone()),
        Value::Array(values) => values.iter().find_map(|value| find_id(value, start)),
        Value::Object(fields) => fields.values().find_map(|value| find_id(value, start)),
        _ => None,
    }
}

async fn ask(world: &World, route: &Route, key: Option<&str>) -> Response {
    let mut request = world.anonymous(route.method.clone(), &route.path);
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    if matches!(route.method, Method::POST | Method::PATCH) {
        request = request.json(&json!({}));
    }
    request.send().await.expect("it answers")
}

async fn key(world: &World, new: Value) -> String {
    let made = world.post("/api/keys", new).await;
    made["secret"].as_str().expect("a secret").to_owned()
}

#[tokio::test]
async fn no_route_answers_without_a_key_or_with_a_wrong_one() {
    // There are more routes than one address may come with nothing to.
    let options = Options { refusals: None, ..Options::default() };
    let world = serve(described().http(options)).await;
    for route in routes(&world).await {
        assert_eq!(ask(&world, &route, None).await.status(), 401, "{route:?}");
    }
    for route in routes(&world).await.into_iter().step_by(2) {
        assert_eq!(ask(&world, &route, Some("lw_wrong")).await.status(), 401, "{route:?}");
    }
}

#[tokio::test]
async fn what_takes_no_key_says_so() {
    let world = world().await;
    let described = world.read("/api/openapi.json").await;
    let paths = described["paths"].as_object().expect("paths");
    let is_open = |methods: &Value| {
        methods.as_object().expect("methods").values().any(|route| route["security"] == json!([]))
    };
    let open: Vec<_> = paths.iter().filter(|(_, methods)| is_open(methods)).map(|(path, _)| path).collect();
    assert_eq!(open, ["/api/exchange"]);
    let asked = world.anonymous(Method::POST, "/api/exchange").json(&json!({ "code": "none" }));
    let told = failure(asked.send().await.expect("it answers"), 401).await;
    assert!(told["message"].as_str().expect("text").contains("the code is not known"), "{told}");
}

#[tokio::test]
async fn no_route_answers_a_scope_that_is_too_small() {
    let world = world().await;
    let reads = key(&world, json!({ "name": "reads", "scope": "read" })).await;
    let chats = key(&world, json!({ "name": "chats", "scope": "chat" })).await;
    for route in routes(&world).await {
        let small = match route.scope.as_str() {
            "read" => continue,
            "chat" => &reads,
            _ => &chats,
        };
        let refused = failure(ask(&world, &route, Some(small)).await, 403).await;
        assert!(refused["message"].as_str().expect("text").contains("scope"), "{route:?} {refused}");
    }
}

#[tokio::test]
async fn no_route_shows_or_changes_what_is_another_users() {
    let world = world().await;
    let ada = key(&world, json!({ "name": "ada", "user": "ada", "scope": "chat" })).await;
    for route in routes(&world).await {
        if !route.names_rows_of_a_user {
            continue;
        }
        let status = ask(&world, &route, Some(&ada)).await.status();
        // What takes more arguments says so first; it has done nothing.
        assert!(matches!(status.as_u16(), 400 | 403 | 404), "{route:?} {status}");
    }
}

#[tokio::test]
async fn two_share_a_thread_a_reader_does_not_write_and_who_is_removed_sees_no_more() {
    let world = world().await;
    let thread = world.post("/api/threads", json!({ "user": "ada" })).await;
    let path = format!("/api/threads/{}", thread["id"].as_str().expect("an id"));
    let ada = key(&world, json!({ "name": "ada", "user": "ada", "scope": "chat" })).await;
    let bob = key(&world, json!({ "name": "bob", "user": "bob", "scope": "chat" })).await;
    let send = async |key: &str, method: Method, path: &str, body: Value| {
        let asked = world.anonymous(method, path).bearer_auth(key).json(&body);
        asked.send().await.expect("it answers")
    };
    failure(send(&bob, Method::GET, &path, Value::Null).await, 404).await;
    let members = format!("{path}/members");
    success(send(&ada, Method::POST, &members, json!({ "user": "bob", "role": "reader" })).await).await;
    success(send(&bob, Method::GET, &path, Value::Null).await).await;
    let message = json!({ "messages": [{ "role": "user", "content": "hi" }] });
    failure(send(&bob, Method::POST, &format!("{path}/messages"), message).await, 403).await;

    let follow = world.anonymous(Method::GET, &path).bearer_auth(&bob).header("accept", "text/event-stream");
    let mut live = follow.send().await.expect("it answers");
    live.chunk().await.expect("it goes on").expect("an event");
    success(send(&ada, Method::DELETE, &format!("{members}/bob"), Value::Null).await).await;
    let mut rest = String::new();
    while let Some(chunk) = live.chunk().await.expect("it ends in order") {
        rest.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(rest.contains("event: error"), "{rest}");
}
