//! How many jobs a second go through, from their enqueuing to their recorded outcome.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use loomwork_core::{Clock, Stopwatch};
use loomwork_store::Store;
use loomwork_workpool::{PoolOptions, Workpool, enqueue_all};
use tokio::sync::Semaphore;

use super::by_hand::Queue;
use super::{NOTHING, folder, open, two_threads};
use crate::measure::{Row, Target};

const JOBS: u64 = 20_000;
const BATCH: u64 = 32;
const IN_FLIGHT: u32 = 64;

pub(super) fn measure() -> Result<Vec<Row>> {
    let folder = folder()?;
    let runtime = two_threads()?;
    let store = runtime.block_on(open(&folder.path().join("store.db")))?;
    let mut queue = Queue::open(&folder.path().join("hand.db"))?;
    let against = Row::measured(
        "enqueue + run + complete, no-op, batches of 32, 64 in flight; against three transactions a batch by hand",
        "jobs/s",
        Target::RatioAtLeast(0.5),
        || runtime.block_on(run(&store)),
        || {
            let watch = Stopwatch::start();
            for first in (0..JOBS).step_by(BATCH as usize) {
                let batch: Vec<String> = (first..first + BATCH).map(|number| number.to_string()).collect();
                queue.run(&batch)?;
            }
            Ok(JOBS as f64 / watch.elapsed().as_secs_f64())
        },
    )?;
    let absolute = Row {
        name: "the same, absolute",
        unit: "jobs/s",
        ours: against.ours.clone(),
        baseline: Vec::new(),
        target: Target::ValueAtLeast(20_000.0),
    };
    Ok(vec![against, absolute])
}

/// Enqueues batches while fewer than [`IN_FLIGHT`] jobs wait or run, and stops when every outcome is
/// recorded.
async fn run(store: &Store) -> Result<f64> {
    let slots = Arc::new(Semaphore::new(IN_FLIGHT as usize));
    let freed = slots.clone();
    let limits = PoolOptions { parallel: Some(IN_FLIGHT), ..PoolOptions::default() };
    let pool = Workpool::builder(store).pool("default", limits).on(NOTHING, move |_, _| {
        freed.add_permits(1);
        async { Ok(()) }
    });
    let pool = pool.start().await?;
    let watch = Stopwatch::start();
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..u64::from(IN_FLIGHT) / BATCH {
        let (store, slots) = (store.clone(), slots.clone());
        callers.spawn(async move {
            for _ in 0..JOBS / u64::from(IN_FLIGHT) {
                slots.acquire_many(BATCH as u32).await?.forget();
                let jobs = caller * BATCH..(caller + 1) * BATCH;
                store.mutate(move |tx| enqueue_all(tx, &NOTHING, jobs, ())).await?;
            }
            anyhow::Ok(())
        });
    }
    callers.join_all().await.into_iter().collect::<Result<()>>()?;
    let jobs = JOBS / u64::from(IN_FLIGHT) * u64::from(IN_FLIGHT);
    while pool.counters().succeeded < jobs {
        Clock::system().sleep(Duration::from_millis(1)).await;
    }
    let rate = jobs as f64 / watch.elapsed().as_secs_f64();
    ensure!(pool.counters().succeeded == jobs, "each job ran once: {:?}", pool.counters());
    pool.shutdown(Duration::from_secs(5)).await?;
    Ok(rate)
}
