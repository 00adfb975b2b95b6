//! Calls that wait until somebody lets them run.

use std::time::Duration;

use loomwork_agent::approvals::{
    self, APPROVAL_WITHIN, ApprovalError, ApprovalState, Approve, Deny, approve, deny, digest,
};
use loomwork_agent::context::AUTO_DENIED;
use loomwork_agent::{Agent, AgentError, AgentReply, AgentThread, Outcome, Tool, ToolContext};
use loomwork_messages::runs;
use loomwork_messages::{
    Failure, MessagePatch, NewMessage, Reducer, RunStatus, Save, UiPart, ToolState, save, update,
};
use loomwork_models::{Message, MockReply, Part, Role, ToolOutput};
use loomwork_store::Error;
use loomwork_testkit::soon;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::office::{Office, answers, asked, run_of};
use crate::desk::text;
use crate::ledger::Heard;

fn refund(id: &str, order: u32, amount: u32) -> MockReply {
    and_refund(MockReply::default(), id, order, amount)
}

fn and_refund(reply: MockReply, id: &str, order: u32, amount: u32) -> MockReply {
    reply.tool_call(id, "refund", json!({ "order": order, "amount": amount }))
}

fn fault<T: std::fmt::Debug>(result: Result<T, Error>) -> ApprovalError {
    result.expect_err("it is refused").downcast().expect("an error of approvals")
}

/// Asks for a refund that waits then.
async fn waiting(office: &Office, agent: &Agent) -> (AgentThread, AgentReply) {
    let thread = office.thread(agent).await;
    let reply = thread.generate_text("I want my money back.").await.expect("it waits");
    (thread, reply)
}

#[tokio::test]
async fn an_approved_call_is_made_and_its_run_goes_on() {
    let office = Office::with([refund("1", 7, 20), text("You get 20.")]).await;
    let heard = Heard::default();
    let agent = office.agent().on_usage(heard.handler());
    let (thread, reply) = waiting(&office, &agent).await;
    assert_eq!(reply.text, "");
    assert_eq!(office.refunded(), [], "nothing runs before somebody has approved");
    let run = run_of(&reply);
    assert_eq!(office.run(run).await.status, RunStatus::Waiting);
    let [id] = asked(&reply)[..] else { panic!("one call waits: {reply:?}") };

    let answered = office.commit(move |tx| approve(tx, id, "bob")).await;
    assert!(answered.goes_on);
    let reply = soon(thread.resume(run)).await.expect("an answer");
    assert_eq!((reply.text.as_str(), reply.steps.len()), ("You get 20.", 2));
    assert_eq!(reply.steps[0].calls[0].outcome, Outcome::Succeeded);
    assert_eq!(office.refunded(), [(7, 20)]);

    let rows = office.rows(&thread).await;
    let roles: Vec<_> = rows.iter().rev().map(|row| row.role()).collect();
    assert_eq!(roles, [Role::Assistant, Role::Tool, Role::Tool, Role::Assistant, Role::User]);
    let result = rows[3].message.tool_results().next().expect("the result is stored");
    assert_eq!(result.output, ToolOutput::Text("refunded 20 for order 7".into()));
    assert!(rows.iter().all(|row| row.order == 0));
    let run = office.run(run).await;
    assert_eq!((run.status, run.steps), (RunStatus::Success, 2));
    let events = heard.events();
    assert_eq!(events.iter().map(|event| event.step).collect::<Vec<_>>(), [0, 1], "usage is told once a step");
    assert!(events.iter().all(|event| event.usage.total() > 0));
    let told = office.model.requests()[1].messages.clone();
    assert_eq!(told.iter().flat_map(Message::tool_results).count(), 1);
}

