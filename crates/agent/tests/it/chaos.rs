//! Everything goes wrong at once, and each thread is whole behind it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use loomwork_agent::{
    Admission, Agent, AgentThread, BoxError, Hold, OnUsage, StepEnd, StepRow, Tool, ToolContext, ToolPolicy,
    step_count,
};
use loomwork_core::{Clock, Kind};
use loomwork_messages::runs::abort_all;
use loomwork_messages::{Failure as Stopped, MessageRow, MessageStatus, Run};
use loomwork_models::{
    Chunk, Error, ErrorKind, FinishReason, HttpOptions, LanguageModel, MockModel, MockReply, ModelName,
    OpenAi, OpenAiOptions, Proxy, ReplyStream, Request, Settings, Usage,
};
use loomwork_store::{Id, Table};
use loomwork_testkit::provider::{Deltas, Failure, FakeProvider, Finish, Reply, Split};
use loomwork_testkit::soon;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::JoinSet;

use super::ledger::{Bill, Office};

/// How many answers are made at once over connections. Each has two ends in this process, and a process has often no
/// more than 1,024 of them.
const OVER_WIRES: usize = 200;

/// How many are made at once with a model in this process.
const IN_PROCESS: usize = 1_000;

/// How many of them share a thread.
const PER_THREAD: usize = 4;

/// How long a call may take; one that hangs takes it all.
const PATIENCE: Duration = Duration::from_millis(500);

/// What is on hold for a call.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "chaos_holds", id = "chaos")]
pub(crate) struct Held {
    step: u32,
}

/// Returns what the provider does with its n-th call.
fn answer(number: usize) -> Reply {
    let call = || Reply::new().text("Let me see.").tool_call("look", json!({}));
    match number % 24 {
        0 => Failure::status(429).retry_after("0").into(),
        1 => Failure::status(500).into(),
        2 => Failure::status(503).into(),
        3 => Failure::status(401).into(),
        4 => Failure::context_too_long().into(),
        5 => Reply::new().hangs(),
        6 => Reply::new().hangs_up(),
        7 => Reply::new().text("one two three four").cut_after(2),
        8 => Reply::new().text("one two three four").hangs_after(2),
        9 => Reply::new().text("one two three four").ends_after(2),
        10 => Reply::new().text("half of").fails(Failure::status(500)),
        11 => Reply::raw(200, "text/html", "<html>no model</html>"),
        12 => Reply::new().text("well").insert_after(1, "data: {no json\n\n"),
        13 => Reply::new().raw_tool_call("a", "look", "{\"half\": "),
        14 => Reply::new().tool_call("nothing_like_it", json!({})),
        15 => Reply::new().refusal("I would rather not."),
        16 => Reply::new().text("no word of what it cost").no_usage(),
        17 => Reply::new().text("Bytes come one by one: æøå.").split(Split::Every(1)),
        18 => Reply::new().text("It is too long").finish(Finish::Length),
        19 => Reply::new().tool_call("fail", json!({})).tool_call("panic", json!({})),
        20 => Reply::new().tool_call("hang", json!({})).tool_call("look", json!({})),
        21 => Reply::new().text("a word at a time").deltas(Deltas::Words),
        _ => call(),
    }
}

/// A model that fails in every way that can be scripted without a wire.
#[derive(Debug)]
struct Moods {
    name: ModelName,
    calls: AtomicUsize,
}

#[async_trait]
impl LanguageModel for Moods {
    fn name(&self) -> &ModelName {
        &self.name
    }

    async fn stream(&self, request: Request) -> loomwork_models::Result<ReplyStream> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        MockModel::new([mood(number)]).stream(request).await
    }
}

