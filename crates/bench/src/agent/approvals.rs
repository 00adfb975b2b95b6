//! From an approval to the stream of the answer that goes on.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use loomwork_agent::approvals::approve;
use loomwork_agent::{Agent, Approval, Awaits, Runtime, Tool, ToolContext, ToolPolicy, step_count};
use loomwork_core::Stopwatch;
use loomwork_messages::{List, ViewEvent};
use loomwork_models::{LanguageModel, MockModel, MockReply};
use serde_json::json;

use super::{filled, folder, open, two_threads};
use crate::measure::{ROUNDS, Row, Target, percentile};

const APPROVALS: usize = 50;

/// What the answer ends with.
const PAID: &str = "It is paid.";

pub(super) fn measure() -> Result<Vec<Row>> {
    let (folder, runtime) = (folder()?, two_threads()?);
    let house = runtime.block_on(open(&folder.path().join("store.db")))?;
    let ours = (0..ROUNDS).map(|_| runtime.block_on(resumed(&house))).collect::<Result<_>>()?;
    Ok(vec![Row {
        name: "from an approval to the first chunk that a follower sees, durable, p50",
        unit: "ms",
        ours,
        baseline: Vec::new(),
        target: Target::ValueAtMost(20.0),
    }])
}

/// Approves calls one by one, whose callers wait, and returns the median of milliseconds.
async fn resumed(house: &Runtime) -> Result<f64> {
    let mut took = Vec::with_capacity(APPROVALS);
    for _ in 0..APPROVALS {
        took.push(one(house).await?);
    }
    Ok(percentile(&took, 0.5))
}

async fn one(house: &Runtime) -> Result<f64> {
    let call = MockReply::default().tool_call("1", "pay", json!({}));
    let model = Arc::new(MockModel::new([call, MockReply::default().text(PAID)]));
    let pay = Tool::new("pay", "Pays.", |_: ToolContext, (): ()| async { "paid" });
    let pay = pay.with_policy(ToolPolicy { needs_approval: Approval::Always, ..ToolPolicy::default() });
    let agent = Agent::new("clerk", model as Arc<dyn LanguageModel>).tool(pay)?.stop_when(step_count(3));
    let thread = agent.in_thread(house, filled(house.store(), 10).await?);
    let reply = thread.generate_text("Pay.").await?;
    let Some(Awaits::Approval(id)) = reply.open_calls().next().context("a call waits")?.awaits else {
        anyhow::bail!("the call waits for nobody");
    };
    let run = reply.stored.context("it is stored")?.run;
    let mut follower = house.live().follow(thread.id(), List::newest(20), HashMap::new());
    follower.next().await.context("the store is open")??;
    let mut waiting = tokio::task::JoinSet::new();
    waiting.spawn(async move { thread.resume(run).await });
    let watch = Stopwatch::start();
    house.store().mutate(move |tx| approve(tx, id, "bob")).await?;
    loop {
        match follower.next().await.context("the store is open")?? {
            ViewEvent::Slice { .. } => break,
            // What has ended before it was looked at is in the view, and has no slices.
            ViewEvent::View(view) if view.messages.last().is_some_and(|last| last.text.contains(PAID)) => {
                break;
            }
            ViewEvent::View(_) => {}
        }
    }
    let took = watch.elapsed().as_secs_f64() * 1e3;
    waiting.join_next().await.context("somebody waits")???;
    Ok(took)
}