#[tokio::test]
async fn a_denied_call_is_not_made_and_the_model_is_told_why() {
    let office = Office::with([refund("1", 7, 20), text("Sorry.")]).await;
    let (thread, reply) = waiting(&office, &office.agent()).await;
    let (run, id) = (run_of(&reply), asked(&reply)[0]);
    office.commit(move |tx| deny(tx, id, Deny::by("bob").because("too dear"))).await;
    let reply = soon(thread.resume(run)).await.expect("an answer");
    assert_eq!((reply.text.as_str(), reply.steps[0].calls[0].outcome), ("Sorry.", Outcome::Denied));
    assert_eq!(office.refunded(), []);
    let rows = office.rows(&thread).await;
    let roles: Vec<_> = rows.iter().rev().map(|row| row.role()).collect();
    assert_eq!(roles, [Role::Assistant, Role::Tool, Role::Tool, Role::Assistant, Role::User]);
    assert_eq!(answers(&rows[2]), [(false, Some("too dear".to_owned()))]);
    let told = &office.model.requests()[1].messages;
    let result = told.iter().flat_map(Message::tool_results).next().expect("it has a result");
    assert_eq!(result.output, ToolOutput::Denied { reason: Some("too dear".into()) });
    let row = office.approval(id).await;
    assert_eq!((row.state, row.by.as_deref()), (ApprovalState::Denied, Some("bob")));
}

#[tokio::test]
async fn answers_of_a_step_are_one_message_and_its_results_another() {
    let both = and_refund(refund("1", 7, 20), "2", 8, 30);
    let office = Office::with([both, text("Both are done.")]).await;
    let (thread, reply) = waiting(&office, &office.agent()).await;
    let (run, id) = (run_of(&reply), thread.id());
    let [first, second] = asked(&reply)[..] else { panic!("two calls wait: {reply:?}") };
    // A message that comes meanwhile moves nothing.
    office.commit(move |tx| save(tx, id, Save::from(NewMessage::from("Well?")))).await;
    assert!(!office.commit(move |tx| approve(tx, second, "bob")).await.goes_on);
    let last = office.commit(move |tx| deny(tx, first, Deny::by("eve").because("no"))).await;
    assert!(last.goes_on, "only the last answer lets the run go on");
    soon(thread.resume(run)).await.expect("an answer");
    let places = [
        (0, Role::User),
        (0, Role::Assistant),
        (0, Role::Tool),
        (0, Role::Tool),
        (0, Role::Assistant),
        (1, Role::User),
    ];
    assert_eq!(office.places(&thread).await, places);
    let rows = office.rows(&thread).await;
    assert_eq!(answers(&rows[2]), [(true, None), (false, Some("no".to_owned()))]);
    let results: Vec<_> = rows[3].message.tool_results().map(|result| result.call.as_str()).collect();
    assert_eq!(results, ["1", "2"]);
    assert_eq!(office.refunded(), [(8, 30)]);
}

#[tokio::test]
async fn an_approval_is_a_record_and_is_used_up_with_the_result() {
    let office = Office::with([refund("1", 7, 20), text("Done.")]).await;
    let (thread, reply) = waiting(&office, &office.agent()).await;
    let (run, id) = (run_of(&reply), asked(&reply)[0]);
    let row = office.approval(id).await;
    assert_eq!((row.state, row.by.as_ref(), row.title.as_deref()), (ApprovalState::Open, None, Some("Refund")));
    let site = row.site.clone();
    assert_eq!((site.run, site.thread, site.step, site.call.as_str()), (run, thread.id(), 0, "1"));
    assert_eq!((site.tool.as_str(), site.agent.as_str(), site.user.as_deref()), ("refund", "support", Some("alice")));
    let input = json!({ "order": 7, "amount": 20 });
    assert_eq!((row.input.as_ref(), row.digest), (Some(&input), digest("refund", &input)));
    assert_eq!(row.expires, row.created + APPROVAL_WITHIN);
    let rows = office.rows(&thread).await;
    let named = rows[1].message.parts.iter().find_map(|part| match part {
        Part::ApprovalRequest(request) => Some(request.id.clone()),
        _ => None,
    });
    assert_eq!(named, Some(id.to_string()), "the thread names it");
    let thread_id = thread.id();
    let open = move |tx: &loomwork_store::Tx| {
        Ok((approvals::open_in(tx, thread_id)?.len(), approvals::open(tx, 10)?.len()))
    };
    assert_eq!(office.query(open).await, (1, 1));

    office.commit(move |tx| approve(tx, id, Approve::by("bob").because("they are right"))).await;
    let row = office.approval(id).await;
    assert_eq!((row.state, row.by.as_deref()), (ApprovalState::Approved, Some("bob")));
    assert_eq!((row.reason.as_deref(), row.answered.is_some()), (Some("they are right"), true));
    assert_eq!(office.query(open).await, (0, 0));
    soon(thread.resume(run)).await.expect("an answer");
    let row = office.approval(id).await;
    assert_eq!((row.state, row.input.as_ref()), (ApprovalState::Used, None), "the thread has the arguments");
    assert_eq!(office.query(move |tx| approvals::of_run(tx, run)).await.len(), 1);
}

