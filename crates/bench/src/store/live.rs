//! What live queries cost.

use std::sync::mpsc;

use anyhow::{Context as _, Result};
use loomwork_core::Stopwatch;
use loomwork_store::{Store, Watch};

use super::tables::Message;
use super::{Bed, one_thread};
use crate::measure::{ROUNDS, Row, Target, median, percentile};

const DELIVERIES: u64 = 1_000;
const WATCHERS: u64 = 10_000;
const COMMITS: u64 = 2_000;

pub(super) fn measure(bed: &Bed) -> Result<Vec<Row>> {
    let runtime = one_thread()?;
    let (mut p50, mut p99, mut wake) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let latencies = runtime.block_on(deliveries(bed))?;
        p50.push(median(&latencies));
        p99.push(percentile(&latencies, 0.99));
        wake.push(median(&wake_ups()?));
    }
    let delivery = |name, ours, target| Row { name, unit: "ms", ours, baseline: wake.clone(), target };
    let crowded = runtime.block_on(watched(bed, WATCHERS))?;
    let alone = runtime.block_on(watched(bed, 0))?;
    Ok(vec![
        delivery("commit to watcher delivery, idle, p50", p50, Target::ValueAtMost(0.5)),
        delivery("commit to watcher delivery, idle, p99", p99, Target::None),
        Row::measured(
            "commit with 10,000 watchers on other ranges",
            "µs",
            Target::RatioAtMost(1.05),
            || runtime.block_on(commits(&crowded.store, 0)),
            || runtime.block_on(commits(&alone.store, 0)),
        )?,
    ])
}

/// From handing in a mutation to the watcher's result, in milliseconds.
async fn deliveries(bed: &Bed) -> Result<Vec<f64>> {
    let store = bed.open().await?;
    let mut live = store.watch(|tx| Ok(tx.first(Message::by_thread.eq(1).desc())?.map(|row| row.position)));
    live.next().await.context("the store is open")??;
    let mut latencies = Vec::new();
    for position in 0..DELIVERIES {
        let watch = Stopwatch::start();
        store.mutate(move |tx| tx.insert(Message::new(1, position))).await?;
        let seen = live.next().await.context("the store is open")??;
        latencies.push(watch.elapsed().as_secs_f64() * 1e3);
        anyhow::ensure!(seen == Some(position), "the watcher saw {seen:?} instead of {position}");
    }
    Ok(latencies)
}

/// From one thread to another and back, in milliseconds: what any delivery has to pay.
fn wake_ups() -> Result<Vec<f64>> {
    let (ask, asked) = mpsc::channel::<()>();
    let (answer, answered) = mpsc::channel::<()>();
    let echo = std::thread::spawn(move || while asked.recv().is_ok() && answer.send(()).is_ok() {});
    let mut latencies = Vec::new();
    for _ in 0..DELIVERIES {
        let watch = Stopwatch::start();
        ask.send(())?;
        answered.recv()?;
        latencies.push(watch.elapsed().as_secs_f64() * 1e3);
    }
    drop(ask);
    let _ = echo.join();
    Ok(latencies)
}

struct Watched {
    store: Store,
    _watches: Vec<Watch<usize>>,
}

/// A store with so many live queries, each over a thread of its own.
async fn watched(bed: &Bed, watchers: u64) -> Result<Watched> {
    let store = bed.open().await?;
    let mut watches = Vec::new();
    for thread in 1..=watchers {
        let mut watch = store.watch(move |tx| tx.count(Message::by_thread.eq(thread)));
        watch.next().await.context("the store is open")??;
        watches.push(watch);
    }
    Ok(Watched { store, _watches: watches })
}

/// One caller's commits to one thread, in microseconds each.
async fn commits(store: &Store, thread: u64) -> Result<f64> {
    let watch = Stopwatch::start();
    for position in 0..COMMITS {
        store.mutate(move |tx| tx.insert(Message::new(thread, position))).await?;
    }
    Ok(watch.elapsed().as_secs_f64() * 1e6 / COMMITS as f64)
}
