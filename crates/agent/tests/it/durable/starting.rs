//! What starting a run writes, and what it refuses.

use loomwork_agent::durable::{Registry, StartError, StartOptions, Started, start};
use loomwork_agent::{Runtime, Tool, ToolContext, Tools, Values};
use loomwork_core::Kind;
use loomwork_messages::threads::{self, ThreadPatch};
use loomwork_messages::{MessageStatus, Responder, Run, RunStatus};
use loomwork_models::{MockReply, ToolOutput};
use loomwork_store::{Error, Table as _};
use loomwork_workpool::JobRow;
use serde_json::json;

use super::house::{END, House, agent, look, model};
use crate::desk::text;

#[tokio::test]
async fn prompt_run_and_wake_up_are_one_transaction() {
    let house = House::open().await;
    let (clerk, thread) = (agent(&model([])), house.thread);
    let counts = || house.store.query(|tx| Ok((tx.count(Run::all())?, tx.count(JobRow::all())?)));
    let undone = house.store.mutate(move |tx| {
        start(tx, "clerk", thread, "Never mind.", StartOptions::default())?;
        Err::<(), _>(Error::message(Kind::Invalid, "something else is wrong"))
    });
    undone.await.expect_err("it is undone");
    assert_eq!(counts().await.expect("counted"), (0, 0));
    assert!(house.said().await.is_empty());
    let started = house.start(&clerk, "Go.", StartOptions::default()).await;
    assert!(matches!(started, Started::Run { prompt: Some(_), .. }));
    assert_eq!(counts().await.expect("counted"), (1, 1));
    let said = house.said().await;
    assert_eq!((said[0].2.as_str(), said[1].3), ("Go.", MessageStatus::Pending));
}

#[tokio::test]
async fn a_run_is_made_by_the_process_that_has_its_agent() {
    let house = House::open().await;
    let (ours, theirs) =
        (model([]), model([MockReply::default().tool_call("1", "look", json!({})), text("Seen.")]));
    let clerk = agent(&theirs).tool(look()).expect("a tool");
    let other = loomwork_agent::Agent::new("other", ours.clone() as _);
    let run = house.run(&clerk, "Look.").await;
    let others = house.process(&other).await;
    let has_it = house.process(&clerk).await;
    assert_eq!(house.ended(run).await, RunStatus::Success);
    assert!(ours.requests().is_empty());
    let roles: Vec<_> = house.said().await.into_iter().map(|(_, role, _, _)| role).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "assistant"]);
    others.end(END).await;
    has_it.end(END).await;
}

#[tokio::test]
async fn what_is_said_of_a_run_reaches_its_model() {
    let house = House::open().await;
    let model = model([MockReply::default().tool_call("1", "extra", json!({})), text("Done.")]);
    let clerk = agent(&model).tool(look()).expect("a tool");
    let extra = Tool::new("extra", "Does more.", |context: ToolContext, (): ()| async move {
        format!("{} of {:?}", context.caller().unwrap_or("nobody"), context.values().get("tenant"))
    });
    let options = StartOptions {
        instructions: Some("Be brief.".into()),
        tools: Some(vec!["extra".into()]),
        caller: Some("a form".into()),
        user: Some("bob".into()),
        values: Values::of(&json!({ "tenant": "loom" })).expect("JSON with names"),
        ..StartOptions::default()
    };
    let stored: StartOptions =
        serde_json::from_value(serde_json::to_value(&options).expect("JSON")).expect("it is read back");
    assert_eq!(stored, options);
    let run = house.start(&clerk, "Go.", options).await.run().expect("a run");
    let registry = Registry::new().agent_with(clerk, Tools::new().with(extra).expect("a tool")).expect("one");
    let process = house.process_with(registry).await;
    assert_eq!(house.ended(run).await, RunStatus::Success);
    let asked = &model.requests()[0];
    assert_eq!(asked.messages[0].text(), "Be brief.");
    assert_eq!(asked.tools.len(), 1);
    let rows = house.rows().await;
    assert_eq!(rows[0].user.as_deref(), Some("bob"));
    let told = rows.iter().flat_map(|row| row.message.tool_results()).next().expect("a result");
    assert_eq!(told.output, ToolOutput::Text(r#"a form of Some(String("loom"))"#.into()));
    process.end(END).await;
}

#[tokio::test]
async fn a_tool_that_nobody_knows_fails_the_run_by_its_name() {
    let house = House::open().await;
    let clerk = agent(&model([])).tool(look()).expect("a tool");
    let options = StartOptions { tools: Some(vec!["fly".into()]), ..StartOptions::default() };
    let run = house.start(&clerk, "Go.", options).await.run().expect("a run");
    let process = house.process(&clerk).await;
    let row = house.until(run, |run| run.status.has_ended()).await;
    assert_eq!(row.status, RunStatus::Failed);
    let why = row.record.error.expect("it says why").message;
    assert!(why.contains("fly") && why.contains("look"), "{why}");
    process.end(END).await;
}

#[tokio::test]
async fn a_key_finds_the_run_that_there_is() {
    let house = House::open().await;
    let clerk = agent(&model([]));
    let options = || StartOptions { key: Some("order 7".into()), ..StartOptions::default() };
    let first = house.start(&clerk, "Go.", options()).await;
    assert_eq!(house.start(&clerk, "Go.", options()).await, first);
    assert_eq!(house.store.query(|tx| tx.count(JobRow::all())).await.expect("counted"), 1);
    assert_eq!(house.said().await.len(), 2);
}

#[tokio::test]
async fn where_a_person_answers_the_message_is_saved_and_nobody_begins() {
    let house = House::open().await;
    let (clerk, thread) = (agent(&model([])), house.thread);
    for (responder, text) in [(Responder::Human, "Anybody?"), (Responder::None, "Nobody?")] {
        let patch = ThreadPatch { responder: Some(responder), ..ThreadPatch::default() };
        house.store.mutate(move |tx| threads::update(tx, thread, patch)).await.expect("patched");
        let started = house.start(&clerk, text, StartOptions::default()).await;
        assert!(matches!(started, Started::Saved { prompt: Some(_) }), "{started:?}");
    }
    let said = house.said().await;
    let texts: Vec<_> = said.iter().map(|(_, role, text, _)| (*role, text.as_str())).collect();
    assert_eq!(texts, [("user", "Anybody?"), ("user", "Nobody?")]);
    assert_eq!(house.store.query(|tx| tx.count(Run::all())).await.expect("counted"), 0);
}

#[tokio::test]
async fn two_agents_of_one_name_are_refused() {
    let clerk = agent(&model([]));
    let error = Registry::new().agent(clerk.clone()).expect("one").agent(clerk).expect_err("two");
    assert!(error.to_string().contains("clerk"), "{error}");
    let runtime = Runtime::memory().await.expect("it opens");
    let gone = loomwork_messages::ThreadId::from_raw(loomwork_core::RawId::from_bytes([7; 16]));
    let started = runtime.store().mutate(move |tx| start(tx, "clerk", gone, "Go.", StartOptions::default()));
    assert_eq!(started.await.expect_err("there is no thread").kind(), Kind::NotFound);
    let busy = StartError::Busy {
        thread: gone,
        run: loomwork_messages::RunId::from_raw(loomwork_core::RawId::from_bytes([8; 16])),
    };
    assert!(busy.to_string().contains("is being made"));
}