#[tokio::test]
async fn of_two_who_answer_at_once_one_wins_and_the_other_is_told() {
    let office = Office::with([refund("1", 7, 20), text("Done.")]).await;
    let (_thread, reply) = waiting(&office, &office.agent()).await;
    let id = asked(&reply)[0];
    let store = office.runtime.store();
    let (bob, eve) = tokio::join!(
        store.mutate(move |tx| approve(tx, id, "bob")),
        store.mutate(move |tx| deny(tx, id, "eve")),
    );
    let row = office.approval(id).await;
    let (winner, error) = match (bob, eve) {
        (Ok(_), Err(error)) => ((ApprovalState::Approved, "bob"), error),
        (Err(error), Ok(_)) => ((ApprovalState::Denied, "eve"), error),
        both => panic!("one wins: {both:?}"),
    };
    assert_eq!((row.state, row.by.as_deref()), (winner.0, Some(winner.1)));
    let told: ApprovalError = error.downcast().expect("an error of approvals");
    let by = Some(winner.1.to_owned());
    assert_eq!(told, ApprovalError::Answered { approval: id, state: winner.0, by, at: row.answered });
}

#[tokio::test]
async fn an_answer_to_arguments_that_have_changed_is_refused() {
    let office = Office::with([refund("1", 7, 20), text("Done.")]).await;
    let (thread, reply) = waiting(&office, &office.agent()).await;
    let id = asked(&reply)[0];
    let store = office.runtime.store();
    let other = Approve::by("bob").seen(digest("refund", &json!({ "order": 7, "amount": 2 })));
    let error = fault(store.mutate(move |tx| approve(tx, id, other)).await);
    assert_eq!(error, ApprovalError::Changed { approval: id });

    let row = office.rows(&thread).await[1].clone();
    let mut message = row.record.message;
    for part in &mut message.parts {
        if let Part::ToolCall(call) = part {
            call.input = json!({ "order": 7, "amount": 2_000 });
        }
    }
    let patch = MessagePatch { message: Some(message), ..MessagePatch::default() };
    office.commit(move |tx| update(tx, row.id, patch)).await;
    let error = fault(store.mutate(move |tx| approve(tx, id, "bob")).await);
    assert_eq!(error, ApprovalError::Changed { approval: id });
    // What it does not run, it may be whatever it is.
    office.commit(move |tx| deny(tx, id, "bob")).await;
}

#[tokio::test]
async fn what_changes_behind_an_approval_does_not_run() {
    let office = Office::with([refund("1", 7, 20), text("Sorry.")]).await;
    let (thread, reply) = waiting(&office, &office.agent()).await;
    let (run, id) = (run_of(&reply), asked(&reply)[0]);
    office.commit(move |tx| approve(tx, id, "bob")).await;
    let row = office.rows(&thread).await[1].clone();
    let mut message = row.record.message;
    for part in &mut message.parts {
        if let Part::ToolCall(call) = part {
            call.input = json!({ "order": 7, "amount": 2_000 });
        }
    }
    let patch = MessagePatch { message: Some(message), ..MessagePatch::default() };
    office.commit(move |tx| update(tx, row.id, patch)).await;
    let reply = soon(thread.resume(run)).await.expect("an answer");
    assert_eq!(reply.steps[0].calls[0].outcome, Outcome::Denied);
    assert_eq!(office.refunded(), []);
}

