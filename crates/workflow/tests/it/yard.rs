//! A store with workflows and a workpool, under a clock that the test turns.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use loomwork_core::{Clock, Kind, ManualClock, Random, RetryPolicy, Time};
use loomwork_store::{Error, Result, Store, Table, Tx};
use loomwork_testkit::{Begun, GUARD, Tallied, soon};
use loomwork_workflow::{
    Builder, Flow, Options, Outcome, State, Status, Workflow, WorkflowId, Workflows, outcome, start, status,
    with_steps,
};
use loomwork_workpool::{Job, Workpool};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Bed;

/// When the clocks of these tests start.
pub(crate) const START: Time = Time::from_millis(1_700_000_000_000);

/// Doubles a number; fails for 13, and later for 99.
pub(crate) const DOUBLE: Job<u64, u64> = Job::new("double");

/// Nothing goes on any more when nobody has begun a transaction for so many rounds.
const QUIET_ROUNDS: usize = 3;

/// How many tasks may wake each other in a round without a transaction between them.
const HOPS: usize = 20;

/// What a step has left in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "marks", id = "mark")]
#[index(by_text(text))]
pub(crate) struct Mark {
    pub(crate) text: String,
}

/// Leaves a mark.
pub(crate) fn mark(tx: &mut Tx, text: impl Into<String>) -> Result<()> {
    tx.insert(Mark { text: text.into() }).map(drop)
}

/// Returns all marks, in the order in which they were left.
pub(crate) fn marks(tx: &Tx) -> Result<Vec<String>> {
    Ok(tx.scan(Mark::all())?.into_iter().map(|row| row.record.text).collect())
}

/// Leaves a mark by a step.
pub(crate) async fn marked(wf: &Flow, text: impl Into<String>) -> Result<()> {
    let text = text.into();
    wf.mutation(text.clone(), move |tx| mark(tx, text)).await
}

/// An error of a kind.
pub(crate) fn fault(kind: Kind, text: &str) -> Error {
    Error::message(kind, text)
}

pub(crate) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A store, a pool of jobs over it, and the hand on its clock.
#[derive(Debug)]
pub(crate) struct Yard {
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    pub(crate) pool: Workpool,
    pub(crate) bed: Bed,
    /// Counts the transactions.
    begun: Arc<Begun>,
}

impl Yard {
    pub(crate) async fn open() -> Self {
        Self::open_over(Bed::new(), Clock::manual(START)).await
    }

    /// Opens a store over rows that may be there already.
    pub(crate) async fn open_over(bed: Bed, clock: ManualClock) -> Self {
        let (engine, begun) = Tallied::over(bed.engine());
        let builder = Store::builder(engine).clock(clock.clock()).random(Random::seeded(1));
        let builder = builder.tables(loomwork_workpool::tables()).tables(loomwork_workflow::tables());
        let store = builder.tables([Mark::table()]).open().await.expect("the store opens");
        let pool = with_steps(Workpool::builder(&store)).on(DOUBLE, |_, number| async move {
            match number {
                13 => Err(fault(Kind::Invalid, "13 is not doubled")),
                99 => Err(fault(Kind::Unavailable, "99 comes later")),
                number => Ok(number * 2),
            }
        });
        let pool = pool.start().await.expect("the pool starts");
        Self { store, clock, pool, bed, begun }
    }

    /// Closes everything as a crash does, and opens it again.
    pub(crate) async fn crash(self) -> Self {
        let Self { store, clock, pool, bed, .. } = self;
        drop(pool);
        store.close().await;
        drop(store);
        Self::open_over(bed, clock).await
    }

    /// Describes an engine over this store.
    pub(crate) fn workflows(&self) -> Builder {
        Workflows::builder(&self.store)
    }

    /// Describes an engine that puts away at once what waits.
    pub(crate) fn forgetful(&self) -> Builder {
        self.workflows().idle(Duration::ZERO)
    }

