use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loomwork_core::{Clock, Time};
use loomwork_store::{Store, Table};
use loomwork_testkit::soon;

use super::Workpool;
use crate::conclude::Completions;
use crate::enqueue::enqueue;
use crate::job::Job;
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

#[tokio::test]
async fn a_worker_whose_jobs_were_taken_over_stops_them_and_goes_on_as_a_new_one() {
    let clock = Clock::manual(Time::from_millis(1_000_000));
    let store = Store::memory().tables(tables()).clock(clock.clock()).open().await.expect("it opens");
    let stopped = Arc::new(AtomicUsize::new(0));
    let stops = stopped.clone();
    let pool = Workpool::builder(&store).on(HOLD, move |_, ()| {
        let held = Stopped(stops.clone());
        async move {
            let _held = held;
            std::future::pending().await
        }
    });
    let pool = pool.start().await.expect("it starts");
    let job = store.mutate(|tx| enqueue(tx, &HOLD, (), ())).await.expect("it is enqueued");
    reaches(&store, job, State::Running).await;

    let first = pool.process.worker().id;
    let buried = store.mutate(move |tx| {
        while !bury(tx, &Completions::default(), first)? {}
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
