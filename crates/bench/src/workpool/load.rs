//! Loads that queues are known to stumble over: bursts, large arguments, many slow jobs at once.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use loomwork_core::{Clock, Stopwatch};
use loomwork_store::Store;
use loomwork_workpool::{Job, PoolOptions, Workpool, enqueue, enqueue_all};
use tokio::sync::Semaphore;

use super::by_hand::Queue;
use super::{NOTHING, folder, open, two_threads};
use crate::measure::{Row, Target};

const BURST: u64 = 1_000;
const BURSTS: u64 = 5;
const PAUSE: Duration = Duration::from_millis(50);

const LARGE: Job<String, usize> = Job::new("large");
const LARGE_JOBS: usize = 50;
const LARGE_BYTES: usize = 800_000;

const NAP: Duration = Duration::from_millis(20);
const NAPS: u64 = 5_000;
const NAPS_AT_ONCE: u32 = 200;
const NAPS_A_BATCH: u64 = 100;

pub(super) fn measure() -> Result<Vec<Row>> {
    let runtime = two_threads()?;
    let folder = folder()?;
    let store = runtime.block_on(open(&folder.path().join("store.db")))?;
    let mut queue = Queue::open(&folder.path().join("hand.db"))?;
    let bursts = Row::measured(
        "bursts of 1,000 no-ops, from enqueuing to the last outcome; against three transactions by hand",
        "ms",
        Target::None,
        || runtime.block_on(bursts(&store)),
        || {
            let mut took = Duration::ZERO;
            for _ in 0..BURSTS {
                let batch: Vec<String> = (0..BURST).map(|number| number.to_string()).collect();
                let watch = Stopwatch::start();
                queue.run(&batch)?;
                took += watch.elapsed();
            }
            Ok(took.as_secs_f64() * 1e3 / BURSTS as f64)
        },
    )?;
    let large = Row::measured(
        "50 jobs of 800 kB, from enqueuing to the last outcome; against three transactions by hand",
        "ms",
        Target::None,
        || runtime.block_on(large(&store)),
        || {
            let batch: Vec<String> = (0..LARGE_JOBS).map(|_| "x".repeat(LARGE_BYTES)).collect();
            let watch = Stopwatch::start();
            queue.run(&batch)?;
            Ok(watch.elapsed().as_secs_f64() * 1e3)
        },
    )?;
    let naps = Row::measured(
        "5,000 jobs of 20 ms, 200 at once, in batches of 100; against sleeping tasks and a semaphore",
        "ms",
        Target::None,
        || runtime.block_on(naps(&store)),
        || runtime.block_on(naps_without_a_store()),
    )?;
    Ok(vec![bursts, large, naps])
}

/// Waits until a pool has recorded so many successes.
async fn all_succeed(pool: &Workpool, count: u64) {
    while pool.counters().succeeded < count {
        Clock::system().sleep(Duration::from_millis(1)).await;
    }
}

async fn bursts(store: &Store) -> Result<f64> {
    let limits = PoolOptions { parallel: None, ..PoolOptions::default() };
    let pool = Workpool::builder(store).pool("default", limits).on(NOTHING, |_, _| async { Ok(()) });
    let pool = pool.start().await?;
    let mut took = Duration::ZERO;
    for burst in 1..=BURSTS {
        let watch = Stopwatch::start();
        store.mutate(|tx| enqueue_all(tx, &NOTHING, 0..BURST, ())).await?;
        all_succeed(&pool, burst * BURST).await;
        took += watch.elapsed();
        Clock::system().sleep(PAUSE).await;
    }
    pool.shutdown(Duration::from_secs(5)).await?;
    Ok(took.as_secs_f64() * 1e3 / BURSTS as f64)
}

async fn large(store: &Store) -> Result<f64> {
    let pool = Workpool::builder(store).on(LARGE, |_, text: String| async move { Ok(text.len()) });
    let pool = pool.start().await?;
    let watch = Stopwatch::start();
    for _ in 0..LARGE_JOBS {
        let text = "x".repeat(LARGE_BYTES);
        store.mutate(move |tx| enqueue(tx, &LARGE, text, ())).await?;
    }
    all_succeed(&pool, LARGE_JOBS as u64).await;
    let took = watch.elapsed();
    pool.shutdown(Duration::from_secs(5)).await?;
    Ok(took.as_secs_f64() * 1e3)
}

async fn naps(store: &Store) -> Result<f64> {
    let limits = PoolOptions { parallel: Some(NAPS_AT_ONCE), ..PoolOptions::default() };
    let pool = Workpool::builder(store).pool("default", limits).on(NOTHING, |_, _| async {
        Clock::system().sleep(NAP).await;
        Ok(())
    });
    let pool = pool.start().await?;
    let watch = Stopwatch::start();
    for _ in 0..NAPS / NAPS_A_BATCH {
        store.mutate(|tx| enqueue_all(tx, &NOTHING, 0..NAPS_A_BATCH, ())).await?;
    }
    all_succeed(&pool, NAPS).await;
    let took = watch.elapsed();
    ensure!(pool.counters().succeeded == NAPS, "each ran once");
    pool.shutdown(Duration::from_secs(5)).await?;
    Ok(took.as_secs_f64() * 1e3)
}

async fn naps_without_a_store() -> Result<f64> {
    let slots = Arc::new(Semaphore::new(NAPS_AT_ONCE as usize));
    let watch = Stopwatch::start();
    let mut naps = tokio::task::JoinSet::new();
    for _ in 0..NAPS {
        let slots = slots.clone();
        naps.spawn(async move {
            let slot = slots.acquire().await;
            Clock::system().sleep(NAP).await;
            drop(slot);
        });
    }
    naps.join_all().await;
    Ok(watch.elapsed().as_secs_f64() * 1e3)
}
