//! Answers in threads and outside of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use loomwork_agent::{
    Agent, AgentError, Options, Outcome, Tool, ToolContext, has_successful_tool_call, step_count,
};
use loomwork_messages::runs::{self, Prompt};
use loomwork_messages::{Failure, MessageStatus, Run, RunStatus, UiChunk, save};
use loomwork_models::{
    Error, ErrorKind, LanguageModel, Message, MockModel, MockReply, Role, Settings, ToolOutput, Usage,
};
use loomwork_store::Table as _;
use loomwork_testkit::soon;
use serde_json::json;

use super::desk::{Desk, text};

fn call(id: &str, tool: &str) -> MockReply {
    MockReply::default().tool_call(id, tool, json!({}))
}

fn failing() -> Error {
    Error::new(ErrorKind::Overloaded, "mock", "mock", "the provider is overloaded").with_status(529)
}

#[tokio::test]
async fn an_answer_is_stored_with_its_prompt_and_says_what_it_used() {
    let desk = Desk::with([text("On its way.")]).await;
    let agent = desk.agent();
    let thread = desk.thread(&agent).await;
    let reply = thread.generate_text("Where is my parcel?").await.expect("an answer");
    assert_eq!(reply.text, "On its way.");
    let said = desk.said(&thread).await;
    assert_eq!(
        said,
        [
            ("user", "Where is my parcel?".to_owned(), MessageStatus::Success),
            ("assistant", "On its way.".to_owned(), MessageStatus::Success),
        ]
    );
    let rows = desk.rows(&thread).await;
    assert_eq!(rows[1].agent.as_deref(), Some("support"));
    assert_eq!(rows[1].model.as_deref(), Some("mock"));
    assert_eq!(rows[1].usage.as_ref().map(Usage::total), Some(reply.usage.total()));
    let stored = reply.stored.expect("it is stored");
    assert_eq!(stored.messages, [rows[0].id, rows[1].id]);
    assert_eq!((stored.prompt, stored.order), (Some(rows[0].id), 0));
}

#[tokio::test]
async fn the_model_is_asked_with_instructions_and_what_was_said_before() {
    let desk = Desk::with([text("One."), text("Two.")]).await;
    let agent = desk.agent();
    let thread = desk.thread(&agent).await;
    thread.generate_text("first").await.expect("an answer");
    thread.generate_text("second").await.expect("an answer");
    let asked = desk.model.requests().pop().expect("it was asked").messages;
    let asked: Vec<_> = asked.iter().map(|message| (message.role, message.text())).collect();
    assert_eq!(
        asked,
        [
            (Role::System, "Be helpful.".to_owned()),
            (Role::User, "first".to_owned()),
            (Role::Assistant, "One.".to_owned()),
            (Role::User, "second".to_owned()),
        ]
    );
}

#[tokio::test]
async fn tools_are_called_until_a_condition_stops_it() {
    let desk = Desk::with([call("1", "look"), call("2", "look"), text("Seen twice.")]).await;
    let count = Arc::new(AtomicU32::new(0));
    let counted = count.clone();
    let look = Tool::new("look", "Looks.", move |_: ToolContext, (): ()| {
        let counted = counted.clone();
        async move { format!("seen {}", counted.fetch_add(1, Ordering::Relaxed)) }
    });
    let agent = desk.agent().tool(look).expect("a tool").stop_when(step_count(5));
    let thread = desk.thread(&agent).await;
    let reply = thread.generate_text("Look twice.").await.expect("an answer");
    assert_eq!((reply.text.as_str(), reply.steps.len()), ("Seen twice.", 3));
    let rows = desk.rows(&thread).await;
    let roles: Vec<_> = rows.iter().map(|row| row.role()).collect();
    assert_eq!(
        roles,
        [Role::User, Role::Assistant, Role::Tool, Role::Assistant, Role::Tool, Role::Assistant]
    );
    let results: Vec<_> =
        rows.iter().flat_map(|row| row.message.tool_results()).map(|r| r.output.clone()).collect();
    assert_eq!(results, [ToolOutput::Text("seen 0".into()), ToolOutput::Text("seen 1".into())]);
    assert!(rows.iter().all(|row| row.order == 0 && row.status == MessageStatus::Success));
}

