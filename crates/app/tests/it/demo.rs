//! The demo: what is to be tried there works without a key and a network.

use std::sync::Arc;
use std::time::Duration;

use loomwork::core::{Clock, Secret, Time};
use loomwork::{App, Builder, OfflineModel, demo};
use reqwest::Method;
use serde_json::{Value, json};

use crate::answers::shown;
use crate::durable::thread;
use crate::live::Events;
use crate::world::{KEY, World, failure, serve};

fn described(builder: Builder) -> Builder {
    let model = Arc::new(OfflineModel::default().with_pace(Duration::ZERO));
    demo::describe(builder.key(Secret::from(KEY)), model).expect("it makes sense")
}

async fn opened() -> World {
    serve(described(App::memory())).await
}

async fn asked(world: &World, thread: &str, agent: &str, prompt: &str) -> Value {
    world.post(&format!("/api/threads/{thread}/runs"), json!({ "agent": agent, "prompt": prompt })).await
}

#[tokio::test]
async fn the_weather_is_told_by_a_tool() {
    let world = opened().await;
    let thread = thread(&world).await;
    asked(&world, &thread, "weather", "Use weather with place Oslo.").await;
    let page = shown(&world, &thread, |page| page["messages"][1]["status"] == "success").await;
    assert!(
        page["messages"][1]["text"].as_str().is_some_and(|text| text.contains("degrees in Oslo")),
        "{page}"
    );
    assert_eq!(world.read("/api/usage?name=alice").await["events"], 2);
}

#[tokio::test]
async fn support_looks_into_the_handbook_and_names_its_sources() {
    let world = opened().await;
    let thread = thread(&world).await;
    asked(&world, &thread, "support", "Use search_knowledge with query sending carpets back.").await;
    let page = shown(&world, &thread, |page| page["messages"][1]["status"] == "success").await;
    assert!(page["messages"][1]["text"].as_str().is_some_and(|text| text.contains("30 days")), "{page}");
    let parts = page["messages"][1]["parts"].as_array().expect("parts");
    assert!(
        parts.iter().any(|part| part["type"] == "source-document" && part["title"] == "Returns"),
        "{page}"
    );
}

#[tokio::test]
async fn a_refund_waits_for_somebody() {
    let world = opened().await;
    let thread = thread(&world).await;
    asked(&world, &thread, "refunds", "Use refund with order 7 and amount 20.").await;
    let mut open = Events::of(&world, &format!("/api/threads/{thread}/approvals"), None).await;
    let id = loop {
        let seen = open.next().await.expect("it goes on").data;
        if let Some(id) = seen[0]["id"].as_str() {
            break id.to_owned();
        }
    };
    world.post(&format!("/api/approvals/{id}/approve"), json!({})).await;
    // Until then the message is complete, and says nothing.
    let is_paid =
        |page: &Value| page["messages"][1]["text"].as_str().is_some_and(|text| text.contains("20 euros"));
    shown(&world, &thread, is_paid).await;
}

#[tokio::test]
async fn research_waits_until_somebody_has_read_the_report() {
    let world = opened().await;
    let started = world.post("/api/mutation/research.start", json!({ "topic": "returns" })).await;
    let path = format!("/api/workflows/{}", started.as_str().expect("an id"));
    world.post(&format!("{path}/events"), json!({ "event": "read", "value": true })).await;
    let mut live = Events::of(&world, &path, None).await;
    loop {
        let seen = live.next().await.expect("it goes on").data;
        if seen["finished"].is_number() {
            assert_eq!(seen["outcome"], "success", "{seen}");
            break;
        }
    }
}

#[tokio::test]
async fn who_sends_too_much_is_told_which_limit_that_is_and_when_to_come_again() {
    // Time stands, so that nothing comes back to a limit meanwhile.
    let clock = Clock::manual(Time::from_millis(1_790_000_000_000));
    let world = serve(described(App::memory().clock(clock.clock()))).await;
    let thread = thread(&world).await;
    let path = format!("/api/threads/{thread}/runs");
    let ask = |prompt: &str| json!({ "agent": "assistant", "prompt": prompt });
    world.post(&path, ask("one")).await;
    shown(&world, &thread, |page| page["messages"][1]["status"] == "success").await;
    // What the answer used is taken, so that a question that would have had its tokens before has them no more.
    let stands = world.read("/api/limits/tokens?user=alice").await;
    assert!(stands["value"].as_i64().is_some_and(|left| left < 9_998), "{stands}");
    let refused = failure(world.send(Method::POST, &path, ask(&"long ".repeat(1_999))).await, 429).await;
    assert_eq!(refused["data"]["name"], "tokens");

    // One that was refused is not counted among those that were sent.
    world.post(&path, ask("two")).await;
    let refused = failure(world.send(Method::POST, &path, ask("three")).await, 429).await;
    assert_eq!(refused["data"]["name"], "send-message");
    assert!(
        refused["data"]["retryAfter"].as_u64().is_some_and(|wait| (1..=5_000).contains(&wait)),
        "{refused}"
    );
    let names = ["all-messages", "all-tokens", "send-message", "tokens"].map(|name| json!({ "name": name }));
    assert_eq!(world.read("/api/limits").await, json!(names));
}

#[tokio::test]
async fn an_agent_that_has_used_its_budget_says_so() {
    let world = opened().await;
    let spent = loomwork::usage::Budget::units(
        "tokens of assistant",
        loomwork::usage::Level::Agent,
        "assistant",
        loomwork::usage::Measure::Tokens,
        10,
    );
    world.app.store().mutate(move |tx| loomwork::usage::set_budget(tx, spent)).await.expect("it is set");
    let thread = thread(&world).await;
    asked(&world, &thread, "assistant", "Hello!").await;
    let page = shown(&world, &thread, |page| page["messages"][1]["status"] == "failed").await;
    let told = page["messages"][1]["error"].to_string();
    assert!(told.contains("tokens of assistant"), "{told}");
}
