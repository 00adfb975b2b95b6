//! Values instead of text, whole and as they grow.

use std::sync::Arc;

use loomwork_agent::{Agent, AgentError, AgentThread, ObjectSpec, Options};
use loomwork_core::{Fault, Kind};
use loomwork_messages::MessageStatus;
use loomwork_models::{
    Chunk, Error, ErrorKind, Gate, LanguageModel, Mend, MockModel, MockReply, ObjectOptions, PartKind,
    ProviderData, Role, SchemaSupport,
};
use loomwork_testkit::soon;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::desk::{Desk, text};

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Plan {
    /// What to do, in its order.
    steps: Vec<String>,
}

const PLAN: &str = r#"{"steps": ["weave well", "sell"]}"#;

fn plan() -> Plan {
    Plan { steps: vec!["weave well".into(), "sell".into()] }
}

/// An agent whose model takes schemas, and a thread of it.
async fn planner(replies: impl IntoIterator<Item = MockReply>) -> (Desk, Arc<MockModel>, AgentThread) {
    let desk = Desk::with([]).await;
    let model = Arc::new(MockModel::new(replies).with_schema_support(SchemaSupport::Native));
    let agent = Agent::new("planner", model.clone() as Arc<dyn LanguageModel>);
    let thread = desk.thread(&agent).await;
    (desk, model, thread)
}