#[tokio::test]
async fn one_step_is_made_unless_a_condition_is_given() {
    let desk = Desk::with([call("1", "look"), text("never")]).await;
    let look = Tool::new("look", "Looks.", |_: ToolContext, (): ()| async { "seen" });
    let agent = desk.agent().tool(look).expect("a tool");
    let thread = desk.thread(&agent).await;
    let reply = thread.generate_text("Look.").await.expect("an answer");
    assert_eq!((reply.steps.len(), reply.steps[0].calls[0].outcome), (1, Outcome::Succeeded));
    assert_eq!(desk.model.requests().len(), 1);
    assert_eq!(desk.rows(&thread).await.len(), 3);
}

#[tokio::test]
async fn an_error_of_a_tool_goes_back_to_the_model_and_counts_as_no_success() {
    let desk = Desk::with([call("1", "look"), call("2", "gone"), text("I could not.")]).await;
    let look = Tool::new("look", "Looks.", |_: ToolContext, (): ()| async {
        Err::<String, _>(std::io::Error::other("it is dark"))
    });
    let agent = desk.agent().tool(look).expect("a tool");
    let agent = agent.stop_when(step_count(5).or(has_successful_tool_call("look")));
    let thread = desk.thread(&agent).await;
    let reply = thread.generate_text("Look.").await.expect("an answer");
    assert_eq!(reply.text, "I could not.");
    let told = desk.model.requests().pop().expect("it was asked").messages;
    let outputs: Vec<_> = told.iter().flat_map(Message::tool_results).map(|result| &result.output).collect();
    assert!(matches!(outputs[0], ToolOutput::ErrorText(error) if error.contains("dark")), "{outputs:?}");
    assert!(matches!(outputs[1], ToolOutput::ErrorText(error) if error.contains("gone")), "{outputs:?}");
}

#[tokio::test]
async fn a_call_that_nobody_here_answers_ends_the_answer() {
    let desk = Desk::with([call("1", "ask_human"), text("never")]).await;
    let human = Tool::declared("ask_human", "Asks a person.", json!({ "type": "object" }));
    let agent = desk.agent().tool(human).expect("a tool").stop_when(step_count(5));
    let thread = desk.thread(&agent).await;
    let reply = thread.generate_text("Ask.").await.expect("an answer");
    assert_eq!(reply.open_calls().map(|call| call.outcome).collect::<Vec<_>>(), [Outcome::Unanswered]);
    assert_eq!(desk.rows(&thread).await.len(), 2);
}

#[tokio::test]
async fn a_model_that_fails_half_way_leaves_what_it_said_and_why() {
    let broken = text("This is half of").fail(failing());
    let desk = Desk::with([broken]).await;
    let agent = desk.agent();
    let thread = desk.thread(&agent).await;
    let error = thread.generate_text("Go on.").await.expect_err("it fails");
    assert!(matches!(&error, AgentError::Model { agent, .. } if agent == "support"), "{error}");
    let rows = desk.rows(&thread).await;
    assert_eq!(
        (rows[1].status, rows[1].message.text()),
        (MessageStatus::Failed, "This is half of".to_owned())
    );
    let told = rows[1].error.as_ref().expect("it says why");
    assert_eq!(told.message, "the provider is overloaded");
    assert_eq!(told.details.get("status"), Some(&json!(529)));
    let run = rows[1].run.expect("of a run");
    let run = desk.runtime.store().query(move |tx| tx.require(run)).await.expect("the run");
    assert_eq!(run.status, RunStatus::Failed);
}

#[tokio::test]
async fn a_stored_prompt_is_answered_again_and_keeps_the_calls_that_were_completed() {
    let desk = Desk::with([call("1", "look"), MockReply::default().fail(failing()), text("At last.")]).await;
    let count = Arc::new(AtomicU32::new(0));
    let counted = count.clone();
    let look = Tool::new("look", "Looks.", move |_: ToolContext, (): ()| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { "seen" }
    });
    let agent = desk.agent().tool(look).expect("a tool").stop_when(step_count(5));
    let thread = desk.thread(&agent).await;
    thread.generate_text("Look.").await.expect_err("the second call fails");
    let prompt = desk.rows(&thread).await[0].id;
    let reply = thread.generate_text(Prompt::Message(prompt)).await.expect("an answer");
    assert_eq!(reply.text, "At last.");
    assert_eq!(count.load(Ordering::Relaxed), 1, "the tool ran once");
    let asked = desk.model.requests().pop().expect("it was asked").messages;
    assert_eq!(asked.iter().flat_map(Message::tool_results).count(), 1);
    assert!(desk.rows(&thread).await.iter().all(|row| row.order == 0));
}