#[tokio::test]
async fn who_approves_may_change_the_arguments_which_then_stand_in_the_thread() {
    let office = Office::with([refund("1", 7, 20), text("Half of it.")]).await;
    let (thread, reply) = waiting(&office, &office.agent()).await;
    let (run, id) = (run_of(&reply), asked(&reply)[0]);
    let wrong = Approve::by("bob").with_input(json!({ "order": 7, "amount": "half" }));
    let error = fault(office.runtime.store().mutate(move |tx| approve(tx, id, wrong)).await);
    assert!(matches!(&error, ApprovalError::BadInput { faults, .. } if faults.contains("amount")), "{error}");
    let half = Approve::by("bob").with_input(json!({ "order": 7, "amount": 10 }));
    let answered = office.commit(move |tx| approve(tx, id, half)).await;
    assert_eq!(answered.approval.asked, Some(json!({ "order": 7, "amount": 20 })));
    soon(thread.resume(run)).await.expect("an answer");
    assert_eq!(office.refunded(), [(7, 10)]);
    let rows = office.rows(&thread).await;
    let call = rows[1].message.parts.iter().find_map(|part| match part {
        Part::ToolCall(call) => Some(call.input.clone()),
        _ => None,
    });
    assert_eq!(call, Some(json!({ "order": 7, "amount": 10 })), "the model is told what was done");
    let Some(Part::ApprovalResponse(answer)) = rows[2].message.parts.first() else { panic!("{:?}", rows[2]) };
    assert_eq!(answer.extras.of("human", "by"), Some(&json!("bob")));
    assert_eq!(answer.extras.of("human", "asked"), Some(&json!({ "order": 7, "amount": 20 })));
}

#[tokio::test]
async fn a_tool_that_may_always_run_in_a_thread_asks_there_no_more_until_that_is_taken_back() {
    let replies = [
        refund("1", 7, 20),
        refund("2", 8, 30),
        text("Both."),
        refund("3", 9, 40),
        text("Elsewhere it waits."),
    ];
    let office = Office::with(replies).await;
    let agent = office.agent();
    let (thread, reply) = waiting(&office, &agent).await;
    let (run, id) = (run_of(&reply), asked(&reply)[0]);
    office.commit(move |tx| approve(tx, id, Approve::by("bob").always())).await;
    let reply = soon(thread.resume(run)).await.expect("an answer");
    assert_eq!((reply.text.as_str(), office.refunded()), ("Both.", vec![(7, 20), (8, 30)]));

    let id = thread.id();
    let grants = office.query(move |tx| approvals::grants(tx, id)).await;
    let [grant] = &grants[..] else { panic!("one grant: {grants:?}") };
    assert_eq!((grant.tool.as_str(), grant.agent.as_str(), grant.by.as_str()), ("refund", "support", "bob"));
    let grant = grant.id;
    assert!(office.commit(move |tx| approvals::revoke(tx, grant)).await);
    let reply = thread.generate_text("And order 9?").await.expect("it waits");
    assert_eq!(asked(&reply).len(), 1, "somebody is asked again");
}

#[tokio::test]
async fn a_grant_is_for_one_thread() {
    let office = Office::with([refund("1", 7, 20), refund("2", 8, 30)]).await;
    let agent = office.agent();
    let (_, reply) = waiting(&office, &agent).await;
    let id = asked(&reply)[0];
    office.commit(move |tx| approve(tx, id, Approve::by("bob").always())).await;
    let (_, elsewhere) = waiting(&office, &agent).await;
    assert_eq!(asked(&elsewhere).len(), 1);
}

