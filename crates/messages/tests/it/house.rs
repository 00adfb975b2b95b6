//! A store with threads, under a clock that the test turns.

use std::time::Duration;

use loomwork_core::{Clock, Fault, ManualClock, Random, Tasks, Time};
use loomwork_messages::runs::{Hold, Host, NewRun, begin};
use loomwork_messages::streams::Live;
use loomwork_messages::threads::{self, NewThread};
use loomwork_messages::{
    DeltaRow, Edit, List, Member, MessageId, MessageRow, MessageStatus, NewMessage, Run, Save, StreamRow, Thread,
    ThreadId, list, save,
};
use loomwork_models::{Message, Part, Role, ToolCall, ToolResult};
use loomwork_search::{Space, VectorRow};
use loomwork_store::{Id, Result, Row, Store, Table, TableDef, Tx, Upkeep};
use loomwork_testkit::{GUARD, soon};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Bed;

/// When the clocks of these tests start.
pub(crate) const START: Time = Time::from_millis(1_700_000_000_000);

/// A store, the hand on its clock, and a thread of Ada's.
#[derive(Clone, Debug)]
pub(crate) struct House {
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    pub(crate) thread: ThreadId,
    pub(crate) bed: Bed,
    tasks: Tasks,
}

/// All tables that messages can have to do with.
pub(crate) fn tables() -> impl Iterator<Item = TableDef> {
    let tables = loomwork_messages::tables().into_iter().chain(loomwork_search::tables());
    tables.chain(loomwork_files::tables()).chain(loomwork_workpool::tables())
}

async fn open(bed: &Bed, clock: &ManualClock) -> Store {
    let builder = Store::builder(bed.engine()).clock(clock.clock()).random(Random::seeded(1));
    builder.tables(tables()).open().await.expect("the store opens")
}

impl House {
    pub(crate) async fn open() -> Self {
        let (bed, clock) = (Bed::new(), Clock::manual(START));
        let store = open(&bed, &clock).await;
        let new = NewThread::for_user("ada");
        let thread = store.mutate(move |tx| threads::create(tx, new)).await.expect("a thread").id;
        Self { store, clock, thread, bed, tasks: Tasks::new() }
    }

    /// Opens the same rows again, as after a crash: what has not been committed is gone.
    pub(crate) async fn reopen(self) -> Self {
        self.rest().await;
        self.store.close().await;
        let store = open(&self.bed, &self.clock).await;
        Self { store, tasks: Tasks::new(), ..self }
    }

