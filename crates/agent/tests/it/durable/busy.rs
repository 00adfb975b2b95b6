//! What becomes of a message while an answer is being made.

use std::collections::BTreeMap;

use loomwork_agent::durable::{Busy, StartError, StartOptions, Started};
use loomwork_agent::{Approval, Tool, ToolContext, ToolPolicy, approvals, step_count};
use loomwork_messages::{MessageStatus, RunStatus};
use loomwork_models::{Gate, Message, MockReply, Role};
use loomwork_testkit::soon;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::house::{END, House, agent, model};
use crate::desk::text;

fn when(busy: Busy) -> StartOptions {
    StartOptions { busy, ..StartOptions::default() }
}

#[tokio::test]
async fn runs_of_a_thread_are_made_one_behind_the_other() {
    let (house, hangs) = (House::open().await, Gate::new());
    let model = model([text("one").gate(&hangs), text("two"), text("three")]);
    let clerk = agent(&model);
    let process = house.process(&clerk).await;
    let first = house.run(&clerk, "1").await;
    soon(hangs.reached()).await;
    let (second, third) = (house.run(&clerk, "2").await, house.run(&clerk, "3").await);
    assert_eq!(model.requests().len(), 1);
    hangs.open();
    for run in [first, second, third] {
        assert_eq!(house.ended(run).await, RunStatus::Success);
    }
    let said: Vec<_> = house.said().await.into_iter().map(|(order, _, text, _)| (order, text)).collect();
    let right = [(0, "1"), (0, "one"), (1, "2"), (1, "two"), (2, "3"), (2, "three")];
    assert_eq!(said, right.map(|(order, text)| (order, text.to_owned())));
    let told: Vec<_> = model.requests()[2].messages.iter().map(Message::text).collect();
    assert_eq!(told, ["1", "one", "2", "two", "3"], "each knows what was said before");
    process.end(END).await;
}

#[tokio::test]
async fn a_message_is_rejected_while_an_answer_is_made() {
    let (house, hangs) = (House::open().await, Gate::new());
    let clerk = agent(&model([text("one").gate(&hangs), text("two")]));
    let process = house.process(&clerk).await;
    let first = house.run(&clerk, "1").await;
    soon(hangs.reached()).await;
    let (again, thread) = (clerk.clone(), house.thread);
    let refused = house.store.mutate(move |tx| again.start(tx, thread, "2", when(Busy::Reject)));
    let error = refused.await.expect_err("it is busy");
    assert_eq!(error.downcast_ref(), Some(&StartError::Busy { thread, run: first }));
    assert_eq!(house.said().await.len(), 2, "nothing is saved");
    hangs.open();
    house.ended(first).await;
    let second = house.start(&clerk, "2", when(Busy::Reject)).await.run().expect("it is free now");
    assert_eq!(house.ended(second).await, RunStatus::Success);
    process.end(END).await;
}

#[tokio::test]
async fn a_message_takes_the_place_of_what_is_being_answered() {
    let (house, hangs) = (House::open().await, Gate::new());
    let clerk = agent(&model([text("half an").gate(&hangs), text("two")]));
    let process = house.process(&clerk).await;
    let first = house.run(&clerk, "1").await;
    soon(hangs.reached()).await;
    let second = house.start(&clerk, "2", when(Busy::Supersede)).await.run().expect("a run");
    assert_eq!(house.ended(second).await, RunStatus::Success);
    let row = house.until(first, |run| run.status.has_ended()).await;
    assert_eq!(
        (row.status, row.record.error.expect("a reason").code),
        (RunStatus::Aborted, "superseded".into())
    );
    let said = house.said().await;
    assert_eq!(said.last().map(|(_, _, text, _)| text.as_str()), Some("two"));
    process.end(END).await;
}

#[tokio::test]
async fn a_message_joins_the_turn_at_its_next_step() {
    let (house, hangs) = (House::open().await, Gate::new());
    let model = model([text("Red ones.").gate(&hangs), text("Blue ones, then.")]);
    let clerk = agent(&model).stop_when(step_count(1));
    let process = house.process(&clerk).await;
    let run = house.run(&clerk, "Which tulips?").await;
    soon(hangs.reached()).await;
    let joined = house.start(&clerk, "No, blue ones.", when(Busy::Steer)).await;
    assert!(matches!(joined, Started::Joined { run: joins, .. } if joins == run), "{joined:?}");
    hangs.open();
    let row = house.until(run, |run| run.status.has_ended()).await;
    assert_eq!((row.status, row.steps), (RunStatus::Success, 2), "it goes on for that");
    let said = house.said().await;
    assert!(said.iter().all(|(order, _, _, status)| *order == 0 && *status == MessageStatus::Success));
    let texts: Vec<_> = said.iter().map(|(_, _, text, _)| text.as_str()).collect();
    assert_eq!(texts, ["Which tulips?", "Red ones.", "No, blue ones.", "Blue ones, then."]);
    let asked: Vec<_> =
        model.requests()[1].messages.iter().map(|message| (message.role, message.text())).collect();
    assert_eq!(asked.last(), Some(&(Role::User, "No, blue ones.".to_owned())));
    assert_eq!(asked.len(), 3, "each message is told once");
    // Without a turn to join, it begins one.
    let next = house.start(&clerk, "And now?", when(Busy::Steer)).await;
    assert!(matches!(next, Started::Run { .. }), "{next:?}");
    process.end(END).await;
}

