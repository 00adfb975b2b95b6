//! What a pool costs that has nothing to do, and how fast it wakes.

use std::time::Duration;

use anyhow::{Context as _, Result};
use loomwork_core::{Clock, Stopwatch};
use loomwork_store::{Memory, Store};
use loomwork_testkit::Tallied;
use loomwork_workpool::{HEARTBEAT, Listed, Workpool, enqueue, list};
use tokio::sync::mpsc;

use super::{NOTHING, folder, open, two_threads};
use crate::measure::{ROUNDS, Row, Target, median, percentile};

const STARTS: usize = 500;

/// How many minutes the idle process is watched, by a clock that is turned.
const MINUTES: u64 = 10;

pub(super) fn measure() -> Result<Vec<Row>> {
    let runtime = two_threads()?;
    let folder = folder()?;
    let store = runtime.block_on(open(&folder.path().join("store.db")))?;
    let (mut p50, mut p99, mut deliveries, mut queries) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let starts = runtime.block_on(starts(&store))?;
        p50.push(median(&starts));
        p99.push(percentile(&starts, 0.99));
        deliveries.push(median(&runtime.block_on(deliveries_of(&store))?));
        queries.push(runtime.block_on(idle_queries())?);
    }
    let start = |name, ours, target| Row { name, unit: "ms", ours, baseline: deliveries.clone(), target };
    Ok(vec![
        start(
            "enqueue to start, idle, p50; against the delivery to a watcher",
            p50,
            Target::ValueAtMost(1.0),
        ),
        start("enqueue to start, idle, p99", p99, Target::None),
        Row {
            name: "transactions of an idle process",
            unit: "a second",
            ours: queries,
            baseline: Vec::new(),
            target: Target::ValueAtMost(1.0),
        },
    ])
}

/// From handing in the mutation that enqueues a job to its handler's first line, in milliseconds.
async fn starts(store: &Store) -> Result<Vec<f64>> {
    let (started, mut starts) = mpsc::unbounded_channel();
    let pool = Workpool::builder(store).on(NOTHING, move |_, _| {
        let _ = started.send(());
        async { Ok(()) }
    });
    let pool = pool.start().await?;
    let mut latencies = Vec::new();
    for number in 0..STARTS {
        let watch = Stopwatch::start();
        store.mutate(move |tx| enqueue(tx, &NOTHING, number as u64, ())).await?;
        starts.recv().await.context("the pool runs")?;
        latencies.push(watch.elapsed().as_secs_f64() * 1e3);
        // The next one finds an idle pool.
        let mut running = store.watch(|tx| Ok(list(tx, Listed::Pending("default"), one())?.0.len()));
        while running.next().await.context("the store is open")?? > 0 {}
    }
    pool.shutdown(Duration::from_secs(5)).await?;
    Ok(latencies)
}

fn one() -> loomwork_store::Page {
    loomwork_store::Page::first(1)
}

/// From handing in the same mutation to a watcher that looks for jobs, in milliseconds.
async fn deliveries_of(store: &Store) -> Result<Vec<f64>> {
    let mut newest = store.watch(|tx| Ok(list(tx, Listed::Ready("default"), one())?.0.pop()));
    newest.next().await.context("the store is open")??;
    let mut latencies = Vec::new();
    for number in 0..STARTS {
        let watch = Stopwatch::start();
        let job = store.mutate(move |tx| enqueue(tx, &NOTHING, number as u64, ())).await?;
        newest.next().await.context("the store is open")??;
        latencies.push(watch.elapsed().as_secs_f64() * 1e3);
        store.mutate(move |tx| loomwork_workpool::cancel(tx, job)).await?;
        newest.next().await.context("the store is open")??;
    }
    Ok(latencies)
}

/// How many transactions an idle process begins in a second of its clock.
async fn idle_queries() -> Result<f64> {
    let clock = Clock::manual(loomwork_core::Time::from_millis(1_700_000_000_000));
    let (engine, begun) = Tallied::over(Memory::new());
    let store =
        Store::builder(engine).clock(clock.clock()).tables(loomwork_workpool::tables()).open().await?;
    let pool = Workpool::builder(&store).on(NOTHING, |_, _| async { Ok(()) }).start().await?;
    let settle = || Clock::system().sleep(Duration::from_millis(5));
    settle().await;
    let before = begun.reads() + begun.writes();
    let seconds = MINUTES * 60;
    for _ in 0..seconds / HEARTBEAT.as_secs() {
        clock.advance(HEARTBEAT);
        settle().await;
    }
    let queries = begun.reads() + begun.writes() - before;
    pool.shutdown(Duration::from_secs(5)).await?;
    Ok(queries as f64 / seconds as f64)
}