    pub(crate) async fn commit<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
    ) -> T {
        self.store.mutate(change).await.expect("the mutation commits")
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl Fn(&Tx) -> Result<T> + Send + Sync + 'static,
    ) -> T {
        self.store.query(query).await.expect("the query succeeds")
    }

    /// Runs a mutation that has to fail, and returns the fault.
    pub(crate) async fn refused<T: Send + 'static, E: Fault>(
        &self,
        change: impl FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
    ) -> E {
        fault(self.store.mutate(change).await.map(drop))
    }

    pub(crate) fn start(&self, upkeep: Upkeep) {
        self.store.start_upkeep(&self.tasks, upkeep);
    }

    /// Ends what runs in the background.
    pub(crate) async fn rest(&self) {
        self.tasks.shutdown(GUARD).await.expect("the upkeep ends");
    }

    /// Waits until a query says so.
    pub(crate) async fn until(&self, query: impl Fn(&Tx) -> Result<bool> + Send + Sync + 'static) {
        let mut watch = self.store.watch(query);
        soon(async { while !watch.next().await.expect("the store is open").expect("the query succeeds") {} })
            .await;
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Makes another thread.
    pub(crate) async fn thread(&self, user: &str) -> ThreadId {
        let new = NewThread::for_user(user);
        self.commit(move |tx| Ok(threads::create(tx, new)?.id)).await
    }

    /// Saves messages in Ada's thread.
    pub(crate) async fn save(&self, what: impl Into<Save>) -> Vec<Row<MessageRow>> {
        self.try_save(what).await.expect("the messages are saved")
    }

    pub(crate) async fn try_save(&self, what: impl Into<Save>) -> Result<Vec<Row<MessageRow>>> {
        let (thread, what) = (self.thread, what.into());
        self.store.mutate(move |tx| save(tx, thread, what)).await
    }

    /// Puts a complete message at a place.
    pub(crate) async fn say(&self, thread: ThreadId, order: u64, step: u64, text: &str) -> MessageId {
        let row = message(thread, order, step, text);
        self.commit(move |tx| Ok(tx.insert(row)?.id)).await
    }

    /// Puts a turn of a question and an answer, and returns their ids.
    pub(crate) async fn turn(&self, thread: ThreadId, order: u64) -> (MessageId, MessageId) {
        let question = self.say(thread, order, 0, &format!("question {order}")).await;
        let answer = message(thread, order, 1, &format!("answer {order}"));
        let answer = self.commit(move |tx| Ok(tx.insert(answering(answer, question))?.id)).await;
        (question, answer)
    }

    /// Returns all messages of Ada's thread, from the first to the last.
    pub(crate) async fn all(&self) -> Vec<Row<MessageRow>> {
        let thread = self.thread;
        self.read(move |tx| list(tx, thread, &List::oldest(1_000))).await.messages
    }

    /// Returns where its messages stand, from the first to the last.
    pub(crate) async fn positions(&self) -> Vec<(u64, u64)> {
        self.all().await.iter().map(|row| (row.order, row.step)).collect()
    }

    /// Returns its texts and statuses, from the first to the last.
    pub(crate) async fn said(&self) -> Vec<(String, MessageStatus)> {
        self.all().await.iter().map(|row| (row.message.text(), row.status)).collect()
    }

    /// Returns a message as it is now.
    pub(crate) async fn message(&self, id: MessageId) -> Row<MessageRow> {
        self.read(move |tx| tx.require(id)).await
    }

    /// What each table holds, where it holds anything besides Ada's place in her thread.
    pub(crate) async fn counts(&self) -> Vec<(&'static str, usize)> {
        let own = self.thread;
        let counts = self.read(move |tx| {
            let members = tx.count(Member::by_thread.all())? - tx.count(Member::by_thread.eq(own))?;
            let threads = tx.count(Thread::by_status.all())? - usize::from(tx.get(own)?.is_some());
            Ok([
                (MessageRow::NAME, tx.count(MessageRow::by_position.all())?),
                (VectorRow::NAME, tx.count(VectorRow::by_space.all())?),
                (Run::NAME, tx.count(Run::by_thread.all())?),
                (StreamRow::NAME, tx.count(StreamRow::by_thread.all())?),
                (DeltaRow::NAME, tx.count(DeltaRow::by_stream.all())?),
                (Edit::NAME, tx.count(Edit::by_thread.all())?),
                ("members", members),
                ("threads", threads),
            ])
        });
        counts.await.into_iter().filter(|(_, count)| *count > 0).collect()
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

/// Looks once whether a future is ready.
pub(crate) async fn look<F: Future + Unpin>(mut future: F) -> std::task::Poll<F::Output> {
    std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut future).poll(cx))).await
}

/// A record of what JSON says of it.
pub(crate) fn record<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_str(&json.to_string()).expect("the JSON is that of a record")
}

/// A complete message of a person, as a save makes it.
pub(crate) fn message(thread: ThreadId, order: u64, step: u64, text: &str) -> MessageRow {
    record(json!({
        "thread": thread, "user": "alice", "order": order, "stepOrder": step, "status": "success",
        "message": { "role": "user", "content": text }, "tool": false, "text": text,
        "created": START.millis() + 1_000 * order as i64,
    }))
}

pub(crate) fn answering(mut row: MessageRow, prompt: MessageId) -> MessageRow {
    row.message.role = Role::Assistant;
    row.prompt = Some(prompt);
    row
}

pub(crate) fn with_status(mut row: MessageRow, status: MessageStatus) -> MessageRow {
    row.status = status;
    row
}

pub(crate) fn of_tool(mut row: MessageRow) -> MessageRow {
    row.tool = true;
    row
}

/// A run that answers a message, and its stream.
pub(crate) fn live(tx: &mut Tx, thread: ThreadId, pending: MessageId) -> Result<(Id<Run>, Id<StreamRow>)> {
    let run: Run = record(json!({
        "thread": thread, "order": 0, "status": "running", "durable": false, "first": pending,
        "pending": pending, "stepFrom": 0, "steps": 0, "attempt": 1, "fence": 1, "created": START,
    }));
    let run = tx.insert(run)?.id;
    let stream: StreamRow = record(json!({
        "thread": thread, "run": run, "message": pending, "order": 0, "stepOrder": 1,
        "status": "streaming", "created": START, "expires": START + Duration::from_secs(600),
    }));
    let stream = tx.insert(stream)?.id;
    Ok((run, stream))
}

/// A slice of a stream.
pub(crate) fn delta(stream: Id<StreamRow>, start: u64, end: u64) -> DeltaRow {
    let chunks = json!([{ "type": "text-delta", "id": "1", "delta": "and so on " }]);
    record(json!({ "stream": stream, "start": start, "end": end, "chunks": chunks }))
}

pub(crate) fn space() -> Space {
    Space::new("by hand", 2).expect("two is a length")
}
