//! Questions that agents ask people.

use loomwork_agent::humans::{
    self, ANSWER_WITHIN, HumanReply, Inquiry, QuestionError, QuestionId, QuestionState, answer, ask_human,
    assign, claim, hand_back, inbox, release,
};
use loomwork_agent::{Agent, AgentReply, AgentThread, Awaits, Outcome, Tool, approvals};
use loomwork_messages::runs;
use loomwork_messages::{Failure, NewMessage, Responder, RunStatus, Save, save, threads};
use loomwork_models::{Message, MockReply, Role, ToolOutput};
use loomwork_store::Error;
use loomwork_testkit::soon;
use schemars::JsonSchema;
use serde_json::json;

use super::office::{Office, asked, run_of};
use crate::desk::text;

fn question(id: &str) -> MockReply {
    MockReply::default().tool_call(id, "ask_human", json!({ "question": "May I?" }))
}

fn asking(office: &Office) -> Agent {
    office.agent().tool(ask_human("billing")).expect("a tool")
}

fn fault<T: std::fmt::Debug>(result: Result<T, Error>) -> QuestionError {
    result.expect_err("it is refused").downcast().expect("an error of questions")
}

fn questions(reply: &AgentReply) -> Vec<QuestionId> {
    let asked = reply.open_calls().filter_map(|call| match call.awaits {
        Some(Awaits::Answer(id)) => Some(id),
        _ => None,
    });
    asked.collect()
}

async fn waiting(office: &Office, agent: &Agent) -> (AgentThread, AgentReply, QuestionId) {
    let thread = office.thread(agent).await;
    let reply = thread.generate_text("Ask somebody.").await.expect("it waits");
    let id = questions(&reply)[0];
    (thread, reply, id)
}

fn output(reply: &AgentReply) -> ToolOutput {
    let result = reply.steps[0].calls[0].result.clone();
    result.expect("the call has a result").output
}

#[tokio::test]
async fn a_person_answers_and_the_run_goes_on() {
    let office = Office::with([question("1"), text("I may.")]).await;
    let (thread, reply, id) = waiting(&office, &asking(&office)).await;
    let run = run_of(&reply);
    assert_eq!(office.run(run).await.status, RunStatus::Waiting);
    let open = office.query(|tx| inbox(tx, Some("billing"), 10)).await;
    let [row] = &open[..] else { panic!("one question: {open:?}") };
    assert_eq!((row.id, row.input.clone()), (id, Some(json!({ "question": "May I?" }))));
    assert_eq!((row.site.run, row.site.thread, row.site.tool.as_str()), (run, thread.id(), "ask_human"));
    assert!(office.query(|tx| inbox(tx, Some("sales"), 10)).await.is_empty());
    assert!(office.query(|tx| inbox(tx, None, 10)).await.is_empty());
    assert_eq!(office.query(|tx| humans::open(tx, 10)).await.len(), 1);

    assert!(office.commit(move |tx| answer(tx, id, "bob", "Yes.")).await.goes_on);
    assert!(office.query(|tx| humans::open(tx, 10)).await.is_empty());
    let reply = soon(thread.resume(run)).await.expect("an answer");
    assert_eq!((reply.text.as_str(), output(&reply)), ("I may.", ToolOutput::Text("Yes.".into())));
    assert_eq!(reply.steps[0].calls[0].outcome, Outcome::Succeeded);
    let rows = office.rows(&thread).await;
    let roles: Vec<_> = rows.iter().map(|row| row.role()).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::Tool, Role::Assistant]);
    let result = rows[2].message.tool_results().next().expect("a result");
    assert_eq!(result.extras.of("human", "by"), Some(&json!("bob")));
    let row = office.query(move |tx| humans::get(tx, id)).await.expect("it is there");
    assert_eq!((row.state, row.by.as_deref(), row.answer.as_ref()), (QuestionState::Used, Some("bob"), None));
}

