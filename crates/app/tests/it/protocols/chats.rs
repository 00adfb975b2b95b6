//! Chats over HTTP alone: what pages are sent, frame by frame.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use loomwork::agent::{Approval, Tool, ToolContext, ToolPolicy};
use loomwork::core::Secret;
use loomwork::models::{Gate, MockModel, MockReply};
use loomwork::{Agent, App, step_count};
use loomwork_testkit::soon;
use reqwest::{Method, Response, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::durable::at_pace;
use crate::world::{KEY, World, described, serve, success};

/// Asks in a chat, and returns the answer as it begins.
pub(crate) async fn ask(world: &World, chat: &str, id: &str, text: &str) -> Response {
    let message = json!({ "id": id, "role": "user", "parts": [{ "type": "text", "text": text }] });
    let body = json!({ "id": chat, "messages": [message], "trigger": "submit-message" });
    let response = world.send(Method::POST, "/api/chat", body).await;
    assert_eq!(response.status(), StatusCode::OK);
    response
}

/// Reads frames to the last one, which says that it is.
pub(crate) async fn frames(response: Response) -> Vec<Value> {
    let text = soon(response.text()).await.expect("the stream is whole");
    let mut frames: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(frames.pop(), Some("[DONE]"), "{text}");
    frames.into_iter().map(|frame| serde_json::from_str(frame).expect("a frame is JSON")).collect()
}

fn types(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(|frame| frame["type"].as_str().expect("a type")).collect()
}

fn said(frames: &[Value]) -> String {
    let deltas = frames.iter().filter(|frame| frame["type"] == "text-delta");
    deltas.map(|frame| frame["delta"].as_str().expect("a delta")).collect()
}

/// Returns the messages of a chat, as a page that opens gets them.
async fn history(world: &World, chat: &str) -> Vec<Value> {
    let found = success(world.get(&format!("/api/chat/{chat}")).await).await;
    found.as_array().expect("messages").clone()
}

#[derive(Deserialize, JsonSchema)]
struct Refund {
    amount: u32,
}

/// An app whose agent pays back when it may, and says these replies; with the number of refunds.
async fn paying(replies: impl IntoIterator<Item = MockReply>) -> (World, Arc<AtomicU32>) {
    let paid = Arc::new(AtomicU32::new(0));
    let counted = paid.clone();
    let refund =
        Tool::new("refund", "Gives money back.", move |_: ToolContext, Refund { amount }: Refund| {
            counted.fetch_add(1, Ordering::Relaxed);
            async move { format!("refunded {amount}") }
        });
    let policy = ToolPolicy { needs_approval: Approval::Always, ..ToolPolicy::default() };
    let agent = Agent::new("clerk", Arc::new(MockModel::new(replies)));
    let agent = agent.tool(refund.with_policy(policy)).expect("a tool").stop_when(step_count(5));
    (serve(App::memory().key(Secret::from(KEY)).agent(agent)).await, paid)
}

fn refund() -> MockReply {
    MockReply::default().tool_call("call_1", "refund", json!({ "amount": 90 }))
}

#[tokio::test]
async fn u1_an_answer_has_the_headers_of_the_protocol_and_begins_and_ends_as_it_says() {
    let world = serve(described()).await;
    let response = ask(&world, "chat-1", "m1", "Hello!").await;
    let headers = response.headers().clone();
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(headers["x-vercel-ai-ui-message-stream"], "v1");
    assert_eq!(headers["cache-control"], "no-cache");
    assert_eq!(headers["x-accel-buffering"], "no");
    let frames = frames(response).await;
    let types = types(&frames);
    assert_eq!((types[0], types[1]), ("start", "start-step"));
    assert_eq!(types[types.len() - 2..], ["finish-step", "finish"]);
    assert_eq!(frames.last().expect("frames")["finishReason"], "stop");

    // A reload shows the message under the id that it had as it came.
    let history = history(&world, "chat-1").await;
    assert_eq!(history[1]["id"], frames[0]["messageId"]);
    assert_eq!(history[1]["parts"][1]["text"], said(&frames));
    assert_eq!(frames.last().expect("frames")["messageMetadata"], history[1]["metadata"]);
}

#[tokio::test]
async fn a_message_that_is_sent_twice_is_asked_once() {
    let (world, _) = paying(["Once.".into()]).await;
    let first = frames(ask(&world, "chat-1", "m1", "Hello!").await).await;
    let again = frames(ask(&world, "chat-1", "m1", "Hello!").await).await;
    assert_eq!(
        (said(&first), first[0]["messageId"].clone()),
        ("Once.".to_owned(), again[0]["messageId"].clone())
    );
    assert_eq!(history(&world, "chat-1").await.len(), 2);
}

#[tokio::test]
async fn u9_an_approval_that_is_sent_twice_runs_the_tool_once() {
    let (world, paid) = paying([refund(), "It is paid.".into()]).await;
    let asked = frames(ask(&world, "chat-1", "m1", "My carpet has a hole.").await).await;
    assert!(types(&asked).contains(&"tool-approval-request"), "{asked:?}");
    assert_eq!(asked.last().expect("frames")["finishReason"], "tool-calls");

    let mut messages = history(&world, "chat-1").await;
    let part = &mut messages[1]["parts"][1];
    assert_eq!(part["state"], "approval-requested");
    part["state"] = "approval-responded".into();
    part["approval"]["approved"] = true.into();
    let body = json!({ "id": "chat-1", "messages": messages });
    let answered = async || frames(world.send(Method::POST, "/api/chat", body.clone()).await).await;
    let (one, other) = tokio::join!(answered(), answered());
    let third = answered().await;
    for frames in [&one, &other, &third] {
        assert_eq!(frames[0]["messageId"], asked[0]["messageId"]);
        assert_eq!(said(frames), "It is paid.", "{frames:?}");
        assert_eq!(types(frames)[1], "tool-output-available", "nothing that the page has is told again");
    }
    assert_eq!(paid.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_approval_of_other_arguments_or_of_another_call_is_refused() {
    let (world, paid) = paying([refund(), "It is paid.".into()]).await;
    frames(ask(&world, "chat-1", "m1", "My carpet has a hole.").await).await;
    let mut messages = history(&world, "chat-1").await;
    let part = &mut messages[1]["parts"][1];
    part["state"] = "approval-responded".into();
    part["approval"]["approved"] = true.into();
    let post = async |messages: &Vec<Value>| {
        let body = json!({ "id": "chat-1", "messages": messages });
        world.send(Method::POST, "/api/chat", body).await.status().as_u16()
    };
    let mut changed = messages.clone();
    changed[1]["parts"][1]["input"]["amount"] = 9_000.into();
    assert_eq!(post(&changed).await, 409);
    let mut foreign = messages.clone();
    foreign[1]["parts"][1]["toolCallId"] = "call_2".into();
    assert_eq!(post(&foreign).await, 404);
    assert_eq!(paid.load(Ordering::Relaxed), 0);
    assert_eq!(post(&messages).await, 200);
}

#[tokio::test]
async fn u10_what_is_refused_is_a_short_text_and_what_fails_later_is_a_frame() {
    let (world, _) = paying([]).await;
    let body = json!({ "id": "chat-1", "messages": [] });
    let refused = world.send(Method::POST, "/api/chat", body).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert_eq!(refused.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(refused.text().await.expect("a text"), "nothing is said; send `messages`");
    let anonymous = world.anonymous(Method::POST, "/api/chat").json(&json!({})).send().await;
    assert_eq!(anonymous.expect("it answers").status(), StatusCode::UNAUTHORIZED);

    let failed = frames(ask(&world, "chat-1", "m1", "Hello!").await).await;
    let last = failed.last().expect("frames");
    assert!(last["type"] == "error" && last["errorText"].is_string(), "{failed:?}");
}

#[tokio::test]
async fn u12_a_chat_in_which_nothing_grows_has_nothing_to_resume() {
    let world = serve(described()).await;
    let resumed = world.get("/api/chat/nobody/stream").await;
    assert_eq!(resumed.status(), StatusCode::NO_CONTENT);
    frames(ask(&world, "chat-1", "m1", "Hello!").await).await;
    assert_eq!(world.get("/api/chat/chat-1/stream").await.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn u13_readers_that_come_later_get_all_of_the_answer_and_agree() {
    let gate = Gate::default();
    let (world, _) = paying([MockReply::from("Once upon").gate(&gate).text(" a time.")]).await;
    let asked = ask(&world, "chat-1", "m1", "Tell me.").await;
    soon(gate.reached()).await;
    drop(asked);
    let resume = async || world.get("/api/chat/chat-1/stream").await;
    let (one, other) = tokio::join!(resume(), resume());
    gate.open();
    let (one, other) = tokio::join!(frames(one), frames(other));
    assert_eq!((said(&one), said(&other)), ("Once upon a time.".to_owned(), "Once upon a time.".to_owned()));
    let history = history(&world, "chat-1").await;
    assert_eq!((&history[1]["id"], &history[1]["id"]), (&one[0]["messageId"], &other[0]["messageId"]));
}

#[tokio::test]
async fn u13_an_answer_that_a_restart_cuts_is_resumed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.db");
    let open = async |pace| at_pace(&path, pace).await;
    let world = open(Duration::from_secs(3600)).await;
    let mut asked = ask(&world, "chat-1", "m1", "Hello!").await;
    // The model is asked.
    let mut begun = String::new();
    while !begun.contains("start-step") {
        let piece = soon(asked.chunk()).await.expect("it comes").expect("it goes on");
        begun.push_str(std::str::from_utf8(&piece).expect("a text"));
    }
    world.app.shutdown(Duration::ZERO).await.expect("it gives back what it cannot end");
    drop((asked, world));

    let world = open(Duration::ZERO).await;
    let resumed = world.get("/api/chat/chat-1/stream").await;
    let answer = match resumed.status() {
        // It was quicker than we.
        StatusCode::NO_CONTENT => history(&world, "chat-1").await[1]["parts"][1]["text"].to_string(),
        _ => said(&frames(resumed).await),
    };
    assert!(!answer.is_empty() && answer != "null");
    let messages = history(&world, "chat-1").await;
    assert_eq!(messages.len(), 2);
    assert!(begun.contains(messages[1]["id"].as_str().expect("an id")), "it is the message that had begun");
}

#[tokio::test]
async fn u14_a_stop_ends_the_run_and_leaves_nothing_to_resume() {
    let gate = Gate::default();
    let (world, _) = paying([MockReply::from("Once upon").gate(&gate).text(" a time.")]).await;
    let asked = ask(&world, "chat-1", "m1", "Tell me.").await;
    soon(gate.reached()).await;
    let stopped = success(world.send(Method::POST, "/api/chat/chat-1/stop", json!({})).await).await;
    assert_eq!(stopped, json!({ "stopped": 1 }));
    let frames = frames(asked).await;
    assert_eq!(types(&frames).last(), Some(&"abort"));
    assert_eq!(world.get("/api/chat/chat-1/stream").await.status(), StatusCode::NO_CONTENT);
    let kept = history(&world, "chat-1").await;
    assert_eq!(kept[1]["parts"][1]["text"], "Once upon");
}

#[tokio::test]
async fn chats_of_users_are_their_own_and_programs_say_whose_they_mean() {
    let world = serve(described()).await;
    let key = world.post("/api/keys", json!({ "name": "bob", "user": "bob", "scope": "chat" })).await;
    let bob = key["secret"].as_str().expect("a secret").to_owned();
    let hello = json!({ "role": "user", "parts": [{ "type": "text", "text": "Hello!" }] });
    let alices = json!({ "id": "chat-1", "user": "alice", "message": hello });
    frames(world.send(Method::POST, "/api/chat", alices.clone()).await).await;
    let of_bob = async |method: Method, path: &str, body: Value| {
        let request = world.anonymous(method, path).bearer_auth(&bob).json(&body);
        request.send().await.expect("it answers")
    };
    let seen = success(of_bob(Method::GET, "/api/chat/chat-1", Value::Null).await).await;
    assert_eq!(seen, json!([]), "his chat of that name is another");
    assert_eq!(of_bob(Method::POST, "/api/chat", alices).await.status(), StatusCode::FORBIDDEN);
    frames(of_bob(Method::POST, "/api/chat", json!({ "id": "chat-1", "message": hello })).await).await;

    let threads = world.read("/api/threads?user=alice").await;
    let thread = threads["items"][0]["id"].as_str().expect("an id").to_owned();
    let by_thread = history(&world, &thread).await;
    assert_eq!(by_thread, history(&world, "chat-1?user=alice").await);
    let foreign = of_bob(Method::GET, &format!("/api/chat/{thread}"), Value::Null).await;
    assert_eq!(foreign.status(), StatusCode::NOT_FOUND);
}
