//! Approvals that nobody has given before a new generation began.

use loomwork_agent::context::AUTO_DENIED;
use loomwork_agent::{Approval, Outcome, Tool, ToolContext, ToolPolicy, step_count};
use loomwork_messages::runs::Prompt;
use loomwork_messages::{MessageRow, Place, Save, save};
use loomwork_models::{ApprovalResponse, Message, MockReply, Part, Role};
use loomwork_store::Row;
use serde_json::json;

use super::desk::{Desk, text};
use super::logs::Warnings;

fn pay() -> Tool {
    let pay = Tool::new("pay", "Pays.", |_: ToolContext, (): ()| async { "paid" });
    pay.with_policy(ToolPolicy { needs_approval: Approval::Always, ..ToolPolicy::default() })
}

fn responses(row: &Row<MessageRow>) -> Vec<ApprovalResponse> {
    let response = |part: &Part| match part {
        Part::ApprovalResponse(response) => Some(response.clone()),
        _ => None,
    };
    row.message.parts.iter().filter_map(response).collect()
}

fn two_payments() -> MockReply {
    MockReply::default().tool_call("1", "pay", json!({})).tool_call("2", "pay", json!({}))
}

#[tokio::test]
async fn what_nobody_has_approved_is_denied_in_its_turn_and_stored_once() {
    let desk = Desk::with([two_payments(), text("Then not."), text("Bye.")]).await;
    let agent = desk.agent().tool(pay()).expect("a tool").stop_when(step_count(3));
    let thread = desk.thread(&agent).await;
    let reply = thread.generate_text("Pay twice.").await.expect("an answer");
    assert!(reply.open_calls().all(|call| call.outcome == Outcome::NeedsApproval));

    let (warnings, _listening) = Warnings::listen();
    thread.generate_text("Never mind.").await.expect("an answer");
    assert_eq!(warnings.of("nobody has answered").len(), 2, "one warning for each request");
    let rows = desk.rows(&thread).await;
    let places: Vec<_> = rows.iter().map(|row| (row.order, row.step, row.role())).collect();
    assert_eq!(
        places,
        [
            (0, 0, Role::User),
            (0, 1, Role::Assistant),
            (0, 2, Role::Tool),
            (1, 0, Role::User),
            (1, 1, Role::Assistant),
        ]
    );
    let denied = responses(&rows[2]);
    assert_eq!(denied.len(), 2, "all requests of a message are answered together");
    assert!(denied.iter().all(|denied| !denied.approved && denied.reason.as_deref() == Some(AUTO_DENIED)));
    let told = |asked: usize| {
        let messages = &desk.model.requests()[asked].messages;
        messages
            .iter()
            .flat_map(|message| &message.parts)
            .filter(|part| matches!(part, Part::ApprovalResponse(_)))
            .count()
    };
    assert_eq!(told(1), 2);

    // It is known now: the next generation is told of it, and has nothing to deny.
    thread.generate_text("Bye.").await.expect("an answer");
    assert_eq!(told(2), 2);
    assert_eq!(warnings.of("nobody has answered").len(), 2);
    assert_eq!(desk.rows(&thread).await.len(), 7);
}

#[tokio::test]
async fn only_what_is_open_is_denied() {
    let desk = Desk::with([two_payments(), text("One of them.")]).await;
    let agent = desk.agent().tool(pay()).expect("a tool").stop_when(step_count(3));
    let thread = desk.thread(&agent).await;
    thread.generate_text("Pay twice.").await.expect("an answer");
    let asked = desk.rows(&thread).await[1].clone();
    let first = asked.message.parts.iter().find_map(|part| match part {
        Part::ApprovalRequest(request) => Some(request.id.clone()),
        _ => None,
    });
    let id = thread.id();
    let refused = ApprovalResponse {
        id: first.expect("it asks"),
        approved: false,
        reason: Some("too dear".into()),
        ..ApprovalResponse::default()
    };
    let answer = Save::all([Message::new(Role::Tool, [Part::ApprovalResponse(refused)])]).at(Place::Turn(0));
    desk.runtime.store().mutate(move |tx| save(tx, id, answer)).await.expect("saved");
    thread.generate_text("Never mind.").await.expect("an answer");
    let rows = desk.rows(&thread).await;
    let reasons: Vec<_> = rows.iter().flat_map(responses).filter_map(|response| response.reason).collect();
    assert_eq!(reasons, ["too dear", AUTO_DENIED]);
}

#[tokio::test]
async fn a_prompt_that_is_answered_again_denies_what_its_own_turn_asks() {
    let desk = Desk::with([two_payments(), text("Once more.")]).await;
    let agent = desk.agent().tool(pay()).expect("a tool").stop_when(step_count(3));
    let thread = desk.thread(&agent).await;
    thread.generate_text("Pay twice.").await.expect("an answer");
    let prompt = desk.rows(&thread).await[0].id;
    thread.generate_text(Prompt::Message(prompt)).await.expect("an answer");
    let rows = desk.rows(&thread).await;
    let roles: Vec<_> = rows.iter().map(|row| (row.order, row.role())).collect();
    assert_eq!(roles, [(0, Role::User), (0, Role::Assistant), (0, Role::Tool), (0, Role::Assistant)]);
    assert_eq!(responses(&rows[2]).len(), 2);
}

#[tokio::test]
async fn a_generation_that_does_not_begin_denies_nothing() {
    let desk = Desk::with([two_payments()]).await;
    let agent = desk.agent().tool(pay()).expect("a tool").stop_when(step_count(3));
    let thread = desk.thread(&agent).await;
    thread.generate_text("Pay twice.").await.expect("an answer");
    thread.generate_text(Prompt::New(Vec::new())).await.expect_err("there is no prompt");
    assert_eq!(desk.rows(&thread).await.len(), 2);
}
