//! Runs that outlive their processes, and what becomes of one that comes while another is made.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use loomwork::core::Secret;
use loomwork::models::{Gate, MockModel, MockReply};
use loomwork::rate_limiter::{Limit, MINUTE, limit};
use loomwork::{Agent, App, OfflineModel};
use reqwest::Method;
use serde_json::{Value, json};

use crate::answers::shown;
use crate::world::{KEY, World, described, failure, serve, success};

pub(crate) async fn thread(world: &World) -> String {
    let made = world.post("/api/threads", json!({ "user": "alice" })).await;
    made["id"].as_str().expect("it has an id").to_owned()
}

/// An app over this file with an agent `assistant` that answers at this pace.
pub(crate) async fn at_pace(path: &Path, pace: Duration) -> World {
    let model = Arc::new(OfflineModel::default().with_pace(pace));
    let builder = App::open(path).await.expect("it opens").key(Secret::from(KEY));
    serve(builder.agent(Agent::new("assistant", model))).await
}

/// An app with an agent `scripted` that says these replies.
pub(crate) async fn scripted(replies: impl IntoIterator<Item = MockReply>) -> (World, Arc<MockModel>) {
    let model = Arc::new(MockModel::new(replies));
    (serve(App::memory().key(Secret::from(KEY)).agent(Agent::new("scripted", model.clone()))).await, model)
}

fn roles(page: &Value) -> Vec<&str> {
    let messages = page["messages"].as_array().expect("messages").iter();
    messages.map(|message| message["role"].as_str().expect("a role")).collect()
}

#[tokio::test]
async fn an_answer_that_a_shutdown_cuts_is_made_by_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.db");
    let open = async |pace| at_pace(&path, pace).await;
    let world = open(Duration::from_secs(3600)).await;
    let thread = thread(&world).await;
    let started = world.post(&format!("/api/threads/{thread}/runs"), json!({ "prompt": "Hello!" })).await;
    let run = format!("/api/runs/{}", started["run"].as_str().expect("a run"));
    shown(&world, &thread, |page| {
        page["messages"][1]["status"] == "streaming" || page["streams"][0].is_object()
    })
    .await;
    world.app.shutdown(Duration::ZERO).await.expect("it gives back what it cannot end");
    drop(world);

    let world = open(Duration::ZERO).await;
    let page = shown(&world, &thread, |page| page["messages"][1]["status"] == "success").await;
    assert_eq!(roles(&page), ["user", "assistant"]);
    assert_eq!(page["messages"][0]["id"], started["promptId"]);
    assert_eq!(world.read(&run).await["status"], "success");
    world.end().await;
}

#[tokio::test]
async fn an_answer_whose_process_dies_is_made_by_the_next_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.db");
    let open = async |pace| at_pace(&path, pace).await;
    let world = open(Duration::from_secs(3600)).await;
    let thread = thread(&world).await;
    world.post(&format!("/api/threads/{thread}/runs"), json!({ "prompt": "Hello!" })).await;
    shown(&world, &thread, |page| page["streams"][0].is_object()).await;
    // Nothing is written any more, as by a process that is gone.
    world.app.store().close().await;
    drop(world);

    let world = open(Duration::ZERO).await;
    let page = shown(&world, &thread, |page| page["messages"][1]["status"] == "success").await;
    assert_eq!(roles(&page), ["user", "assistant"]);
    world.end().await;
}

#[tokio::test]
async fn who_says_what_shall_become_of_the_answer_that_is_made_gets_that() {
    let gate = Gate::default();
    let held = || MockReply::from("first").gate(&gate);
    let (world, _) = scripted([held(), "second".into(), "third".into()]).await;
    let thread = thread(&world).await;
    let path = format!("/api/threads/{thread}/runs");
    let first = world.post(&path, json!({ "prompt": "one" })).await;
    shown(&world, &thread, |page| page["streams"][0].is_object()).await;

    let rejected = json!({ "prompt": "two", "busy": "reject" });
    let refused = failure(world.send(Method::POST, &path, rejected).await, 409).await;
    assert!(refused["message"].as_str().is_some_and(|text| text.contains("is being made")), "{refused}");
    let queued = world.post(&path, json!({ "prompt": "two" })).await;
    let page = world.read(&format!("/api/threads/{thread}/messages")).await;
    assert_eq!(roles(&page), ["user", "assistant", "user", "assistant"], "the refused one is not there");

    let superseding = world.post(&path, json!({ "prompt": "three", "busy": "supersede" })).await;
    shown(&world, &thread, |page| page["messages"][5]["status"] == "success").await;
    let status = async |run: &Value| {
        world.read(&format!("/api/runs/{}", run["run"].as_str().expect("a run"))).await["status"].clone()
    };
    assert_eq!(
        (status(&first).await, status(&queued).await, status(&superseding).await),
        (json!("aborted"), json!("aborted"), json!("success"))
    );
}

#[tokio::test]
async fn a_start_under_a_key_is_one_prompt_and_one_answer() {
    let (world, model) = scripted(["once".into()]).await;
    let thread = thread(&world).await;
    let start = async || {
        let request = world.request(Method::POST, &format!("/api/threads/{thread}/runs"));
        let request = request.header("idempotency-key", "one").json(&json!({ "prompt": "Hello!" }));
        success(request.send().await.expect("it answers")).await
    };
    let (first, again) = tokio::join!(start(), async {
        shown(&world, &thread, |page| page["messages"][1]["status"] == "success").await;
        start().await
    });
    assert_eq!(first, again);
    let page = world.read(&format!("/api/threads/{thread}/messages")).await;
    assert_eq!((roles(&page).len(), model.requests().len()), (2, 1));
}

