//! Claims beside a million jobs that this process does not know.

use std::time::Duration;

use anyhow::{Context as _, Result};
use loomwork_core::Stopwatch;
use loomwork_store::Store;
use loomwork_workpool::{Job, Workpool, enqueue, enqueue_all};

use super::{NOTHING, folder, open, two_threads};
use crate::measure::{Row, Target};

const UNKNOWN: Job<u64, ()> = Job::new("a job of another program");
const UNKNOWN_JOBS: u64 = 1_000_000;
const STEP: u64 = 10_000;
const TURNS: u64 = 500;

pub(super) fn measure() -> Result<Vec<Row>> {
    let runtime = two_threads()?;
    let folder = folder()?;
    let burdened = runtime.block_on(open(&folder.path().join("burdened.db")))?;
    for _ in 0..UNKNOWN_JOBS / STEP {
        runtime.block_on(async { burdened.mutate(|tx| enqueue_all(tx, &UNKNOWN, 0..STEP, ())).await })?;
    }
    let empty = runtime.block_on(open(&folder.path().join("empty.db")))?;
    let row = Row::measured(
        "a job from enqueuing to outcome beside 1,000,000 unknown ones; against an empty store",
        "µs",
        Target::RatioAtMost(1.2),
        || runtime.block_on(turns(&burdened)),
        || runtime.block_on(turns(&empty)),
    )?;
    Ok(vec![row])
}

/// One job after the other, each until its outcome is recorded; in microseconds.
async fn turns(store: &Store) -> Result<f64> {
    let pool = Workpool::builder(store).on(NOTHING, |_, _| async { Ok(()) }).start().await?;
    let watch = Stopwatch::start();
    for number in 0..TURNS {
        let job = store.mutate(move |tx| enqueue(tx, &NOTHING, number, ())).await?;
        let mut outcome = store.watch(move |tx| loomwork_workpool::outcome(tx, &NOTHING, job));
        while outcome.next().await.context("the store is open")??.is_none() {}
    }
    let took = watch.elapsed();
    pool.shutdown(Duration::from_secs(5)).await?;
    Ok(took.as_secs_f64() * 1e6 / TURNS as f64)
}
