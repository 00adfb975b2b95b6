//! Calls that somebody has approved: what is prepared for them, and what becomes of their results.

use std::sync::{Arc, Mutex};

use loomwork_agent::approvals::approve;
use loomwork_agent::{
    Agent, AgentError, Approval, NextStep, Options, PrepareStep, Tool, ToolContext, ToolPolicy, step_count,
};
use loomwork_messages::{Failure, MessageStatus, RunStatus, runs};
use loomwork_models::{LanguageModel, Message, MockReply, Role, ToolOutput};
use loomwork_testkit::soon;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::office::{Office, asked, run_of};
use crate::desk::text;

fn refund() -> MockReply {
    MockReply::default().tool_call("1", "refund", json!({ "order": 7, "amount": 20 }))
}

/// The steps that were prepared: their numbers, and how many results they knew.
type Prepared = Arc<Mutex<Vec<(usize, usize)>>>;

fn noting(prepared: &Prepared, tool: Option<Tool>) -> Options {
    let prepared = prepared.clone();
    let prepare = PrepareStep::new(move |mut next: NextStep| {
        let results = next.messages.iter().flat_map(Message::tool_results).count();
        prepared.lock().expect("nothing panics").push((next.number, results));
        let tool = tool.clone().filter(|_| next.number == 0);
        async move {
            if let Some(tool) = tool {
                next.tools.add(tool)?;
            }
            Ok(next)
        }
    });
    Options { prepare_step: Some(prepare), ..Options::default() }
}

#[tokio::test]
async fn each_step_is_prepared_once_though_somebody_has_to_approve_in_between() {
    let office = Office::with([refund(), text("You get 20.")]).await;
    let prepared = Prepared::default();
    let thread = office.thread(&office.agent().with(noting(&prepared, None))).await;
    let reply = thread.generate_text("I want my money back.").await.expect("it waits");
    let id = asked(&reply)[0];
    office.commit(move |tx| approve(tx, id, "bob")).await;
    soon(thread.resume(run_of(&reply))).await.expect("an answer");
    assert_eq!(*prepared.lock().expect("nothing panics"), [(0, 0), (1, 1)], "each knows all that was said");
}

#[tokio::test]
async fn a_call_of_a_tool_that_its_step_alone_had_is_made_when_it_is_approved() {
    let office = Office::with([refund(), text("You get 20.")]).await;
    let agent = Agent::new("support", office.model.clone() as Arc<dyn LanguageModel>);
    let prepared = Prepared::default();
    let agent = agent.stop_when(step_count(6)).with(noting(&prepared, Some(office.refund_tool())));
    let thread = office.thread(&agent).await;
    let reply = thread.generate_text("I want my money back.").await.expect("it waits");
    let id = asked(&reply)[0];
    office.commit(move |tx| approve(tx, id, "bob")).await;
    soon(thread.resume(run_of(&reply))).await.expect("an answer");
    assert_eq!(office.refunded(), [(7, 20)]);
    let prepared: Vec<_> =
        prepared.lock().expect("nothing panics").iter().map(|(number, _)| *number).collect();
    assert_eq!(prepared, [0, 0, 1], "whoever prepares the step that called says what tools it had");
    assert!(office.model.requests()[1].tools.is_empty());
}

#[tokio::test]
async fn what_approved_calls_return_is_said_though_their_run_was_called_off_meanwhile() {
    let both = refund().tool_call("2", "pay", json!({}));
    let office = Office::with([both, text("What else?")]).await;
    let (runs, ends) = (CancellationToken::new(), CancellationToken::new());
    let (running, may_end) = (runs.clone(), ends.clone());
    let policy = ToolPolicy { needs_approval: Approval::Always, ..ToolPolicy::default() };
    // It does not hear that it is called off.
    let pay = Tool::new("pay", "Pays.", move |_: ToolContext, (): ()| {
        running.cancel();
        let may_end = may_end.clone();
        async move {
            may_end.cancelled().await;
            "paid"
        }
    });
    let agent = office.agent().tool(pay.with_policy(policy)).expect("a tool");
    let thread = office.thread(&agent).await;
    let reply = thread.generate_text("Pay.").await.expect("it waits");
    let run = run_of(&reply);
    for id in asked(&reply) {
        office.commit(move |tx| approve(tx, id, "bob")).await;
    }
    let again = thread.clone();
    let answer = loomwork_core::Tasks::new();
    let (told, ended) = tokio::sync::oneshot::channel();
    answer.spawn("answer", move |_| async move { drop(told.send(again.resume(run).await)) });
    soon(runs.cancelled()).await;
    office.commit(move |tx| runs::abort(tx, run, Failure::new("enough", "somebody has had enough"))).await;
    ends.cancel();
    let error = soon(ended).await.expect("it ends").expect_err("it was called off");
    assert!(matches!(error, AgentError::Ended(_)), "{error}");
    assert_eq!(office.run(run).await.status, RunStatus::Aborted);
    let rows = office.rows(&thread).await;
    let said = rows.iter().filter(|row| row.status == MessageStatus::Success).flat_map(|row| row.message.tool_results());
    let mut said: Vec<_> = said.map(|result| (result.call.as_str(), result.output.clone())).collect();
    said.sort_by_key(|(call, _)| call.to_owned());
    let text_of = |text: &str| ToolOutput::Text(text.to_owned());
    assert_eq!(said, [("1", text_of("refunded 20 for order 7")), ("2", text_of("paid"))]);
    // So whoever answers next knows of it.
    thread.generate_text("And now?").await.expect("an answer");
    let told = office.model.requests().pop().expect("asked").messages;
    let results: Vec<_> = told.iter().flat_map(Message::tool_results).map(|result| &result.call).collect();
    assert_eq!(results.len(), 2, "{told:?}");
    assert_eq!(told.last().map(|message| message.role), Some(Role::User));
}
