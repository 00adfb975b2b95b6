//! Having agents answer.

use std::sync::Arc;

use loomwork::Agent;
use loomwork::models::OfflineModel;
use reqwest::Method;
use serde_json::{Value, json};

use crate::live::Events;
use crate::world::{World, described, failure, serve, world};

async fn thread(world: &World) -> String {
    let made = world.post("/api/threads", json!({ "user": "alice" })).await;
    made["id"].as_str().expect("it has an id").to_owned()
}

/// Waits until a thread shows what is wanted of it.
pub(crate) async fn shown(world: &World, thread: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let mut live = Events::of(world, &format!("/api/threads/{thread}/messages"), None).await;
    loop {
        let page = live.next().await.expect("the thread goes on").data;
        if is_wanted(&page) {
            return page;
        }
    }
}

#[tokio::test]
async fn an_agent_answers_in_a_thread_and_the_thread_shows_it() {
    let world = world().await;
    let thread = thread(&world).await;
    let started = world.post(&format!("/api/threads/{thread}/runs"), json!({ "prompt": "Hello!" })).await;
    let page = shown(&world, &thread, |page| page["messages"][1]["status"] == "success").await;
    assert_eq!(page["messages"][0]["id"], started["promptId"]);
    assert_eq!(page["messages"][1]["agentName"], "assistant");
    let run = started["run"].as_str().expect("a run");
    assert_eq!(world.read(&format!("/api/runs/{run}")).await["status"], "success");
    assert_eq!(world.read(&format!("/api/threads/{thread}/runs")).await, json!([]));

    // Answered anew, behind the same prompt.
    let again = json!({ "promptId": started["promptId"] });
    let second = world.post(&format!("/api/threads/{thread}/runs"), again).await;
    assert_ne!(second["run"], started["run"]);
}

#[tokio::test]
async fn who_names_no_agent_is_told_which_there_are() {
    let model = Arc::new(OfflineModel::default());
    let world = serve(described().agent(Agent::new("weather", model))).await;
    let thread = thread(&world).await;
    let path = format!("/api/threads/{thread}/runs");
    let none = failure(world.send(Method::POST, &path, json!({ "prompt": "Hello!" })).await, 400).await;
    assert!(none["message"].as_str().is_some_and(|text| text.contains("assistant, weather")), "{none}");
    let unknown = json!({ "agent": "wether", "prompt": "Hello!" });
    assert_eq!(failure(world.send(Method::POST, &path, unknown).await, 404).await["field"], "agent");
    assert_eq!(world.read("/api/agents").await, json!([{ "name": "assistant" }, { "name": "weather" }]));
}

#[tokio::test]
async fn what_would_be_sent_is_shown_without_asking() {
    let world = world().await;
    let thread = thread(&world).await;
    let path = format!("/api/threads/{thread}/context");
    let preview = world.post(&path, json!({ "prompt": "Where is my parcel?" })).await;
    assert_eq!((&preview["agent"], &preview["model"]), (&json!("assistant"), &json!("offline/offline")));
    let pieces = preview["context"]["pieces"].as_array().expect("pieces");
    assert_eq!(pieces.last().map(|piece| &piece["origin"]["from"]), Some(&json!("prompt")));
    let messages = world.read(&format!("/api/threads/{thread}/messages")).await;
    assert_eq!(messages["messages"], json!([]));
}

#[tokio::test]
async fn messages_are_saved_without_an_answer_and_come_in_pages() {
    let world = world().await;
    let thread = thread(&world).await;
    let path = format!("/api/threads/{thread}/messages");
    for number in 0..3 {
        world.post(&path, json!({ "prompt": number.to_string() })).await;
    }
    let first = world.read(&format!("{path}?limit=2")).await;
    let texts = |page: &Value| {
        let messages = page["messages"].as_array().expect("messages").iter();
        messages.map(|message| message["text"].as_str().expect("a text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(texts(&first), ["1", "2"]);
    let next = first["next"].as_str().expect("there is more");
    assert_eq!(texts(&world.read(&format!("{path}?limit=2&after={next}")).await), ["0"]);
    failure(world.get(&format!("{path}?after=soon")).await, 400).await;
    failure(world.send(Method::POST, &path, json!({})).await, 400).await;
}

#[tokio::test]
async fn a_growing_answer_is_followed_chunk_by_chunk_and_from_where_a_client_left() {
    let model = Arc::new(OfflineModel::default().with_pace(std::time::Duration::from_millis(2)));
    let world = serve(described().agent(Agent::new("slow", model))).await;
    let thread = thread(&world).await;
    let live = format!("/api/threads/{thread}/live");
    let mut events = Events::of(&world, &live, None).await;
    assert_eq!(events.next().await.expect("the view").name, "view");
    let asked = json!({ "agent": "slow", "prompt": "Hello! Who are you?" });
    world.post(&format!("/api/threads/{thread}/runs"), asked).await;

    // Breaks off in the middle again and again, and comes back with the id of the last event.
    let mut chunks = Vec::new();
    let mut expected = 0;
    let answer = 'done: loop {
        let mut last = None;
        for _ in 0..3 {
            let event = events.next().await.expect("the thread goes on");
            if event.name == "chunks" {
                assert_eq!(event.data["start"], expected, "no gap and no repeat");
                expected = event.data["end"].as_u64().expect("a number");
                chunks.extend(event.data["chunks"].as_array().expect("chunks").clone());
            }
            let message = &event.data["messages"][1];
            if event.name == "view" && message["status"] == "success" {
                break 'done message["text"].as_str().expect("a text").to_owned();
            }
            last = Some(event.id);
        }
        events = Events::of(&world, &live, last.as_deref()).await;
    };
    let deltas = chunks.iter().filter(|chunk| chunk["type"] == "text-delta");
    let said: String = deltas.map(|chunk| chunk["delta"].as_str().expect("a text")).collect();
    assert_eq!(said, answer);
}
