//! Runs whose process goes away in the middle of a step, and who goes on with them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loomwork_agent::{
    Admission, Agent, AgentError, AgentReply, AgentThread, Hold, Home, NextStep, Options, Outcome,
    PlannedCall, PrepareStep, Runtime, StepEnd, Tool, ToolContext, journal, outbox, step_count,
};
use loomwork_core::Kind;
use loomwork_messages::runs;
use loomwork_messages::threads::NewThread;
use loomwork_messages::{List, MessageStatus, Run, RunId, RunStatus, list};
use loomwork_models::{Gate, LanguageModel, Message, MockModel, MockReply, ToolOutput};
use loomwork_store::{Result, Table as _, Tx};
use loomwork_store_sqlite::Sqlite;
use loomwork_testkit::soon;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::desk::text;
use super::ledger::Heard;

/// A house whose process can go away: all that it leaves is the file.
struct House {
    folder: TempDir,
    runtime: Runtime,
}

impl House {
    async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = Self::start(&folder).await;
        Self { folder, runtime }
    }

    async fn start(folder: &TempDir) -> Runtime {
        let engine = Sqlite::open(folder.path().join("house.db")).expect("a file");
        Runtime::over(engine).await.expect("a store opens")
    }

    /// Lets the process die with all that it does, and starts another one.
    async fn reopen(self) -> Self {
        let Self { folder, runtime } = self;
        // Nothing can be written any more: what still runs notices that at its next commit.
        runtime.store().close().await;
        drop(runtime);
        let runtime = Self::start(&folder).await;
        Self { folder, runtime }
    }

    /// Waits until the outbox is empty.
    async fn told(&self) {
        let mut waiting = self.runtime.store().watch(|tx| Ok(outbox::waiting(tx, 1)?.len()));
        while soon(waiting.next()).await.expect("open").expect("read") > 0 {}
    }

    async fn queued(&self) -> RunId {
        let mut queued = self.runtime.store().watch(|tx| Ok(runs::queued(tx, 1)?.first().map(|run| run.id)));
        loop {
            if let Some(run) = soon(queued.next()).await.expect("open").expect("read") {
                return run;
            }
        }
    }
}

/// Counts calls by name, and lets some of them hang.
#[derive(Clone, Default)]
struct Counter(Arc<Mutex<BTreeMap<String, Vec<String>>>>);

impl Counter {
    fn count(&self, context: &ToolContext) {
        let mut counts = self.0.lock().expect("nothing panics");
        counts.entry(context.call().name.clone()).or_default().push(context.idempotency_key());
    }

    /// Returns the keys of a tool's calls.
    fn of(&self, tool: &str) -> Vec<String> {
        self.0.lock().expect("nothing panics").get(tool).cloned().unwrap_or_default()
    }
}

/// Asks in the background.
fn asking(
    thread: &AgentThread,
    prompt: &'static str,
) -> JoinSet<std::result::Result<AgentReply, AgentError>> {
    let (thread, mut tasks) = (thread.clone(), JoinSet::new());
    tasks.spawn(async move { thread.generate_text(prompt).await });
    tasks
}

/// Returns what became of it.
async fn asked(
    mut tasks: JoinSet<std::result::Result<AgentReply, AgentError>>,
) -> std::result::Result<AgentReply, AgentError> {
    soon(tasks.join_next()).await.expect("one task").expect("it does not panic")
}

fn quick(counter: &Counter) -> Tool {
    let counter = counter.clone();
    Tool::new("quick", "Pays at once.", move |context: ToolContext, (): ()| {
        counter.count(&context);
        async { "paid" }
    })
}

fn slow(counter: &Counter, gate: CancellationToken) -> Tool {
    let counter = counter.clone();
    Tool::new("slow", "Pays when its gate is open.", move |context: ToolContext, (): ()| {
        counter.count(&context);
        let gate = gate.clone();
        async move {
            gate.cancelled().await;
            "paid late"
        }
    })
}

fn payer(model: &Arc<MockModel>, counter: &Counter, gate: &CancellationToken) -> Agent {
    let agent = Agent::new("payer", model.clone() as Arc<dyn LanguageModel>).durable();
    let agent =
        agent.tool(quick(counter)).expect("a tool").tool(slow(counter, gate.clone())).expect("a tool");
    agent.stop_when(step_count(5))
}