#[tokio::test]
async fn a_message_that_comes_meanwhile_moves_no_answer_and_another_turn_goes_by() {
    let office = Office::with([question("1"), text("Hello again."), text("I may.")]).await;
    let (thread, reply, id) = waiting(&office, &asking(&office)).await;
    thread.generate_text("Are you there?").await.expect("an answer");
    assert!(office.commit(move |tx| answer(tx, id, "bob", "Yes.")).await.goes_on);
    soon(thread.resume(run_of(&reply))).await.expect("an answer");
    let places = office.places(&thread).await;
    let first = [(0, Role::User), (0, Role::Assistant), (0, Role::Tool), (0, Role::Assistant)];
    assert_eq!(places[..4], first);
    assert_eq!(places[4..], [(1, Role::User), (1, Role::Assistant)]);
    let told = office.model.requests().pop().expect("it was asked").messages;
    assert_eq!(told.iter().flat_map(Message::tool_results).count(), 1);
}

#[tokio::test]
async fn who_has_claimed_a_question_answers_it_and_nobody_else() {
    let office = Office::with([question("1"), text("I may.")]).await;
    let (_thread, _reply, id) = waiting(&office, &asking(&office)).await;
    let store = office.runtime.store();
    let (bob, eve) =
        tokio::join!(store.mutate(move |tx| claim(tx, id, "bob")), store.mutate(move |tx| claim(tx, id, "eve")));
    let (row, error) = match (bob, eve) {
        (Ok(row), Err(error)) | (Err(error), Ok(row)) => (row, error),
        both => panic!("one claims it: {both:?}"),
    };
    let by = row.claimed.clone().expect("claimed");
    assert_eq!(error.downcast::<QuestionError>().expect("typed"), QuestionError::Claimed { question: id, by: by.clone() });
    let other = if by == "bob" { "eve" } else { "bob" };
    let error = fault(store.mutate(move |tx| answer(tx, id, other, "No.")).await);
    assert!(matches!(error, QuestionError::Claimed { .. }), "{error}");
    office.commit(move |tx| release(tx, id, &by)).await;
    office.commit(move |tx| claim(tx, id, other)).await;
    office.commit(move |tx| answer(tx, id, other, "No.")).await;
    let error = fault(store.mutate(move |tx| answer(tx, id, other, "Yes.")).await);
    let by = Some(other.to_owned());
    assert_eq!(error, QuestionError::Answered { question: id, state: QuestionState::Answered, by });
}

#[tokio::test]
async fn a_question_is_passed_on_to_another_inbox() {
    let office = Office::with([question("1")]).await;
    let (_thread, _reply, id) = waiting(&office, &asking(&office)).await;
    office.commit(move |tx| claim(tx, id, "bob")).await;
    office.commit(move |tx| assign(tx, id, Some("sales".into()))).await;
    assert!(office.query(|tx| inbox(tx, Some("billing"), 10)).await.is_empty());
    let sales = office.query(|tx| inbox(tx, Some("sales"), 10)).await;
    assert_eq!((sales.len(), sales[0].claimed.as_ref()), (1, None));
}

#[tokio::test]
async fn a_question_that_is_handed_back_tells_the_model_why() {
    let office = Office::with([question("1"), text("Then I decide.")]).await;
    let (thread, reply, id) = waiting(&office, &asking(&office)).await;
    office.commit(move |tx| hand_back(tx, id, "bob", "decide yourself")).await;
    let reply = soon(thread.resume(run_of(&reply))).await.expect("an answer");
    assert_eq!(reply.steps[0].calls[0].outcome, Outcome::Failed);
    let ToolOutput::ErrorText(told) = output(&reply) else { panic!("{:?}", output(&reply)) };
    assert!(told.contains("decide yourself"), "{told}");
}

