use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use loomwork_core::{Clock, ManualClock, Time};
use loomwork_store::{Store, Table};
use loomwork_testkit::soon;

use super::Workpool;
use crate::builder::PoolOptions;
use crate::claim::PoolPlan;
use crate::conclude::Completions;
use crate::enqueue::enqueue;
use crate::job::Job;
use crate::slots::SlotPlan;
use crate::status::status;
use crate::tables::{JobId, State, WorkerRow, tables};
use crate::worker::{HEARTBEAT, bury};

const HOLD: Job<(), ()> = Job::new("hold");

/// Says when it is dropped, which is when the attempt that holds it is stopped.
struct Stopped(Arc<AtomicUsize>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

async fn reaches(store: &Store, job: JobId, state: State) {
    let mut live = store.watch(move |tx| status(tx, job));
    let reached = async {
        while let Some(now) = live.next().await {
            if now.expect("the query succeeds").is_some_and(|now| now.state == state) {
                return;
            }
        }
    };
    soon(reached).await;
}

async fn open() -> (ManualClock, Store) {
    let clock = Clock::manual(Time::from_millis(1_000_000));
    let store = Store::memory().tables(tables()).clock(clock.clock()).open().await.expect("it opens");
    (clock, store)
}

/// Starts a pool whose jobs never end, and counts those that were stopped.
async fn start(store: &Store) -> (Workpool, Arc<AtomicUsize>) {
    let stopped = Arc::new(AtomicUsize::new(0));
    let stops = stopped.clone();
    let pool = Workpool::builder(store).on(HOLD, move |_, ()| {
        let held = Stopped(stops.clone());
        async move {
            let _held = held;
            std::future::pending().await
        }
    });
    (pool.start().await.expect("it starts"), stopped)
}

#[tokio::test]
async fn a_worker_whose_jobs_were_taken_over_stops_them_and_goes_on_as_a_new_one() {
    let (clock, store) = open().await;
    let (pool, stopped) = start(&store).await;
    let job = store.mutate(|tx| enqueue(tx, &HOLD, (), ())).await.expect("it is enqueued");
    reaches(&store, job, State::Running).await;

    let first = pool.process.worker().id;
    let buried = store.mutate(move |tx| {
        while bury(tx, &Completions::default(), first)?.is_some() {}
        Ok(tx.scan(WorkerRow::all())?.len())
    });
    assert_eq!(buried.await.expect("it is buried"), 0);
    reaches(&store, job, State::Scheduled).await;
    clock.timers_waiting(1).await;
    clock.advance(HEARTBEAT);

    reaches(&store, job, State::Running).await;
    assert_ne!(pool.process.worker().id, first);
    assert_eq!(stopped.load(Ordering::Relaxed), 1, "the old attempt was stopped before the new one began");
    assert_eq!(pool.counters().dropped, 1);
}

#[tokio::test]
async fn a_worker_that_must_stop_takes_nothing_until_it_goes_on_as_a_new_one() {
    let (clock, store) = open().await;
    let (pool, stopped) = start(&store).await;
    pool.process.worker().lost.cancel();
    let job = store.mutate(|tx| enqueue(tx, &HOLD, (), ())).await.expect("it is enqueued");
    let plan = PoolPlan {
        pool: "default",
        options: PoolOptions::default(),
        slots: SlotPlan::of("default", &BTreeMap::from([("default", PoolOptions::default())])),
        names: [HOLD.name()].into(),
    };
    assert!(pool.process.take(&plan).await.expect("the store is open").is_empty());
    clock.timers_waiting(1).await;
    clock.advance(HEARTBEAT);
    reaches(&store, job, State::Running).await;
    let row = store.query(move |tx| tx.require(job)).await.expect("the job is there");
    assert_eq!((row.attempt, stopped.load(Ordering::Relaxed)), (0, 0), "no attempt was spent on the old one");
}

#[tokio::test]
async fn a_pool_that_is_dropped_stops_what_it_runs() {
    let (_clock, store) = open().await;
    let (pool, stopped) = start(&store).await;
    let job = store.mutate(|tx| enqueue(tx, &HOLD, (), ())).await.expect("it is enqueued");
    reaches(&store, job, State::Running).await;
    drop(pool);
    let ends = async {
        while stopped.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(ends).await;
}

#[tokio::test]
async fn an_attempt_that_a_shutdown_aborts_runs_no_longer() {
    let (_clock, store) = open().await;
    let (pool, _) = start(&store).await;
    let job = store.mutate(|tx| enqueue(tx, &HOLD, (), ())).await.expect("it is enqueued");
    reaches(&store, job, State::Running).await;
    pool.shutdown(Duration::ZERO).await.expect("it ends");
    let counters = pool.counters();
    assert_eq!((counters.started, counters.running, counters.dropped), (1, 0, 1));
}