/// Returns what the model does with its n-th call.
fn mood(number: usize) -> MockReply {
    let fails = |kind| Error::new(kind, "mock", "mock", "not today");
    let reply = MockReply::default;
    let half = || reply().text("one two three four");
    match number % 24 {
        0 => reply().fail(fails(ErrorKind::RateLimited { retry_after: None, scope: None })),
        1 => reply().fail(fails(ErrorKind::Overloaded)),
        2 => reply().fail(fails(ErrorKind::Network)),
        3 => reply().fail(fails(ErrorKind::Auth)),
        4 => reply().fail(fails(ErrorKind::ContextTooLong)),
        5 => reply().hang(),
        6 => half().fail(fails(ErrorKind::Interrupted)),
        7 => half().fail_in(0, 2, fails(ErrorKind::Overloaded)),
        8 => half().hang(),
        9 => half().chunk(Chunk::PartDelta { part: 7, delta: "of nothing".to_owned() }),
        10 => half().tool_call("1", "look", json!({})).fail(fails(ErrorKind::Overloaded)),
        11 => reply(),
        12 => reply().reasoning("Hm.").text(""),
        13 => reply().raw_tool_call("1", "look", "{\"half\": "),
        14 => reply().tool_call("1", "nothing_like_it", json!({})),
        15 => reply().text("I would rather not.").with_finish(FinishReason::Refusal),
        16 => half().with_usage(Usage::default()),
        17 => half().with_finish(FinishReason::Length),
        18 => half().tool_call("1", "look", json!({})).with_finish(FinishReason::Length),
        19 => reply().tool_call("1", "fail", json!({})).tool_call("2", "panic", json!({})),
        20 => reply().tool_call("1", "hang", json!({})).tool_call("2", "look", json!({})),
        21 => reply().tool_call("1", "look", json!({})).tool_call("1", "look", json!({})),
        _ => reply().text("Let me see.").tool_call("1", "look", json!({})),
    }
}

fn tools(agent: Agent) -> Agent {
    let look = Tool::new("look", "Looks.", |_: ToolContext, (): ()| async { "seen" });
    let fail = Tool::new("fail", "Fails.", |_: ToolContext, (): ()| async {
        Err::<String, BoxError>("it is broken".into())
    });
    let panic = Tool::new("panic", "Panics.", |_: ToolContext, (): ()| async {
        assert!(std::env::args().count() == 0, "a bug in a tool");
        "never"
    });
    let hang = Tool::new("hang", "Hangs.", |context: ToolContext, (): ()| async move {
        context.cancelled().cancelled().await;
        "never"
    });
    let hang = hang.with_policy(ToolPolicy { timeout: None, ..ToolPolicy::default() });
    let tools = [look, fail, panic, hang];
    tools.into_iter().fold(agent, |agent, tool| agent.tool(tool).expect("a tool"))
}

/// Bills each event once, and fails every third time that it is told.
fn unreliable() -> OnUsage {
    let told = AtomicUsize::new(0);
    OnUsage::new("unreliable", move |tx, event| {
        let tokens = event.usage.total();
        tx.insert(Bill { key: event.key.clone(), user: event.user.clone(), tokens })?;
        match told.fetch_add(1, Ordering::Relaxed) % 3 {
            0 => Err(loomwork_store::Error::message(Kind::Unavailable, "the ledger is closed")),
            _ => Ok(()),
        }
    })
}

fn holding() -> Admission {
    Admission::before_call("hold", |tx, call| {
        let held: Id<Held> = tx.insert(Held { step: call.step })?.id;
        Ok(Hold::new(move |tx, _| tx.delete(held).map(drop)))
    })
}

