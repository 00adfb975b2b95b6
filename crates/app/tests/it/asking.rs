//! What runs wait for: approvals, answers of people, and answers of clients.

use std::sync::{Arc, Mutex};

use loomwork::agent::humans::ask_human;
use loomwork::agent::{Approval, Tool, ToolContext, ToolPolicy};
use loomwork::core::Secret;
use loomwork::models::{MockModel, MockReply};
use loomwork::{Agent, App, step_count};
use reqwest::{Method, Response};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answers::shown;
use crate::durable::thread;
use crate::live::Events;
use crate::world::{KEY, World, failure, serve, success};

#[derive(Deserialize, JsonSchema)]
struct Refund {
    amount: u32,
}

/// An office with an agent that pays back, asks people, and has its client look at the screen.
struct Office {
    world: World,
    refunds: Arc<Mutex<Vec<u32>>>,
}

impl Office {
    async fn with(replies: impl IntoIterator<Item = MockReply>) -> Self {
        let refunds = Arc::new(Mutex::new(Vec::new()));
        let made = refunds.clone();
        let refund =
            Tool::new("refund", "Gives money back.", move |_: ToolContext, Refund { amount }: Refund| {
                made.lock().expect("nothing panics").push(amount);
                async move { format!("refunded {amount}") }
            });
        let policy = ToolPolicy { needs_approval: Approval::Always, ..ToolPolicy::default() };
        let place = json!({ "type": "object", "properties": {} });
        let agent = Agent::new("clerk", Arc::new(MockModel::new(replies)))
            .tool(refund.with_policy(policy))
            .and_then(|agent| agent.tool(ask_human("carol")))
            .and_then(|agent| agent.tool(Tool::declared("place", "Tells where the client is.", place)))
            .expect("tools")
            .stop_when(step_count(5));
        let app = App::memory().key(Secret::from(KEY)).agent(agent);
        let app = app.approvers(|_, caller, _| Ok(caller.as_user() == Some("carol")));
        Self { world: serve(app).await, refunds }
    }

    async fn user(&self, name: &str) -> Person<'_> {
        let key = json!({ "name": name, "user": name, "scope": "chat" });
        let key = self.world.post("/api/keys", key).await["secret"].as_str().expect("a secret").to_owned();
        Person { world: &self.world, key }
    }

    /// Asks in a new thread of alice's, and returns that and the run.
    async fn ask(&self) -> (String, String) {
        let thread = thread(&self.world).await;
        let path = format!("/api/threads/{thread}/runs");
        let started = self.world.post(&path, json!({ "prompt": "My carpet has a hole." })).await;
        (thread, started["run"].as_str().expect("a run").to_owned())
    }

    /// Waits until a list has one item, and returns its id and itself.
    async fn waits(&self, path: &str) -> (String, Value) {
        let mut live = Events::of(&self.world, path, None).await;
        loop {
            let mut items = live.next().await.expect("it goes on").data;
            if items[0].is_object() {
                let item = items[0].take();
                return (item["id"].as_str().expect("an id").to_owned(), item);
            }
        }
    }

    /// Waits for the last word of a thread.
    async fn answered(&self, thread: &str, text: &str) -> Value {
        shown(&self.world, thread, |page| {
            let last = page["messages"].as_array().and_then(|messages| messages.last());
            last.is_some_and(|last| {
                last["status"] == "success" && last["text"].as_str().is_some_and(|said| said.contains(text))
            })
        })
        .await
    }

    fn refunded(&self) -> Vec<u32> {
        self.refunds.lock().expect("nothing panics").clone()
    }
}

struct Person<'a> {
    world: &'a World,
    key: String,
}

impl Person<'_> {
    async fn send(&self, method: Method, path: &str, body: Value) -> Response {
        let request = self.world.anonymous(method, path).bearer_auth(&self.key).json(&body);
        request.send().await.expect("it answers")
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        success(self.send(Method::POST, path, body).await).await
    }

    async fn get(&self, path: &str) -> Value {
        success(self.send(Method::GET, path, Value::Null).await).await
    }
}

fn refund(amount: u32) -> MockReply {
    MockReply::default().tool_call("call_1", "refund", json!({ "amount": amount }))
}

