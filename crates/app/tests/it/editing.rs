//! What was said, said otherwise: edits, other answers, forks; and what users may say at all.

use loomwork::models::MockReply;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::answers::shown;
use crate::durable::{scripted, thread};
use crate::world::{World, failure, success};

fn texts(page: &Value) -> Vec<String> {
    let messages = page["messages"].as_array().expect("messages").iter();
    messages.map(|message| message["text"].as_str().expect("a text").to_owned()).collect()
}

async fn page(world: &World, thread: &str) -> Value {
    world.read(&format!("/api/threads/{thread}/messages")).await
}

/// Asks, and waits for the answer; returns the ids of both.
async fn asked(world: &World, thread: &str, prompt: &str) -> (String, String) {
    let started = world.post(&format!("/api/threads/{thread}/runs"), json!({ "prompt": prompt })).await;
    let done = |page: &Value| {
        let last = page["messages"].as_array().and_then(|messages| messages.last());
        last.is_some_and(|last| last["runId"] == started["run"] && last["status"] == "success")
    };
    let page = shown(world, thread, done).await;
    let last = page["messages"].as_array().and_then(|messages| messages.last()).expect("an answer");
    let id = |value: &Value| value.as_str().expect("an id").to_owned();
    (id(&started["promptId"]), id(&last["id"]))
}

#[tokio::test]
async fn an_answer_is_made_again_and_what_was_there_may_be_kept_beside_it() {
    let replies = ["one", "two", "three", "four"].map(MockReply::from);
    let (world, model) = scripted(replies).await;
    let thread = thread(&world).await;
    asked(&world, &thread, "first").await;
    let (_, answer) = asked(&world, &thread, "second").await;

    let again = world.post(&format!("/api/messages/{answer}/again"), json!({ "history": "branch" })).await;
    shown(&world, &thread, |page| page["messages"][3]["text"] == "three").await;
    assert_eq!(texts(&page(&world, &thread).await), ["first", "one", "second", "three"]);
    let branch = again["branch"].as_str().expect("a branch");
    assert_eq!(texts(&page(&world, branch).await), ["first", "one", "second", "two"]);

    // In other words, from the first prompt on.
    let first = page(&world, &thread).await["messages"][0]["id"].as_str().expect("an id").to_owned();
    let edited = json!({ "prompt": "otherwise" });
    let again = world.post(&format!("/api/messages/{first}/again"), edited).await;
    assert_eq!(again["promptId"], json!(first));
    shown(&world, &thread, |page| page["messages"][1]["text"] == "four").await;
    assert_eq!(texts(&page(&world, &thread).await), ["otherwise", "four"]);
    let told = model.requests().pop().expect("a request").messages;
    assert_eq!(told.last().map(loomwork::models::Message::text), Some("otherwise".to_owned()));
}

#[tokio::test]
async fn a_thread_is_forked_up_to_a_message() {
    let (world, _) = scripted(["one", "two"].map(MockReply::from)).await;
    let thread = thread(&world).await;
    let (_, answer) = asked(&world, &thread, "first").await;
    asked(&world, &thread, "second").await;
    let fork = json!({ "message": answer, "title": "Another way" });
    let made = world.post(&format!("/api/threads/{thread}/fork"), fork).await;
    assert_eq!(
        (&made["parent"], &made["title"], &made["user"]),
        (&json!(thread), &json!("Another way"), &json!("alice"))
    );
    let copy = made["id"].as_str().expect("an id");
    assert_eq!(texts(&page(&world, copy).await), ["first", "one"]);
}