#[tokio::test]
async fn a_question_that_nobody_answers_in_time_ends_by_itself() {
    let office = Office::with([question("1"), text("Nobody is there.")]).await;
    let (thread, reply, id) = waiting(&office, &asking(&office)).await;
    office.clock.advance(ANSWER_WITHIN);
    let error = fault(office.runtime.store().mutate(move |tx| answer(tx, id, "bob", "Yes.")).await);
    assert!(matches!(error, QuestionError::Expired { .. }), "{error}");
    let reply = soon(thread.resume(run_of(&reply))).await.expect("it goes on by itself");
    assert_eq!((reply.text.as_str(), output(&reply)), ("Nobody is there.", ToolOutput::error("nobody answered in time")));
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema counts")]
struct Decision {
    allowed: bool,
}

#[tokio::test]
async fn an_answer_has_to_be_of_the_form_that_the_tool_promises() {
    let ask = MockReply::default().tool_call("1", "decide", json!({}));
    let office = Office::with([ask, text("It is allowed.")]).await;
    let decide: Tool = Tool::human("decide", "Decides.", json!({ "type": "object" }), Inquiry::default());
    let agent = office.agent().tool(decide.with_output::<Decision>()).expect("a tool");
    let (thread, reply, id) = waiting(&office, &agent).await;
    assert_eq!(office.query(|tx| inbox(tx, None, 10)).await.len(), 1, "it is for anybody");
    let error = fault(office.runtime.store().mutate(move |tx| answer(tx, id, "bob", "yes")).await);
    assert!(matches!(error, QuestionError::BadAnswer { .. }), "{error}");
    let allowed = json!({ "allowed": true });
    office.commit({ let allowed = allowed.clone(); move |tx| answer(tx, id, "bob", allowed) }).await;
    let reply = soon(thread.resume(run_of(&reply))).await.expect("an answer");
    assert_eq!(output(&reply), ToolOutput::Json(allowed));
}

#[tokio::test]
async fn a_run_waits_for_answers_and_approvals_alike() {
    let both = question("1").tool_call("2", "refund", json!({ "order": 7, "amount": 20 }));
    let office = Office::with([both, text("Both.")]).await;
    let (thread, reply, id) = waiting(&office, &asking(&office)).await;
    let approval = asked(&reply)[0];
    assert!(!office.commit(move |tx| answer(tx, id, "bob", "Yes.")).await.goes_on);
    assert!(office.commit(move |tx| approvals::approve(tx, approval, "bob")).await.goes_on);
    let reply = soon(thread.resume(run_of(&reply))).await.expect("an answer");
    assert_eq!((reply.text.as_str(), office.refunded()), ("Both.", vec![(7, 20)]));
    let results: Vec<_> = office.rows(&thread).await.iter().flat_map(|row| row.message.tool_results().map(|result| result.call.clone()).collect::<Vec<_>>()).collect();
    assert_eq!(results, ["1", "2"]);
}

#[tokio::test]
async fn a_question_outlives_the_process_and_its_run_may_be_called_off() {
    let office = Office::with([question("1")]).await;
    let (_thread, reply, id) = waiting(&office, &asking(&office)).await;
    let run = run_of(&reply);
    let office = office.reopen().await;
    assert_eq!(office.query(|tx| inbox(tx, Some("billing"), 10)).await.len(), 1);
    office.commit(move |tx| runs::abort(tx, run, Failure::new("aborted", "never mind"))).await;
    assert!(office.query(|tx| inbox(tx, Some("billing"), 10)).await.is_empty());
    let error = fault(office.runtime.store().mutate(move |tx| answer(tx, id, "bob", "Yes.")).await);
    assert_eq!(error, QuestionError::Over { question: id });
}

#[tokio::test]
async fn a_person_replies_under_their_name_in_a_turn_of_their_own() {
    let office = Office::with([text("I do not know."), text("Bob knows.")]).await;
    let thread = office.thread(&office.agent()).await;
    let id = thread.id();
    thread.generate_text("Where is it?").await.expect("an answer");
    let facts = json!({ "desk": 4 }).as_object().cloned().expect("an object");
    let said = HumanReply { facts, ..HumanReply::new("bob", "In Oslo.") };
    let row = office
        .commit(move |tx| {
            humans::take_over(tx, id)?;
            humans::reply(tx, id, said)
        })
        .await;
    assert_eq!((row.agent.as_deref(), row.provider.as_deref(), row.role()), (Some("bob"), Some("human"), Role::Assistant));
    assert_eq!((row.order, row.step), (1, 0));
    assert_eq!(row.provider_metadata["human"]["desk"], 4);
    let responder = |tx: &loomwork_store::Tx, id| Ok(threads::require(tx, id)?.responder);
    assert_eq!(office.query(move |tx| responder(tx, id)).await, Responder::Human);
    office.commit(move |tx| humans::hand_over(tx, id)).await;
    assert_eq!(office.query(move |tx| responder(tx, id)).await, Responder::Agent);
    office.commit(move |tx| save(tx, id, Save::from(NewMessage::from("Thanks.")))).await;
    thread.generate_text("Who knows?").await.expect("an answer");
    let told: Vec<_> = office.model.requests().pop().expect("asked").messages.iter().map(Message::text).collect();
    assert!(told.contains(&"In Oslo.".to_owned()), "the agent is told of it: {told:?}");
}