#[tokio::test]
async fn a_call_waits_until_somebody_who_may_lets_it_run_with_other_arguments() {
    let office = Office::with([refund(90), "Half of it is on its way.".into()]).await;
    let (thread, run) = office.ask().await;
    let (id, open) = office.waits(&format!("/api/threads/{thread}/approvals")).await;
    assert_eq!((&open["input"], &open["site"]["tool"]), (&json!({ "amount": 90 }), &json!("refund")));
    assert_eq!(office.world.read("/api/approvals").await[0]["id"], json!(id));
    assert_eq!(office.world.read("/api/approvals?user=alice").await[0]["id"], json!(id));
    assert_eq!(office.world.read("/api/approvals?user=bob").await, json!([]));
    let status = office.world.read(&format!("/api/runs/{run}")).await["status"].clone();
    assert_eq!(status, "waiting");

    // Alice sees what waits in her thread, and does not pay herself; bob does not even see it.
    let (alice, bob, carol) =
        (office.user("alice").await, office.user("bob").await, office.user("carol").await);
    let approve = format!("/api/approvals/{id}/approve");
    assert_eq!(alice.get("/api/approvals").await[0]["id"], json!(id));
    failure(alice.send(Method::POST, &approve, json!({})).await, 403).await;
    failure(bob.send(Method::POST, &approve, json!({})).await, 404).await;
    failure(bob.send(Method::GET, &format!("/api/approvals/{id}"), Value::Null).await, 404).await;

    let stale = json!({ "digest": "0".repeat(64) });
    failure(carol.send(Method::POST, &approve, stale).await, 409).await;
    let wrong = json!({ "input": { "amount": "much" } });
    failure(carol.send(Method::POST, &approve, wrong).await, 400).await;
    let half = json!({ "input": { "amount": 45 }, "reason": "half of it", "digest": open["digest"] });
    let answered = carol.post(&approve, half).await;
    assert_eq!((&answered["goesOn"], &answered["approval"]["by"]), (&json!(true), &json!("carol")));
    office.answered(&thread, "Half of it").await;
    assert_eq!(office.refunded(), [45]);
    failure(carol.send(Method::POST, &approve, json!({})).await, 409).await;
    assert_eq!(office.world.read(&format!("/api/threads/{thread}/approvals")).await, json!([]));
}

#[tokio::test]
async fn a_call_that_is_denied_does_not_run_and_the_model_reads_why() {
    let office = Office::with([refund(90), "I am sorry.".into()]).await;
    let (thread, _) = office.ask().await;
    let (id, _) = office.waits(&format!("/api/threads/{thread}/approvals")).await;
    let deny = json!({ "reason": "it was walked on", "by": "dora" });
    let denied = office.world.post(&format!("/api/approvals/{id}/deny"), deny).await;
    assert_eq!((&denied["approval"]["state"], &denied["approval"]["by"]), (&json!("denied"), &json!("dora")));
    let page = office.answered(&thread, "sorry").await;
    assert!(page.to_string().contains("it was walked on"), "{page}");
    assert_eq!(office.refunded(), [0; 0]);
}

#[tokio::test]
async fn what_may_always_run_is_not_asked_again_until_that_is_taken_back() {
    let script = [refund(1), "One.".into(), refund(2), "Two.".into(), refund(3)];
    let office = Office::with(script).await;
    let (thread, _) = office.ask().await;
    let approvals = format!("/api/threads/{thread}/approvals");
    let (id, _) = office.waits(&approvals).await;
    office.world.post(&format!("/api/approvals/{id}/approve"), json!({ "always": true })).await;
    office.answered(&thread, "One.").await;
    let again = json!({ "prompt": "And another hole." });
    office.world.post(&format!("/api/threads/{thread}/runs"), again.clone()).await;
    office.answered(&thread, "Two.").await;
    assert_eq!(office.refunded(), [1, 2]);

    let grants = office.world.read(&format!("/api/threads/{thread}/grants")).await;
    let grant = format!("/api/grants/{}", grants[0]["id"].as_str().expect("an id"));
    let revoked = office.world.request(Method::DELETE, &grant).send().await.expect("it answers");
    assert_eq!(success(revoked).await, json!({ "revoked": true }));
    office.world.post(&format!("/api/threads/{thread}/runs"), again).await;
    office.waits(&approvals).await;
}

