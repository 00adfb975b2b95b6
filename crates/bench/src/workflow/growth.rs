//! What a step costs as the journal before it grows.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use loomwork_core::Stopwatch;
use loomwork_store::Store;
use loomwork_workflow::{Flow, Outcome, Workflow, Workflows, outcome, start};

use super::{folder, open, step, two_threads};
use crate::measure::{Row, Target};

const LONG: Workflow<(), ()> = Workflow::new("long");

/// Steps are timed in groups of so many.
const GROUP: usize = 500;

/// A run has so many groups: 10,000 steps.
const GROUPS: usize = 20;

/// Where the code writes down how long each group took.
type Times = Arc<Mutex<Vec<Duration>>>;

pub(super) fn measure() -> Result<Vec<Row>> {
    let folder = folder()?;
    let runtime = two_threads()?;
    let store = runtime.block_on(open(&folder.path().join("store.db")))?;
    let (mut late, mut early) = (Vec::new(), Vec::new());
    for _ in 0..crate::measure::ROUNDS {
        let times = runtime.block_on(run(&store))?;
        let of = |group: usize| times.get(group).map(|time| time.as_secs_f64() * 1e6 / GROUP as f64);
        early.push(of(0).context("the first group was timed")?);
        late.push(of(GROUPS - 1).context("the last group was timed")?);
    }
    Ok(vec![Row {
        name: "a step behind 9,500 others, 1 run; against one of the first 500 of the same run",
        unit: "µs",
        ours: late,
        baseline: early,
        target: Target::RatioAtMost(1.2),
    }])
}

async fn run(store: &Store) -> Result<Vec<Duration>> {
    let times = Times::default();
    let seen = times.clone();
    let workflows = Workflows::builder(store).on(LONG, move |wf, ()| long(wf, seen.clone())).start().await?;
    let id = store.mutate(|tx| start(tx, &LONG, (), ())).await?;
    let mut live = store.watch(move |tx| outcome(tx, &LONG, id));
    while live.next().await.context("the store is open")?? != Some(Outcome::Success(())) {}
    workflows.shutdown(Duration::from_secs(5)).await?;
    let times = times.lock().expect("nobody panics").clone();
    Ok(times)
}

async fn long(wf: Flow, times: Times) -> loomwork_store::Result<()> {
    for _ in 0..GROUPS {
        // The code looks at the time for this measurement alone: it goes into no step.
        let watch = Stopwatch::start();
        for _ in 0..GROUP {
            step(&wf).await?;
        }
        times.lock().expect("nobody panics").push(watch.elapsed());
    }
    Ok(())
}
