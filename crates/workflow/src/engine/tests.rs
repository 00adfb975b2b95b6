use std::sync::Arc;
use std::time::Duration;

use loomwork_core::{Clock, ManualClock, Tasks, Time};
use loomwork_store::{Result, Store};
use tokio::sync::Semaphore;

use super::{Taker, Workflows};
use crate::flow::Flow;
use crate::host::HEARTBEAT;
use crate::outcome::{Outcome, outcome};
use crate::start::start;
use crate::workflow::Workflow;

const WORK: Workflow<(), u64> = Workflow::new("work");

async fn work(_: Flow, (): ()) -> Result<u64> {
    Ok(7)
}

async fn open() -> (Store, ManualClock) {
    let clock = Clock::manual(Time::from_millis(1_000_000));
    let builder = Store::memory().tables(crate::tables::tables()).tables(loomwork_workpool::tables());
    (builder.clock(clock.clock()).open().await.expect("the store opens"), clock)
}

#[tokio::test]
async fn what_became_ready_while_a_host_was_lost_is_taken_by_the_next_one() {
    let (store, clock) = open().await;
    let engine = Workflows::builder(&store).on(WORK, work).start().await.expect("the engine starts");
    let lost = engine.host.get();
    lost.lost.cancel();
    let id = store.mutate(|tx| start(tx, &WORK, (), ())).await.expect("it is started");
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    // Short of the time at which takers look by themselves.
    clock.advance(HEARTBEAT);
    let mut live = store.watch(move |tx| outcome(tx, &WORK, id));
    let ends = async {
        while live.next().await.expect("the store is open").expect("it can be read")
            != Some(Outcome::Success(7))
        {}
    };
    loomwork_testkit::soon(ends).await;
    assert_ne!(engine.host.get().id, lost.id);
    engine.shutdown(Duration::from_secs(5)).await.expect("the engine ends");
}

#[tokio::test]
async fn what_is_taken_comes_with_the_host_that_has_it() {
    let (store, clock) = open().await;
    let engine = Workflows::builder(&store).start().await.expect("the engine starts");
    store.mutate(|tx| start(tx, &WORK, (), ())).await.expect("it is started");
    let taker = Taker {
        shared: engine.shared.clone(),
        host: engine.host.clone(),
        names: Arc::new([WORK.name()]),
        runs: Tasks::new(),
        places: Arc::new(Semaphore::new(1)),
    };
    let (host, taken) = taker.take(1).await.expect("it is taken");
    // The process stands still and becomes another host.
    engine.host.get().lost.cancel();
    clock.advance(HEARTBEAT);
    let mut hosts = engine.host.watch();
    if engine.host.get().id == host.id {
        loomwork_testkit::soon(hosts.changed()).await.expect("there is another host");
    }
    assert_eq!(taken[0].run.host, Some(host.id));
    assert!(host.lost.is_cancelled(), "who drives the run hears that it is lost");
}
