//! What answers cost: how often they write, and how much they read.

use std::sync::Arc;

use loomwork_agent::{Agent, AgentThread, Runtime, Tool, ToolContext, step_count, tables};
use loomwork_core::{Clock, Time};
use loomwork_messages::threads::NewThread;
use loomwork_messages::{Save, save};
use loomwork_models::{LanguageModel, Message, MockModel, MockReply};
use loomwork_store::{Memory, Store};
use loomwork_testkit::{Begun, Tallied};
use serde_json::json;

/// How many answers a thread is asked for.
const ANSWERS: usize = 5;

/// A process whose transactions are counted, on a clock that stands still.
struct Counted {
    runtime: Runtime,
    begun: Arc<Begun>,
}

impl Counted {
    async fn open() -> Self {
        let (engine, begun) = Tallied::over(Memory::new());
        let clock = Clock::manual(Time::from_millis(1_000_000));
        let store = Store::builder(engine).clock(clock.clock()).tables(tables()).open().await;
        let runtime = Runtime::start(&store.expect("the store opens")).await.expect("the runtime starts");
        Self { runtime, begun }
    }

    /// An agent that makes so many calls in a step, again and again, and has the last word then.
    async fn thread(&self, steps: usize, calls: usize) -> AgentThread {
        let call = |step: usize| {
            (0..calls).fold(MockReply::default(), |reply, call| {
                reply.tool_call(format!("{step}-{call}"), "look", json!({}))
            })
        };
        let turn = || (0..steps).map(call).chain([MockReply::default().text("It is seen.")]);
        let model = MockModel::new((0..ANSWERS).flat_map(|_| turn()));
        let model = Arc::new(model) as Arc<dyn LanguageModel>;
        let look = Tool::new("look", "Looks.", |_: ToolContext, (): ()| async { "seen" });
        let agent = Agent::new("clerk", model).tool(look).expect("a tool").stop_when(step_count(steps + 1));
        agent.create_thread(&self.runtime, NewThread::for_user("ada")).await.expect("a thread")
    }

    /// Returns how often an answer writes, and how many rows it is shown: the least of several, since what runs beside
    /// the first ones writes too.
    async fn answer(&self, thread: &AgentThread) -> (u64, u64) {
        let mut least = (u64::MAX, u64::MAX);
        for _ in 0..ANSWERS {
            let before = (self.begun.writes(), self.begun.rows());
            thread.generate_text("And now?").await.expect("an answer");
            let (writes, rows) = (self.begun.writes() - before.0, self.begun.rows() - before.1);
            least = (least.0.min(writes), least.1.min(rows));
        }
        least
    }
}

#[tokio::test]
async fn an_answer_of_one_step_writes_twice_before_the_model_is_asked_and_behind_it() {
    let counted = Counted::open().await;
    let thread = counted.thread(0, 0).await;
    assert_eq!(counted.answer(&thread).await.0, 2);
}

#[tokio::test]
async fn a_step_with_a_call_writes_what_the_model_said_and_all_the_rest_at_once() {
    let counted = Counted::open().await;
    let thread = counted.thread(3, 1).await;
    assert_eq!(counted.answer(&thread).await.0, 1 + 3 * 2 + 1);
}

#[tokio::test]
async fn what_an_answer_reads_does_not_grow_with_its_thread() {
    let counted = Counted::open().await;
    for messages in [300, 3_000] {
        let thread = counted.thread(0, 0).await;
        let said: Vec<_> =
            (0..messages / 2).flat_map(|_| [Message::user("?"), Message::assistant("!")]).collect();
        let id = thread.id();
        let saved = counted.runtime.store().mutate(move |tx| save(tx, id, Save::all(said)));
        saved.await.expect("saved");
        let (_, shown) = counted.answer(&thread).await;
        assert!(shown < 200, "{shown} rows are more than the newest hundred messages and the run's own");
    }
}