/// Returns the calls of the only run that have ended, with what they came to.
fn ended(tx: &Tx) -> Result<Vec<(String, Option<ToolOutput>)>> {
    let Some(run) = tx.first(Run::all())? else { return Ok(Vec::new()) };
    let calls = journal::calls(tx, run.id)?.into_iter();
    Ok(calls.map(|row| (row.call.clone(), row.result().map(|result| result.output.clone()))).collect())
}

fn both() -> MockReply {
    MockReply::default().tool_call("q", "quick", json!({})).tool_call("s", "slow", json!({}))
}

#[tokio::test]
async fn a_call_that_has_ended_is_not_made_again_when_its_run_is_taken_up() {
    let house = House::open().await;
    let (counter, gate) = (Counter::default(), CancellationToken::new());
    let model = Arc::new(MockModel::new([both(), text("Both are paid.")]));
    let agent = payer(&model, &counter, &gate);
    let thread = agent.create_thread(&house.runtime, NewThread::for_user("alice")).await.expect("a thread");
    let (id, paying) = (thread.id(), asking(&thread, "Pay both."));
    // One has ended and is stored while the other one hangs.
    let stored = {
        let mut ended = house.runtime.store().watch(ended);
        loop {
            let ended = soon(ended.next()).await.expect("open").expect("read");
            if !ended.is_empty() {
                break ended;
            }
        }
    };
    assert_eq!(stored, [("q".to_owned(), Some(ToolOutput::Text("paid".into())))]);

    let house = house.reopen().await;
    let error = asked(paying).await.expect_err("its process is gone");
    assert!(matches!(error, AgentError::Ended(_)), "{error}");
    let run = house.queued().await;
    gate.cancel();
    let reply = soon(agent.in_thread(&house.runtime, id).resume(run)).await.expect("an answer");

    assert_eq!(reply.text, "Both are paid.");
    assert_eq!(counter.of("quick").len(), 1, "what has ended is not made again");
    let keys = counter.of("slow");
    assert_eq!(keys.len(), 2, "what has not is");
    assert_eq!(keys[0], keys[1], "under the same key");
    assert_eq!(model.requests().len(), 2, "the model is not asked again for what it has said");
    let outcomes: Vec<_> = reply.steps[0].calls.iter().map(|call| call.outcome).collect();
    assert_eq!(outcomes, [Outcome::Succeeded, Outcome::Succeeded]);
    let page = house.runtime.store().query(move |tx| list(tx, id, &List::oldest(10))).await.expect("listed");
    let results: Vec<_> = page.messages.iter().flat_map(|row| row.message.tool_results()).collect();
    assert_eq!(results.len(), 2, "each result is there once");
    assert!(page.messages.iter().all(|row| row.status == MessageStatus::Success));
    let asked = model.requests().pop().expect("it was asked").messages;
    assert_eq!(asked.iter().flat_map(Message::tool_results).count(), 2);
    let calls = house.runtime.store().query(move |tx| journal::calls(tx, run)).await.expect("read");
    assert!(calls.iter().all(|call| call.result().is_none()), "the messages have the results");
    let steps = house.runtime.store().query(move |tx| journal::steps(tx, run)).await.expect("read");
    assert!(steps.iter().all(|step| step.end == Some(StepEnd::Success)), "{steps:?}");
    let run = house.runtime.store().query(move |tx| tx.require(run)).await.expect("the run");
    assert_eq!((run.status, run.steps), (RunStatus::Success, 2));
}

