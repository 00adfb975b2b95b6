//! Agents that know: tools over the knowledge base, answers from what is found, and their sources.

use std::sync::Arc;

use loomwork::core::Secret;
use loomwork::models::{MockModel, MockReply};
use loomwork::{Agent, App, Knowledge, step_count};
use serde_json::{Value, json};

use crate::answers::shown;
use crate::durable::thread;
use crate::world::{KEY, World, serve};

/// An app with a handbook and three agents that read it or write to it.
async fn library(replies: impl IntoIterator<Item = MockReply>) -> (World, Arc<MockModel>) {
    let (knowledge, model) = (Knowledge::default(), Arc::new(MockModel::new(replies)));
    let reader = Agent::new("reader", model.clone())
        .tool(knowledge.search_tool("handbook"))
        .and_then(|agent| agent.tool(knowledge.add_tool("handbook")))
        .expect("tools")
        .stop_when(step_count(3));
    let clerk = knowledge.answer_with(Agent::new("clerk", model.clone()), "handbook");
    let app = App::memory().key(Secret::from(KEY)).knowledge(&knowledge).agent(reader).agent(clerk);
    let world = serve(app).await;
    let page = json!({ "text": "Carpets may be sent back within 30 days.", "about": { "key": "returns", "title": "Returns" } });
    world.post("/api/knowledge/handbook/entries", page).await;
    (world, model)
}

async fn asked(world: &World, agent: &str, prompt: &str) -> Value {
    let thread = thread(world).await;
    let ask = json!({ "agent": agent, "prompt": prompt });
    world.post(&format!("/api/threads/{thread}/runs"), ask).await;
    shown(world, &thread, |page| page["messages"][1]["status"] == "success").await
}

fn sources(page: &Value) -> Vec<&Value> {
    let parts = page["messages"][1]["parts"].as_array().expect("parts").iter();
    parts.filter(|part| part["type"] == "source-document").collect()
}

#[tokio::test]
async fn an_agent_looks_something_up_and_its_answer_has_the_sources() {
    let search =
        MockReply::default().tool_call("call_1", "search_knowledge", json!({ "query": "send carpets back" }));
    let (world, model) = library([search, "Within 30 days.".into()]).await;
    let page = asked(&world, "reader", "May I send it back?").await;
    let sources = sources(&page);
    assert_eq!(sources.len(), 1, "{page}");
    assert_eq!(sources[0]["title"], "Returns");
    let told = serde_json::to_string(&model.requests()[1].messages).expect("JSON");
    assert!(told.contains("within 30 days"), "{told}");
}

#[tokio::test]
async fn an_agent_answers_from_what_is_found_and_the_thread_holds_the_question_alone() {
    let (world, model) = library(["Within 30 days.".into()]).await;
    let page = asked(&world, "clerk", "When may carpets be sent back?").await;
    assert_eq!(page["messages"][0]["text"], "When may carpets be sent back?");
    assert_eq!(sources(&page)[0]["title"], "Returns");
    let told = model.requests()[0].messages.last().expect("a message").text();
    assert!(told.contains("within 30 days") && told.contains("When may carpets"), "{told}");
}

#[tokio::test]
async fn what_an_agent_has_learnt_is_found_by_all() {
    let learn = json!({ "key": "wool", "text": "Wool is cleaned dry." });
    let learn = MockReply::default().tool_call("call_1", "add_knowledge", learn);
    let (world, _) = library([learn, "I will remember it.".into()]).await;
    asked(&world, "reader", "Wool is cleaned dry.").await;
    let query = json!({ "query": "how is wool cleaned?" });
    let found = world.post("/api/knowledge/handbook/search", query).await;
    assert!(found["text"].as_str().is_some_and(|text| text.contains("cleaned dry")), "{found}");
}
