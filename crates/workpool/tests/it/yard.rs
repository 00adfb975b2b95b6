//! A store with jobs, under a clock that the test turns.

use std::sync::{Arc, Mutex};

use loomwork_core::{Clock, Kind, ManualClock, Random, Time};
use loomwork_store::{Error, Result, Store, Table, Tx};
use loomwork_testkit::{Begun, GUARD, Tallied, soon};
use loomwork_workpool::{Builder, Counters, JobId, OutcomeKind, State, Status, Workpool, status};
use serde::{Deserialize, Serialize};

use super::bed::Bed;

/// When the clocks of these tests start.
pub(crate) const START: Time = Time::from_millis(1_700_000_000_000);

/// What a job, a completion or a mutation has left in the store.
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

/// Returns all marks, sorted.
pub(crate) fn marks(tx: &Tx) -> Result<Vec<String>> {
    Ok(tx.scan(Mark::by_text.all())?.into_iter().map(|row| row.record.text).collect())
}

/// An error of a kind.
pub(crate) fn fault(kind: Kind, text: &str) -> Error {
    Error::message(kind, text)
}

/// How many commits [`Yard::rests`] makes.
pub(crate) const RESTS: u64 = 5;

/// A store and the hand on its clock.
#[derive(Clone, Debug)]
pub(crate) struct Yard {
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    /// Counts the transactions.
    pub(crate) begun: Arc<Begun>,
    _bed: Bed,
}

impl Yard {
    pub(crate) async fn open() -> Self {
        Self::open_over(&Bed::new(), Clock::manual(START)).await
    }

    /// Opens a store over rows that may be there already.
    pub(crate) async fn open_over(bed: &Bed, clock: ManualClock) -> Self {
        let (engine, begun) = Tallied::over(bed.engine());
        let builder = Store::builder(engine).clock(clock.clock()).random(Random::seeded(1));
        let tables = builder.tables(loomwork_workpool::tables()).tables([Mark::table()]);
        let store = tables.open().await.expect("the store opens");
        Self { store, clock, begun, _bed: bed.clone() }
    }

    /// Describes a pool over this store.
    pub(crate) fn pool(&self) -> Builder {
        Workpool::builder(&self.store)
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

    pub(crate) async fn status(&self, job: JobId) -> Status {
        self.read(move |tx| status(tx, job)).await.expect("the job is there")
    }

    /// Waits until a job is in a state.
    pub(crate) async fn reaches(&self, job: JobId, state: State) -> Status {
        let found = self.until(
            move |tx| status(tx, job),
            |status| status.as_ref().is_some_and(|status| status.state == state),
        );
        found.await.expect("the job is there")
    }

    /// Waits until a job has ended, and returns how.
    pub(crate) async fn ends(&self, job: JobId) -> OutcomeKind {
        self.reaches(job, State::Ended).await.outcome.expect("an ended job has an outcome")
    }

    /// Waits until all of several jobs have ended.
    pub(crate) async fn all_end(&self, jobs: &[JobId]) -> Vec<OutcomeKind> {
        let mut outcomes = Vec::new();
        for job in jobs {
            outcomes.push(self.ends(*job).await);
        }
        outcomes
    }

    /// Waits until just these marks are there.
    pub(crate) async fn marked(&self, expected: &[&str]) {
        self.until(marks, |marks| marks == expected).await;
        self.rests().await;
        assert_eq!(self.read(marks).await, expected);
    }

    /// Gives what runs in the background every chance to go on.
    pub(crate) async fn rests(&self) {
        for _ in 0..RESTS {
            self.commit(|_| Ok(())).await;
            tokio::task::yield_now().await;
        }
    }

    /// Turns the clock to a time, timer by timer, once something waits for it.
    pub(crate) async fn turn_to(&self, time: Time) {
        soon(async {
            while self.clock.next_timer().is_none_or(|next| next > time) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        self.pass_to(time).await;
    }

    /// Turns the clock to a time, timer by timer.
    pub(crate) async fn pass_to(&self, time: Time) {
        while let Some(next) = self.clock.next_timer().filter(|next| *next <= time) {
            self.clock.set(next.max(self.clock.clock().now()));
            self.rests().await;
        }
        if self.clock.clock().now() < time {
            self.clock.set(time);
        }
    }
}

/// Ends a pool, so that it has counted all that it settled, and returns what it counted.
pub(crate) async fn counted(pool: &Workpool) -> Counters {
    pool.shutdown(GUARD).await.expect("the pool ends");
    pool.counters()
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

/// Holds handlers back until the test lets them go.
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
