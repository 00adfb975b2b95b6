//! Answers that are called off: by their handle, by the end of the process, by whoever waited for them.

use std::time::Duration;

use loomwork_agent::{AgentError, OutputGuard, Tool, ToolContext, Verdict, step_count};
use loomwork_messages::runs::{RunError, abort_all};
use loomwork_messages::{Failure, MessageStatus, Run, RunStatus};
use loomwork_models::{Gate, MockReply};
use loomwork_store::Table as _;
use loomwork_testkit::soon;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::desk::{Desk, text};

/// Returns the code of an answer that was called off.
fn code(error: &AgentError) -> &str {
    let AgentError::Ended(ended) = error else { panic!("it is told as a failure: {error}") };
    let RunError::Lost { status: RunStatus::Aborted, error: Some(why), .. } = &**ended else {
        panic!("it was called off: {ended}")
    };
    &why.code
}

/// A tool that ends when it hears that it shall, and says when it has begun.
fn waits() -> (Tool, CancellationToken) {
    let begun = CancellationToken::new();
    let begins = begun.clone();
    let tool = Tool::new("wait", "Waits.", move |context: ToolContext, (): ()| {
        begins.cancel();
        async move {
            context.cancelled().cancelled().await;
            "called off in time"
        }
    });
    (tool, begun)
}

fn call() -> MockReply {
    MockReply::default().text("Let me see.").tool_call("1", "wait", json!({}))
}

#[tokio::test]
async fn an_abort_by_handle_while_a_tool_runs_is_no_success() {
    let desk = Desk::with([call(), text("never")]).await;
    let (tool, begun) = waits();
    let thread = desk.thread(&desk.agent().tool(tool).expect("a tool").stop_when(step_count(3))).await;
    let stream = thread.stream_text("Wait.").await.expect("it begins");
    soon(begun.cancelled()).await;
    stream.abort();
    let error = soon(stream.finish()).await.expect_err("it was called off");
    assert_eq!(code(&error), "aborted");
    assert_eq!(desk.model.requests().len(), 1, "the model is not asked again");
    let rows = desk.rows(&thread).await;
    assert_eq!(rows[1].status, MessageStatus::Aborted);
    assert_eq!(rows[1].error.as_ref().map(|why| why.code.as_str()), Some("aborted"));
    assert_eq!((rows[1].message.text().as_str(), rows[1].message.tool_calls().count()), ("Let me see.", 1));
}

#[tokio::test]
async fn an_abort_by_handle_of_a_single_step_is_no_success() {
    let desk = Desk::with([call()]).await;
    let (tool, begun) = waits();
    let thread = desk.thread(&desk.agent().tool(tool).expect("a tool")).await;
    let stream = thread.stream_text("Wait.").await.expect("it begins");
    soon(begun.cancelled()).await;
    stream.abort();
    assert_eq!(code(&soon(stream.finish()).await.expect_err("it was called off")), "aborted");
}

#[tokio::test]
async fn an_abort_while_the_model_speaks_is_told_alike_in_threads_and_outside() {
    let (gate, other) = (Gate::new(), Gate::new());
    let desk = Desk::with([text("half").gate(&gate), text("half").gate(&other)]).await;
    let thread = desk.thread(&desk.agent()).await;
    let stream = thread.stream_text("Go.").await.expect("it begins");
    soon(gate.reached()).await;
    stream.abort();
    assert_eq!(code(&soon(stream.finish()).await.expect_err("it was called off")), "aborted");
    assert_eq!(desk.rows(&thread).await[1].message.text(), "half");
    let stream = desk.agent().stream_answer(&desk.runtime, None, "Go.").await.expect("it begins");
    soon(other.reached()).await;
    stream.abort();
    assert_eq!(code(&soon(stream.finish()).await.expect_err("it was called off")), "aborted");
}