#[tokio::test]
async fn a_failed_prompt_is_refused_before_the_model_is_asked() {
    let desk = Desk::with([text("never")]).await;
    let agent = desk.agent();
    let thread = desk.thread(&agent).await;
    let id = thread.id();
    let failed = loomwork_messages::NewMessage {
        status: MessageStatus::Failed,
        error: Some(Failure::new("refused", "no")),
        .."bad".into()
    };
    let rows = desk.runtime.store().mutate(move |tx| save(tx, id, failed)).await.expect("saved");
    thread.generate_text(Prompt::Message(rows[0].id)).await.expect_err("it is refused");
    assert!(desk.model.requests().is_empty());
    assert_eq!(desk.rows(&thread).await.len(), 1);
}

#[tokio::test]
async fn a_stream_hands_on_what_comes_and_others_follow_it() {
    let desk = Desk::with([text("one two three")]).await;
    let agent = desk.agent();
    let thread = desk.thread(&agent).await;
    let mut stream = thread.stream_text("Count.").await.expect("it begins");
    let mut text = String::new();
    while let Some(delta) = soon(stream.next_text()).await {
        text.push_str(&delta);
    }
    assert_eq!(text, "one two three");
    let reply = soon(stream.finish()).await.expect("an answer");
    assert_eq!(reply.text, text);
    assert_eq!(desk.rows(&thread).await[1].status, MessageStatus::Success);
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_made_and_stored() {
    let long = "word ".repeat(2_000);
    let desk = Desk::with([text(&long)]).await;
    let agent = desk.agent();
    let thread = desk.thread(&agent).await;
    drop(thread.stream_text("Go.").await.expect("it begins"));
    let mut runs = desk.runtime.store().watch(|tx| Ok(tx.scan(Run::all())?.first().map(|run| run.status)));
    while soon(runs.next()).await.expect("open").expect("read") != Some(RunStatus::Success) {}
    assert_eq!(desk.rows(&thread).await[1].message.text(), long);
}

#[tokio::test]
async fn an_abort_from_elsewhere_reaches_a_tool_that_runs() {
    let desk = Desk::with([call("1", "wait"), text("never")]).await;
    let (started, mut has_started) = tokio::sync::mpsc::channel(1);
    let (cancelled, mut was_cancelled) = tokio::sync::mpsc::channel(1);
    let wait = Tool::new("wait", "Waits.", move |context: ToolContext, (): ()| {
        let (started, cancelled) = (started.clone(), cancelled.clone());
        async move {
            let _guard = DropTells(cancelled);
            let _ = started.send(()).await;
            context.cancelled().cancelled().await;
            "called off"
        }
    });
    let agent = desk.agent().tool(wait).expect("a tool").stop_when(step_count(5));
    let thread = desk.thread(&agent).await;
    let stream = thread.stream_text("Wait.").await.expect("it begins");
    soon(has_started.recv()).await.expect("it runs");
    let id = thread.id();
    let stopped = Failure::new("stopped", "the user pressed stop");
    desk.runtime.store().mutate(move |tx| runs::abort_all(tx, id, None, &stopped)).await.expect("aborted");
    soon(was_cancelled.recv()).await.expect("the tool heard of it");
    let error = soon(stream.finish()).await.expect_err("it was stopped");
    assert!(matches!(error, AgentError::Ended(_)), "{error}");
    let rows = desk.rows(&thread).await;
    assert_eq!(rows[1].status, MessageStatus::Aborted);
    assert_eq!(rows[1].message.tool_calls().count(), 1, "what came is kept");
}

#[tokio::test]
async fn an_abort_while_the_model_speaks_is_told_as_what_it_is() {
    let desk = Desk::with([text(&"word ".repeat(5_000))]).await;
    let agent = desk.agent();
    let thread = desk.thread(&agent).await;
    let mut stream = thread.stream_text("Go.").await.expect("it begins");
    soon(stream.next_text()).await.expect("it speaks");
    let id = thread.id();
    let stopped = Failure::new("stopped", "the user pressed stop");
    desk.runtime.store().mutate(move |tx| runs::abort_all(tx, id, None, &stopped)).await.expect("aborted");
    let error = soon(stream.finish()).await.expect_err("it was stopped");
    assert!(matches!(error, AgentError::Ended(_)), "{error}");
    assert!(desk.rows(&thread).await[1].message.text().starts_with("word "));
}

#[tokio::test]
async fn an_answer_that_is_dropped_is_called_off_and_keeps_what_came() {
    let gate = loomwork_models::Gate::default();
    let desk = Desk::with([text("half of it").gate(&gate).text("never")]).await;
    let agent = desk.agent();
    let thread = desk.thread(&agent).await;
    let mut runs =
        desk.runtime.store().watch(|tx| Ok(tx.scan(Run::all())?.first().map(|run| run.record.clone())));
    {
        let answering = thread.generate_text("Go.");
        tokio::pin!(answering);
        let streams = async {
            while soon(runs.next()).await.expect("open").expect("read").is_none_or(|run| run.stream.is_none())
            {
            }
        };
        tokio::select! {
            _ = &mut answering => panic!("the gate is closed"),
            () = streams => {}
        }
    }
    while soon(runs.next()).await.expect("open").expect("read").map(|run| run.status)
        != Some(RunStatus::Aborted)
    {}
    let row = &desk.rows(&thread).await[1];
    assert_eq!(row.status, MessageStatus::Aborted);
    assert_eq!(row.error.as_ref().map(|error| error.code.as_str()), Some("dropped"));
}

/// Says that it was dropped: its tool has ended.
struct DropTells(tokio::sync::mpsc::Sender<()>);

impl Drop for DropTells {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

#[tokio::test]
async fn outside_of_threads_nothing_is_stored() {
    let desk = Desk::with([text("Hello.")]).await;
    let reply = desk.agent().answer(&desk.runtime, None, "Hi.").await.expect("an answer");
    assert_eq!((reply.text.as_str(), reply.stored), ("Hello.", None));
    let runs = desk.runtime.store().query(|tx| tx.count(Run::all())).await.expect("counted");
    assert_eq!(runs, 0);
}

#[tokio::test]
async fn what_tools_do_outside_of_threads_is_told_apart_by_the_answer() {
    let replies = [call("1", "key"), call("1", "key")];
    let desk = Desk::with(replies).await;
    let key = Tool::new("key", "Tells its key.", |context: ToolContext, (): ()| async move {
        context.idempotency_key()
    });
    let agent = desk.agent().tool(key).expect("a tool");
    let mut keys = Vec::new();
    for _ in 0..2 {
        let reply = agent.answer(&desk.runtime, None, "Go.").await.expect("an answer");
        keys.push(reply.steps[0].calls[0].result.clone().expect("a result").output);
    }
    assert_ne!(keys[0], keys[1]);
}

#[tokio::test]
async fn the_call_goes_before_the_handle_and_that_before_the_agent() {
    let desk = Desk::with([text("agent"), text("never")]).await;
    let other = Arc::new(MockModel::always(text("call")));
    let agent =
        desk.agent().settings(Settings { temperature: Some(0.1), seed: Some(1), ..Settings::default() });
    let settings = Settings { temperature: Some(0.2), ..Settings::default() };
    let thread = desk.thread(&agent).await.with(Options { settings, ..Options::default() });
    thread.generate_text("a").await.expect("an answer");
    let asked = desk.model.requests().pop().expect("asked").settings;
    assert_eq!((asked.temperature, asked.seed), (Some(0.2), Some(1)));
    let call = Options {
        model: Some(other.clone() as Arc<dyn LanguageModel>),
        instructions: Some("Be brief.".into()),
        ..Options::default()
    };
    let reply = thread.generate_text_with("b", call).await.expect("an answer");
    assert_eq!(reply.text, "call");
    assert_eq!(other.requests()[0].messages[0].text(), "Be brief.");
}

#[tokio::test]
async fn tools_get_the_applications_state() {
    struct Shop {
        name: &'static str,
    }
    let desk = Desk::with([call("1", "shop"), text("Welcome.")]).await;
    let shop = Tool::new("shop", "Names the shop.", |context: ToolContext<Shop>, (): ()| async move {
        format!("{} for {:?}", context.state().name, context.user())
    });
    let state = Arc::new(Shop { name: "Loom & Sons" });
    let agent = Agent::with_state("clerk", desk.model.clone() as Arc<dyn LanguageModel>, state);
    let agent = agent.tool(shop).expect("a tool").stop_when(step_count(2));
    let new = loomwork_messages::threads::NewThread::for_user("alice");
    let thread = agent.create_thread(&desk.runtime, new).await.expect("a thread");
    let reply = thread.generate_text("Where am I?").await.expect("an answer");
    let result = reply.steps[0].calls[0].result.as_ref().expect("a result");
    assert_eq!(result.output, ToolOutput::Text("Loom & Sons for Some(\"alice\")".into()));
}

#[tokio::test]
async fn a_value_of_a_type_is_stored_as_its_json() {
    #[derive(schemars::JsonSchema, serde::Deserialize, Debug, PartialEq)]
    struct Plan {
        steps: Vec<String>,
    }
    let desk = Desk::with([text(r#"{"steps":["weave","sell"]}"#)]).await;
    let model = MockModel::always(text(r#"{"steps":["weave","sell"]}"#));
    let model = Arc::new(model.with_schema_support(loomwork_models::SchemaSupport::Native));
    let agent = Agent::new("planner", model as Arc<dyn LanguageModel>);
    let thread = desk.thread(&agent).await;
    let plan = thread.generate_object::<Plan>("Plan my day.").await.expect("a plan");
    assert_eq!(plan.object, Plan { steps: vec!["weave".into(), "sell".into()] });
    let rows = desk.rows(&thread).await;
    assert_eq!(rows[1].message.text(), r#"{"steps":["weave","sell"]}"#);
    assert_eq!(plan.stored.map(|stored| stored.messages.len()), Some(2));
}

#[tokio::test]
async fn a_chunk_names_each_step_and_each_result() {
    let desk = Desk::with([call("1", "look"), text("Done.")]).await;
    let look = Tool::new("look", "Looks.", |_: ToolContext, (): ()| async { "seen" });
    let agent = desk.agent().tool(look).expect("a tool").stop_when(step_count(2));
    let thread = desk.thread(&agent).await;
    let mut stream = thread.stream_text("Look.").await.expect("it begins");
    let mut kinds = Vec::new();
    while let Some(chunk) = soon(stream.next()).await {
        if !matches!(chunk, UiChunk::TextDelta { .. } | UiChunk::ToolInputDelta { .. }) {
            kinds.push(chunk.kind().to_owned());
        }
    }
    assert_eq!(
        kinds,
        [
            "start-step",
            "tool-input-start",
            "tool-input-available",
            "tool-output-available",
            "finish-step",
            "start-step",
            "text-start",
            "text-end",
            "finish-step",
        ]
    );
    soon(stream.finish()).await.expect("an answer");
}

#[tokio::test]
async fn calls_of_one_id_are_told_apart_in_a_step_and_between_steps() {
    let twice = || call("1", "key").tool_call("1", "key", json!({}));
    let desk = Desk::with([twice(), twice(), text("Done.")]).await;
    let key = Tool::new("key", "Tells its key.", |context: ToolContext, (): ()| async move {
        context.idempotency_key()
    });
    let thread = desk.thread(&desk.agent().tool(key).expect("a tool").stop_when(step_count(3))).await;
    let reply = thread.generate_text("Go.").await.expect("an answer");
    let calls: Vec<_> = reply.steps.iter().flat_map(|step| &step.calls).collect();
    let ids: Vec<_> = calls.iter().map(|end| end.call.id.as_str()).collect();
    assert_eq!(ids, ["1", "1-2", "1", "1-2"]);
    let keys: std::collections::BTreeSet<_> =
        calls.iter().map(|end| end.result.as_ref().expect("a result").output.to_text()).collect();
    assert_eq!(keys.len(), 4, "each call has its own key: {keys:?}");
    for row in desk.rows(&thread).await.iter().filter(|row| row.role() == Role::Tool) {
        let results: Vec<_> = row.message.tool_results().map(|result| result.call.as_str()).collect();
        assert_eq!(results, ["1", "1-2"]);
    }
}

#[tokio::test]
async fn calls_of_an_answer_that_was_cut_off_are_not_made_and_end_it() {
    use loomwork_models::FinishReason;
    for reason in [FinishReason::Length, FinishReason::ContentFilter] {
        let cut = call("1", "pay").raw_tool_call("2", "pay", "{\"much\": ").with_finish(reason);
        let desk = Desk::with([cut, text("never")]).await;
        let pay = Tool::new("pay", "Pays.", |_: ToolContext, (): ()| async { "paid" });
        let thread = desk.thread(&desk.agent().tool(pay).expect("a tool").stop_when(step_count(3))).await;
        let reply = thread.generate_text("Pay.").await.expect("what came is the answer");
        assert_eq!((reply.finish_reason(), reply.steps.len()), (reason, 1));
        for end in &reply.steps[0].calls {
            assert_eq!((end.outcome, end.tries), (Outcome::Failed, 0));
            let told = end.result.as_ref().expect("a result").output.to_text();
            assert!(told.starts_with("the call was not made: "), "{told}");
        }
        assert_eq!(reply.open_calls().count(), 0, "nobody waits for them");
        assert_eq!(desk.model.requests().len(), 1);
    }
}
