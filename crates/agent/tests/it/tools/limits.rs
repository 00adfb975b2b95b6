use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use loomwork_agent::{DEFAULT_TIMEOUT, Outcome, Tool, ToolContext, ToolError, ToolPolicy, run_calls};
use loomwork_core::{Kind, RetryPolicy};
use loomwork_models::ToolOutput;
use loomwork_testkit::soon;
use serde_json::json;
use tokio::sync::Semaphore;

use super::{Step, call, end, output, stuck, told, tools};

/// Fails as often as it is said, with an error of a kind.
fn failing(times: u32, kind: Kind) -> Tool {
    Tool::new("flaky", "Fails.", move |ctx: ToolContext, (): ()| async move {
        let tried = ctx.tried();
        if tried > times { Ok(tried.to_string()) } else { Err(ToolError::new(kind, "not now")) }
    })
}

fn twice_more() -> ToolPolicy {
    let retries = RetryPolicy::default().with_attempts(3).with_initial(Duration::ZERO);
    ToolPolicy { retries, idempotent: true, ..ToolPolicy::default() }
}

#[tokio::test]
async fn a_tool_is_not_tried_again_by_itself() {
    let step = Step::new().await;
    let end = step.run(failing(1, Kind::Unavailable), json!({})).await;
    assert_eq!((told(&end), end.tries), ("not now", 1));
}

#[tokio::test]
async fn an_idempotent_tool_is_tried_again_if_its_policy_says_so() {
    let step = Step::new().await;
    let end = step.run(failing(2, Kind::Unavailable).with_policy(twice_more()), json!({})).await;
    assert_eq!((output(&end), end.tries), (&ToolOutput::from("3"), 3));
    let end = step.run(failing(3, Kind::Unavailable).with_policy(twice_more()), json!({})).await;
    assert_eq!((told(&end), end.tries), ("not now", 3));
}

#[tokio::test]
async fn a_tool_that_is_not_idempotent_is_never_tried_again() {
    let policy = ToolPolicy { idempotent: false, ..twice_more() };
    let end = Step::new().await.run(failing(1, Kind::Unavailable).with_policy(policy), json!({})).await;
    assert_eq!((end.outcome, end.tries), (Outcome::Failed, 1));
}

#[tokio::test]
async fn what_cannot_succeed_is_not_tried_again() {
    let end = Step::new().await.run(failing(1, Kind::Invalid).with_policy(twice_more()), json!({})).await;
    assert_eq!((end.outcome, end.tries), (Outcome::Failed, 1));
}

#[tokio::test]
async fn all_tries_of_a_call_have_one_key() {
    let keys = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = keys.clone();
    let tool = Tool::new("flaky", "Fails.", move |ctx: ToolContext, (): ()| {
        seen.lock().unwrap().push(ctx.idempotency_key());
        async { Err::<(), _>("not now") }
    });
    let step = Step::new().await;
    step.run(tool.with_policy(twice_more()), json!({})).await;
    let key = format!("{}:0:1", step.scope.run);
    assert_eq!(*keys.lock().unwrap(), [key.clone(), key.clone(), key]);
}

#[tokio::test]
async fn a_try_that_takes_too_long_is_dropped_and_hears_of_it() {
    let step = Step::new().await;
    let (sender, heard) = tokio::sync::oneshot::channel();
    let sender = std::sync::Mutex::new(Some(sender));
    let tool = Tool::new("stuck", "Never ends.", move |ctx: ToolContext, (): ()| {
        let token = ctx.cancelled().clone();
        if let Some(sender) = sender.lock().unwrap().take() {
            let _ = sender.send(token);
        }
        std::future::pending::<()>()
    });
    let policy = ToolPolicy { timeout: Some(Duration::from_secs(30)), ..ToolPolicy::default() };
    let turn = async {
        step.hand.timers_waiting(1).await;
        step.hand.advance(Duration::from_secs(30));
    };
    let (end, ()) = soon(async { tokio::join!(step.run(tool.with_policy(policy), json!({})), turn) }).await;
    assert_eq!(told(&end), "`stuck` took longer than 30s");
    assert_eq!(end.duration(), Duration::from_secs(30));
    assert!(heard.await.unwrap().is_cancelled());
}

#[tokio::test]
async fn a_tool_has_a_time_limit_unless_its_policy_lifts_it() {
    let step = Step::new().await;
    let turn = async {
        step.hand.timers_waiting(1).await;
        assert_eq!(step.hand.advance_to_next_timer(), Some(step.scope.clock.now()));
    };
    let (end, ()) = soon(async { tokio::join!(step.run(stuck(), json!({})), turn) }).await;
    assert_eq!(end.duration(), DEFAULT_TIMEOUT);

    let endless = tools([stuck().with_policy(ToolPolicy { timeout: None, ..ToolPolicy::default() })]);
    let mut calls = run_calls(&endless, [call("1", "stuck", json!({}))], step.scope.clone(), Arc::new(()));
    assert!(futures_util::poll!(calls.next()).is_pending());
    assert_eq!(step.hand.next_timer(), None);
}

#[tokio::test]
async fn only_so_many_calls_run_at_a_time_over_all_steps() {
    let (gate, inside, most) =
        (Arc::new(Semaphore::new(0)), Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (held, counted, highest) = (gate.clone(), inside.clone(), most.clone());
    let narrow = Tool::new("narrow", "Takes two.", move |_: ToolContext, (): ()| {
        let (gate, inside, most) = (held.clone(), counted.clone(), highest.clone());
        async move {
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            inside.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let narrow = narrow.with_policy(ToolPolicy { concurrency: Some(2), ..ToolPolicy::default() });
    let calls = || (0..5).map(|number| call(&number.to_string(), "narrow", json!({})));
    let (first, second) = (Step::new().await, Step::new().await);
    let (some, others) = (tools([narrow.clone()]), tools([narrow]));
    let mut running = run_calls(&some, calls(), first.scope.clone(), Arc::new(()));
    let mut waiting = run_calls(&others, calls(), second.scope.clone(), Arc::new(()));
    assert!(futures_util::poll!(running.next()).is_pending());
    assert!(futures_util::poll!(waiting.next()).is_pending());
    assert_eq!(inside.load(Ordering::SeqCst), 2);
    gate.add_permits(10);
    let (some, others) =
        soon(async { tokio::join!(running.collect::<Vec<_>>(), waiting.collect::<Vec<_>>()) }).await;
    assert_eq!((some.len(), others.len(), most.load(Ordering::SeqCst)), (5, 5, 2));
}

#[tokio::test]
async fn a_call_that_waits_for_its_turn_ends_when_it_is_called_off() {
    let step = Step::new().await;
    let one = stuck().with_policy(ToolPolicy { concurrency: Some(1), ..ToolPolicy::default() });
    let calls = [call("1", "stuck", json!({})), call("2", "stuck", json!({}))];
    let mut running = run_calls(&tools([one]), calls, step.scope.clone(), Arc::new(()));
    assert!(futures_util::poll!(running.next()).is_pending());
    step.scope.cancel.cancel();
    let first = soon(running.next()).await.and_then(end).expect("the one that waited ends at once");
    assert_eq!((first.call.id.as_str(), first.outcome, first.tries), ("2", Outcome::Cancelled, 0));
}
