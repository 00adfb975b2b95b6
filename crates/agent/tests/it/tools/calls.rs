use std::sync::Arc;

use futures_util::StreamExt;
use loomwork_agent::{
    Approval, CANCEL_GRACE, Outcome, ParentRun, RequestedCall, Tool, ToolContext, ToolPolicy, ToolScope,
    Tools, run_calls,
};
use loomwork_core::RawId;
use loomwork_messages::{MessageId, RunId, ThreadId};
use loomwork_models::{Message, ToolOutput};
use loomwork_testkit::soon;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::{Step, call, end, output, ping, stuck, tools};

#[tokio::test]
async fn calls_of_a_step_run_at_the_same_time_and_end_as_they_come() {
    let barrier = Arc::new(Barrier::new(2));
    let meeting = Tool::new("meet", "Waits for the other.", move |_: ToolContext, (): ()| {
        let barrier = barrier.clone();
        async move { barrier.wait().await.is_leader().to_string() }
    });
    let step = Step::new().await;
    let calls = [call("1", "meet", json!({})), call("2", "meet", json!({})), call("3", "ping", json!({}))];
    let ends = step.ends(&tools([meeting, ping()]), calls).await;
    assert_eq!(ends[0].call.id, "2", "the first one had to wait for it, and ends later");
    assert!(ends.iter().all(loomwork_agent::CallEnd::succeeded));
}

#[tokio::test]
async fn a_result_is_there_while_other_calls_still_run() {
    let step = Step::new().await;
    let calls = [call("1", "stuck", json!({})), call("2", "ping", json!({}))];
    let mut running = run_calls(&tools([stuck(), ping()]), calls, step.scope.clone(), Arc::new(()));
    let first = soon(running.next()).await.and_then(end).expect("one call ends");
    assert_eq!((first.call.id.as_str(), first.succeeded()), ("2", true));
}

#[tokio::test]
async fn a_tool_knows_whose_call_it_is() {
    let raw = |number| RawId::from_bytes([number; 16]);
    let step = Step::new().await;
    let scope = ToolScope {
        caller: Some("mail".into()),
        user: Some("alice".into()),
        thread: Some(ThreadId::from_raw(raw(1))),
        message: Some(MessageId::from_raw(raw(2))),
        prompt: Some(MessageId::from_raw(raw(3))),
        parent: Some(ParentRun {
            run: RunId::from_raw(raw(4)),
            thread: None,
            root: RunId::from_raw(raw(5)),
            root_thread: None,
            depth: 2,
        }),
        messages: Arc::new([Message::user("Hi")]),
        step: 2,
        attempt: 3,
        ..(*step.scope).clone()
    };
    let look = Tool::new("look", "Looks.", |ctx: ToolContext<u32>, (): ()| async move {
        assert_eq!((ctx.agent(), ctx.caller(), ctx.user()), ("support", Some("mail"), Some("alice")));
        assert!(ctx.thread().is_some() && ctx.message().is_some() && ctx.prompt().is_some());
        assert_ne!(ctx.message(), ctx.prompt());
        assert_eq!((ctx.step(), ctx.attempt(), ctx.tried()), (2, 3, 1));
        assert!(ctx.parent().is_some());
        assert_eq!(ctx.messages(), [Message::user("Hi")]);
        assert!(ctx.files().is_none() && ctx.search().is_none());
        assert_eq!(ctx.store().id(), ctx.scope().store.id());
        assert_eq!((ctx.call_id(), ctx.call().name.as_str()), ("1", "look"));
        format!("{} {}", ctx.state(), ctx.idempotency_key())
    });
    let tools = Tools::of([look]).unwrap();
    let calls = run_calls(&tools, [call("1", "look", json!({}))], Arc::new(scope), Arc::new(42_u32));
    let ends: Vec<_> = soon(calls.filter_map(|event| async { end(event) }).collect()).await;
    let run = step.scope.run;
    assert_eq!(output(&ends[0]), &ToolOutput::Text(format!("42 {run}:2:1")));
}