#[tokio::test]
async fn what_nobody_answers_in_time_is_denied() {
    let office = Office::with([refund("1", 7, 20), text("Nobody was there.")]).await;
    let (thread, reply) = waiting(&office, &office.agent()).await;
    let (run, id) = (run_of(&reply), asked(&reply)[0]);
    office.clock.advance(APPROVAL_WITHIN);
    let error = fault(office.runtime.store().mutate(move |tx| approve(tx, id, "bob")).await);
    assert_eq!(error, ApprovalError::Expired { approval: id, expired: office.approval(id).await.expires });
    let reply = soon(thread.resume(run)).await.expect("it goes on by itself");
    assert_eq!((reply.text.as_str(), office.refunded()), ("Nobody was there.", vec![]));
    let rows = office.rows(&thread).await;
    assert_eq!(answers(&rows[2]), [(false, Some("nobody approved it in time".to_owned()))]);
    let row = office.approval(id).await;
    assert_eq!((row.state, row.by.as_ref()), (ApprovalState::Expired, None));
}

#[tokio::test]
async fn a_run_that_waits_outlives_its_process_and_is_answered_from_another() {
    let office = Office::with([refund("1", 7, 20), text("Done.")]).await;
    let agent = office.agent();
    let (thread, reply) = waiting(&office, &agent).await;
    let (run, id, thread) = (run_of(&reply), asked(&reply)[0], thread.id());
    let office = office.reopen().await;
    office.commit(move |tx| approve(tx, id, "bob")).await;
    let reply = soon(agent.in_thread(&office.runtime, thread).resume(run)).await.expect("an answer");
    assert_eq!((reply.text.as_str(), office.refunded()), ("Done.", vec![(7, 20)]));
}

#[tokio::test]
async fn the_last_answer_has_a_durable_run_taken_up() {
    let both = and_refund(refund("1", 7, 20), "2", 8, 30);
    let office = Office::with([both, text("Done.")]).await;
    let agent = office.agent().durable();
    let (thread, reply) = waiting(&office, &agent).await;
    let run = run_of(&reply);
    let [first, second] = asked(&reply)[..] else { panic!("two calls wait: {reply:?}") };
    office.commit(move |tx| approve(tx, first, "bob")).await;
    assert_eq!(office.query(|tx| runs::queued(tx, 10)).await.len(), 0);
    office.commit(move |tx| approve(tx, second, "bob")).await;
    let queued = office.query(|tx| runs::queued(tx, 10)).await;
    assert_eq!(queued.iter().map(|row| row.id).collect::<Vec<_>>(), [run]);
    soon(thread.resume(run)).await.expect("an answer");
    assert_eq!(office.refunded(), [(7, 20), (8, 30)]);
}

#[tokio::test]
async fn who_waits_for_the_answers_goes_on_with_the_last_one() {
    let office = Office::with([refund("1", 7, 20), text("Done.")]).await;
    let (thread, reply) = waiting(&office, &office.agent()).await;
    let (run, id) = (run_of(&reply), asked(&reply)[0]);
    let store = office.runtime.store();
    let resumed = soon(async { tokio::join!(thread.resume(run), store.mutate(move |tx| approve(tx, id, "bob"))) });
    assert_eq!(resumed.await.0.expect("an answer").text, "Done.");
}

#[tokio::test]
async fn a_new_generation_denies_what_is_open_and_ends_the_run() {
    let office = Office::with([refund("1", 7, 20), text("Then not.")]).await;
    let (thread, reply) = waiting(&office, &office.agent()).await;
    let (run, id) = (run_of(&reply), asked(&reply)[0]);
    thread.generate_text("Never mind.").await.expect("an answer");
    let row = office.approval(id).await;
    assert_eq!((row.state, row.reason.as_deref()), (ApprovalState::Denied, Some(AUTO_DENIED)));
    let error = fault(office.runtime.store().mutate(move |tx| approve(tx, id, "bob")).await);
    assert!(matches!(error, ApprovalError::Answered { state: ApprovalState::Denied, by: None, .. }), "{error}");
    assert_eq!(office.run(run).await.status, RunStatus::Aborted);
    let error = soon(thread.resume(run)).await.expect_err("it has ended");
    assert!(matches!(error, AgentError::Ended(_)), "{error}");
}

