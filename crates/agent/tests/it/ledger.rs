//! A runtime whose applications keep a ledger of what models used.

use std::sync::{Arc, Mutex};

use loomwork_agent::{Agent, AgentThread, OnUsage, Runtime, UsageEvent, outbox, tables};
use loomwork_core::{Clock, Kind, ManualClock, Random, Time};
use loomwork_messages::threads::NewThread;
use loomwork_models::{LanguageModel, MockModel, MockReply};
use loomwork_store::{Error, Memory, Page, Row, Store, Table};
use loomwork_testkit::soon;
use serde::{Deserialize, Serialize};

use super::chaos::Held;

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "bills", id = "bill")]
#[index(unique by_key(key))]
pub(crate) struct Bill {
    pub(crate) key: String,
    pub(crate) user: Option<String>,
    pub(crate) tokens: u64,
}

/// A runtime over a clock that a test turns, with a scripted model.
pub(crate) struct Office {
    pub(crate) runtime: Runtime,
    pub(crate) clock: ManualClock,
    pub(crate) model: Arc<MockModel>,
}

impl Office {
    pub(crate) async fn with(replies: impl IntoIterator<Item = MockReply>) -> Self {
        let clock = Clock::manual(Time::from_millis(1_700_000_000_000));
        let builder = Store::builder(Memory::new()).clock(clock.clock()).random(Random::seeded(7));
        let builder = builder.tables(tables()).tables(loomwork_rate_limiter::tables());
        let store = builder.tables([Bill::table(), Held::table()]).open().await.expect("the store opens");
        let runtime = Runtime::start(&store).await.expect("it starts");
        Self { runtime, clock, model: Arc::new(MockModel::new(replies)) }
    }

    pub(crate) fn agent(&self) -> Agent {
        Agent::new("clerk", self.model.clone() as Arc<dyn LanguageModel>)
    }

    pub(crate) async fn thread(&self, agent: &Agent) -> AgentThread {
        agent.create_thread(&self.runtime, NewThread::for_user("alice")).await.expect("a thread is made")
    }

    pub(crate) async fn bills(&self) -> Vec<Bill> {
        let bills = self.runtime.store().query(|tx| tx.scan(Bill::all())).await.expect("the ledger is read");
        bills.into_iter().map(|bill| bill.record).collect()
    }

    pub(crate) async fn waiting(&self) -> Vec<Row<outbox::OutboxRow>> {
        self.runtime.store().query(|tx| outbox::waiting(tx, 100)).await.expect("the outbox is read")
    }

    pub(crate) async fn dead(&self) -> Vec<Row<outbox::OutboxRow>> {
        let dead = self.runtime.store().query(|tx| outbox::dead(tx, Page::first(100))).await;
        dead.expect("the outbox is read").rows
    }

    /// Waits until nothing waits in the outbox, turning the clock on to whatever is due.
    pub(crate) async fn told(&self) {
        let mut waiting = self.runtime.store().watch(|tx| {
            let waiting = outbox::waiting(tx, 1)?;
            Ok(waiting.first().map(|row| (row.tries, row.due)))
        });
        let mut seen = None;
        soon(async {
            while let Some((_, due)) = waiting.next().await.expect("open").expect("read") {
                if due > self.runtime.store().clock().now() && seen != Some(due) {
                    seen = Some(due);
                    self.clock.set(due);
                }
            }
        })
        .await;
    }
}

/// Writes a line for each event.
pub(crate) fn billing() -> OnUsage {
    OnUsage::new("billing", |tx, event| {
        let tokens = event.usage.total();
        tx.insert(Bill { key: event.key.clone(), user: event.user.clone(), tokens }).map(drop)
    })
}

/// Fails as often as the number says, and writes a line then. What it wrote before it failed is undone.
pub(crate) fn failing(times: u32) -> OnUsage {
    let left = Arc::new(Mutex::new(times));
    OnUsage::new("billing", move |tx, event| {
        let tokens = event.usage.total();
        tx.insert(Bill { key: event.key.clone(), user: event.user.clone(), tokens })?;
        let mut left = left.lock().expect("nothing panics");
        if *left > 0 {
            *left -= 1;
            return Err(Error::message(Kind::Unavailable, "the ledger is closed"));
        }
        Ok(())
    })
}

/// Keeps events in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<UsageEvent>>>);

impl Heard {
    pub(crate) fn handler(&self) -> OnUsage {
        let heard = self.clone();
        OnUsage::new("heard", move |_, event| {
            heard.0.lock().expect("nothing panics").push(event.clone());
            Ok(())
        })
    }

    pub(crate) fn events(&self) -> Vec<UsageEvent> {
        self.0.lock().expect("nothing panics").clone()
    }
}