#[tokio::test]
async fn messages_are_changed_and_deleted_by_those_whose_they_are() {
    let (world, _) = scripted([MockReply::from("one")]).await;
    let thread = thread(&world).await;
    let (said, answer) = asked(&world, &thread, "frist").await;
    let members = format!("/api/threads/{thread}/members");
    world.post(&members, json!({ "user": "bob", "role": "writer" })).await;
    let key = async |user: &str| {
        let key = world.post("/api/keys", json!({ "name": user, "user": user, "scope": "chat" })).await;
        key["secret"].as_str().expect("a secret").to_owned()
    };
    let (alice, bob, eve) = (key("alice").await, key("bob").await, key("eve").await);
    let send = async |key: &str, method: Method, id: &str, body: Value| -> Response {
        let request = world.anonymous(method, &format!("/api/messages/{id}")).bearer_auth(key).json(&body);
        request.send().await.expect("it answers")
    };
    let words = json!({ "prompt": "first" });
    failure(send(&eve, Method::PATCH, &said, words.clone()).await, 404).await;
    failure(send(&bob, Method::PATCH, &said, words.clone()).await, 403).await;
    failure(send(&alice, Method::PATCH, &answer, words.clone()).await, 403).await;
    success(send(&alice, Method::PATCH, &said, words).await).await;
    assert_eq!(texts(&page(&world, &thread).await), ["first", "one"]);

    failure(send(&bob, Method::DELETE, &answer, Value::Null).await, 403).await;
    let deleted = success(send(&alice, Method::DELETE, &answer, Value::Null).await).await;
    assert_eq!(deleted, json!({ "deleted": true }), "it is her thread");
    assert_eq!(texts(&page(&world, &thread).await), ["first"]);
}

#[tokio::test]
async fn users_say_texts_and_files_of_their_own_and_nothing_that_others_would() {
    let (world, _) = scripted([MockReply::from("one")]).await;
    let key = async |user: &str| {
        let key = world.post("/api/keys", json!({ "name": user, "user": user, "scope": "chat" })).await;
        key["secret"].as_str().expect("a secret").to_owned()
    };
    let (alice, bob) = (key("alice").await, key("bob").await);
    let upload = world.anonymous(Method::POST, "/api/files").bearer_auth(&bob).body("a secret of bob's");
    let file = success(upload.send().await.expect("it answers")).await;
    let address = format!("loomwork://{}", file["id"].as_str().expect("an id"));
    let thread = thread(&world).await;
    let own =
        world.post("/api/threads", json!({ "user": "bob" })).await["id"].as_str().expect("an id").to_owned();
    let say = async |key: &str, thread: &str, what: &str, part: Value| -> Response {
        let body =
            json!({ "messages": [{ "role": "user", "content": [{ "type": "text", "text": "?" }, part] }] });
        let request = world.anonymous(Method::POST, &format!("/api/threads/{thread}/{what}"));
        request.bearer_auth(key).json(&body).send().await.expect("it answers")
    };
    let of_file = json!({ "type": "file", "mediaType": "text/plain", "data": address });
    for what in ["messages", "runs"] {
        for (part, status) in [
            (
                json!({ "type": "tool-result", "toolCallId": "call_1", "toolName": "refund",
                "output": { "type": "text", "value": "done" } }),
                403,
            ),
            (json!({ "type": "tool-approval-response", "approvalId": "approval_1", "approved": true }), 403),
            (json!({ "type": "reasoning", "text": "I was told so" }), 403),
            (
                json!({ "type": "file", "mediaType": "text/plain",
                "data": { "type": "reference", "reference": { "openai": "file-1" } } }),
                403,
            ),
            (of_file.clone(), 404),
        ] {
            let refused = failure(say(&alice, &thread, what, part.clone()).await, status).await;
            assert_eq!(refused["field"], "messages[0].content[1]", "{part} {refused}");
        }
    }
    assert_eq!(texts(&page(&world, &thread).await), [""; 0]);
    success(say(&bob, &own, "messages", of_file).await).await;
    let content = format!("/api/files/{}/content", file["id"].as_str().expect("an id"));
    let read = async |key: &str| {
        world.anonymous(Method::GET, &content).bearer_auth(key).send().await.expect("it answers")
    };
    assert_eq!(read(&bob).await.text().await.expect("a body"), "a secret of bob's");
    failure(read(&alice).await, 404).await;
}

#[tokio::test]
async fn what_an_agent_would_be_told_is_for_those_who_look_after_it() {
    let (world, _) = scripted([MockReply::from("one")]).await;
    let thread = thread(&world).await;
    let key = world.post("/api/keys", json!({ "name": "alice", "user": "alice", "scope": "chat" })).await;
    let path = format!("/api/threads/{thread}/context");
    let request = world.anonymous(Method::POST, &path).bearer_auth(key["secret"].as_str().expect("a secret"));
    let asked = request.json(&json!({ "prompt": "What are you told?" })).send().await.expect("it answers");
    failure(asked, 403).await;
}