#[tokio::test]
async fn a_value_is_shown_while_it_grows_and_stored_when_it_is_complete() {
    let (desk, _, thread) = planner([text(PLAN)]).await;
    let mut stream = thread.stream_object::<Plan>("Plan my day.").await.expect("it begins");
    let mut shown = Vec::new();
    while let Some(partial) = soon(stream.next()).await {
        shown.push(partial.clone());
    }
    assert!(shown.contains(&json!({ "steps": ["weave "] })), "{shown:?}");
    assert_eq!(shown.last(), Some(&json!({ "steps": ["weave well", "sell"] })));
    let reply = soon(stream.finish()).await.expect("a plan");
    assert_eq!((reply.object, reply.calls), (plan(), 1));
    let rows = desk.rows(&thread).await;
    assert_eq!(rows[1].message.text(), r#"{"steps":["weave well","sell"]}"#);
    assert_eq!(rows[1].status, MessageStatus::Success);
    assert_eq!((&rows[1].usage, &rows[1].agent), (&Some(reply.usage), &Some("planner".into())));
    assert_eq!(reply.stored.map(|stored| stored.messages), Some(vec![rows[0].id, rows[1].id]));
}

#[tokio::test]
async fn a_value_that_nobody_reads_is_made_and_stored() {
    let (desk, _, thread) = planner([text(PLAN)]).await;
    let mut messages = desk.runtime.store().watch({
        let id = thread.id();
        move |tx| loomwork_messages::last(tx, id)
    });
    drop(thread.stream_object::<Plan>("Plan my day.").await.expect("it begins"));
    while soon(messages.next()).await.expect("open").expect("read").map(|row| row.message.text())
        != Some(r#"{"steps":["weave well","sell"]}"#.to_owned())
    {}
}

#[tokio::test]
async fn what_a_model_gives_as_a_call_is_stored_as_its_json() {
    let call = MockReply::default().tool_call("1", "Plan", json!({ "steps": ["weave"] }));
    let desk = Desk::with([call]).await;
    let thread = desk.thread(&desk.agent()).await;
    let reply = thread.generate_object::<Plan>("Plan my day.").await.expect("a plan");
    assert_eq!(reply.json, json!({ "steps": ["weave"] }));
    let row = &desk.rows(&thread).await[1];
    assert_eq!((row.message.text().as_str(), row.tool), (r#"{"steps":["weave"]}"#, false));
}

#[tokio::test]
async fn a_value_that_breaks_off_keeps_what_came_and_says_why() {
    let broken = Error::new(ErrorKind::Overloaded, "mock", "mock", "the provider is overloaded");
    let (desk, _, thread) = planner([text(r#"{"steps": ["weave well","#).fail(broken)]).await;
    let error = thread.generate_object::<Plan>("Plan my day.").await.expect_err("it breaks off");
    assert!(matches!(error, AgentError::Model { .. }), "{error}");
    let row = &desk.rows(&thread).await[1];
    assert_eq!(
        (row.status, row.message.text().as_str()),
        (MessageStatus::Failed, r#"{"steps": ["weave well","#)
    );
    assert_eq!(row.error.as_ref().map(|error| error.message.as_str()), Some("the provider is overloaded"));
}

#[tokio::test]
async fn a_list_is_written_without_the_object_that_providers_want_around_it() {
    let broken = Error::new(ErrorKind::Overloaded, "mock", "mock", "the provider is overloaded");
    let whole = text(r#"{"value": ["weave well", "sell"]}"#);
    let cut = text(r#"{"value": ["weave well", "#).fail(broken);
    let (desk, _, thread) = planner([whole, cut]).await;
    let mut stream = thread.stream_object::<Vec<String>>("What first?").await.expect("it begins");
    assert_eq!(soon(stream.next()).await, Some(&json!(["weave "])));
    assert_eq!(soon(stream.finish()).await.expect("a list").object, plan().steps);
    thread.generate_object::<Vec<String>>("What then?").await.expect_err("it breaks off");
    let rows = desk.rows(&thread).await;
    assert_eq!(rows[1].message.text(), r#"["weave well","sell"]"#);
    assert_eq!(rows[3].message.text(), r#"["weave well", "#);
}

#[tokio::test]
async fn a_value_that_does_not_fit_goes_back_and_what_was_shown_is_taken_back() {
    let (desk, model, thread) = planner([text(r#"{"steps": "all of them"}"#), text(PLAN)]).await;
    let mut stream = thread.stream_object::<Plan>("Plan my day.").await.expect("it begins");
    let mut shown: Vec<Value> = Vec::new();
    while let Some(partial) = soon(stream.next()).await {
        shown.push(partial.clone());
    }
    assert!(shown.contains(&json!({ "steps": "all of them" })), "{shown:?}");
    assert_eq!(shown.last(), Some(&json!({ "steps": ["weave well", "sell"] })));
    let reply = soon(stream.finish()).await.expect("a plan");
    assert_eq!((reply.object, reply.calls, reply.usage.input_fresh), (plan(), 2, 6));
    assert!(model.requests()[1].messages.last().is_some_and(|told| told.text().contains("/steps")));
    let rows = desk.rows(&thread).await;
    assert_eq!(rows.len(), 2, "the exchange about the mistake is not stored");
    assert_eq!(rows[1].message.text(), r#"{"steps":["weave well","sell"]}"#);
}

#[tokio::test]
async fn no_answer_that_fits_is_a_failed_message() {
    let (desk, _, thread) = planner([text(r#"{"steps": 1}"#), text(r#"{"steps": 2}"#)]).await;
    let spec = ObjectSpec::<Plan>::of().with(ObjectOptions { max_repairs: 1, ..ObjectOptions::default() });
    let error = thread.generate_object_with("Plan.", spec, Options::default()).await.expect_err("none fits");
    assert!(error.to_string().contains("planner"), "{error}");
    let row = &desk.rows(&thread).await[1];
    assert_eq!(row.status, MessageStatus::Failed);
    assert_eq!(row.error.as_ref().map(|error| error.code.as_str()), Some("invalid_output"));
}

#[tokio::test]
async fn a_hook_mends_what_does_not_fit() {
    let (desk, model, thread) = planner([text(r#"{"steps": "weave"}"#)]).await;
    let mend = Mend::new(|text, _| Some(text.replace(r#""weave""#, r#"["weave"]"#)));
    let spec = ObjectSpec::<Plan>::of().with(ObjectOptions { mend: Some(mend), ..ObjectOptions::default() });
    let reply = thread.generate_object_with("Plan.", spec, Options::default()).await.expect("it is mended");
    assert_eq!((reply.object.steps, model.requests().len()), (vec!["weave".to_owned()], 1));
    assert_eq!(desk.rows(&thread).await[1].message.text(), r#"{"steps":["weave"]}"#);
}

#[tokio::test]
async fn a_value_is_a_choice_or_fits_a_schema_or_is_of_any_shape() {
    let (_, _, thread) =
        planner([text(r#"{"value": "sad"}"#), text(r#"{"n": 3}"#), text(r#"{"value": [1, {"a": 2}]}"#)])
            .await;
    let mood = ObjectSpec::choice(["happy", "sad"]);
    let mood = thread.generate_object_with("How?", mood, Options::default()).await.expect("a mood");
    assert_eq!(mood.object, "sad");
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
    let n = thread.generate_object_with("n?", ObjectSpec::schema(schema), Options::default()).await;
    assert_eq!(n.expect("a number").object, json!({ "n": 3 }));
    let any = thread.generate_object_with("Any.", ObjectSpec::any(), Options::default()).await.expect("JSON");
    assert_eq!(any.object, json!([1, { "a": 2 }]));
}

#[tokio::test]
async fn a_choice_from_nothing_is_refused_before_anything_is_stored() {
    let (desk, model, thread) = planner([]).await;
    let none: [&str; 0] = [];
    let refused = thread.generate_object_with("Which?", ObjectSpec::choice(none), Options::default()).await;
    let error = refused.expect_err("there is nothing to choose");
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().contains("give one at least"), "{error}");
    assert!(model.requests().is_empty() && desk.rows(&thread).await.is_empty());
}

#[tokio::test]
async fn an_aborted_value_keeps_what_was_shown() {
    let gate = Gate::default();
    let (desk, _, thread) = planner([text(r#"{"steps": ["weave"#).gate(&gate).text("never")]).await;
    let mut stream = thread.stream_object::<Plan>("Plan my day.").await.expect("it begins");
    while soon(stream.next()).await != Some(&json!({ "steps": ["weave"] })) {}
    stream.abort();
    soon(stream.finish()).await.expect_err("it was called off");
    let row = &desk.rows(&thread).await[1];
    assert_eq!((row.status, row.message.text().as_str()), (MessageStatus::Aborted, r#"{"steps": ["weave"#));
}

#[tokio::test]
async fn the_value_of_one_turn_is_context_of_the_next() {
    let (_, model, thread) = planner([text(PLAN), text("Gladly.")]).await;
    thread.generate_object::<Plan>("Plan my day.").await.expect("a plan");
    thread.generate_text("Do so.").await.expect("an answer");
    let told = model.requests().pop().expect("it was asked").messages;
    assert_eq!(
        (told[1].role, told[1].text()),
        (Role::Assistant, r#"{"steps":["weave well","sell"]}"#.into())
    );
}

#[tokio::test]
async fn elements_of_a_list_are_handed_on_one_by_one() {
    let gate = Gate::new();
    let starts = Chunk::PartStart { part: 0, kind: PartKind::Text, provider_metadata: ProviderData::new() };
    let grows = |delta: &str| Chunk::PartDelta { part: 0, delta: delta.to_owned() };
    let half = MockReply::default().chunk(starts).chunk(grows("[\"weave\", \"se")).gate(&gate);
    let ends = Chunk::PartEnd { part: 0, provider_metadata: ProviderData::new() };
    let model =
        MockModel::new([half.chunk(grows("ll\"]")).chunk(ends)]).with_schema_support(SchemaSupport::Prompt);
    let desk = Desk::with([]).await;
    let thread = desk.thread(&Agent::new("planner", Arc::new(model) as Arc<dyn LanguageModel>)).await;
    let mut stream = thread.stream_object::<Vec<String>>("Plan my day.").await.expect("it begins");
    let first = soon(stream.next_element()).await.expect("it is complete").expect("a text");
    assert_eq!(first, "weave");
    gate.open();
    let second = soon(stream.next_element()).await.expect("it is complete").expect("a text");
    assert_eq!(second, "sell");
    assert!(soon(stream.next_element()).await.is_none());
    assert_eq!(soon(stream.finish()).await.expect("a list").object, ["weave", "sell"]);
}
