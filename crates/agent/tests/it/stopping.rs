//! Answers that are called off: by their handle, by the end of the process, by whoever waited for them.

use std::time::Duration;

use loomwork_agent::{AgentError, Tool, ToolContext, step_count};
use loomwork_messages::runs::RunError;
use loomwork_messages::{MessageStatus, RunStatus};
use loomwork_models::{Gate, MockReply};
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
