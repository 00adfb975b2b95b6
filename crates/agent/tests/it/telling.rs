//! Handlers, guards and admissions of all that an agent is asked: values, images and agents as tools too.

use std::sync::Arc;

use loomwork_agent::{
    Admission, Agent, AgentError, AgentThread, Exchange, Field, Hold, Home, InputGuard, ObjectSpec,
    OnExchange, Options, OutputGuard, StepEnd, UsageKind, Verdict, journal, step_count,
};
use loomwork_core::Kind;
use loomwork_files::{Blobs, Files};
use loomwork_messages::{MessageStatus, NewMessage};
use loomwork_models::{
    Data, Error, ErrorKind, ImageModel, LanguageModel, Message, MockImages, MockModel, MockReply,
    SchemaSupport,
};
use loomwork_testkit::soon;
use serde_json::json;

use super::desk::{Desk, text};
use super::ledger::Heard;

/// An agent whose model takes schemas.
fn native(replies: impl IntoIterator<Item = MockReply>) -> (Arc<MockModel>, Agent) {
    let model = Arc::new(MockModel::new(replies).with_schema_support(SchemaSupport::Native));
    (model.clone(), Agent::new("clerk", model as Arc<dyn LanguageModel>))
}

fn list() -> ObjectSpec<Vec<u32>> {
    ObjectSpec::of()
}

async fn ask(thread: &AgentThread) -> Result<Vec<u32>, AgentError> {
    Ok(thread.generate_object_with("Count.", list(), Options::default()).await?.object)
}

#[tokio::test]
async fn the_nearest_handler_is_told() {
    let desk = Desk::with([text("a"), text("b"), text("c"), text("d")]).await;
    let (agent, handle, call) = (Heard::default(), Heard::default(), Heard::default());
    let told = || [agent.events().len(), handle.events().len(), call.events().len()];
    let hears = |heard: &Heard| Options { on_usage: Some(heard.handler()), ..Options::default() };
    let thread = desk.thread(&desk.agent().on_usage(agent.handler())).await;
    thread.generate_text("Go.").await.expect("an answer");
    assert_eq!(told(), [1, 0, 0]);
    let thread = thread.with(hears(&handle));
    thread.generate_text("Go.").await.expect("an answer");
    assert_eq!(told(), [1, 1, 0]);
    thread.generate_text_with("Go.", hears(&call)).await.expect("an answer");
    assert_eq!(told(), [1, 1, 1]);
    let nobody = Options { unset: vec![Field::OnUsage], ..Options::default() };
    thread.generate_text_with("Go.", nobody).await.expect("an answer");
    assert_eq!(told(), [1, 1, 1]);
}

#[tokio::test]
async fn the_nearest_handler_hears_what_was_exchanged_for_a_value() {
    let desk = Desk::with([]).await;
    let (_, agent) = native([text("[1]"), text("[2]")]);
    let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel::<(&str, Exchange)>();
    let hears = |name: &'static str| {
        let sender = sender.clone();
        OnExchange::new(name, move |exchange| {
            let sent = sender.send((name, exchange)).map_err(|error| error.to_string());
            async { sent }
        })
    };
    let thread = desk.thread(&agent.on_exchange(hears("agent"))).await;
    assert_eq!(ask(&thread).await.expect("a list"), [1]);
    let (name, exchange) = soon(heard.recv()).await.expect("it is told");
    assert_eq!((name, exchange.reply.text().as_str(), exchange.failure), ("agent", "[1]", None));
    let handler = Options { on_exchange: Some(hears("handle")), ..Options::default() };
    assert_eq!(ask(&thread.with(handler)).await.expect("a list"), [2]);
    assert_eq!(soon(heard.recv()).await.expect("it is told").0, "handle");
}

#[tokio::test]
async fn what_values_and_images_use_is_told_once_also_when_they_fail() {
    let desk = Desk::with([]).await;
    let files = Files::new(desk.runtime.store(), Blobs::memory(), loomwork_files::Options::default());
    let desk = Desk { runtime: desk.runtime.with_files(files), ..desk };
    let images = Arc::new(MockImages::new(Data::Bytes(b"pixels".as_slice().into())));
    let repaired = [text("none"), text("[1, 2]")];
    let fails = [text("none"), text("none"), text("none")];
    let (_, agent) = native(repaired.into_iter().chain(fails));
    let heard = Heard::default();
    let agent = agent.images(images.clone() as Arc<dyn ImageModel>).on_usage(heard.handler());
    let thread = desk.thread(&agent).await;
    assert_eq!(ask(&thread).await.expect("a list"), [1, 2]);
    thread.generate_image("a cat").await.expect("an image");
    ask(&thread).await.expect_err("nothing fits");
    images.fail_next(Error::new(ErrorKind::Overloaded, "mock", "mock", "too much"));
    thread.generate_image("a dog").await.expect_err("it fails");
    let events = heard.events();
    let told: Vec<_> = events.iter().map(|event| (event.kind, event.usage.output(), event.end)).collect();
    assert_eq!(
        told,
        [
            (UsageKind::Chat, 20, StepEnd::Success),
            (UsageKind::Image, 0, StepEnd::Success),
            (UsageKind::Chat, 30, StepEnd::Failed),
            (UsageKind::Image, 0, StepEnd::Failed),
        ]
    );
    assert_eq!((events[1].usage.images, events[3].usage.images), (1, 0));
    let run = events[1].run;
    let steps = desk.runtime.store().query(move |tx| journal::steps(tx, run)).await.expect("read");
    assert_eq!((steps.len(), steps[0].kind), (1, UsageKind::Image));
}