#[tokio::test]
async fn a_run_goes_on_behind_the_steps_that_are_complete_and_its_cut_call_is_told_as_cut() {
    let house = House::open().await;
    let (counter, gate) = (Counter::default(), CancellationToken::new());
    let hangs = Gate::new();
    let quick = MockReply::default().tool_call("q", "quick", json!({}));
    let model = Arc::new(MockModel::new([quick, text("half of").gate(&hangs), text("It is paid.")]));
    let heard = Heard::default();
    let agent = payer(&model, &counter, &gate).on_usage(heard.handler());
    let thread = agent.create_thread(&house.runtime, NewThread::for_user("alice")).await.expect("a thread");
    let (id, paying) = (thread.id(), asking(&thread, "Pay."));
    soon(hangs.reached()).await;
    let house = house.reopen().await;
    asked(paying).await.expect_err("its process is gone");
    let run = house.queued().await;
    let reply = soon(agent.in_thread(&house.runtime, id).resume(run)).await.expect("an answer");
    assert_eq!((reply.text.as_str(), reply.steps.len()), ("It is paid.", 2));
    assert_eq!(reply.steps[0].calls[0].call.name, "quick");
    assert_eq!(counter.of("quick").len(), 1);
    let steps = house.runtime.store().query(move |tx| journal::steps(tx, run)).await.expect("read");
    let told: Vec<_> = steps.iter().map(|row| (row.step, row.attempt, row.end)).collect();
    assert_eq!(
        told,
        [(0, 1, Some(StepEnd::Success)), (1, 1, Some(StepEnd::Cut)), (1, 2, Some(StepEnd::Success))]
    );
    let cut = steps[1].usage.as_ref().expect("it may have used something");
    assert!(cut.estimated && cut.input() > 0, "{cut:?}");
    house.told().await;
    let mut told: Vec<_> = heard.events().iter().map(|event| (event.step, event.attempt)).collect();
    told.sort_unstable();
    assert_eq!(told, [(0, 1), (1, 1), (1, 2)], "each attempt is told once");
}

#[tokio::test]
async fn what_a_dead_process_has_used_is_told_at_the_next_start() {
    let house = House::open().await;
    let hangs = Gate::new();
    let model = Arc::new(MockModel::new([text("half of").gate(&hangs)]));
    let agent = Agent::new("clerk", model as Arc<dyn LanguageModel>).on_usage(Heard::default().handler());
    let thread = agent.create_thread(&house.runtime, NewThread::for_user("alice")).await.expect("a thread");
    let asking = asking(&thread, "Go.");
    soon(hangs.reached()).await;
    let mut house = house.reopen().await;
    asked(asking).await.expect_err("its process is gone");
    let mut steps = house.runtime.store().watch(|tx| {
        let Some(run) = tx.first(Run::all())? else { return Ok(None) };
        Ok(journal::steps(tx, run.id)?.first().and_then(|row| row.end))
    });
    while soon(steps.next()).await.expect("open").expect("read") != Some(StepEnd::Cut) {}
    let heard = Heard::default();
    house.runtime = house.runtime.with_handlers([heard.handler().into()]);
    house.told().await;
    let events = heard.events();
    assert_eq!((events.len(), events[0].end, events[0].usage.estimated), (1, StepEnd::Cut, true));
    assert_eq!((events[0].user.as_deref(), events[0].thread), (Some("alice"), Some(thread.id())));
}

#[tokio::test]
async fn a_run_that_does_not_wait_is_not_taken_up() {
    let house = House::open().await;
    let model = Arc::new(MockModel::new([text("Done.")]));
    let agent = Agent::new("payer", model as Arc<dyn LanguageModel>).durable();
    let thread = agent.create_thread(&house.runtime, NewThread::for_user("alice")).await.expect("a thread");
    let run = thread.generate_text("Go.").await.expect("an answer").stored.expect("stored").run;
    let error = thread.resume(run).await.expect_err("it has ended");
    assert!(matches!(error, AgentError::Ended(_)), "{error}");
}

#[tokio::test]
async fn calls_of_a_step_are_committed_in_the_order_in_which_they_end() {
    let house = House::open().await;
    let gates: Vec<_> = (0..3).map(|_| CancellationToken::new()).collect();
    let opens = gates.clone();
    let wait = Tool::new("wait", "Waits.", move |context: ToolContext, (): ()| {
        let gate = gates[context.call_id().parse::<usize>().expect("a number")].clone();
        async move {
            gate.cancelled().await;
            "done"
        }
    });
    let calls =
        (0..3).fold(MockReply::default(), |reply, id| reply.tool_call(id.to_string(), "wait", json!({})));
    let model = Arc::new(MockModel::new([calls]));
    let agent = Agent::new("clerk", model as Arc<dyn LanguageModel>).tool(wait).expect("a tool");
    let thread = agent.create_thread(&house.runtime, NewThread::for_user("alice")).await.expect("a thread");
    let asking = asking(&thread, "Go.");
    let mut seen = house.runtime.store().watch(ended);
    for (count, id) in [2, 0, 1].into_iter().enumerate() {
        opens[id].cancel();
        while soon(seen.next()).await.expect("open").expect("read").len() <= count {}
    }
    let reply = asked(asking).await.expect("an answer");
    let run = reply.stored.expect("stored").run;
    let mut calls = house.runtime.store().query(move |tx| journal::calls(tx, run)).await.expect("read");
    calls.sort_by_key(|row| row.id);
    assert_eq!(calls.iter().map(|row| row.call.as_str()).collect::<Vec<_>>(), ["2", "0", "1"]);
}

