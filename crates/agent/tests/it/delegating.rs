//! Agents as tools of other agents.

use std::sync::Arc;
use std::time::Duration;

use loomwork_agent::approvals::{self, ApprovalRow, ApprovalState};
use loomwork_agent::{
    Admission, Agent, AgentThread, AgentTool, Approval, Hold, Home, MAX_AGENT_DEPTH, Outcome, ParentRun,
    Runtime, Tool, ToolContext, ToolPolicy, step_count, tables,
};
use loomwork_core::{Clock, Time};
use loomwork_messages::runs::{self};
use loomwork_messages::threads::NewThread;
use loomwork_messages::{Failure, MessageRow, MessageStatus, Run, RunStatus, Thread, ThreadId};
use loomwork_models::{Gate, LanguageModel, Message, MockModel, MockReply};
use loomwork_store::{Row, Store, Table as _};
use loomwork_testkit::soon;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::desk::{Desk, text};

fn model(replies: impl IntoIterator<Item = MockReply>) -> Arc<MockModel> {
    Arc::new(MockModel::new(replies))
}

fn agent(name: &str, model: &Arc<MockModel>) -> Agent {
    Agent::new(name, model.clone() as Arc<dyn LanguageModel>).stop_when(step_count(5))
}

fn ask(tool: &str, input: Value) -> MockReply {
    MockReply::default().tool_call("1", tool, input)
}

async fn runs_of(desk: &Desk) -> Vec<Row<Run>> {
    desk.runtime.store().query(|tx| tx.scan(Run::all())).await.expect("read")
}

async fn said_in(desk: &Desk, thread: ThreadId) -> Vec<String> {
    let messages = move |tx: &loomwork_store::Tx| tx.scan(MessageRow::by_position.eq(thread));
    let rows = desk.runtime.store().query(messages).await.expect("read");
    rows.iter().map(|row| row.message.text()).collect()
}

#[tokio::test]
async fn an_agent_answers_as_a_tool_and_what_it_uses_is_told_with_the_root() {
    let desk = Desk::with([ask("librarian", json!({ "task": "Find looms." })), text("Looms are old.")]).await;
    let books = model([text("Looms: 5000 BC.")]);
    let librarian = agent("librarian", &books).instructions("You know all books.");
    let agent = desk.agent().tool(librarian.as_tool("librarian", "Knows books.")).expect("a tool");
    let thread = desk.thread(&agent.stop_when(step_count(3))).await;
    let reply = thread.generate_text("How old are looms?").await.expect("an answer");
    assert_eq!(reply.text, "Looms are old.");
    let result = reply.steps[0].calls[0].result.as_ref().expect("a result");
    assert_eq!(result.output.to_text(), "Looms: 5000 BC.");
    let asked = &books.requests()[0].messages;
    assert_eq!(asked.iter().map(Message::text).collect::<Vec<_>>(), ["You know all books.", "Find looms."]);
    // Two calls of the model above, one below.
    assert_eq!((reply.usage.output_text, reply.delegated.output_text), (20, 10));
    assert_eq!(runs_of(&desk).await.len(), 1, "nothing else is stored");
}

#[derive(Deserialize, JsonSchema)]
struct Question {
    /// What to find out.
    about: String,
}

#[tokio::test]
async fn it_takes_arguments_of_a_type_and_a_thread_of_its_own_that_names_the_run_above() {
    let desk = Desk::with([ask("librarian", json!({ "about": "looms" })), text("Old.")]).await;
    let books = model([text("5000 BC.")]);
    let tool = agent("librarian", &books)
        .as_tool("librarian", "Knows books.")
        .taking(|question: Question| format!("Tell me of {}.", question.about))
        .stored(Home::NewThread);
    let agent = desk.agent().tool(tool).expect("a tool").stop_when(step_count(3));
    let thread = desk.thread(&agent).await;
    thread.generate_text("How old are looms?").await.expect("an answer");
    let schema = &desk.model.requests()[0].tools[0];
    assert!(matches!(schema, loomwork_models::ToolSpec::Function { input_schema, .. }
        if input_schema["properties"]["about"]["description"] == "What to find out."));
    let runs = runs_of(&desk).await;
    let (root, sub) = (&runs[0], &runs[1]);
    assert_ne!(root.thread, sub.thread);
    assert_eq!(sub.user.as_deref(), Some("alice"), "it is the user's");
    assert_eq!(said_in(&desk, sub.thread).await, ["Tell me of looms.", "5000 BC."]);
    let expected = ParentRun {
        run: root.id,
        thread: Some(root.thread),
        root: root.id,
        root_thread: Some(root.thread),
        depth: 1,
    };
    assert_eq!((ParentRun::of(sub), ParentRun::of(root)), (Some(expected), None));
    let id = sub.thread;
    let home: Row<Thread> = desk.runtime.store().query(move |tx| tx.require(id)).await.expect("the thread");
    assert_eq!(home.metadata["parent"]["root"], json!(root.id));
}

