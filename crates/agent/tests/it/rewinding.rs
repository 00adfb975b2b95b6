//! Answering again: what follows is superseded.

use loomwork_agent::approvals::{self, ApprovalState};
use loomwork_agent::{AgentError, History, RewindError};
use loomwork_messages::runs::Prompt;
use loomwork_messages::{List, RunStatus, list};
use loomwork_models::{Message, MockReply, Role};
use serde_json::json;

use super::office::{Office, asked, run_of};
use crate::desk::text;

async fn said(office: &Office, thread: loomwork_messages::ThreadId) -> Vec<String> {
    let rows = office.query(move |tx| list(tx, thread, &List::oldest(1_000))).await.messages;
    rows.iter().map(|row| row.message.text()).collect()
}

fn fault(error: AgentError) -> RewindError {
    match error {
        AgentError::Store(error) => error.downcast().expect("an error of rewinding"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_answer_is_made_again_and_what_followed_is_gone() {
    let office = Office::with([text("One."), text("Two."), text("One again.")]).await;
    let thread = office.thread(&office.agent()).await;
    thread.generate_text("First?").await.expect("an answer");
    thread.generate_text("Second?").await.expect("an answer");
    let answer = office.rows(&thread).await[1].id;
    let reply = thread.regenerate(answer).await.expect("an answer");
    assert_eq!(reply.text, "One again.");
    assert_eq!(said(&office, thread.id()).await, ["First?", "One again."]);
    let told: Vec<_> = office.model.requests()[2].messages.iter().map(Message::text).collect();
    assert_eq!(told, ["First?"], "the model is told nothing of what was there");
}

#[tokio::test]
async fn a_prompt_is_answered_again_and_the_thread_as_it_was_is_kept_beside_it() {
    let office = Office::with([text("One."), text("Two."), text("Two again.")]).await;
    let thread = office.thread(&office.agent()).await;
    thread.generate_text("First?").await.expect("an answer");
    thread.generate_text("Second?").await.expect("an answer");
    let prompt = office.rows(&thread).await[2].id;
    let rewound = thread.rewind(prompt, History::Branch).await.expect("rewound");
    assert_eq!(rewound.prompt, prompt);
    thread.generate_text(Prompt::Message(prompt)).await.expect("an answer");
    assert_eq!(said(&office, thread.id()).await, ["First?", "One.", "Second?", "Two again."]);
    let branch = rewound.branch.expect("it is kept");
    assert_eq!(said(&office, branch).await, ["First?", "One.", "Second?", "Two."]);
    let parent = office.query(move |tx| loomwork_messages::threads::require(tx, branch)).await.parent;
    assert_eq!(parent, Some(thread.id()));
}

#[tokio::test]
async fn other_words_are_answered_from_there_on() {
    let office = Office::with([text("One."), text("Two."), text("Another one.")]).await;
    let thread = office.thread(&office.agent()).await;
    thread.generate_text("First?").await.expect("an answer");
    thread.generate_text("Second?").await.expect("an answer");
    let rows = office.rows(&thread).await;
    let rewound = thread.edit(rows[0].id, "Another?", History::Delete).await.expect("edited");
    assert_eq!((rewound.prompt, rewound.branch), (rows[0].id, None));
    thread.generate_text(Prompt::Message(rewound.prompt)).await.expect("an answer");
    assert_eq!(said(&office, thread.id()).await, ["Another?", "Another one."]);

    let answer = office.rows(&thread).await[1].id;
    let error = thread.edit(answer, "No.", History::Delete).await.expect_err("it is no user's");
    assert_eq!(fault(error), RewindError::NotAsked { message: answer });
}

#[tokio::test]
async fn what_waits_behind_is_called_off() {
    let refund = MockReply::default().tool_call("1", "refund", json!({ "order": 7, "amount": 20 }));
    let office = Office::with([refund, text("No refund.")]).await;
    let thread = office.thread(&office.agent()).await;
    let reply = thread.generate_text("My money!").await.expect("it waits");
    let (run, approval) = (run_of(&reply), asked(&reply)[0]);
    let asking = office.rows(&thread).await[1].id;
    thread.regenerate(asking).await.expect("an answer");
    assert_eq!(office.run(run).await.status, RunStatus::Aborted);
    let row = office.query(move |tx| approvals::get(tx, approval)).await.expect("it is there");
    assert_eq!(row.state, ApprovalState::Cancelled);
    assert_eq!(office.places(&thread).await, [(0, Role::User), (0, Role::Assistant)]);
}

#[tokio::test]
async fn a_message_of_another_thread_is_refused_and_nothing_is_gone() {
    let office = Office::with([text("One."), text("Two.")]).await;
    let agent = office.agent();
    let (one, two) = (office.thread(&agent).await, office.thread(&agent).await);
    one.generate_text("First?").await.expect("an answer");
    let message = office.rows(&one).await[1].id;
    let error = two.regenerate(message).await.expect_err("it is another thread's");
    assert_eq!(fault(error), RewindError::NoMessage { thread: two.id(), message });
    assert_eq!(said(&office, one.id()).await.len(), 2);
}