#[tokio::test]
async fn what_an_agent_uses_as_a_tool_is_told_under_the_root_and_to_the_handler_above() {
    let desk = Desk::with([
        MockReply::default().tool_call("1", "low", json!({ "task": "a" })).tool_call(
            "2",
            "own",
            json!({ "task": "b" }),
        ),
        text("Done."),
    ])
    .await;
    let (heard, own) = (Heard::default(), Heard::default());
    let (_, low) = native([text("Below.")]);
    let broken =
        Error::new(ErrorKind::Overloaded, "mock", "mock", "too much").with_usage(MockReply::default_usage());
    let (_, with_own) = native([text("half of it").fail(broken)]);
    let agent = desk.agent().on_usage(heard.handler()).stop_when(step_count(3));
    let agent = agent.tool(low.as_tool("low", "").stored(Home::NewThread)).expect("a tool");
    let agent = agent.tool(with_own.on_usage(own.handler()).as_tool("own", "")).expect("a tool");
    let thread = desk.thread(&agent).await;
    let reply = thread.generate_text("Go.").await.expect("an answer");
    let root = reply.stored.expect("it is stored").run;
    let events = heard.events();
    let agents: Vec<_> = events.iter().map(|event| event.agent.as_str()).collect();
    assert_eq!(
        (events.len(), agents.iter().filter(|agent| **agent == "clerk").count()),
        (3, 1),
        "{agents:?}"
    );
    assert!(events.iter().all(|event| event.root == root));
    let told = own.events();
    assert_eq!((told.len(), told[0].root, told[0].end), (1, root, StepEnd::Failed));
    // What failed has used something too.
    assert_eq!(reply.delegated.output(), events[0].usage.output() + told[0].usage.output());
}

#[tokio::test]
async fn guards_see_values_before_anybody_else() {
    let desk = Desk::with([]).await;
    let (model, agent) = native([text("[1, 2]"), text("[13]"), text("[3]")]);
    let guard = OutputGuard::new("luck", |value: String| async move {
        Ok(match value.as_str() {
            "[1,2]" => Verdict::Replace("[1]".to_owned()),
            "[13]" => Verdict::Block("13 brings no luck".to_owned()),
            _ => Verdict::Replace("three".to_owned()),
        })
    });
    let thread = desk.thread(&agent.output_guard(guard)).await;
    let mut stream =
        thread.stream_object_with("Count.", list(), Options::default()).await.expect("it begins");
    let mut shown = Vec::new();
    while let Some(partial) = soon(stream.next()).await {
        shown.push(partial.clone());
    }
    assert_eq!(shown, [json!([1])]);
    assert_eq!(soon(stream.finish()).await.expect("a list").object, [1]);
    let blocked = ask(&thread).await.expect_err("it is blocked");
    assert!(matches!(&blocked, AgentError::Blocked { guard: "luck", .. }), "{blocked}");
    let other = ask(&thread).await.expect_err("it is no list").to_string();
    assert!(other.contains("luck") && other.contains("of another type"), "{other}");
    let rows = desk.rows(&thread).await;
    let said: Vec<_> = rows.iter().map(|row| (row.status, row.message.text())).collect();
    assert_eq!(said[1], (MessageStatus::Success, "[1]".to_owned()));
    assert_eq!((said[3].0, said[5].0), (MessageStatus::Failed, MessageStatus::Failed));
    assert!(!said[3].1.contains("13") && !said[5].1.contains('3'), "{said:?}");

    let secret = InputGuard::new("secrets", |messages: Vec<Message>| async move {
        let has_secret = messages.iter().any(|message| message.text().contains("secret"));
        Ok(if has_secret { Verdict::Block("a secret".to_owned()) } else { Verdict::Pass })
    });
    let asked = model.requests().len();
    let thread = thread.with(Options { input_guards: Some(vec![secret]), ..Options::default() });
    let blocked = thread.generate_object_with("My secret.", list(), Options::default()).await;
    assert!(matches!(blocked, Err(AgentError::Blocked { guard: "secrets", .. })));
    assert_eq!(model.requests().len(), asked);
}

#[tokio::test]
async fn who_admits_runs_admits_values_and_images() {
    let desk = Desk::with([]).await;
    let files = Files::new(desk.runtime.store(), Blobs::memory(), loomwork_files::Options::default());
    let desk = Desk { runtime: desk.runtime.with_files(files), ..desk };
    let images = Arc::new(MockImages::new(Data::Bytes(b"pixels".as_slice().into())));
    let (model, agent) = native([text("never")]);
    let refuse = Admission::before_run("budget", |_, planned| {
        assert_eq!(planned.agent, "clerk");
        Err::<Hold, _>(loomwork_store::Error::message(Kind::Denied, "nothing is left"))
    });
    let agent = agent.admission(refuse).images(images.clone() as Arc<dyn ImageModel>);
    let thread = desk.thread(&agent).await;
    assert!(matches!(ask(&thread).await, Err(AgentError::Refused { admission: "budget", .. })));
    let refused = thread.generate_image(NewMessage::from("a cat")).await;
    assert!(matches!(refused, Err(AgentError::Refused { admission: "budget", .. })));
    assert!(model.requests().is_empty() && images.requests().is_empty());
    assert!(desk.rows(&thread).await.is_empty());
}