#[tokio::test]
async fn a_thread_can_be_named_and_remembers_what_was_asked_before() {
    let twice = [
        ask("clerk", json!({ "task": "One." })),
        text("a"),
        ask("clerk", json!({ "task": "Two." })),
        text("b"),
    ];
    let desk = Desk::with(twice).await;
    let clerk = model([text("First."), text("Second.")]);
    let agent_below = agent("clerk", &clerk);
    let home: AgentThread =
        agent_below.create_thread(&desk.runtime, NewThread::for_user("alice")).await.expect("a thread");
    let tool = agent_below.as_tool("clerk", "Works.").stored(Home::Thread(home.id()));
    let thread = desk.thread(&desk.agent().tool(tool).expect("a tool").stop_when(step_count(3))).await;
    thread.generate_text("Go.").await.expect("an answer");
    thread.generate_text("Go on.").await.expect("an answer");
    assert_eq!(said_in(&desk, home.id()).await, ["One.", "First.", "Two.", "Second."]);
    assert_eq!(clerk.requests()[1].messages.len(), 3);
}

#[tokio::test]
async fn what_is_called_by_what_is_called_belongs_to_the_root() {
    let desk = Desk::with([ask("middle", json!({ "task": "a" })), text("Done.")]).await;
    let (middle, low) =
        (model([ask("low", json!({ "task": "b" })), text("From below.")]), model([text("Deep.")]));
    let knows = Tool::new("knows", "Tells.", |_: ToolContext, (): ()| async { "nothing" });
    let low = agent("low", &low).tool(knows).expect("a tool").as_tool("low", "").stored(Home::NewThread);
    let middle =
        agent("middle", &middle).tool(low).expect("a tool").as_tool("middle", "").stored(Home::NewThread);
    let thread = desk.thread(&desk.agent().tool(middle).expect("a tool").stop_when(step_count(3))).await;
    let reply = thread.generate_text("Go.").await.expect("an answer");
    // Two calls in the middle, one below.
    assert_eq!((reply.usage.output_text, reply.delegated.output_text), (20, 30));
    let runs = runs_of(&desk).await;
    let parent = ParentRun::of(&runs[2]).expect("it was called");
    assert_eq!((parent.run, parent.root, parent.depth), (runs[1].id, runs[0].id, 2));
    assert_eq!(parent.root_thread, Some(thread.id()));
}

#[tokio::test]
async fn an_abort_of_the_root_ends_the_runs_below() {
    let desk = Desk::with([ask("slow", json!({ "task": "Wait." })), text("never")]).await;
    let slow = model([text("half of it").hang()]);
    let tool = agent("slow", &slow).as_tool("slow", "Waits.").stored(Home::NewThread);
    let thread = desk.thread(&desk.agent().tool(tool).expect("a tool").stop_when(step_count(3))).await;
    let stream = thread.stream_text("Go.").await.expect("it begins");
    let mut below = desk
        .runtime
        .store()
        .watch(|tx| Ok(tx.scan(Run::all())?.into_iter().find(|run| run.agent.as_deref() == Some("slow"))));
    let streams = |run: Option<Row<Run>>| run.is_some_and(|run| run.stream.is_some());
    while !streams(soon(below.next()).await.expect("open").expect("read")) {}
    let id = thread.id();
    let stopped = Failure::new("stopped", "the user pressed stop");
    desk.runtime.store().mutate(move |tx| runs::abort_all(tx, id, None, &stopped)).await.expect("aborted");
    soon(stream.finish()).await.expect_err("it was stopped");
    let ended = loop {
        let run = soon(below.next()).await.expect("open").expect("read").expect("it is there");
        if run.status.has_ended() {
            break run;
        }
    };
    assert_eq!(ended.status, RunStatus::Aborted);
    let first = ended.first;
    let row = desk.runtime.store().query(move |tx| tx.require(first)).await.expect("its answer");
    assert_eq!((row.status, row.message.text().as_str()), (MessageStatus::Aborted, "half of it"));
}

#[tokio::test]
async fn agents_call_each_other_only_so_deep() {
    let down = || ask("down", json!({ "task": "Go down." }));
    let bottom = model([text("The bottom.")]);
    let mut below = agent("bottom", &bottom);
    let mut models = Vec::new();
    for _ in 0..MAX_AGENT_DEPTH {
        let next = model([down(), text("Back.")]);
        below = agent("link", &next).tool(below.as_tool("down", "Goes down.")).expect("a tool");
        models.push(next);
    }
    let desk = Desk::with([down(), text("Back.")]).await;
    let root =
        desk.agent().tool(below.as_tool("down", "Goes down.")).expect("a tool").stop_when(step_count(3));
    let reply = root.for_nobody(&desk.runtime).generate_text("Go down.").await.expect("an answer");
    assert_eq!(reply.text, "Back.");
    assert!(bottom.requests().is_empty(), "the last one is not asked");
    let told = models[0].requests()[1].messages.last().map(|told| told.tool_results().next().cloned());
    let told = told.flatten().expect("a result").output;
    assert!(told.is_error() && told.to_text().contains("at most 8 deep"), "{told:?}");
}

