//! A run that outlives its process: begun in a transaction, given back in the middle, and gone on with; offline:
//! `cargo run -p loomwork-agent --example durable`

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use loomwork_agent::durable::{Busy, Registry, StartOptions, start};
use loomwork_agent::{Agent, Runtime, journal, step_count, tool};
use loomwork_messages::threads::{NewThread, create};
use loomwork_messages::{RunId, RunStatus};
use loomwork_models::OfflineModel;
use loomwork_store::Store;
use loomwork_workpool::Workpool;

const DEADLINE: Duration = Duration::from_secs(5);

/// Tells where a parcel is.
#[tool]
async fn track_parcel(
    /// The number of the parcel.
    number: u32,
) -> String {
    format!("Parcel {number} is in Oslo.")
}

/// One process: it knows the agent by its name, and makes whatever runs there are.
async fn process(store: &Store) -> Result<(Runtime, Workpool), Box<dyn Error>> {
    let runtime = Runtime::start(store).await?;
    let support = Agent::new("support", Arc::new(OfflineModel::default())).tool(track_parcel)?;
    let pool = Registry::new().agent(support.stop_when(step_count(5)))?.start(&runtime).await?;
    Ok((runtime, pool))
}

async fn until(store: &Store, run: RunId, is: impl Fn(RunStatus) -> bool) -> Result<(), Box<dyn Error>> {
    let mut status = store.watch(move |tx| Ok(tx.require(run)?.status));
    while let Some(status) = status.next().await {
        if is(status?) {
            break;
        }
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = Store::memory().tables(loomwork_agent::tables()).open().await?;

    // Whoever starts a run needs neither the agent nor a process that has it.
    let begun = store.mutate(|tx| {
        let thread = create(tx, NewThread::for_user("alice"))?.id;
        let options = StartOptions { busy: Busy::Steer, ..StartOptions::default() };
        let prompt = "Use track_parcel with number 7.";
        let started = start(tx, "support", thread, prompt, options)?;
        Ok((thread, started))
    });
    let (thread, started) = begun.await?;
    let Some(run) = started.run() else { return Err(format!("no agent answers in {thread}").into()) };

    let (runtime, pool) = process(&store).await?;
    until(&store, run, |status| status == RunStatus::Running).await?;
    pool.shutdown(Duration::ZERO).await?; // what cannot end in time is given back
    runtime.shutdown(DEADLINE).await?;
    let status = store.query(move |tx| Ok(tx.require(run)?.status)).await?;
    println!("the first process has gone; {run} is {status:?}");

    let (runtime, pool) = process(&store).await?;
    until(&store, run, RunStatus::has_ended).await?;
    for step in store.query(move |tx| journal::steps(tx, run)).await? {
        println!("step {} attempt {}: {:?}, {:?}", step.step, step.attempt, step.end, step.usage);
    }
    pool.shutdown(DEADLINE).await?;
    runtime.shutdown(DEADLINE).await?;
    Ok(())
}
