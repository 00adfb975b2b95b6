//! Several agents: who answers, who hands on to whom, and how answers come together.

use std::sync::Arc;

use loomwork_agent::{
    Agent, AgentError, HAND_OFF, HandOffError, MAX_HAND_OFFS, Outside, Routes, Runtime, Tool, ToolContext,
    ask_all, combined, hand_off, step_count,
};
use loomwork_messages::threads::{self, NewThread, ThreadPatch, create};
use loomwork_messages::{List, Responder, ThreadId, list};
use loomwork_models::{
    EmbeddingModel, LanguageModel, Message, MockEmbeddings, MockModel, MockReply, ToolChoice,
};
use loomwork_store_sqlite::Sqlite;
use serde_json::json;
use tempfile::TempDir;

use super::desk::text;

fn mock(replies: impl IntoIterator<Item = MockReply>) -> Arc<MockModel> {
    Arc::new(MockModel::new(replies))
}

fn agent(name: &'static str, model: &Arc<MockModel>) -> Agent {
    Agent::new(name, model.clone() as Arc<dyn LanguageModel>)
}

fn to(name: &str) -> MockReply {
    MockReply::default().tool_call(format!("to-{name}"), HAND_OFF, json!({ "to": name }))
}

async fn thread(runtime: &Runtime) -> ThreadId {
    let made = runtime.store().mutate(|tx| create(tx, NewThread::for_user("alice"))).await;
    made.expect("a thread is made").id
}

/// Runtimes over both engines, and the folder of the file.
async fn runtimes() -> (TempDir, [Runtime; 2]) {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Sqlite::open(folder.path().join("team.db")).expect("a file");
    let file = Runtime::over(engine).await.expect("a store opens");
    (folder, [Runtime::memory().await.expect("a store opens"), file])
}

fn ways() -> Routes<u8> {
    Routes::default()
        .to("billing", "Invoices and refunds.", 1)
        .like(["I was charged twice", "Where is my invoice?"])
        .to("support", "What does not work.", 2)
        .like(["It is broken"])
}

#[tokio::test]
async fn a_model_chooses_by_what_the_ways_are_for_and_nothing_is_stored() {
    let runtime = Runtime::memory().await.expect("a store opens");
    let model = mock([text("\"support\""), text("\"billing\"")]);
    let judge = agent("judge", &model);
    let routes = ways();
    let outside = judge.for_nobody(&runtime);
    let chosen = routes.by_model(&outside, "It smokes.").await.expect("it chooses");
    assert_eq!((chosen.name, chosen.to), ("support", &2));
    let told: Vec<_> = model.requests()[0].messages.iter().map(Message::text).collect();
    assert!(
        told[0].contains("- billing: Invoices and refunds.\n  - such as: I was charged twice"),
        "{told:?}"
    );
    let id = thread(&runtime).await;
    let inside = judge.in_thread(&runtime, id);
    let chosen = routes.by_model(&inside, "And my money?").await.expect("it chooses");
    assert_eq!(chosen.name, "billing");
    let rows = runtime.store().query(move |tx| list(tx, id, &List::oldest(10))).await.expect("it is read");
    assert!(rows.messages.is_empty());
    let none = Routes::<u8>::default().by_model(&outside, "Where to?").await.expect_err("there is no way");
    assert!(matches!(none, AgentError::Lacks { .. }), "{none}");
}

#[tokio::test]
async fn the_way_with_the_example_that_is_most_like_the_question_is_chosen() {
    let embeddings = MockEmbeddings::new(3)
        .with_vector("Invoices and refunds.", [0.0, 0.0, 1.0])
        .with_vector("I was charged twice", [1.0, 0.0, 0.0])
        .with_vector("Where is my invoice?", [0.8, 0.6, 0.0])
        .with_vector("What does not work.", [0.0, 0.0, 1.0])
        .with_vector("It is broken", [0.0, 1.0, 0.0])
        .with_vector("Twice!", [1.0, 0.0, 0.0])
        .with_vector("Broken and charged", [0.28, 0.96, 0.0])
        .with_vector("The weather", [-1.0, 0.0, 0.0]);
    let embeddings = Arc::new(embeddings);
    let routes = ways();
    let corpus = routes.corpus(embeddings.clone() as Arc<dyn EmbeddingModel>).await.expect("it is embedded");
    for (question, right) in [
        ("Twice!", Some("billing")),
        ("Broken and charged", Some("support")),
        ("The weather", None),
        (" ", None),
    ] {
        let (chosen, _) = corpus.choose(question, 0.5).await.expect("it is embedded");
        assert_eq!(chosen.map(|chosen| chosen.name), right, "{question}");
    }
    assert_eq!(embeddings.requests().len(), 4, "the corpus once, and each question that says something");
    assert!(corpus.usage().total() > 0);
}

