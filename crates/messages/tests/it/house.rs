//! A store with threads, under a clock that the test turns.

use std::time::Duration;

use loomwork_core::{Clock, Fault, ManualClock, Random, Tasks, Time};
use loomwork_messages::runs::{Hold, Host, NewRun, begin};
use loomwork_messages::streams::Live;
use loomwork_messages::{
    List, MessageId, MessageRow, MessageStatus, NewMessage, Save, ThreadId, list, save, threads,
};
use loomwork_models::{Message, Part, Role, ToolCall, ToolResult};
use loomwork_store::{Result, Row, Store};
use serde_json::json;

use super::Bed;

/// When the clocks of these tests start.
pub(crate) const START: Time = Time::from_millis(1_700_000_000_000);

/// A store, the hand on its clock, and a thread.
#[derive(Clone, Debug)]
pub(crate) struct House {
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    pub(crate) thread: ThreadId,
    pub(crate) bed: Bed,
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::open_over(Bed::new(), Clock::manual(START)).await
    }

    /// Opens a store over rows that may be there already, with a thread of its own.
    pub(crate) async fn open_over(bed: Bed, clock: ManualClock) -> Self {
        let tables = loomwork_messages::tables().into_iter().chain(loomwork_search::tables()).chain(loomwork_files::tables());
        let builder = Store::builder(bed.engine()).clock(clock.clock()).random(Random::seeded(1));
        let store = builder.tables(tables).open().await.expect("the store opens");
        let new = threads::NewThread::for_user("ada");
        let thread = store.mutate(move |tx| threads::create(tx, new)).await.expect("a thread").id;
        Self { store, clock, thread, bed }
    }

    /// Opens the same rows again, as after a crash: what has not been committed is gone.
    pub(crate) async fn reopen(self) -> Self {
        self.store.close().await;
        let thread = self.thread;
        Self { thread, ..Self::open_over(self.bed, self.clock).await }
    }

    /// Saves messages in the thread.
    pub(crate) async fn save(&self, what: impl Into<Save>) -> Vec<Row<MessageRow>> {
        self.try_save(what).await.expect("the messages are saved")
    }

    pub(crate) async fn try_save(&self, what: impl Into<Save>) -> Result<Vec<Row<MessageRow>>> {
        let (thread, what) = (self.thread, what.into());
        self.store.mutate(move |tx| save(tx, thread, what)).await
    }

    /// Returns all messages of the thread, from the first to the last.
    pub(crate) async fn all(&self) -> Vec<Row<MessageRow>> {
        let thread = self.thread;
        let page = self.store.query(move |tx| list(tx, thread, &List::oldest(1_000))).await;
        page.expect("the thread is listed").messages
    }

    /// Returns where the messages stand, from the first to the last.
    pub(crate) async fn positions(&self) -> Vec<(u64, u64)> {
        self.all().await.iter().map(|row| (row.order, row.step)).collect()
    }

    /// Returns a message as it is now.
    pub(crate) async fn message(&self, id: MessageId) -> Row<MessageRow> {
        self.store.query(move |tx| tx.require(id)).await.expect("the message is there")
    }

    /// Returns texts and statuses, from the first to the last.
    pub(crate) async fn said(&self) -> Vec<(String, MessageStatus)> {
        self.all().await.iter().map(|row| (row.message.text(), row.status)).collect()
    }
}

/// A process that drives runs and streams them.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) tasks: Tasks,
    pub(crate) host: Host,
    pub(crate) live: Live,
}

impl Driver {
    pub(crate) async fn start(house: &House) -> Self {
        let tasks = Tasks::new();
        let host = Host::start(&house.store, &tasks).await.expect("the host is entered");
        let live = Live::start(&house.store, &tasks);
        Self { tasks, host, live }
    }

    /// Begins a run and takes it.
    pub(crate) async fn run(&self, house: &House, new: NewRun) -> Hold {
        let thread = house.thread;
        let run = house.store.mutate(move |tx| begin(tx, thread, new)).await.expect("it begins").run.id;
        self.host.take(run).await.expect("the host lives").expect("nobody else has it")
    }

    pub(crate) async fn stop(self) {
        self.tasks.shutdown(Duration::from_secs(30)).await.expect("the tasks end");
    }
}

pub(crate) fn user(text: &str) -> NewMessage {
    Message::user(text).into()
}

pub(crate) fn assistant(text: &str) -> NewMessage {
    Message::assistant(text).into()
}

pub(crate) fn system(text: &str) -> NewMessage {
    Message::system(text).into()
}

/// An assistant's message that calls a tool.
pub(crate) fn call(id: &str) -> NewMessage {
    Message::new(Role::Assistant, [Part::tool_call(id, "look", json!({}))]).into()
}

/// The result of that call.
pub(crate) fn result(id: &str) -> NewMessage {
    let call = ToolCall { id: id.to_owned(), name: "look".to_owned(), ..ToolCall::default() };
    Message::tool([ToolResult::new(&call, "seen".to_owned())]).into()
}

/// Returns the fault of a mutation that fails.
pub(crate) fn fault<T: std::fmt::Debug, E: Fault>(outcome: Result<T>) -> E {
    outcome.expect_err("it fails").downcast().expect("it fails for this reason")
}

/// Does something beside the test.
#[expect(clippy::disallowed_methods, reason = "the test awaits it")]
pub(crate) fn beside<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio::spawn(work)
}