#[tokio::test]
async fn a_run_that_is_refused_leaves_nothing_behind() {
    const SEND: Limit<'static> = Limit::fixed_window("send", 1, MINUTE);
    let builder = described().limit(SEND).before_run(|tx, asked| {
        assert_eq!((asked.agent, asked.user), ("assistant", Some("alice")));
        limit(tx, &SEND, asked.user.unwrap_or_default(), asked.text().len() as u64).map(drop)
    });
    let world = serve(builder).await;
    let thread = thread(&world).await;
    let path = format!("/api/threads/{thread}/runs");
    world.post(&path, json!({ "prompt": "1" })).await;
    let refused = world.send(Method::POST, &path, json!({ "prompt": "2" })).await;
    assert!(refused.headers().contains_key("retry-after"));
    let refused = failure(refused, 429).await;
    assert_eq!(refused["data"]["name"], "send");
    assert!(refused["data"]["retryAfter"].is_number(), "{refused}");
    let page = shown(&world, &thread, |page| page["messages"][1]["status"] == "success").await;
    assert_eq!(roles(&page), ["user", "assistant"]);
}

#[tokio::test]
async fn a_thread_that_is_handed_over_is_answered_by_who_has_it() {
    let model = || Arc::new(OfflineModel::default().with_pace(Duration::ZERO));
    let world = serve(described().agent(Agent::new("billing", model()))).await;
    let thread = thread(&world).await;
    let path = format!("/api/threads/{thread}");
    let patch = async |patch: Value| world.send(Method::PATCH, &path, patch).await;
    assert_eq!(success(patch(json!({ "agent": "billing" })).await).await["agent"], "billing");
    failure(patch(json!({ "agent": "nobody" })).await, 404).await;
    world.post(&format!("{path}/runs"), json!({ "prompt": "Hello!" })).await;
    let page = shown(&world, &thread, |page| page["messages"][1]["status"] == "success").await;
    assert_eq!(page["messages"][1]["agentName"], "billing");

    // Where a person answers, what is said is saved for them.
    success(patch(json!({ "responder": "human" })).await).await;
    let saved = world.post(&format!("{path}/runs"), json!({ "prompt": "Is anybody there?" })).await;
    assert!(saved["run"].is_null() && saved["promptId"].is_string(), "{saved}");
    let said = json!({ "by": "carol", "text": "I am." });
    world.post(&format!("{path}/replies"), said).await;
    let page = world.read(&format!("{path}/messages")).await;
    assert_eq!(page["messages"][3]["agentName"], "carol");
}

#[tokio::test]
async fn a_run_is_called_off_with_a_reason_that_is_no_book() {
    let (world, _) = scripted([MockReply::from("never").gate(&Gate::default())]).await;
    let thread = thread(&world).await;
    let started = world.post(&format!("/api/threads/{thread}/runs"), json!({ "prompt": "Hello!" })).await;
    let run = format!("/api/runs/{}", started["run"].as_str().expect("a run"));
    let abort = format!("{run}/abort");
    let long = json!({ "reason": "x".repeat(1_001) });
    assert_eq!(failure(world.send(Method::POST, &abort, long).await, 400).await["field"], "reason");
    assert_eq!(world.post(&abort, json!({ "reason": "too slow" })).await, json!({ "aborted": true }));
    let ended = world.read(&run).await;
    assert_eq!((&ended["status"], &ended["error"]["message"]), (&json!("aborted"), &json!("too slow")));
    assert_eq!(world.post(&abort, json!({})).await, json!({ "aborted": false }));
}

#[tokio::test]
async fn a_run_of_others_is_not_there_and_tells_nothing() {
    let world = serve(described()).await;
    let thread = thread(&world).await;
    let started = world.post(&format!("/api/threads/{thread}/runs"), json!({ "prompt": "Hello!" })).await;
    let run = started["run"].as_str().expect("a run").to_owned();
    let prompt = started["promptId"].clone();
    let key = world.post("/api/keys", json!({ "name": "bob", "user": "bob", "scope": "chat" })).await;
    let bob = key["secret"].as_str().expect("a secret").to_owned();
    let ask = async |method: Method, path: String, body: Value| {
        let request = world.anonymous(method, &path).bearer_auth(&bob).json(&body);
        failure(request.send().await.expect("it answers"), 404).await["message"].to_string()
    };
    let foreign = ask(Method::GET, format!("/api/runs/{run}"), Value::Null).await;
    assert!(!foreign.contains(&thread), "{foreign}");
    // As one that there never was.
    let (start, last) = run.split_at(run.len() - 1);
    let unknown = format!("{start}{}", if last == "0" { "4" } else { "0" });
    let never = ask(Method::GET, format!("/api/runs/{unknown}"), Value::Null).await;
    assert_eq!(foreign.replace(&run, ""), never.replace(&unknown, ""));
    assert!(!ask(Method::POST, format!("/api/runs/{run}/abort"), json!({})).await.contains(&thread));

    let own =
        world.post("/api/threads", json!({ "user": "bob" })).await["id"].as_str().expect("an id").to_owned();
    let stolen = ask(Method::POST, format!("/api/threads/{own}/runs"), json!({ "promptId": prompt })).await;
    assert!(!stolen.contains(&thread), "{stolen}");
}
