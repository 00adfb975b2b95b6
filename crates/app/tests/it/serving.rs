//! Serving and its description.

use std::time::Duration;

use loomwork::App;
use loomwork::core::Secret;
use serde_json::{Value, json};

use crate::world::{KEY, described, serve, world};

#[tokio::test]
async fn the_server_says_whether_it_can_work() {
    let world = world().await;
    assert_eq!(world.get("/healthz").await.text().await.expect("a body"), "ok\n");
    assert_eq!(world.get("/readyz").await.text().await.expect("a body"), "ready\n");
}

#[tokio::test]
async fn the_description_names_every_route_with_its_scope_and_its_arguments() {
    let world = world().await;
    let described = world.read("/api/openapi.json").await;
    assert_eq!(described, world.app.openapi());
    let one = &described["paths"]["/api/threads/{thread}"]["get"];
    assert_eq!((&one["operationId"], &one["x-scope"]), (&json!("threads.get"), &json!("read")));
    let parameter = &one["parameters"][0];
    assert_eq!((&parameter["in"], &parameter["required"]), (&json!("path"), &json!(true)));
    assert!(one["responses"]["200"]["content"]["text/event-stream"].is_object());
    let mut references = Vec::new();
    collect_references(&described, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(described.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str().filter(|_| name == "$ref") {
                    Some(reference) => found.push(reference.to_owned()),
                    None => collect_references(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect_references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn routes_of_ones_own_stand_beside_the_api() {
    let own = axum::Router::new().route("/about", axum::routing::get(async || "ours"));
    let world = serve(described().routes(own)).await;
    assert_eq!(world.get("/about").await.text().await.expect("a body"), "ours");
}

#[tokio::test]
async fn what_was_stored_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.db");
    let open = async || App::open(&path).await.expect("it opens").key(Secret::from(KEY));
    let world = serve(open().await).await;
    let made = world.post("/api/threads", json!({ "user": "alice" })).await;
    world.end().await;
    drop(world);
    let world = serve(open().await).await;
    assert_eq!(world.read("/api/threads?user=alice").await["items"], json!([made]));
    world.end().await;
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_stored_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.db");
    let world = serve(App::open(&path).await.expect("it opens").key(Secret::from(KEY))).await;
    world.post("/api/threads", json!({ "user": "alice" })).await;
    let mut found = 0;
    for entry in folder.path().read_dir().expect("it can be read") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has {mode:o}", entry.path());
        found += 1;
    }
    assert!(found >= 5, "the database, its log, and the folders beside it");
    world.end().await;
}

#[tokio::test]
async fn an_app_that_makes_no_sense_is_not_built() {
    let twice = described()
        .agent(loomwork::Agent::new("assistant", std::sync::Arc::new(loomwork::OfflineModel::default())));
    let error = twice.build().await.expect_err("two agents of one name");
    assert!(error.to_string().contains("\"assistant\" is registered twice"), "{error}");
    let error = App::open("postgres://somewhere/db").await.expect_err("no such engine");
    assert!(error.to_string().contains("give the path of a file"), "{error}");
}

#[tokio::test]
async fn a_key_is_made_where_none_is_given() {
    let app = App::memory().build().await.expect("it is built");
    let key = app.new_key().expect("a new key").expose().to_owned();
    assert!(key.starts_with("lw_") && key.len() == "lw_".len() + 8 + 1 + 32, "{key}");
    app.shutdown(Duration::from_secs(5)).await.expect("it ends");
}

#[tokio::test]
async fn an_app_that_is_ended_from_beside_is_no_longer_served() {
    let app = App::memory().build().await.expect("it is built");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback listens");
    let (served, ended) = tokio::join!(app.serve_on(listener), app.shutdown(Duration::from_secs(5)));
    served.expect("it was served to its end");
    ended.expect("it ends");
}

#[tokio::test]
async fn any_page_may_call_where_that_is_said() {
    let any = loomwork::http::Options { origins: vec!["*".to_owned()], ..Default::default() };
    let world = serve(described().http(any)).await;
    let asked =
        world.request(reqwest::Method::GET, "/api/threads").header("origin", "https://anywhere.example");
    let answer = asked.send().await.expect("it answers");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["access-control-allow-origin"]),
        (200, &"*".parse().expect("a value"))
    );
}