/// Asks in one of several ways, and gives up in some of them.
async fn ask(thread: AgentThread, number: usize, store: loomwork_store::Store) {
    let clock = Clock::system();
    match number % 5 {
        0 => drop(thread.generate_text("Go.").await),
        1 => drop(thread.stream_text("Go.").await.expect("it begins").finish().await),
        2 => {
            let mut stream = thread.stream_text("Go.").await.expect("it begins");
            stream.next().await;
            stream.abort();
            drop(stream.finish().await);
        }
        3 => {
            // Whoever waits for the answer loses patience.
            tokio::select! {
                _ = thread.generate_text("Go.") => {}
                () = clock.sleep(PATIENCE / 4) => {}
            }
        }
        _ => {
            let stream = thread.stream_text("Go.").await.expect("it begins");
            clock.sleep(PATIENCE / 4).await;
            let (id, stopped) = (thread.id(), Stopped::new("stopped", "the user pressed stop"));
            store.mutate(move |tx| abort_all(tx, id, None, &stopped)).await.expect("aborted");
            drop(stream.finish().await);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_wrong_at_once_nothing_hangs_and_every_thread_is_whole() {
    let provider = FakeProvider::start().await;
    let calls = AtomicUsize::new(0);
    provider.lenient().otherwise(move |_| answer(calls.fetch_add(1, Ordering::Relaxed)));
    let http = HttpOptions { proxy: Proxy::None, ..HttpOptions::default() };
    let openai = OpenAi::with(OpenAiOptions { http, ..OpenAiOptions::compatible(provider.url(), "sk-test") });
    goes_wrong(openai.chat("loom-1") as Arc<dyn LanguageModel>, OVER_WIRES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_answers_go_wrong_at_once_and_every_thread_is_whole() {
    let moods = Moods { name: ModelName::new("mock", "moods"), calls: AtomicUsize::new(0) };
    goes_wrong(Arc::new(moods), IN_PROCESS).await;
}

/// Makes answers with a model on which there is no relying, all at once, and looks at what is left behind.
async fn goes_wrong(model: Arc<dyn LanguageModel>, answers: usize) {
    let office = Office::with([]).await;
    let settings = Settings { timeout: Some(PATIENCE), max_retries: Some(0), ..Settings::default() };
    let agent = Agent::new("clerk", model).settings(settings);
    let agent = tools(agent).stop_when(step_count(4)).on_usage(unreliable()).admission(holding());

    let mut asking = JoinSet::new();
    for _ in 0..answers / PER_THREAD {
        let thread = office.thread(&agent).await;
        for _ in 0..PER_THREAD {
            asking.spawn(ask(thread.clone(), asking.len(), office.runtime.store().clone()));
        }
    }
    // A tool that hangs waits until somebody calls it off.
    let store = office.runtime.store().clone();
    let ended = async {
        let mut left = answers;
        while left > 0 {
            tokio::select! {
                ended = asking.join_next() => {
                    ended.expect("some are left").expect("nothing panics");
                    left -= 1;
                }
                () = Clock::system().sleep(PATIENCE * 4) => {
                    let stopped = Stopped::new("stopped", "it takes too long");
                    let all = store.mutate(move |tx| {
                        for run in tx.scan(Run::all())? {
                            abort_all(tx, run.thread, None, &stopped)?;
                        }
                        Ok(())
                    });
                    all.await.expect("aborted");
                }
            }
        }
    };
    soon(ended).await;

    // What was dropped is settled behind its back.
    let mut unsettled = office.runtime.store().watch(|tx| {
        let pending = tx.scan(MessageRow::all())?.iter().any(|row| row.status == MessageStatus::Pending);
        let live = tx.scan(Run::all())?.iter().any(|run| !run.status.has_ended());
        let open = tx.scan(StepRow::all())?.iter().any(|row| row.end.is_none());
        Ok((pending, live, open, tx.count(Held::all())?))
    });
    let settled =
        async { while unsettled.next().await.expect("open").expect("read") != (false, false, false, 0) {} };
    soon(settled).await;
    office.told().await;
    assert!(office.dead().await.is_empty());

    let steps = office.runtime.store().query(|tx| tx.scan(StepRow::all())).await.expect("read");
    // A step that was opened by the commit of the one before, and dropped at that moment, has asked nobody.
    let asked = steps.iter().filter(|row| row.usage.is_some());
    let attempts: BTreeSet<_> =
        asked.map(|row| format!("{}:{}:{}", row.run, row.step, row.attempt)).collect();
    let bills: Vec<_> = office.bills().await.into_iter().map(|bill| bill.key).collect();
    assert_eq!(bills.len(), attempts.len(), "each attempt is billed once");
    assert_eq!(bills.into_iter().collect::<BTreeSet<_>>(), attempts);
    let ends: BTreeSet<_> = steps.iter().filter_map(|row| row.end).map(|end| format!("{end:?}")).collect();
    let all = [StepEnd::Aborted, StepEnd::Failed, StepEnd::Success].map(|end| format!("{end:?}"));
    assert_eq!(ends, all.into(), "some fail, some are called off, some succeed");
    let runs = office.runtime.store().query(|tx| tx.scan(Run::all())).await.expect("read");
    assert!(runs.len() >= answers - answers / 5, "only those that lost patience may not have begun");
    for run in runs {
        assert!(run.pending.is_none() || run.status != loomwork_messages::RunStatus::Success, "{run:?}");
    }
}
