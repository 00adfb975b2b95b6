//! What whoever manages the app looks at and steers: jobs, crons, workflows, knowledge, search, limits, usage, figures.

use std::time::Duration;

use loomwork::rate_limiter::{Limit, MINUTE, limit};
use loomwork::store::Result;
use loomwork::workflow::{Event, Flow, Workflow, start};
use loomwork::workpool::cron::Tick;
use loomwork::workpool::enqueue;
use loomwork::{Job, JobContext, Schedule};
use reqwest::Method;
use serde_json::json;

use crate::live::Events;
use crate::world::{described, failure, serve, success, world};

const GREET: Job<String, String> = Job::new("greet");
const REPORT: Job<Tick, ()> = Job::new("report");
const ASK: Workflow<String, bool> = Workflow::new("ask");
const ANSWER: Event<bool> = Event::new("answer");
const SEND: Limit<'static> = Limit::token_bucket("send", 10, MINUTE);

#[tokio::test]
async fn jobs_and_crons_are_looked_at_and_steered() {
    let greet = |job: JobContext, name: String| async move {
        job.progress(0.5, "half").await?;
        Result::Ok(format!("Hello {name}"))
    };
    let report = |_, _: Tick| async { Result::Ok(()) };
    let builder =
        described().job(GREET, greet).job(REPORT, report).cron("report", Schedule::monthly(2, 0, 0), REPORT);
    let world = serve(builder).await;
    world.post("/api/pools/default/pause", json!({})).await;
    let job =
        world.app.store().mutate(|tx| enqueue(tx, &GREET, "Ada".into(), ())).await.expect("it is enqueued");
    assert_eq!(
        world.read("/api/pools/default").await,
        json!({ "ready": 1, "running": 0, "dead": 0, "paused": true })
    );
    assert_eq!(world.read("/api/jobs").await["items"][0]["id"], job.to_string());

    let mut live = Events::of(&world, &format!("/api/jobs/{job}"), None).await;
    assert_eq!(live.next().await.expect("the job").data["state"], "ready");
    world.post("/api/pools/default/resume", json!({})).await;
    loop {
        let seen = live.next().await.expect("it goes on").data;
        if seen["state"] == "ended" {
            assert_eq!((&seen["outcome"], &seen["name"]), (&json!("success"), &json!("greet")));
            break;
        }
    }
    let cancelled = world.post(&format!("/api/jobs/{job}/cancel"), json!({})).await;
    assert_eq!(cancelled, json!({ "done": false }));

    let crons = world.read("/api/crons").await;
    assert_eq!((&crons[0]["name"], &crons[0]["job"]), (&json!("report"), &json!("report")));
    assert!(world.post("/api/crons/report/trigger", json!({})).await["job"].is_string());
    world.post("/api/crons/report/pause", json!({})).await;
    assert_eq!(world.read("/api/crons").await[0]["paused"], true);
    failure(world.send(Method::POST, "/api/crons/none/pause", json!({})).await, 404).await;
}

#[tokio::test]
async fn a_workflow_is_followed_and_gets_events() {
    let ask = |flow: Flow, _: String| async move { flow.event(ANSWER).await };
    let world = serve(described().workflow(ASK, ask)).await;
    let started = world.app.store().mutate(|tx| start(tx, &ASK, "well?".into(), "one"));
    let path = format!("/api/workflows/{}", started.await.expect("it is started"));
    let mut live = Events::of(&world, &path, None).await;
    let sent = world.post(&format!("{path}/events"), json!({ "event": "answer", "value": true })).await;
    assert_eq!(sent, json!({ "done": true }));
    loop {
        let seen = live.next().await.expect("it goes on").data;
        if seen["finished"].is_number() {
            assert_eq!(seen["outcome"], "success");
            break;
        }
    }
    assert_eq!(world.read(&format!("{path}/steps")).await[0]["name"], "answer");
    assert_eq!(world.read("/api/workflows?name=ask").await["items"].as_array().map(Vec::len), Some(1));
    let late = json!({ "event": "answer", "value": true });
    failure(world.send(Method::POST, &format!("{path}/events"), late).await, 409).await;
}

