//! A store with threads, under a clock that the test turns.

use std::time::Duration;

use loomwork_core::{Clock, ManualClock, Random, Tasks, Time};
use loomwork_messages::threads::{self, NewThread};
use loomwork_messages::{DeltaRow, Edit, MessageId, MessageRow, MessageStatus, Run, StreamRow, ThreadId};
use loomwork_search::{Space, VectorRow};
use loomwork_store::{Id, Result, Store, Table, Tx, Upkeep};
use loomwork_testkit::{GUARD, soon};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Bed;

/// When the clocks of these tests start.
pub(crate) const START: Time = Time::from_millis(1_700_000_000_000);

/// A store and the hand on its clock.
#[derive(Debug)]
pub(crate) struct Yard {
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    tasks: Tasks,
    bed: Bed,
}

impl Yard {
    pub(crate) async fn open() -> Self {
        Self::over(Bed::new(), Clock::manual(START)).await
    }

    async fn over(bed: Bed, clock: ManualClock) -> Self {
        let builder = Store::builder(bed.engine()).clock(clock.clock()).random(Random::seeded(1));
        let tables = builder.tables(loomwork_messages::tables()).tables(loomwork_search::tables());
        let store = tables.tables(loomwork_workpool::tables()).open().await.expect("the store opens");
        Self { store, clock, tasks: Tasks::new(), bed }
    }

    /// Closes the store and opens another one over the same rows.
    pub(crate) async fn reopen(self) -> Self {
        self.rest().await;
        self.store.close().await;
        Self::over(self.bed, self.clock).await
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
    pub(crate) async fn refused<T: Send + 'static, E: loomwork_core::Fault>(
        &self,
        change: impl FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
    ) -> E {
        let refused = self.store.mutate(change).await.map(drop).expect_err("the mutation is refused");
        refused.downcast().expect("the fault is of the expected type")
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

    pub(crate) async fn thread(&self, user: &str) -> ThreadId {
        let new = NewThread::for_user(user);
        self.commit(move |tx| Ok(threads::create(tx, new)?.id)).await
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

    /// What each table holds, where it holds anything.
    pub(crate) async fn counts(&self) -> Vec<(&'static str, usize)> {
        let counts = self.read(|tx| {
            Ok([
                (MessageRow::NAME, tx.count(MessageRow::by_position.all())?),
                (VectorRow::NAME, tx.count(VectorRow::by_space.all())?),
                (Run::NAME, tx.count(Run::by_thread.all())?),
                (StreamRow::NAME, tx.count(StreamRow::by_thread.all())?),
                (DeltaRow::NAME, tx.count(DeltaRow::by_stream.all())?),
                (Edit::NAME, tx.count(Edit::by_thread.all())?),
                ("members", tx.count(loomwork_messages::Member::by_thread.all())?),
                ("threads", tx.count(loomwork_messages::Thread::by_status.all())?),
            ])
        });
        counts.await.into_iter().filter(|(_, count)| *count > 0).collect()
    }
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
    row.message.role = loomwork_models::Role::Assistant;
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
