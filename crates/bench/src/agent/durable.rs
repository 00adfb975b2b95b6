//! What a durable run costs beside the same turn in the foreground.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use loomwork_agent::durable::{Registry, StartOptions};
use loomwork_agent::{Agent, Runtime};
use loomwork_core::Stopwatch;
use loomwork_messages::{RunStatus, ThreadId};

use super::{clerk, filled, folder, open, text, two_threads};
use crate::measure::{ROUNDS, Row, Target, percentile};

const HISTORY: usize = 100;
const TURNS: usize = 100;
const DEADLINE: Duration = Duration::from_secs(20);

pub(super) fn measure() -> Result<Vec<Row>> {
    let (folder, runtime) = (folder()?, two_threads()?);
    let house = runtime.block_on(open(&folder.path().join("store.db")))?;
    let agent = clerk(&text());
    let pool = runtime.block_on(Registry::new().agent(agent.clone())?.start(&house))?;
    let (mut durable, mut foreground) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let thread = runtime.block_on(filled(house.store(), HISTORY))?;
        durable.push(runtime.block_on(started(&house, &agent, thread))?);
        let thread = runtime.block_on(filled(house.store(), HISTORY))?;
        foreground.push(runtime.block_on(asked(&house, &agent, thread))?);
    }
    runtime.block_on(async {
        pool.shutdown(DEADLINE).await?;
        house.shutdown(DEADLINE).await
    })?;
    Ok(vec![Row {
        name: "durable run from its start to its end, history 100, p50; the same turn in the foreground",
        unit: "µs",
        ours: durable,
        baseline: foreground,
        target: Target::RatioAtMost(3.0),
    }])
}

/// Starts runs one by one and waits for their end; the median of microseconds.
async fn started(house: &Runtime, agent: &Agent, thread: ThreadId) -> Result<f64> {
    let mut took = Vec::with_capacity(TURNS);
    for _ in 0..TURNS {
        let (agent, watch) = (agent.clone(), Stopwatch::start());
        let started =
            house.store().mutate(move |tx| agent.start(tx, thread, text().as_str(), StartOptions::default()));
        let run = started.await?.run().context("an agent answers")?;
        let mut status = house.store().watch(move |tx| Ok(tx.require(run)?.status));
        let ended = loop {
            let status = status.next().await.context("the store is open")??;
            if status.has_ended() {
                break status;
            }
        };
        took.push(watch.elapsed().as_secs_f64() * 1e6);
        ensure!(ended == RunStatus::Success, "a run has ended as {ended:?}");
    }
    Ok(percentile(&took, 0.5))
}

/// Makes the same turns in the foreground.
async fn asked(house: &Runtime, agent: &Agent, thread: ThreadId) -> Result<f64> {
    let (thread, mut took) = (agent.in_thread(house, thread), Vec::with_capacity(TURNS));
    for _ in 0..TURNS {
        let watch = Stopwatch::start();
        thread.generate_text(text().as_str()).await?;
        took.push(watch.elapsed().as_secs_f64() * 1e6);
    }
    Ok(percentile(&took, 0.5))
}