#[tokio::test]
async fn a_durable_answer_outlives_the_end_of_its_process() {
    let house = House::open().await;
    let hangs = Gate::new();
    let model = Arc::new(MockModel::new([text("half of").gate(&hangs), text("All of it.")]));
    let agent = Agent::new("clerk", model as Arc<dyn LanguageModel>).durable();
    let thread = agent.create_thread(&house.runtime, NewThread::for_user("alice")).await.expect("a thread");
    let stream = thread.stream_text("Go.").await.expect("it begins");
    soon(hangs.reached()).await;
    house.runtime.shutdown(Duration::from_secs(20)).await.expect("it ends in order");
    soon(stream.finish()).await.expect_err("it ended with its process");
    let house = house.reopen().await;
    let run = house.queued().await;
    let reply = soon(agent.in_thread(&house.runtime, thread.id()).resume(run)).await.expect("an answer");
    assert_eq!(reply.text, "All of it.");
}

#[tokio::test]
async fn a_durable_answer_that_somebody_awaits_is_given_back_when_its_process_ends() {
    let house = House::open().await;
    let hangs = Gate::new();
    let model = Arc::new(MockModel::new([text("half of").gate(&hangs), text("All of it.")]));
    let agent = Agent::new("clerk", model as Arc<dyn LanguageModel>).durable();
    let thread = agent.create_thread(&house.runtime, NewThread::for_user("alice")).await.expect("a thread");
    let asking = asking(&thread, "Go.");
    soon(hangs.reached()).await;
    house.runtime.shutdown(Duration::from_secs(20)).await.expect("it ends in order");
    let error = asked(asking).await.expect_err("it ended with its process");
    assert!(error.to_string().contains("waits to be resumed"), "{error}");
    let house = house.reopen().await;
    let run = house.queued().await;
    let reply = soon(agent.in_thread(&house.runtime, thread.id()).resume(run)).await.expect("an answer");
    assert_eq!(reply.text, "All of it.");
}

/// A durable run that waits at its second step, its process having gone while the model spoke.
async fn cut_in_its_second_step(agent: &Agent, hangs: &Gate) -> (House, AgentThread, RunId) {
    let house = House::open().await;
    let thread = agent.create_thread(&house.runtime, NewThread::for_user("alice")).await.expect("a thread");
    let paying = asking(&thread, "Pay.");
    soon(hangs.reached()).await;
    let house = house.reopen().await;
    asked(paying).await.expect_err("its process is gone");
    let run = house.queued().await;
    let thread = agent.in_thread(&house.runtime, thread.id());
    (house, thread, run)
}

fn two_steps(hangs: &Gate, replies: impl IntoIterator<Item = MockReply>) -> Arc<MockModel> {
    let first = [MockReply::default().tool_call("q", "quick", json!({})), text("half of").gate(hangs)];
    Arc::new(MockModel::new(first.into_iter().chain(replies)))
}

#[tokio::test]
async fn a_step_that_is_made_by_others_is_prepared_admitted_and_told_as_it_would_have_been() {
    let (counter, hangs) = (Counter::default(), Gate::new());
    let model = two_steps(&hangs, [text("It is paid.")]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let numbers = seen.clone();
    let prepare = PrepareStep::new(move |next: NextStep| {
        numbers.lock().expect("nothing panics").push((next.number, next.steps.len()));
        async { Ok(next) }
    });
    let admitted = Arc::new(Mutex::new(Vec::new()));
    let admits = |name: &'static str| {
        let admitted = admitted.clone();
        move |_: &mut Tx, call: &PlannedCall| {
            admitted.lock().expect("nothing panics").push((name, call.step));
            Ok(Hold::none())
        }
    };
    let agent = payer(&model, &counter, &CancellationToken::new()).prepare_step(prepare);
    let agent = agent.admission(Admission::before_run("run", admits("run")));
    let agent = agent.admission(Admission::before_call("call", admits("call")));
    let (house, thread, run) = cut_in_its_second_step(&agent, &hangs).await;
    let options = Options { instructions: Some("Be quick.".into()), ..Options::default() };
    let reply = soon(thread.resume_with(run, options)).await.expect("an answer");
    assert_eq!(reply.text, "It is paid.");
    assert_eq!(*seen.lock().expect("nothing panics"), [(0, 0), (1, 1), (1, 1)]);
    assert_eq!(
        *admitted.lock().expect("nothing panics"),
        [("run", 0), ("call", 0), ("call", 1), ("run", 1), ("call", 1)]
    );
    let asked = model.requests().pop().expect("asked").messages;
    assert_eq!(asked[0].text(), "Be quick.", "options of the call count");
    drop(house);
}

