//! How many steps a second are recorded, from the start of their workflows to their ends.

use anyhow::{Result, ensure};
use loomwork_core::Stopwatch;
use loomwork_store::Store;
use loomwork_workflow::{Completion, Done, OutcomeKind, Workflows, start};
use tokio::sync::mpsc;

use super::{STEPS, by_hand, folder, open, steps, two_threads};
use crate::measure::{Row, Target};

/// How many steps a workflow has in the rows that are compared.
const LENGTH: u64 = 10;

const ENDED: Completion<(), u64> = Completion::new("ended");

/// A row of so many workflows at once.
struct Load {
    name: &'static str,
    absolute: &'static str,
    at_once: u64,
    /// How many workflows are run in all.
    runs: u64,
    target: Target,
}

pub(super) fn measure() -> Result<Vec<Row>> {
    let loads = [
        Load {
            name: "steps, 10 a run, 1 run at once; against a journal appended by hand",
            absolute: "the same, absolute",
            at_once: 1,
            runs: 100,
            target: Target::None,
        },
        Load {
            name: "steps, 10 a run, 64 runs at once; against a journal appended by hand",
            absolute: "the same, absolute",
            at_once: 64,
            runs: 1_280,
            target: Target::ValueAtLeast(15_000.0),
        },
        Load {
            name: "steps, 10 a run, 256 runs at once; against a journal appended by hand",
            absolute: "the same, absolute",
            at_once: 256,
            runs: 2_560,
            target: Target::ValueAtLeast(25_000.0),
        },
    ];
    let folder = folder()?;
    let runtime = two_threads()?;
    let store = runtime.block_on(open(&folder.path().join("store.db")))?;
    let hand = folder.path().join("hand.db");
    let mut rows = Vec::new();
    for Load { name, absolute, at_once, runs, target } in loads {
        let against = Row::measured(
            name,
            "steps/s",
            Target::RatioAtLeast(0.4),
            || runtime.block_on(run(&store, at_once, runs, LENGTH)),
            || runtime.block_on(by_hand::append(&hand, at_once, runs / at_once * LENGTH)),
        )?;
        let ours = against.ours.clone();
        rows.extend([against, Row { name: absolute, unit: "steps/s", ours, baseline: Vec::new(), target }]);
    }
    for (name, runs, length) in
        [("steps, 3 a run, 64 runs at once", 2_560, 3), ("steps, 100 a run, 64 runs at once", 256, 100)]
    {
        let mut ours = Vec::new();
        for _ in 0..crate::measure::ROUNDS {
            ours.push(runtime.block_on(run(&store, 64, runs, length))?);
        }
        rows.push(Row { name, unit: "steps/s", ours, baseline: Vec::new(), target: Target::None });
    }
    Ok(rows)
}

/// Runs workflows, so many at once, and returns the rate of their steps.
async fn run(store: &Store, at_once: u64, runs: u64, length: u64) -> Result<f64> {
    let (tell, mut told) = mpsc::unbounded_channel();
    let workflows =
        Workflows::builder(store).on(STEPS, steps).on_done(ENDED, move |_, done: Done<(), u64>| {
            let _ = tell.send(done.outcome.kind());
            Ok(())
        });
    let workflows = workflows.start().await?;
    let begin = |count: u64| {
        store.mutate(move |tx| {
            (0..count).try_for_each(|_| start(tx, &STEPS, length, ENDED.with(())).map(drop))
        })
    };
    let watch = Stopwatch::start();
    begin(at_once).await?;
    let (mut left, mut ended) = (runs - at_once, 0);
    while ended < runs {
        ensure!(told.recv().await == Some(OutcomeKind::Success), "each run succeeds");
        let mut free = 1;
        while told.try_recv().is_ok() {
            free += 1;
        }
        ended += free;
        let next = free.min(left);
        left -= next;
        if next > 0 {
            begin(next).await?;
        }
    }
    let rate = (runs * length) as f64 / watch.elapsed().as_secs_f64();
    workflows.shutdown(std::time::Duration::from_secs(5)).await?;
    Ok(rate)
}