#[tokio::test]
async fn a_question_is_claimed_and_answered_by_whom_it_is_for() {
    let ask =
        MockReply::default().tool_call("call_1", "ask_human", json!({ "question": "How big is the hole?" }));
    let office = Office::with([ask, "It is small.".into()]).await;
    let (thread, _) = office.ask().await;
    let (id, question) = office.waits("/api/questions?assignee=carol").await;
    assert_eq!(question["input"], json!({ "question": "How big is the hole?" }));
    let path = |what: &str| format!("/api/questions/{id}/{what}");

    let (alice, bob, carol) =
        (office.user("alice").await, office.user("bob").await, office.user("carol").await);
    failure(alice.send(Method::POST, &path("answer"), json!({ "answer": "huge" })).await, 403).await;
    failure(bob.send(Method::POST, &path("answer"), json!({ "answer": "huge" })).await, 404).await;
    failure(bob.send(Method::GET, "/api/questions?assignee=carol", Value::Null).await, 403).await;
    assert_eq!(carol.get("/api/questions").await[0]["id"], json!(id));
    assert_eq!(carol.post(&path("claim"), json!({})).await["claimed"], "carol");
    failure(office.world.send(Method::POST, &path("answer"), json!({ "answer": "?" })).await, 409).await;
    carol.post(&path("release"), json!({})).await;
    let passed_on = office.world.post(&path("assign"), json!({ "assignee": "dora" })).await;
    assert_eq!((&passed_on["assignee"], &passed_on["claimed"]), (&json!("dora"), &Value::Null));
    let answered = office.world.post(&path("answer"), json!({ "answer": "A thumb.", "by": "dora" })).await;
    assert_eq!((&answered["question"]["state"], &answered["goesOn"]), (&json!("answered"), &json!(true)));
    let page = office.answered(&thread, "small").await;
    assert!(page.to_string().contains("A thumb."), "{page}");
}

#[tokio::test]
async fn a_question_is_handed_back_with_a_reason_that_the_model_reads() {
    let ask =
        MockReply::default().tool_call("call_1", "ask_human", json!({ "question": "How big is the hole?" }));
    let office = Office::with([ask, "Please send a picture.".into()]).await;
    let (thread, _) = office.ask().await;
    let (id, _) = office.waits("/api/questions").await;
    let back = format!("/api/questions/{id}/hand-back");
    office.world.post(&back, json!({ "reason": "ask the customer", "by": "carol" })).await;
    let page = office.answered(&thread, "picture").await;
    assert!(page.to_string().contains("ask the customer"), "{page}");
}

#[tokio::test]
async fn calls_that_the_client_answers_let_the_agent_go_on_when_all_are_there() {
    let calls =
        MockReply::default().tool_call("call_1", "place", json!({})).tool_call("call_2", "place", json!({}));
    let office = Office::with([calls, "You are in Oslo.".into()]).await;
    let (thread, run) = office.ask().await;
    let results = format!("/api/runs/{run}/results");
    shown(&office.world, &thread, |page| page["messages"][1]["status"] == "success").await;
    let bob = office.user("bob").await;
    let first = json!({ "call": "call_1", "output": { "city": "Oslo" } });
    failure(bob.send(Method::POST, &results, first.clone()).await, 404).await;
    failure(office.world.send(Method::POST, &results, json!({ "call": "call_9", "output": 1 })).await, 404)
        .await;
    failure(office.world.send(Method::POST, &results, json!({ "call": "call_1" })).await, 400).await;

    let alice = office.user("alice").await;
    assert_eq!(alice.post(&results, first.clone()).await, json!({}));
    failure(alice.send(Method::POST, &results, first).await, 409).await;
    let last = alice.post(&results, json!({ "call": "call_2", "error": "no signal" })).await;
    assert!(last["next"]["run"].is_string(), "{last}");
    let page = office.answered(&thread, "Oslo").await;
    let turns = page["messages"].as_array().expect("messages").iter().map(|message| &message["order"]);
    assert!(turns.clone().all(|turn| *turn == 0) && turns.count() == 3, "all of it is one turn: {page}");
    assert!(page.to_string().contains("no signal"), "{page}");
}