#[tokio::test]
async fn a_run_that_was_called_off_needs_no_answer() {
    let office = Office::with([refund("1", 7, 20)]).await;
    let (thread, reply) = waiting(&office, &office.agent()).await;
    let (run, id, thread) = (run_of(&reply), asked(&reply)[0], thread.id());
    office.commit(move |tx| runs::abort(tx, run, Failure::new("aborted", "never mind"))).await;
    assert!(office.query(move |tx| approvals::open_in(tx, thread)).await.is_empty());
    let error = fault(office.runtime.store().mutate(move |tx| approve(tx, id, "bob")).await);
    assert_eq!(error, ApprovalError::Over { approval: id });
    office.clock.advance(APPROVAL_WITHIN);
    let mut states = office.runtime.store().watch(move |tx| Ok(approvals::get(tx, id)?.map(|row| row.state)));
    while soon(states.next()).await.expect("open").expect("read") != Some(ApprovalState::Cancelled) {}
}

/// A tool that ends when its gate is open.
fn slow(gate: &CancellationToken) -> Tool {
    let gate = gate.clone();
    Tool::new("slow", "Takes its time.", move |_: ToolContext, (): ()| {
        let gate = gate.clone();
        async move {
            gate.cancelled().await;
            "done"
        }
    })
}

#[tokio::test]
async fn an_answer_that_comes_before_the_step_is_complete_counts() {
    let both = refund("1", 7, 20).tool_call("2", "slow", json!({}));
    let office = Office::with([both, text("Half of it.")]).await;
    let gate = CancellationToken::new();
    let agent = office.agent().tool(slow(&gate)).expect("a tool");
    let thread = office.thread(&agent).await;
    let id = thread.id();
    let asking = thread.generate_text("I want my money back.");
    let answering = async {
        let mut open = office.runtime.store().watch(move |tx| approvals::open_in(tx, id));
        let approval = loop {
            if let Some(row) = open.next().await.expect("open").expect("read").first() {
                break row.id;
            }
        };
        let half = Approve::by("bob").with_input(json!({ "order": 7, "amount": 10 }));
        let answered = office.commit(move |tx| approve(tx, approval, half)).await;
        gate.cancel();
        answered
    };
    let (reply, answered) = soon(async { tokio::join!(asking, answering) }).await;
    assert!(answered.goes_on);
    let reply = soon(thread.resume(run_of(&reply.expect("it waits")))).await.expect("an answer");
    assert_eq!((reply.text.as_str(), office.refunded()), ("Half of it.", vec![(7, 10)]));
    let outcomes: Vec<_> = reply.steps[0].calls.iter().map(|call| (call.call.id.as_str(), call.outcome)).collect();
    assert_eq!(outcomes, [("2", Outcome::Succeeded), ("1", Outcome::Succeeded)]);
}

