//! Edits of documents beside the conversation: tools that keep and recall them, and turns that know of them.

use loomwork_agent::context::{ContextOptions, EditsRule};
use loomwork_agent::{Options, Outcome, recall_edits, record_edit, step_count};
use loomwork_messages::edits::{NewEdit, append, latest};
use loomwork_messages::{Edit, EditChange, find};
use loomwork_models::{Message, MockReply, OfflineEmbedder, ToolOutput};
use loomwork_search::Search;
use loomwork_store::{Row, Table as _};
use serde_json::{Value, json};

use super::desk::{Desk, text};

fn call(tool: &str, input: Value) -> MockReply {
    MockReply::default().tool_call("1", tool, input)
}

async fn edits(desk: &Desk) -> Vec<Row<Edit>> {
    desk.runtime.store().query(|tx| tx.scan(Edit::all())).await.expect("read")
}

#[tokio::test]
async fn a_turn_knows_of_an_edit_that_was_made_between_the_turns() {
    let desk = Desk::with([text("The headline says: Carpets."), text("Shorter now.")]).await;
    let thread = desk.thread(&desk.agent()).await;
    thread.generate_text("Write a headline.").await.expect("an answer");
    let id = thread.id();
    let edit = NewEdit::new(id, "headline", "replace", "The headline says: Carpets of winter");
    let edit = NewEdit { author: Some("alice".into()), ..edit };
    desk.runtime.store().mutate(move |tx| append(tx, edit)).await.expect("kept");
    thread.generate_text("Make my headline shorter.").await.expect("an answer");
    let asked = desk.model.requests().pop().expect("it was asked").messages;
    let told = asked.iter().map(Message::text).find(|text| text.starts_with("<edits>")).expect("it is told");
    let mark = r#"<edit target="headline" version="1" kind="replace" author="alice">"#;
    assert!(told.contains(mark) && told.contains("Carpets of winter"), "{told}");
    assert_eq!(asked.last().map(Message::text).as_deref(), Some("Make my headline shorter."));
    assert_eq!(desk.rows(&thread).await.len(), 4, "edits are no messages of the thread");
}

#[tokio::test]
async fn an_agent_keeps_an_edit_and_a_later_turn_is_told_of_it() {
    let done = json!({ "target": "footer", "kind": "insert", "snippet": "Open at nine", "after": "9:00" });
    let desk = Desk::with([call("record_edit", done), text("Done."), text("At nine.")]).await;
    let agent = desk.agent().tool(record_edit()).expect("a tool").stop_when(step_count(3));
    let thread = desk.thread(&agent).await;
    let reply = thread.generate_text("Put our hours in the footer.").await.expect("an answer");
    let result = reply.steps[0].calls[0].result.as_ref().expect("a result");
    assert_eq!(result.output, ToolOutput::Text("kept as version 1 of \"footer\"".into()));
    let kept = &edits(&desk).await[0];
    assert_eq!((kept.snippet.as_str(), kept.author.as_deref()), ("Open at nine", Some("support")));
    assert_eq!(kept.change, EditChange::Replaced { before: Value::Null, after: json!("9:00") });
    assert_eq!(kept.message, Some(desk.rows(&thread).await[1].id), "the message that made it");
    thread.generate_text("When do we open?").await.expect("an answer");
    let asked = desk.model.requests().pop().expect("it was asked").messages;
    assert!(asked.iter().any(|told| told.text().contains("Open at nine")));
}

async fn library(replies: [MockReply; 2]) -> (Desk, loomwork_agent::AgentThread) {
    let desk = Desk::with(replies).await;
    let search = Search::builder(desk.runtime.store()).in_memory().index(find::edits());
    let search = search.embedder(OfflineEmbedder::default()).start().await;
    let desk = Desk { runtime: desk.runtime.with_search(search.expect("a search")), ..desk };
    let off = ContextOptions { edits: EditsRule::Off.into(), ..ContextOptions::default() };
    let agent = desk.agent().tool(recall_edits()).expect("a tool").stop_when(step_count(2)).context(off);
    let thread = desk.thread(&agent).await;
    let id = thread.id();
    for (target, snippet) in [("headline", "of carpets"), ("footer", "of prices"), ("footer", "of hours")] {
        let edit = NewEdit::new(id, target, "replace", snippet);
        desk.runtime.store().mutate(move |tx| append(tx, edit)).await.expect("kept");
    }
    (desk, thread)
}

/// What the tool says to these arguments.
async fn recalled(wanted: Value) -> String {
    let (_, thread) = library([call("recall_edits", wanted), text("I see.")]).await;
    let reply = thread.generate_text("What was edited?").await.expect("an answer");
    reply.steps[0].calls[0].result.as_ref().expect("a result").output.to_text()
}

#[tokio::test]
async fn edits_are_recalled_by_target_by_words_and_by_age() {
    let all = recalled(json!({})).await;
    assert!(
        all.find("of carpets") < all.find("of prices") && all.find("of prices") < all.find("of hours"),
        "{all}"
    );
    let newest = recalled(json!({ "count": 1 })).await;
    assert!(newest.contains("of hours") && !newest.contains("of prices"), "{newest}");
    let footer = recalled(json!({ "target": "footer" })).await;
    assert!(!footer.contains("carpets") && footer.find("of prices") < footer.find("of hours"), "{footer}");
    let prices = recalled(json!({ "about": "prices" })).await;
    assert!(prices.contains(r#"<edit target="footer" version="1""#) && !prices.contains("hours"), "{prices}");
    let none = recalled(json!({ "target": "header" })).await;
    assert_eq!(none, "there are no such edits");
}

#[tokio::test]
async fn without_a_search_the_newest_edits_are_recalled() {
    let desk = Desk::with([call("recall_edits", json!({ "about": "prices" })), text("I see.")]).await;
    let agent = desk.agent().tool(recall_edits()).expect("a tool").stop_when(step_count(2));
    let thread = desk.thread(&agent).await;
    let edit = NewEdit::new(thread.id(), "headline", "replace", "of carpets");
    desk.runtime.store().mutate(move |tx| append(tx, edit)).await.expect("kept");
    let reply = thread.generate_text("What was edited?").await.expect("an answer");
    assert!(
        reply.steps[0].calls[0]
            .result
            .as_ref()
            .is_some_and(|result| result.output.to_text().contains("carpets"))
    );
}

#[tokio::test]
async fn edits_need_a_thread_and_what_is_wrong_with_one_is_told_to_the_model() {
    let done = json!({ "target": "", "kind": "insert", "snippet": "x" });
    let desk = Desk::with([call("record_edit", done.clone()), call("record_edit", done)]).await;
    let agent = desk.agent().tool(record_edit()).expect("a tool");
    let outside = agent.for_user(&desk.runtime, "alice").generate_text("Go.").await.expect("an answer");
    let told = |reply: &loomwork_agent::AgentReply| {
        let call = &reply.steps[0].calls[0];
        assert_eq!(call.outcome, Outcome::Failed);
        call.result.as_ref().expect("a result").output.to_text()
    };
    assert!(told(&outside).contains("this conversation has none"));
    let thread = desk.thread(&agent).await;
    let reply = thread.generate_text_with("Go.", Options::default()).await.expect("an answer");
    assert!(told(&reply).contains("the target of an edit is empty"));
    let id = thread.id();
    let kept = desk.runtime.store().query(move |tx| latest(tx, id, "footer")).await.expect("read");
    assert!(kept.is_none());
}
