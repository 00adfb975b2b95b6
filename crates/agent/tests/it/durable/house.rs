//! A store whose processes come and go.

use std::sync::Arc;
use std::time::Duration;

use loomwork_agent::durable::{Registry, StartOptions, Started};
use loomwork_agent::{Agent, Runtime, Tool, ToolContext, step_count};
use loomwork_messages::threads::{NewThread, create};
use loomwork_messages::{MessageRow, MessageStatus, Run, RunId, RunStatus, ThreadId};
use loomwork_models::{LanguageModel, MockModel, MockReply};
use loomwork_store::{Row, Store};
use loomwork_testkit::soon;
use loomwork_workpool::Workpool;

pub(super) const END: Duration = Duration::from_secs(20);

/// A store in memory: processes come and go, and it stays.
pub(super) struct House {
    pub(super) store: Store,
    pub(super) thread: ThreadId,
}

/// One process, with its part in the runs of the store.
pub(super) struct Process {
    pub(super) runtime: Runtime,
    pub(super) pool: Workpool,
}

impl Process {
    /// Ends it in order, giving its jobs so long.
    pub(super) async fn end(self, deadline: Duration) {
        self.pool.shutdown(deadline).await.expect("the pool ends");
        self.runtime.shutdown(END).await.expect("the runtime ends");
    }
}

impl House {
    pub(super) async fn open() -> Self {
        let store = Store::memory().tables(loomwork_agent::tables()).open().await.expect("the store opens");
        Self::over(store).await
    }

    pub(super) async fn over(store: Store) -> Self {
        let thread = store.mutate(|tx| create(tx, NewThread::for_user("alice"))).await.expect("a thread").id;
        Self { store, thread }
    }

    /// Starts a process that has an agent.
    pub(super) async fn process(&self, agent: &Agent) -> Process {
        self.process_with(Registry::new().agent(agent.clone()).expect("one agent")).await
    }

    pub(super) async fn process_with(&self, registry: Registry) -> Process {
        let runtime = Runtime::start(&self.store).await.expect("it starts");
        let pool = registry.start(&runtime).await.expect("the pool starts");
        Process { runtime, pool }
    }

    pub(super) async fn start(&self, agent: &Agent, prompt: &'static str, options: StartOptions) -> Started {
        let (agent, thread) = (agent.clone(), self.thread);
        let started = self.store.mutate(move |tx| agent.start(tx, thread, prompt, options));
        started.await.expect("it starts")
    }

    pub(super) async fn run(&self, agent: &Agent, prompt: &'static str) -> RunId {
        self.start(agent, prompt, StartOptions::default()).await.run().expect("an agent answers")
    }

    /// Waits until a run stands so.
    pub(super) async fn until(&self, run: RunId, is: impl Fn(&Run) -> bool) -> Row<Run> {
        let mut seen = self.store.watch(move |tx| tx.require(run));
        soon(async {
            loop {
                let row = seen.next().await.expect("open").expect("read");
                if is(&row) {
                    return row;
                }
            }
        })
        .await
    }

    pub(super) async fn ended(&self, run: RunId) -> RunStatus {
        self.until(run, |run| run.status.has_ended()).await.status
    }

    pub(super) async fn rows(&self) -> Vec<Row<MessageRow>> {
        let thread = self.thread;
        let rows = self.store.query(move |tx| tx.scan(MessageRow::by_position.eq(thread)));
        rows.await.expect("the thread is read")
    }

    /// Returns who says what, turn by turn, and where it stands.
    pub(super) async fn said(&self) -> Vec<(u64, &'static str, String, MessageStatus)> {
        let rows = self.rows().await;
        rows.iter().map(|row| (row.order, row.role().as_str(), row.message.text(), row.status)).collect()
    }
}

pub(super) fn model(replies: impl IntoIterator<Item = MockReply>) -> Arc<MockModel> {
    Arc::new(MockModel::new(replies))
}

pub(super) fn agent(model: &Arc<MockModel>) -> Agent {
    Agent::new("clerk", model.clone() as Arc<dyn LanguageModel>).stop_when(step_count(5))
}

pub(super) fn look() -> Tool {
    Tool::new("look", "Looks.", |_: ToolContext, (): ()| async { "seen" })
}