#[tokio::test]
async fn an_approved_call_whose_result_is_stored_is_never_made_again() {
    let both = refund("1", 7, 20).tool_call("2", "slow", json!({}));
    let office = Office::with([both, text("Done.")]).await;
    let gate = CancellationToken::new();
    let approved = loomwork_agent::ToolPolicy {
        needs_approval: loomwork_agent::Approval::Always,
        ..loomwork_agent::ToolPolicy::default()
    };
    let agent = office.agent().tool(slow(&gate).with_policy(approved)).expect("a tool").durable();
    let (thread, reply) = waiting(&office, &agent).await;
    let (run, id) = (run_of(&reply), thread.id());
    let [first, second] = asked(&reply)[..] else { panic!("two calls wait: {reply:?}") };
    office.commit(move |tx| approve(tx, first, "bob").and(approve(tx, second, "bob"))).await;
    let mut resuming = tokio::task::JoinSet::new();
    resuming.spawn(async move { thread.resume(run).await });
    let mut states = office.runtime.store().watch(move |tx| Ok(approvals::get(tx, first)?.map(|row| row.state)));
    while soon(states.next()).await.expect("open").expect("read") != Some(ApprovalState::Used) {}
    // The process dies between the two.
    drop(states);
    let office = office.reopen().await;
    // The clock stands still, so the call that hangs is not dropped by it.
    gate.cancel();
    soon(resuming.join_next()).await.expect("one").expect("no panic").expect_err("its process is gone");
    let mut queued = office.runtime.store().watch(|tx| Ok(runs::queued(tx, 1)?.len()));
    while soon(queued.next()).await.expect("open").expect("read") == 0 {}
    let reply = soon(agent.in_thread(&office.runtime, id).resume(run)).await.expect("an answer");
    assert_eq!((reply.text.as_str(), office.refunded()), ("Done.", vec![(7, 20)]));
    assert_eq!(office.approval(second).await.state, ApprovalState::Used);
    let results: usize = office.rows(&agent.in_thread(&office.runtime, id)).await.iter().map(|row| row.message.tool_results().count()).sum();
    assert_eq!(results, 2);
}

#[tokio::test]
async fn the_stream_of_a_run_that_goes_on_shows_what_was_said_before() {
    let office = Office::with([refund("1", 7, 20).text("Wait."), text("You get 20.")]).await;
    let (thread, reply) = waiting(&office, &office.agent()).await;
    let (run, id, thread_id) = (run_of(&reply), asked(&reply)[0], thread.id());
    office.commit(move |tx| approve(tx, id, "bob")).await;
    soon(thread.resume(run)).await.expect("an answer");
    let streams = office
        .query(move |tx| tx.scan(loomwork_messages::StreamRow::by_thread.eq(thread_id)))
        .await;
    assert_eq!(streams.len(), 2, "one before it waited, and one behind");
    let last = streams.last().expect("there are some").id;
    let mut reader = office.runtime.live().read(thread_id, last, 0).await.expect("a reader");
    let mut reducer = Reducer::strict();
    while let Some(slice) = soon(reader.next()).await {
        let chunks = slice.expect("read").chunks().expect("chunks");
        reducer.extend(chunks).expect("they fit together");
    }
    let parts = reducer.into_parts();
    let tool = parts.iter().find_map(UiPart::as_tool).expect("the call");
    assert_eq!((tool.call.as_str(), tool.state), ("1", ToolState::OutputAvailable));
    let texts: Vec<_> = parts.iter().filter_map(UiPart::as_text).collect();
    assert_eq!(texts.len(), 2, "{parts:?}");
}

#[tokio::test]
async fn outside_of_threads_nobody_is_asked() {
    let office = Office::with([refund("1", 7, 20)]).await;
    let agent = office.agent();
    let reply = agent.answer(&office.runtime, None, "I want my money back.").await.expect("an answer");
    assert_eq!(reply.open_calls().map(|call| (call.outcome, call.awaits)).collect::<Vec<_>>(), [(Outcome::NeedsApproval, None)]);
    assert!(office.query(|tx| approvals::open(tx, 10)).await.is_empty());
}

#[tokio::test]
async fn a_tool_says_how_long_somebody_may_take() {
    let office = Office::with([refund("1", 7, 20)]).await;
    let hour = Duration::from_secs(60 * 60);
    let tool = office.refund_tool();
    let policy = loomwork_agent::ToolPolicy { approval_within: hour, ..tool.policy().clone() };
    let agent = office.agent().with(loomwork_agent::Options {
        tools: Some(loomwork_agent::Tools::new().with(tool.with_policy(policy)).expect("a tool")),
        ..loomwork_agent::Options::default()
    });
    let (_, reply) = waiting(&office, &agent).await;
    let row = office.approval(asked(&reply)[0]).await;
    assert_eq!(row.expires, row.created + hour);
}