#[tokio::test]
async fn a_run_that_cannot_be_taken_up_ends_and_says_why_unless_that_may_pass() {
    let (counter, hangs) = (Counter::default(), Gate::new());
    let model = two_steps(&hangs, [text("never")]);
    let agent = payer(&model, &counter, &CancellationToken::new());
    let (house, thread, run) = cut_in_its_second_step(&agent, &hangs).await;
    let status =
        async || house.runtime.store().query(move |tx| Ok(tx.require(run)?.status)).await.expect("read");
    let full = Admission::before_run("full", |_, _| {
        let wait = Duration::from_secs(9);
        Err::<Hold, _>(loomwork_store::Error::message(Kind::Limited { wait }, "come back later"))
    });
    let options = Options { admissions: Some(vec![full]), ..Options::default() };
    let error = thread.resume_with(run, options).await.expect_err("it is refused");
    assert!(matches!(error, AgentError::Refused { admission: "full", .. }), "{error}");
    assert_eq!(status().await, RunStatus::Queued);
    let broken = PrepareStep::new(|_: NextStep| async { Err("no step is any good".into()) });
    let options = Options { prepare_step: Some(broken), ..Options::default() };
    thread.resume_with(run, options).await.expect_err("it cannot be prepared");
    assert_eq!(status().await, RunStatus::Failed);
    let id = thread.id();
    let page = house.runtime.store().query(move |tx| list(tx, id, &List::oldest(10))).await.expect("listed");
    let last = page.messages.last().expect("it is there");
    assert_eq!(last.status, MessageStatus::Failed);
    assert!(last.error.as_ref().is_some_and(|error| error.message.contains("no step is any good")));
}

#[tokio::test]
async fn a_run_whose_new_owner_is_dropped_is_held_by_nobody() {
    let (counter, hangs, again) = (Counter::default(), Gate::new(), Gate::new());
    let model = two_steps(&hangs, [text("half").gate(&again)]);
    let agent = payer(&model, &counter, &CancellationToken::new());
    let (house, thread, run) = cut_in_its_second_step(&agent, &hangs).await;
    tokio::select! {
        _ = thread.resume(run) => panic!("the gate is closed"),
        () = again.reached() => {}
    }
    let mut seen = house.runtime.store().watch(move |tx| Ok(tx.require(run)?.status));
    while soon(seen.next()).await.expect("open").expect("read") != RunStatus::Aborted {}
}

#[tokio::test]
async fn an_agent_as_a_tool_is_never_durable() {
    let house = House::open().await;
    let hangs = Gate::new();
    let below = Arc::new(MockModel::new([text("half of").gate(&hangs)]));
    let below = Agent::new("below", below as Arc<dyn LanguageModel>).durable();
    let tool = below.as_tool("ask", "Asks.").stored(Home::NewThread);
    let call = MockReply::default().tool_call("1", "ask", json!({ "task": "Go." }));
    let above = Arc::new(MockModel::new([call, text("never")]));
    let above = Agent::new("above", above as Arc<dyn LanguageModel>).tool(tool).expect("a tool");
    let thread = above.create_thread(&house.runtime, NewThread::for_user("alice")).await.expect("a thread");
    let asking = asking(&thread, "Go.");
    soon(hangs.reached()).await;
    let house = house.reopen().await;
    asked(asking).await.expect_err("its process is gone");
    let mut runs = house.runtime.store().watch(|tx| tx.scan(Run::all()));
    loop {
        let runs = soon(runs.next()).await.expect("open").expect("read");
        assert!(runs.iter().all(|run| !run.durable && run.status != RunStatus::Queued), "{runs:?}");
        if runs.len() == 2 && runs.iter().all(|run| run.status == RunStatus::Aborted) {
            break;
        }
    }
}