#[tokio::test]
async fn what_is_awaited_is_called_off_when_its_process_ends() {
    let gate = Gate::new();
    let desk = Desk::with([text("half").gate(&gate)]).await;
    let thread = desk.thread(&desk.agent()).await;
    let ends = async {
        gate.reached().await;
        desk.runtime.shutdown(Duration::from_secs(20)).await.expect("all ends in time");
    };
    let (answered, ()) = soon(async { tokio::join!(thread.generate_text("Go."), ends) }).await;
    assert_eq!(code(&answered.expect_err("the process ends")), "shutdown");
    let row = &desk.rows(&thread).await[1];
    assert_eq!((row.status, row.message.text().as_str()), (MessageStatus::Aborted, "half"));
    assert_eq!(row.error.as_ref().map(|why| why.code.as_str()), Some("shutdown"));
}

#[tokio::test]
async fn a_process_that_ends_calls_off_tools_too() {
    let desk = Desk::with([call(), text("never")]).await;
    let (tool, begun) = waits();
    let agent = desk.agent().tool(tool).expect("a tool").stop_when(step_count(3));
    let ends = async {
        begun.cancelled().await;
        desk.runtime.shutdown(Duration::from_secs(20)).await.expect("all ends in time");
    };
    let asked = agent.for_nobody(&desk.runtime);
    let (answered, ()) = soon(async { tokio::join!(asked.generate_text("Wait."), ends) }).await;
    assert_eq!(code(&answered.expect_err("the process ends")), "shutdown");
}

#[tokio::test]
async fn what_is_asked_behind_the_end_of_the_process_is_an_error() {
    let desk = Desk::with([text("never")]).await;
    let thread = desk.thread(&desk.agent()).await;
    desk.runtime.shutdown(Duration::from_secs(20)).await.expect("it ends");
    let error = soon(thread.generate_text("Go.")).await.expect_err("nothing begins any more");
    assert!(error.to_string().contains("ended with its process"), "{error}");
}

#[tokio::test]
async fn all_tools_have_their_time_to_end_when_somebody_ends_the_run() {
    let both = MockReply::default().tool_call("1", "wait", json!({})).tool_call("2", "tidy", json!({}));
    let desk = Desk::with([both, text("never")]).await;
    let (tool, begun) = waits();
    let tidied = CancellationToken::new();
    let tidies = tidied.clone();
    let tidy = Tool::new("tidy", "Tidies up when it shall end.", move |context: ToolContext, (): ()| {
        let tidied = tidies.clone();
        async move {
            context.cancelled().cancelled().await;
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            tidied.cancel();
            "tidy"
        }
    });
    let agent = desk.agent().tool(tool).expect("a tool").tool(tidy).expect("a tool");
    let thread = desk.thread(&agent.stop_when(step_count(3))).await;
    let stream = thread.stream_text("Wait.").await.expect("it begins");
    soon(begun.cancelled()).await;
    let (id, stopped) = (thread.id(), Failure::new("stopped", "the user pressed stop"));
    desk.runtime.store().mutate(move |tx| abort_all(tx, id, None, &stopped)).await.expect("aborted");
    assert_eq!(code(&soon(stream.finish()).await.expect_err("it was stopped")), "stopped");
    assert!(tidied.is_cancelled(), "the one that ended at once took no time from the other");
}

#[tokio::test]
async fn a_hook_that_panics_ends_its_answer_and_nothing_else() {
    let desk = Desk::with([text("one"), text("two")]).await;
    let guard = OutputGuard::new("broken", |said: String| async move {
        assert!(said != "one", "a bug in a guard");
        Ok(Verdict::Pass)
    });
    let thread = desk.thread(&desk.agent().output_guard(guard)).await;
    let error = soon(thread.generate_text("1")).await.expect_err("its guard panics");
    assert!(error.to_string().contains("a panic of which the log tells"), "{error}");
    let mut first = desk.runtime.store().watch(|tx| Ok(tx.first(Run::all())?.map(|run| run.status)));
    while soon(first.next()).await.expect("open").expect("read") != Some(RunStatus::Aborted) {}
    assert_eq!(soon(thread.generate_text("2")).await.expect("an answer").text, "two");
}