#[tokio::test]
async fn a_tool_that_heeds_the_token_ends_by_itself() {
    let step = Step::new().await;
    let heeding = Tool::new("heed", "Heeds the token.", |ctx: ToolContext, (): ()| async move {
        ctx.cancelled().cancelled().await;
        "saved what there was"
    });
    let tools = tools([heeding]);
    let mut calls = run_calls(&tools, [call("1", "heed", json!({}))], step.scope.clone(), Arc::new(()));
    let cancel = async {
        tokio::task::yield_now().await;
        step.scope.cancel.cancel();
    };
    let (event, ()) = soon(async { tokio::join!(calls.next(), cancel) }).await;
    let end = event.and_then(end).expect("the call ends");
    assert_eq!(output(&end), &ToolOutput::from("saved what there was"));
    assert!(end.succeeded());
}

#[tokio::test]
async fn a_tool_that_ignores_the_token_is_dropped_and_its_call_has_an_end() {
    let step = Step::new().await;
    let tools = tools([stuck()]);
    let mut calls = run_calls(&tools, [call("1", "stuck", json!({}))], step.scope.clone(), Arc::new(()));
    let cancel = async {
        step.scope.cancel.cancel();
        // The grace's, beside that of the time limit.
        step.hand.timers_waiting(2).await;
        step.hand.advance(CANCEL_GRACE);
    };
    // The first poll begins the call.
    assert!(futures_util::poll!(calls.next()).is_pending());
    let (event, ()) = soon(async { tokio::join!(calls.next(), cancel) }).await;
    let end = event.and_then(end).expect("the call ends");
    assert_eq!((end.outcome, end.duration()), (Outcome::Cancelled, CANCEL_GRACE));
    assert_eq!(output(&end), &ToolOutput::error("the call was called off"));
}

#[tokio::test]
async fn nothing_runs_in_a_run_that_was_called_off_before() {
    let step = Step::new().await;
    step.scope.cancel.cancel();
    let end = step.run(ping(), json!({})).await;
    assert_eq!((end.outcome, end.tries), (Outcome::Cancelled, 0));
}

#[tokio::test]
async fn a_call_that_needs_approval_waits_for_it() {
    let guarded = |needs_approval| ping().with_policy(ToolPolicy { needs_approval, ..ToolPolicy::default() });
    let step = Step::new().await;
    let end = step.run(guarded(Approval::Always), json!({})).await;
    assert_eq!((end.outcome, &end.result, end.tries), (Outcome::NeedsApproval, &None, 0));

    let call = RequestedCall { call: call("1", "ping", json!({})), approved: true };
    let ends = step.ends(&tools([guarded(Approval::Always)]), [call]).await;
    assert!(ends[0].succeeded());
}

#[tokio::test]
async fn a_function_of_context_and_arguments_says_which_calls_need_approval() {
    let needs_approval = Approval::when(|ctx: ToolContext, input: Value| async move {
        ctx.agent() == "support" && input["amount"].as_f64() > Some(100.0)
    });
    let schema = json!({ "type": "object", "properties": { "amount": { "type": "number" } } });
    let refund = Tool::dynamic("refund", "Pays back.", schema, |_, _| async { "paid" });
    let refund = refund.with_policy(ToolPolicy { needs_approval, ..ToolPolicy::default() });
    let step = Step::new().await;
    assert!(step.run(refund.clone(), json!({ "amount": 99 })).await.succeeded());
    let end = step.run(refund.clone(), json!({ "amount": 101 })).await;
    assert_eq!(end.outcome, Outcome::NeedsApproval);
    let end = step.run(refund, json!({ "amount": "much" })).await;
    assert_eq!(end.outcome, Outcome::Failed, "nobody is asked to approve what cannot run");
}

#[tokio::test]
async fn a_context_for_tests_needs_no_run() {
    let context = ToolContext::for_test("state").await;
    assert_eq!((**context.state(), context.agent()), ("state", "test"));
    context.progress(0.5, "nobody reads it");
    context.preliminary("nor this").await;
}
