//! How soon all open workflows go on after a restart.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use loomwork_core::{Clock, Stopwatch};
use loomwork_store::Store;
use loomwork_workflow::{Flow, Workflow, Workflows, start};

use super::{folder, open, step, two_threads};
use crate::measure::{Row, Target};

const OPEN: Workflow<(), ()> = Workflow::new("open");

const RUNS: u64 = 10_000;

/// How many runs one mutation starts.
const BATCH: u64 = 500;

/// Long enough that nothing is put away.
const NEVER: Duration = Duration::from_secs(3_600);

pub(super) fn measure() -> Result<Vec<Row>> {
    let runtime = two_threads()?;
    let folder = folder()?;
    let path = folder.path().join("store.db");
    runtime.block_on(fill(&path))?;
    let mut ours = Vec::new();
    for _ in 0..crate::measure::ROUNDS {
        ours.push(runtime.block_on(resume(&path))?);
    }
    Ok(vec![Row {
        name: "10,000 open workflows of 3 steps, from the engine's start until the last one waits again",
        unit: "ms",
        ours,
        baseline: Vec::new(),
        target: Target::ValueAtMost(1_000.0),
    }])
}

/// Starts an engine whose runs count where they wait.
async fn engine(store: &Store) -> Result<(Workflows, Arc<AtomicU64>)> {
    let waiting = Arc::new(AtomicU64::new(0));
    let count = waiting.clone();
    let engine =
        Workflows::builder(store).idle(NEVER).resident(2 * RUNS as usize).on(OPEN, move |wf: Flow, ()| {
            let count = count.clone();
            async move {
                for _ in 0..3 {
                    step(&wf).await?;
                }
                count.fetch_add(1, Ordering::Relaxed);
                wf.event("go").await
            }
        });
    Ok((engine.start().await?, waiting))
}

async fn all_wait(waiting: &AtomicU64) {
    while waiting.load(Ordering::Relaxed) < RUNS {
        Clock::system().sleep(Duration::from_millis(1)).await;
    }
}

/// Leaves a file whose runs all are in the memory of a process that is gone.
async fn fill(path: &Path) -> Result<()> {
    let store = open(path).await?;
    let (workflows, waiting) = engine(&store).await?;
    for _ in 0..RUNS / BATCH {
        store.mutate(|tx| (0..BATCH).try_for_each(|_| start(tx, &OPEN, (), ()).map(drop))).await?;
    }
    all_wait(&waiting).await;
    // The waits are on record too.
    Clock::system().sleep(Duration::from_secs(1)).await;
    leave(store, workflows).await
}

/// Ends a process without giving anything back.
async fn leave(store: Store, workflows: Workflows) -> Result<()> {
    store.close().await;
    drop(workflows);
    Ok(())
}

async fn resume(path: &Path) -> Result<f64> {
    let store = open(path).await?;
    let watch = Stopwatch::start();
    let (workflows, waiting) = engine(&store).await?;
    all_wait(&waiting).await;
    let took = watch.elapsed().as_secs_f64() * 1e3;
    leave(store, workflows).await?;
    Ok(took)
}