#[tokio::test]
async fn what_goes_wrong_below_is_told_to_the_model_above() {
    let desk = Desk::with([
        MockReply::default().tool_call("1", "broken", json!({ "task": "a" })).tool_call(
            "2",
            "asks",
            json!({ "task": "b" }),
        ),
        text("I could not."),
    ])
    .await;
    let broken = agent("broken", &model([]));
    let human = Tool::declared("human", "Asks a person.", json!({ "type": "object" }));
    let asks = agent("asks", &model([ask("human", json!({}))])).tool(human).expect("a tool");
    let above = desk.agent().tool(broken.as_tool("broken", "")).expect("a tool");
    let above = above.tool(asks.as_tool("asks", "")).expect("a tool").stop_when(step_count(3));
    let thread = desk.thread(&above).await;
    let reply = thread.generate_text("Go.").await.expect("an answer");
    let told: Vec<_> = reply.steps[0].calls.iter().collect();
    assert!(told.iter().all(|call| call.outcome == Outcome::Failed), "{told:?}");
    let text = |id: &str| {
        let call = told.iter().find(|call| call.call.id == id).expect("it ended");
        call.result.as_ref().expect("a result").output.to_text()
    };
    assert!(text("1").contains("the model of agent \"broken\" failed"), "{}", text("1"));
    assert!(text("2").contains("waits for somebody to answer its call of `human`"), "{}", text("2"));
}

#[tokio::test]
async fn state_of_the_one_need_not_be_that_of_the_other() {
    struct Shop(&'static str);
    let books = model([ask("shop", json!({})), text("Seen.")]);
    let shop = Tool::new("shop", "Names.", |ctx: ToolContext<Shop>, (): ()| async move {
        format!("{} for {:?} by {:?}", ctx.state().0, ctx.user(), ctx.caller())
    });
    let below = Agent::with_state("clerk", books.clone() as Arc<dyn LanguageModel>, Arc::new(Shop("Loom")));
    let below = below.tool(shop).expect("a tool").stop_when(step_count(2));
    let desk = Desk::with([ask("clerk", json!({ "task": "Look." })), text("Done.")]).await;
    let tool: Tool = loomwork_agent::IntoTool::into_tool(below.as_tool("clerk", "Sells."));
    let tool = tool.with_policy(ToolPolicy { concurrency: Some(1), ..ToolPolicy::default() });
    let thread = desk.thread(&desk.agent().tool(tool).expect("a tool").stop_when(step_count(3))).await;
    thread.generate_text("Go.").await.expect("an answer");
    let told = books.requests()[1].messages.last().map(|told| told.tool_results().next().cloned());
    let told = told.flatten().expect("a result").output.to_text();
    assert_eq!(told, "Loom for Some(\"alice\") by Some(\"support\")");
}

#[tokio::test]
async fn an_agent_as_a_tool_has_its_time() {
    const TIME: Duration = Duration::from_millis(20);
    let clock = Clock::manual(Time::from_millis(1_000_000));
    let store = Store::memory().clock(clock.clock()).tables(tables()).open().await.expect("the store opens");
    let runtime = Runtime::start(&store).await.expect("the runtime starts");
    let asks = [ask("slow", json!({ "task": "Wait." })), text("It takes too long.")];
    let desk = Desk { runtime, model: model(asks) };
    let speaks = Gate::new();
    let slow = model([text("half of it").gate(&speaks)]);
    let tool = agent("slow", &slow).as_tool("slow", "Waits.").stored(Home::NewThread).with_timeout(TIME);
    let thread = desk.thread(&desk.agent().tool(tool).expect("a tool").stop_when(step_count(3))).await;
    let turning = async {
        soon(speaks.reached()).await;
        // It is over, and so is the time in which it may end by itself.
        for _ in 0..100 {
            clock.advance(TIME);
            tokio::task::yield_now().await;
        }
        std::future::pending::<()>().await;
    };
    let reply = tokio::select! {
        reply = soon(thread.generate_text("Go.")) => reply.expect("the answer goes on"),
        () = turning => unreachable!("it waits for ever"),
    };
    let told = reply.steps[0].calls[0].result.as_ref().expect("a result").output.to_text();
    assert!(told.contains("`slow` took longer than 20ms"), "{told}");
    let mut runs = desk.runtime.store().watch(|tx| tx.scan(Run::all()));
    let is_aborted = |runs: Vec<Row<Run>>| {
        runs.iter().any(|run| run.agent.as_deref() == Some("slow") && run.status == RunStatus::Aborted)
    };
    while !is_aborted(soon(runs.next()).await.expect("open").expect("read")) {}
}

#[tokio::test]
async fn who_lets_the_caller_begin_is_asked_about_agents_below_too() {
    let desk = Desk::with([ask("middle", json!({ "task": "a" })), text("Done.")]).await;
    let (middle, low) =
        (model([ask("low", json!({ "task": "b" })), text("From below.")]), model([text("Deep.")]));
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let admission = |name: &'static str| {
        let asked = asked.clone();
        Admission::before_call(name, move |_, call| {
            asked.lock().expect("nothing panics").push((name, call.agent.clone()));
            Ok(Hold::none())
        })
    };
    let low = agent("low", &low).admission(admission("budget")).as_tool("low", "");
    let middle = agent("middle", &middle).tool(low).expect("a tool").admission(admission("own"));
    let above = desk.agent().admission(admission("budget")).stop_when(step_count(3));
    let thread = desk.thread(&above.tool(middle.as_tool("middle", "")).expect("a tool")).await;
    thread.generate_text("Go.").await.expect("an answer");
    let asked = asked.lock().expect("nothing panics").clone();
    let count = |name: &str, agent: &str| asked.iter().filter(|(by, of)| *by == name && of == agent).count();
    assert_eq!((count("budget", "support"), count("budget", "middle")), (2, 2), "{asked:?}");
    assert_eq!((count("own", "middle"), count("own", "low")), (2, 1), "{asked:?}");
    assert_eq!(count("budget", "low"), 1, "it asks that one itself, and once: {asked:?}");
}