#[tokio::test]
async fn knowledge_is_added_found_and_deleted() {
    let world = world().await;
    let added = json!({ "text": "The loom weaves carpets.", "about": { "key": "looms", "title": "Looms" } });
    let first = world.post("/api/knowledge/handbook/entries", added.clone()).await;
    assert_eq!(first["created"], true);
    assert_eq!(world.post("/api/knowledge/handbook/entries", added).await["created"], false);
    assert_eq!(world.read("/api/knowledge").await["items"][0]["name"], "handbook");
    let listed = world.read("/api/knowledge/handbook/entries").await;
    assert_eq!(listed["items"], json!([first["entry"]]));
    let found =
        world.post("/api/knowledge/handbook/search", json!({ "query": "what weaves carpets?" })).await;
    assert_eq!(found["text"], "## Looms:\n\nThe loom weaves carpets.");
    let path = format!("/api/entries/{}", first["entry"]["id"].as_str().expect("an id"));
    success(world.request(Method::DELETE, &path).send().await.expect("it answers")).await;
    let found = world.post("/api/knowledge/handbook/search", json!({ "query": "carpets" })).await;
    assert_eq!(found["results"], json!([]));
}

#[tokio::test]
async fn what_was_said_and_titles_are_found() {
    let world = world().await;
    let thread = world.post("/api/threads", json!({ "user": "alice", "title": "Winter carpets" })).await;
    let id = thread["id"].as_str().expect("an id");
    world.post(&format!("/api/threads/{id}/messages"), json!({ "prompt": "Where is my parcel?" })).await;
    let query = json!({ "query": "parcel", "thread": id, "mode": "text" });
    let found = world.post("/api/search/messages", query).await;
    assert_eq!(
        (&found["items"][0]["text"], &found["items"][0]["textRank"]),
        (&json!("Where is my parcel?"), &json!(0))
    );
    let of_user = json!({ "query": "parcel", "user": "alice", "mode": "text" });
    assert_eq!(world.post("/api/search/messages", of_user).await["items"].as_array().map(Vec::len), Some(1));
    let of_other = json!({ "query": "parcel", "user": "bob", "mode": "text" });
    assert_eq!(world.post("/api/search/messages", of_other).await["items"], json!([]));
    let titles = world.post("/api/search/threads", json!({ "query": "carpets", "user": "alice" })).await;
    assert_eq!(titles["items"][0]["id"], id);
}

#[tokio::test]
async fn a_limit_shows_live_what_is_left_and_refuses_with_the_time_to_wait() {
    #[derive(Clone, serde::Deserialize, schemars::JsonSchema)]
    struct Nothing {}
    let take =
        |tx: &mut loomwork::Tx, _: &loomwork::Caller, _: Nothing| Ok(limit(tx, &SEND, "alice", 6)?.remaining);
    let world = serve(described().limit(SEND).mutation("take", take)).await;
    assert_eq!(world.read("/api/limits").await, json!([{ "name": "send" }]));
    let mut live = Events::of(&world, "/api/limits/send?user=alice&amount=6", None).await;
    let full = live.next().await.expect("the limit").data;
    assert_eq!((&full["ok"], &full["value"]), (&json!(true), &json!(10)));
    world.post("/api/mutation/take", json!({})).await;
    assert_eq!(live.next().await.expect("the limit").data["ok"], false);

    let refused = world.send(Method::POST, "/api/mutation/take", json!({})).await;
    let wait: u64 =
        refused.headers()["retry-after"].to_str().ok().and_then(|it| it.parse().ok()).expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    let refused = failure(refused, 429).await;
    assert_eq!((&refused["kind"], &refused["data"]["name"]), (&json!("limited"), &json!("send")));
    assert!(
        refused["data"]["retryAfter"].as_u64().is_some_and(|millis| millis.div_ceil(1000) == wait),
        "{refused}"
    );
    failure(world.get("/api/limits/other").await, 404).await;
}

#[tokio::test]
async fn usage_and_invoices_are_read() {
    let world = world().await;
    assert_eq!(world.read("/api/usage?name=alice").await["events"], 0);
    assert_eq!(world.read("/api/usage?by=all&ever=true").await["events"], 0);
    assert_eq!(world.read("/api/invoices?state=draft").await["items"], json!([]));
    failure(world.get("/api/invoices").await, 400).await;
    failure(world.get("/api/usage?from=0").await, 400).await;
}

#[tokio::test]
async fn figures_count_requests_by_route() {
    let world = world().await;
    world.read("/api/threads").await;
    failure(world.get("/api/threads/message_06").await, 400).await;
    let figures = world.get("/metrics").await.text().await.expect("a body");
    let threads = "loomwork_request_seconds_count{route=\"/api/threads\",method=\"GET\",status=\"200\"} 1";
    let thread =
        "loomwork_request_seconds_count{route=\"/api/threads/{thread}\",method=\"GET\",status=\"400\"} 1";
    assert!(figures.contains(threads) && figures.contains(thread), "{figures}");
    let anonymous = world.anonymous(Method::GET, "/metrics").send().await.expect("it answers");
    failure(anonymous, 401).await;
    world.app.shutdown(Duration::from_secs(5)).await.expect("it ends");
}
