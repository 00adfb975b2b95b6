//! An agent that asks another one, as a tool; offline: `cargo run -p loomwork-agent --example agents`

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use loomwork_agent::{Agent, Home, OnUsage, Options, ParentRun, Runtime, step_count, tool};
use loomwork_messages::Run;
use loomwork_messages::threads::NewThread;
use loomwork_models::OfflineModel;
use loomwork_store::Table as _;
use schemars::JsonSchema;
use serde::Deserialize;

/// Tells where a parcel is, by its number.
#[tool]
async fn track_parcel(
    /// The number of the parcel.
    number: u32,
) -> String {
    format!("Parcel {number} is in Oslo.")
}

/// What the carrier's agent is asked.
#[derive(Deserialize, JsonSchema)]
struct Question {
    /// The number of the parcel.
    number: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::memory().await?;
    let model = Arc::new(OfflineModel::default().with_pace(Duration::from_millis(1)));

    let carrier = Agent::new("carrier", model.clone()).tool(track_parcel)?.stop_when(step_count(3));
    let ask_carrier = carrier
        .as_tool("ask_carrier", "Asks the carrier about a parcel.")
        .taking(|question: Question| format!("Use track_parcel with number {}.", question.number))
        .stored(Home::NewThread);

    let told = OnUsage::new("printed", |_, event| {
        println!("[{} used {} tokens, for {}]", event.agent, event.usage.total(), event.root);
        Ok(())
    });
    let support = Agent::new("support", model).tool(ask_carrier)?.stop_when(step_count(3)).on_usage(told);
    let thread = support.create_thread(&runtime, NewThread::for_user("alice")).await?;

    println!("{}\n", thread.dry_run("Use ask_carrier with number 7.", Options::default()).await?);
    let reply = thread.generate_text("Use ask_carrier with number 7.").await?;
    println!("{}", reply.text);
    println!(
        "[its own steps used {} tokens, the carrier's {}]",
        reply.usage.total(),
        reply.delegated.total()
    );

    let runs = runtime.store().query(|tx| tx.scan(Run::all())).await?;
    for run in &runs {
        println!("[{} was called by {:?}]", run.id, ParentRun::of(run).map(|parent| parent.run.to_string()));
    }
    Ok(runtime.shutdown(Duration::from_secs(5)).await?)
}