/// An agent that is a tool, and has to be let pay; it is stored in threads of its own.
fn payer() -> AgentTool<()> {
    let below = model([ask("pay", json!({})), text("It is paid.")]);
    let policy = ToolPolicy { needs_approval: Approval::Always, ..ToolPolicy::default() };
    let pay = Tool::new("pay", "Pays.", |_: ToolContext, (): ()| async { "paid" }).with_policy(policy);
    agent("payer", &below).tool(pay).expect("a tool").as_tool("payer", "Pays.").stored(Home::NewThread)
}

/// Returns what somebody is asked first.
async fn first_asked(desk: &Desk) -> Row<ApprovalRow> {
    let mut open = desk.runtime.store().watch(|tx| approvals::open(tx, 1));
    loop {
        if let Some(row) = soon(open.next()).await.expect("open").expect("read").pop() {
            return row;
        }
    }
}

#[tokio::test]
async fn an_agent_that_is_a_tool_waits_for_whoever_has_to_approve_its_calls() {
    let desk = Desk::with([ask("payer", json!({ "task": "Pay." })), text("Done.")]).await;
    let thread = desk.thread(&desk.agent().tool(payer()).expect("a tool").stop_when(step_count(3))).await;
    let approving = async {
        let id = first_asked(&desk).await.id;
        desk.runtime.store().mutate(move |tx| approvals::approve(tx, id, "bob")).await.expect("approved");
    };
    let (reply, ()) = soon(async { tokio::join!(thread.generate_text("Pay."), approving) }).await;
    let reply = reply.expect("an answer");
    assert_eq!(reply.text, "Done.");
    let result = reply.steps[0].calls[0].result.as_ref().expect("a result");
    assert_eq!(result.output.to_text(), "It is paid.");
    assert_eq!(reply.delegated.output_text, 20, "both calls of the model below count");
    let runs = runs_of(&desk).await;
    assert_eq!(runs.iter().map(|run| run.status).collect::<Vec<_>>(), [RunStatus::Success; 2]);
}

#[tokio::test]
async fn nobody_is_asked_any_more_for_an_agent_that_was_called_off() {
    let desk = Desk::with([ask("payer", json!({ "task": "Pay." })), text("never")]).await;
    let thread = desk.thread(&desk.agent().tool(payer()).expect("a tool").stop_when(step_count(3))).await;
    let stream = thread.stream_text("Pay.").await.expect("it begins");
    let asked = first_asked(&desk).await;
    stream.abort();
    soon(stream.finish()).await.expect_err("it was called off");
    let id = asked.id;
    let mut closed = desk.runtime.store().watch(move |tx| Ok(tx.require(id)?.state));
    while soon(closed.next()).await.expect("open").expect("read") == ApprovalState::Open {}
    let runs = runs_of(&desk).await;
    assert_eq!(runs.iter().map(|run| run.status).collect::<Vec<_>>(), [RunStatus::Aborted; 2]);
}
