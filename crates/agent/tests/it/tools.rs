//! Tools: how they are made, and what becomes of their calls.

mod attribute;
mod calls;
mod errors;
mod layers;
mod limits;
mod making;
mod reports;
mod sets;
mod spans;

use std::sync::Arc;

use futures_util::StreamExt;
use loomwork_agent::{
    CallEnd, Outcome, RequestedCall, Tool, ToolContext, ToolEvent, ToolScope, Tools, run_calls,
};
use loomwork_core::{Clock, ManualClock, RawId, Time};
use loomwork_messages::RunId;
use loomwork_models::{ToolCall, ToolOutput};
use loomwork_store::Store;
use loomwork_testkit::soon;
use serde_json::Value;

/// A step whose time is turned by hand.
struct Step {
    scope: Arc<ToolScope>,
    hand: ManualClock,
}

impl Step {
    async fn new() -> Self {
        let hand = Clock::manual(Time::EPOCH);
        let store = Store::memory().clock(hand.clock()).open().await.expect("a store in memory opens");
        let run = RunId::from_raw(RawId::from_bytes([7; 16]));
        Self { scope: Arc::new(ToolScope::new("support", run, &store)), hand }
    }

    /// Runs calls and returns all that happens.
    async fn events(&self, tools: &Tools, calls: impl IntoIterator<Item = ToolCall>) -> Vec<ToolEvent> {
        soon(run_calls(tools, calls, self.scope.clone(), Arc::new(())).collect::<Vec<_>>()).await
    }

    /// Runs calls and returns their ends, in the order in which they came.
    async fn ends(
        &self,
        tools: &Tools,
        calls: impl IntoIterator<Item = impl Into<RequestedCall>>,
    ) -> Vec<CallEnd> {
        let calls = run_calls(tools, calls, self.scope.clone(), Arc::new(()));
        soon(calls.filter_map(|event| async { end(event) }).collect::<Vec<_>>()).await
    }

    /// Runs one call.
    async fn run(&self, tool: Tool, input: Value) -> CallEnd {
        let call = call("1", tool.name(), input);
        self.ends(&tools([tool]), [call]).await.remove(0)
    }
}

/// Runs one call of a tool with a step of its own.
async fn run(tool: Tool, input: Value) -> CallEnd {
    Step::new().await.run(tool, input).await
}

fn end(event: ToolEvent) -> Option<CallEnd> {
    match event {
        ToolEvent::Ended(end) => Some(*end),
        _ => None,
    }
}

fn call(id: &str, tool: &str, input: Value) -> ToolCall {
    ToolCall { id: id.to_owned(), name: tool.to_owned(), input, ..ToolCall::default() }
}

fn tools(tools: impl IntoIterator<Item = Tool>) -> Tools {
    Tools::of(tools).expect("they can be used together")
}

/// What the model is given.
fn output(end: &CallEnd) -> &ToolOutput {
    &end.result.as_ref().expect("the model is given a result").output
}

/// What the model is told of a call that failed.
fn told(end: &CallEnd) -> &str {
    assert_eq!(end.outcome, Outcome::Failed);
    match output(end) {
        ToolOutput::ErrorText(text) => text,
        other => panic!("the result is an error, not {other:?}"),
    }
}

/// A tool that answers at once.
fn ping() -> Tool {
    Tool::new("ping", "Answers.", |_: ToolContext, (): ()| async { "pong" })
}

/// A tool that never ends.
fn stuck() -> Tool {
    Tool::new("stuck", "Never ends.", |_: ToolContext, (): ()| std::future::pending::<()>())
}