    pub(crate) async fn start<I, R>(
        &self,
        workflow: Workflow<I, R>,
        input: I,
        options: impl Into<Options<R>>,
    ) -> WorkflowId
    where
        I: Serialize + Clone + Send + 'static,
        R: 'static,
    {
        let options = options.into();
        self.commit(move |tx| start(tx, &workflow, input, options)).await
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

    /// Waits until a query says what is expected of it.
    pub(crate) async fn until<T: Clone + PartialEq + Send + 'static>(
        &self,
        query: impl Fn(&Tx) -> Result<T> + Send + Sync + 'static,
        expected: impl Fn(&T) -> bool,
    ) -> T {
        let mut watch = self.store.watch(query);
        soon(async {
            loop {
                let now = watch.next().await.expect("the store is open").expect("the query succeeds");
                if expected(&now) {
                    return now;
                }
            }
        })
        .await
    }

    pub(crate) async fn status(&self, id: WorkflowId) -> Status {
        self.read(move |tx| status(tx, id)).await.expect("the workflow is there")
    }

    /// Waits until a workflow is in a state.
    pub(crate) async fn reaches(&self, id: WorkflowId, state: State) -> Status {
        let found = self.until(
            move |tx| status(tx, id),
            |status| status.as_ref().is_some_and(|status| status.state == state),
        );
        found.await.expect("the workflow is there")
    }

    /// Waits until a workflow waits for so many steps.
    pub(crate) async fn waits(&self, id: WorkflowId, steps: usize) -> Status {
        let found = self.until(
            move |tx| status(tx, id),
            move |status| status.as_ref().is_some_and(|status| status.running.len() == steps),
        );
        found.await.expect("the workflow is there")
    }

    /// Waits until a workflow has ended, and returns how.
    pub(crate) async fn ends<I, R>(&self, workflow: Workflow<I, R>, id: WorkflowId) -> Outcome<R>
    where
        I: 'static,
        R: DeserializeOwned + Clone + PartialEq + Send + 'static,
    {
        let found = self.until(move |tx| outcome(tx, &workflow, id), Option::is_some).await;
        found.expect("it has ended")
    }

    pub(crate) async fn marks(&self) -> Vec<String> {
        self.read(marks).await
    }

    /// Waits until what runs in the background has come to rest: until nobody begins a transaction or commits
    /// anything any more, however often all are let go on.
    pub(crate) async fn rests(&self) {
        let mut quiet = 0;
        while quiet < QUIET_ROUNDS {
            let (reads, writes, log) = (self.begun.reads(), self.begun.writes(), self.store.committed());
            self.commit(|_| Ok(())).await;
            self.read(|_| Ok(())).await;
            for _ in 0..HOPS {
                tokio::task::yield_now().await;
            }
            let only_these = self.begun.reads() <= reads + 1 && self.begun.writes() <= writes + 1;
            quiet = if only_these && self.store.committed() == log { quiet + 1 } else { 0 };
        }
    }

    /// Turns the clock to a time, timer by timer.
    pub(crate) async fn pass_to(&self, time: Time) {
        self.rests().await;
        while let Some(next) = self.clock.next_timer().filter(|next| *next <= time) {
            self.clock.set(next.max(self.clock.clock().now()));
            self.rests().await;
        }
        if self.clock.clock().now() < time {
            self.clock.set(time);
        }
        self.rests().await;
    }

    /// Lets time pass, timer by timer.
    pub(crate) async fn pass(&self, time: Duration) {
        let now = self.clock.clock().now();
        self.pass_to(now + time).await;
    }
}

/// Ends an engine in order.
pub(crate) async fn shut_down(workflows: &Workflows) {
    workflows.shutdown(GUARD).await.expect("the engine ends");
}

/// Tried often, without a pause between.
pub(crate) fn at_once(attempts: u32) -> RetryPolicy {
    RetryPolicy::default().with_attempts(attempts).with_initial(Duration::ZERO)
}

/// What happened, in order, outside of the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, text: impl Into<String>) {
        self.0.lock().expect("no test panics while it logs").push(text.into());
    }

    pub(crate) fn read(&self) -> Vec<String> {
        self.0.lock().expect("no test panics while it logs").clone()
    }
}

/// Holds actions back until the test lets them go.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<tokio::sync::Semaphore>);

impl Gate {
    pub(crate) fn closed() -> Self {
        Self(Arc::new(tokio::sync::Semaphore::new(0)))
    }

    pub(crate) async fn pass(&self) {
        self.0.acquire().await.expect("the gate stays").forget();
    }

    pub(crate) fn open_for(&self, count: usize) {
        self.0.add_permits(count);
    }
}
