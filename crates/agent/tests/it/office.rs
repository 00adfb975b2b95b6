//! An office: agents whose tools ask people, over rows that outlive the process.

use std::sync::{Arc, Mutex};

use loomwork_agent::approvals::{self, ApprovalId, ApprovalRow};
use loomwork_agent::{Agent, AgentReply, AgentThread, Approval, Awaits, Runtime, Tool, ToolContext, ToolPolicy};
use loomwork_agent::{step_count, tables};
use loomwork_core::{Clock, ManualClock, Time};
use loomwork_messages::threads::NewThread;
use loomwork_messages::{List, MessageRow, Run, RunId, list};
use loomwork_models::{LanguageModel, MockModel, MockReply, Part, Role};
use loomwork_store::{Result, Row, Store, Tx};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Bed;

/// A process, the rows that it leaves behind, and the model that its agents ask.
pub(crate) struct Office {
    bed: Bed,
    pub(crate) clock: ManualClock,
    pub(crate) runtime: Runtime,
    pub(crate) model: Arc<MockModel>,
    /// The refunds that were made: order, amount, and the key of the call.
    pub(crate) refunds: Arc<Mutex<Vec<(u32, u32, String)>>>,
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Refund {
    order: u32,
    amount: u32,
}

impl Office {
    pub(crate) async fn with(replies: impl IntoIterator<Item = MockReply>) -> Self {
        let (bed, clock) = (Bed::new(), Clock::manual(Time::from_millis(1_000_000)));
        let runtime = start(&bed, &clock).await;
        Self { bed, clock, runtime, model: Arc::new(MockModel::new(replies)), refunds: Arc::default() }
    }

    /// Lets the process die, and starts another one.
    pub(crate) async fn reopen(self) -> Self {
        let Self { bed, clock, runtime, model, refunds } = self;
        runtime.store().close().await;
        drop(runtime);
        let runtime = start(&bed, &clock).await;
        Self { bed, clock, runtime, model, refunds }
    }

    pub(crate) fn refund_tool(&self) -> Tool {
        let refunds = self.refunds.clone();
        let refund = move |context: ToolContext, Refund { order, amount }: Refund| {
            refunds.lock().expect("nothing panics").push((order, amount, context.idempotency_key()));
            async move { format!("refunded {amount} for order {order}") }
        };
        Tool::new("refund", "Gives money back.", refund)
            .with_title("Refund")
            .with_policy(ToolPolicy { needs_approval: Approval::Always, ..ToolPolicy::default() })
    }

    pub(crate) fn agent(&self) -> Agent {
        Agent::new("support", self.model.clone() as Arc<dyn LanguageModel>)
            .tool(self.refund_tool())
            .expect("a tool")
            .stop_when(step_count(6))
    }

    pub(crate) async fn thread(&self, agent: &Agent) -> AgentThread {
        agent.create_thread(&self.runtime, NewThread::for_user("alice")).await.expect("a thread is made")
    }

    pub(crate) async fn query<T: Send + 'static>(
        &self,
        query: impl Fn(&Tx) -> Result<T> + Send + Sync + 'static,
    ) -> T {
        self.runtime.store().query(query).await.expect("read")
    }

    pub(crate) async fn commit<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
    ) -> T {
        self.runtime.store().mutate(change).await.expect("written")
    }

    pub(crate) async fn rows(&self, thread: &AgentThread) -> Vec<Row<MessageRow>> {
        let id = thread.id();
        self.query(move |tx| list(tx, id, &List::oldest(1_000))).await.messages
    }

    /// Returns turn and role of each message.
    pub(crate) async fn places(&self, thread: &AgentThread) -> Vec<(u64, Role)> {
        self.rows(thread).await.iter().map(|row| (row.order, row.role())).collect()
    }

    pub(crate) async fn run(&self, run: RunId) -> Row<Run> {
        self.query(move |tx| tx.require(run)).await
    }

    pub(crate) async fn approval(&self, id: ApprovalId) -> Row<ApprovalRow> {
        self.query(move |tx| approvals::get(tx, id)).await.expect("it is there")
    }

    /// Returns what the refunds were made of.
    pub(crate) fn refunded(&self) -> Vec<(u32, u32)> {
        let refunds = self.refunds.lock().expect("nothing panics");
        refunds.iter().map(|(order, amount, _)| (*order, *amount)).collect()
    }
}

async fn start(bed: &Bed, clock: &ManualClock) -> Runtime {
    let store = Store::builder(bed.engine()).clock(clock.clock()).tables(tables()).open().await;
    Runtime::start(&store.expect("the store opens")).await.expect("the runtime starts")
}

/// Returns the approvals that a reply waits for, in the order of its calls.
pub(crate) fn asked(reply: &AgentReply) -> Vec<ApprovalId> {
    let asked = reply.open_calls().filter_map(|call| match call.awaits {
        Some(Awaits::Approval(id)) => Some((call.call.id.clone(), id)),
        _ => None,
    });
    let mut asked: Vec<_> = asked.collect();
    asked.sort();
    asked.into_iter().map(|(_, id)| id).collect()
}

pub(crate) fn run_of(reply: &AgentReply) -> RunId {
    reply.stored.as_ref().expect("it is stored").run
}

/// Returns the answers to requests that a message has: whether they approve, and why.
pub(crate) fn answers(row: &MessageRow) -> Vec<(bool, Option<String>)> {
    let answer = |part: &Part| match part {
        Part::ApprovalResponse(answer) => Some((answer.approved, answer.reason.clone())),
        _ => None,
    };
    row.message.parts.iter().filter_map(answer).collect()
}