#[tokio::test]
async fn what_joins_a_turn_that_waits_to_be_taken_up_is_told_once() {
    let house = House::open().await;
    let model = model([text("Blue ones, then.")]);
    let clerk = agent(&model);
    let run = house.run(&clerk, "Which tulips?").await;
    house.start(&clerk, "Blue ones.", when(Busy::Steer)).await;
    let process = house.process(&clerk).await;
    assert_eq!(house.ended(run).await, RunStatus::Success);
    assert_eq!(model.requests().len(), 1);
    let told: Vec<_> = model.requests()[0].messages.iter().map(Message::text).collect();
    assert_eq!(told, ["Which tulips?", "Blue ones."]);
    process.end(END).await;
}

#[tokio::test]
async fn a_message_that_joins_while_an_approved_call_runs_is_answered() {
    let (house, runs, ends) = (House::open().await, CancellationToken::new(), CancellationToken::new());
    let model = model([MockReply::default().tool_call("1", "pay", json!({})), text("Blue ones, then.")]);
    let (running, may_end) = (runs.clone(), ends.clone());
    let policy = ToolPolicy { needs_approval: Approval::Always, ..ToolPolicy::default() };
    let pay = Tool::new("pay", "Pays.", move |_: ToolContext, (): ()| {
        running.cancel();
        let may_end = may_end.clone();
        async move {
            may_end.cancelled().await;
            "paid"
        }
    });
    let clerk = agent(&model).stop_when(step_count(1)).tool(pay.with_policy(policy)).expect("a tool");
    let process = house.process(&clerk).await;
    let run = house.run(&clerk, "Pay for red ones.").await;
    house.until(run, |run| run.status == RunStatus::Waiting).await;
    let asked = house.store.query(move |tx| approvals::of_run(tx, run)).await.expect("it is read");
    let id = asked[0].id;
    house.store.mutate(move |tx| approvals::approve(tx, id, "bob")).await.expect("it is approved");
    soon(runs.cancelled()).await;
    let joined = house.start(&clerk, "No, blue ones.", when(Busy::Steer)).await;
    assert!(matches!(joined, Started::Joined { run: joins, .. } if joins == run), "{joined:?}");
    ends.cancel();
    assert_eq!(house.ended(run).await, RunStatus::Success);
    let asked: Vec<_> = model.requests()[1].messages.iter().map(|message| message.role).collect();
    assert_eq!(asked.last(), Some(&Role::User));
    assert_eq!(house.said().await.last().expect("an answer").2, "Blue ones, then.");
    process.end(END).await;
}

#[tokio::test]
async fn a_run_that_waits_for_somebody_keeps_no_other_waiting() {
    let house = House::open().await;
    let pays = || MockReply::default().tool_call("1", "pay", json!({}));
    let clerk = agent(&model([pays(), text("two"), pays(), text("four")]));
    let policy = ToolPolicy { needs_approval: Approval::Always, ..ToolPolicy::default() };
    let pay = Tool::new("pay", "Pays.", |_: ToolContext, (): ()| async { "paid" }).with_policy(policy);
    let clerk = clerk.tool(pay).expect("a tool");
    let process = house.process(&clerk).await;
    for busy in [Busy::Queue, Busy::Reject] {
        let waits = house.run(&clerk, "Pay.").await;
        house.until(waits, |run| run.status == RunStatus::Waiting).await;
        let next = house.start(&clerk, "What else?", when(busy)).await.run().expect("the thread is not busy");
        assert_eq!(house.ended(next).await, RunStatus::Success);
    }
    process.end(END).await;
}

#[tokio::test]
async fn a_message_does_not_join_a_value_which_has_one_step_and_is_answered_behind_it() {
    let (house, hangs) = (House::open().await, Gate::new());
    let model = model([text(r#"{"colour": "red"}"#).gate(&hangs), text("Blue ones, then.")]);
    let clerk = agent(&model);
    let process = house.process(&clerk).await;
    let thread = clerk.in_thread(&process.runtime, house.thread);
    let asking = async { thread.generate_object::<BTreeMap<String, String>>("Which tulips?").await };
    let steering = async {
        soon(hangs.reached()).await;
        let begun = house.start(&clerk, "No, blue ones.", when(Busy::Steer)).await;
        hangs.open();
        begun
    };
    let (value, begun) = soon(async { tokio::join!(asking, steering) }).await;
    assert_eq!(value.expect("a value").object["colour"], "red");
    let Started::Run { run, .. } = begun else { panic!("it is a turn of its own: {begun:?}") };
    assert_eq!(house.ended(run).await, RunStatus::Success);
    let orders: Vec<_> = house.said().await.iter().map(|(order, _, _, _)| *order).collect();
    assert_eq!(orders, [0, 0, 1, 1]);
    process.end(END).await;
}