#[test]
fn a_name_from_anywhere_leads_on_and_of_two_of_one_name_the_later_counts() {
    let routes = ways().to("billing", "All about money.", 7);
    assert_eq!((routes.named("billing"), routes.named("nobody")), (Some(&7), None));
    assert_eq!(
        routes.names().collect::<Vec<_>>(),
        [("support", "What does not work."), ("billing", "All about money.")]
    );
}

#[tokio::test]
async fn who_is_handed_a_thread_answers_in_the_same_turn_and_from_then_on() {
    let (_folder, runtimes) = runtimes().await;
    for runtime in runtimes {
        let (front, money) = (mock([to("billing")]), mock([text("I refund it."), text("It is done.")]));
        let team = Routes::default().to("reception", "Says hello.", agent("reception", &front)).to(
            "billing",
            "Refunds.",
            agent("billing", &money),
        );
        let id = thread(&runtime).await;
        let reply = team.answer(&runtime, id, "reception", "I was charged twice.").await.expect("an answer");
        assert_eq!(reply.text, "I refund it.");
        assert_eq!(reply.stored.expect("it is stored").order, 0, "all of it is one turn");
        let told: Vec<_> = money.requests()[0].messages.iter().map(|message| message.role.as_str()).collect();
        assert_eq!(told, ["user", "assistant", "tool"], "who takes over reads what was said");
        let home = runtime.store().query(move |tx| threads::require(tx, id)).await.expect("it is read");
        assert_eq!((home.responder, home.agent.as_deref()), (Responder::Agent, Some("billing")));
        let reply = team.answer(&runtime, id, "reception", "Thanks. Is it done?").await.expect("an answer");
        assert_eq!(reply.text, "It is done.");
        let rows =
            runtime.store().query(move |tx| list(tx, id, &List::oldest(10))).await.expect("it is read");
        let by: Vec<_> = rows.messages.iter().filter_map(|row| row.agent.as_deref()).collect();
        assert_eq!(by, ["reception", "reception", "billing", "billing"]);
        assert_eq!(front.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_team_answers_neither_for_people_nor_for_strangers_nor_without_end() {
    let runtime = Runtime::memory().await.expect("a store opens");
    let (one, two) = (Arc::new(MockModel::always(to("two"))), Arc::new(MockModel::always(to("one"))));
    let team =
        Routes::default().to("one", "First.", agent("one", &one)).to("two", "Second.", agent("two", &two));
    let id = thread(&runtime).await;
    let refused = |error: AgentError| match error {
        AgentError::Store(error) => error.downcast::<HandOffError>().expect("it is one"),
        other => panic!("{other}"),
    };
    let error = team.answer(&runtime, id, "one", "Who knows?").await.expect_err("nobody answers");
    assert_eq!(refused(error), HandOffError::TooOften { thread: id });
    assert_eq!(one.requests().len() + two.requests().len(), MAX_HAND_OFFS + 1);
    let human = ThreadPatch { responder: Some(Responder::Human), ..ThreadPatch::default() };
    runtime.store().mutate(move |tx| threads::update(tx, id, human)).await.expect("it is changed");
    let error = team.answer(&runtime, id, "one", "And now?").await.expect_err("a person answers");
    assert_eq!(refused(error), HandOffError::NoAgent { thread: id, responder: Responder::Human });
    runtime.store().mutate(move |tx| hand_off(tx, id, "three")).await.expect("it is handed on");
    let error = team.answer(&runtime, id, "one", "And now?").await.expect_err("three is a stranger");
    assert_eq!(refused(error), HandOffError::Unknown { thread: id, agent: "three".into() });
}

#[tokio::test]
async fn who_is_handed_to_must_be_one_of_those_that_there_are() {
    let runtime = Runtime::memory().await.expect("a store opens");
    let model = mock([to("nobody"), text("I stay.")]);
    let routes = Routes::default().to("billing", "Refunds.", ());
    let front =
        agent("reception", &model).tool(routes.hand_off_tool()).expect("a tool").stop_when(step_count(3));
    let id = thread(&runtime).await;
    front.in_thread(&runtime, id).generate_text("Help!").await.expect("an answer");
    let home = runtime.store().query(move |tx| threads::require(tx, id)).await.expect("it is read");
    assert_eq!(home.agent, None);
    let answer = front.for_nobody(&runtime);
    model.push(to("billing"));
    model.push(text("There is no thread."));
    let reply = answer.generate_text("Help!").await.expect("an answer");
    assert_eq!(reply.text, "There is no thread.");
    assert!(!reply.steps[0].calls[0].succeeded());
}

#[tokio::test]
async fn several_answer_at_once_and_one_makes_one_answer_of_theirs() {
    let runtime = Runtime::memory().await.expect("a store opens");
    let (yes, no) = (mock([text("Yes.")]), mock([]));
    let asked = [agent("chemist", &yes).for_nobody(&runtime), agent("lawyer", &no).for_nobody(&runtime)];
    let answers = ask_all::<(), Outside>(&asked, "Is it safe?").await;
    assert_eq!(answers[0].as_ref().expect("one has answered").text, "Yes.");
    assert!(
        matches!(answers[1], Err(AgentError::Model { .. })),
        "one that fails keeps no other from its answer"
    );
    let prompt = combined("Is it </question> safe?", [("chem\"ist", "Yes.</answer>"), ("lawyer", "No.")]);
    assert!(prompt.contains("Is it &lt;/question> safe?"), "{prompt}");
    assert!(prompt.contains("<answer from=\"chem'ist\">\nYes.&lt;/answer>\n</answer>"), "{prompt}");
}

#[tokio::test]
async fn a_model_chooses_its_workers_and_puts_together_what_they_say() {
    let runtime = Runtime::memory().await.expect("a store opens");
    let (history, prices) = (mock([text("From 1804.")]), mock([text("900.")]));
    let workers = Routes::default().to("historian", "Knows the past.", agent("historian", &history)).to(
        "dealer",
        "Knows prices.",
        agent("dealer", &prices),
    );
    let both = MockReply::default()
        .tool_call("1", "historian", json!({ "task": "How old are looms?" }))
        .tool_call("2", "dealer", json!({ "task": "What do they cost?" }));
    let lead = mock([both, text("From 1804, for 900.")]);
    let options =
        loomwork_agent::Options { tools: Some(workers.workers().expect("tools")), ..Default::default() };
    let lead = agent("lead", &lead).with(options).stop_when(step_count(4));
    let reply = lead.for_nobody(&runtime).generate_text("Tell me of looms.").await.expect("an answer");
    assert_eq!(reply.text, "From 1804, for 900.");
    assert_eq!(reply.delegated.total(), 26);
    assert_eq!((history.requests().len(), prices.requests().len()), (1, 1));
}

#[tokio::test]
async fn an_agent_that_reacts_answers_in_its_last_step() {
    let runtime = Runtime::memory().await.expect("a store opens");
    let look = MockReply::default().tool_call("1", "look", json!({}));
    let again = MockReply::default().tool_call("2", "look", json!({}));
    let model = mock([look, again, text("It is a loom.")]);
    let eyes = Tool::new("look", "Looks.", |_: ToolContext, (): ()| async { "wood and wool" });
    let scout = agent("scout", &model).tool(eyes).expect("a tool").reacting(3);
    let reply = scout.for_nobody(&runtime).generate_text("What is it?").await.expect("an answer");
    assert_eq!((reply.text.as_str(), reply.steps.len()), ("It is a loom.", 3));
    let choices: Vec<_> = model.requests().into_iter().map(|request| request.tool_choice).collect();
    assert_eq!(choices, [ToolChoice::Auto, ToolChoice::Auto, ToolChoice::None]);
}
