//! Steps of an answer: with tools, stored and not.

use std::sync::Arc;

use anyhow::{Result, ensure};
use loomwork_agent::{Agent, Runtime, Tool, ToolContext, step_count};
use loomwork_core::Stopwatch;
use loomwork_models::{LanguageModel, MockModel, MockReply};
use serde_json::json;

use super::{filled, folder, open, two_threads};
use crate::measure::{ROUNDS, Row, Target, percentile};

/// How many calls a loop makes.
const CALLS: usize = 5;
const LOOPS: usize = 50;
const STEPS: usize = 200;

pub(super) fn measure() -> Result<Vec<Row>> {
    let (folder, runtime) = (folder()?, two_threads()?);
    let house = runtime.block_on(open(&folder.path().join("store.db")))?;
    let absolute = |name, unit, ours, target| Row { name, unit, ours, baseline: Vec::new(), target };
    let free = (0..ROUNDS).map(|_| runtime.block_on(free_steps())).collect::<Result<_>>()?;
    let one_by_one = (0..ROUNDS).map(|_| runtime.block_on(loops(&house, 1))).collect::<Result<_>>()?;
    let together = (0..ROUNDS).map(|_| runtime.block_on(loops(&house, CALLS))).collect::<Result<_>>()?;
    Ok(vec![
        absolute("step without a store: loop, chunks, a tool", "µs", free, Target::ValueAtMost(100.0)),
        absolute(
            "tool loop of 5 calls, one a step, durable, p50",
            "ms",
            one_by_one,
            Target::ValueAtMost(5.0),
        ),
        absolute("tool loop of 5 calls in one step, durable, p50", "ms", together, Target::ValueAtMost(5.0)),
    ])
}

/// An agent that makes so many calls in a step, again and again, and has the last word then.
fn worker(steps: usize, calls: usize) -> Result<Agent> {
    let call = |step: usize| {
        (0..calls).fold(MockReply::default(), |reply, call| {
            reply.tool_call(format!("{step}-{call}"), "look", json!({}))
        })
    };
    let replies = (0..steps).map(call).chain([MockReply::default().text("It is seen.")]);
    let model = Arc::new(MockModel::new(replies)) as Arc<dyn LanguageModel>;
    let look = Tool::new("look", "Looks.", |_: ToolContext, (): ()| async { "seen" });
    Ok(Agent::new("worker", model).tool(look)?.stop_when(step_count(steps + 1)))
}

/// Makes steps outside of threads; microseconds for each.
async fn free_steps() -> Result<f64> {
    let house = Runtime::memory().await?;
    let mut took = 0.0;
    for _ in 0..STEPS / CALLS {
        let agent = worker(CALLS, 1)?;
        let watch = Stopwatch::start();
        let reply = agent.answer(&house, None, "Look.").await?;
        took += watch.elapsed().as_secs_f64();
        ensure!(reply.steps.len() == CALLS + 1, "the loop has {} steps", reply.steps.len());
    }
    Ok(took * 1e6 / (STEPS / CALLS * (CALLS + 1)) as f64)
}

/// Makes loops of five calls, and returns the median of milliseconds.
async fn loops(house: &Runtime, calls: usize) -> Result<f64> {
    let mut took = Vec::with_capacity(LOOPS);
    for _ in 0..LOOPS {
        let agent = worker(CALLS / calls, calls)?;
        let thread = agent.in_thread(house, filled(house.store(), 10).await?);
        let watch = Stopwatch::start();
        let reply = thread.generate_text("Look.").await?;
        took.push(watch.elapsed().as_secs_f64() * 1e3);
        let made: usize = reply.steps.iter().map(|step| step.calls.len()).sum();
        ensure!(made == CALLS, "the loop made {made} calls");
    }
    Ok(percentile(&took, 0.5))
}
