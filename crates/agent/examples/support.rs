//! A support agent with a tool, whose answers are streamed, remembered and typed; offline:
//! `cargo run -p loomwork-agent --example support`

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use loomwork_agent::{Agent, Runtime, step_count, tool};
use loomwork_messages::threads::NewThread;
use loomwork_messages::{List, view};
use loomwork_models::OfflineModel;
use schemars::JsonSchema;
use serde::Deserialize;

/// Tells where a parcel is, by its number.
#[tool]
async fn track_parcel(
    /// The number of the parcel.
    number: u32,
) -> String {
    format!("Parcel {number} is on its way, and arrives tomorrow.")
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Person {
    name: String,
    age: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::memory().await?;
    // Any other model could stand here; `loomwork_models::detect` finds the one that is at hand.
    let model = Arc::new(OfflineModel::default().with_pace(Duration::from_millis(5)));
    let support = Agent::new("support", model)
        .instructions("You are a helpful assistant.")
        .tool(track_parcel)?
        .stop_when(step_count(3));

    let thread = support.create_thread(&runtime, NewThread::for_user("alice")).await?;
    println!("> Use track_parcel with number 7.");
    let mut answer = thread.stream_text("Use track_parcel with number 7.").await?;
    while let Some(text) = answer.next_text().await {
        print!("{text}");
        std::io::stdout().flush()?;
    }
    let reply = answer.finish().await?;
    println!("\n[{} steps, {} tokens]", reply.steps.len(), reply.usage.total());

    let person: Person = thread.generate_object("Ada Lovelace was 36 years old.").await?.object;
    println!("[a value: {} is {}]", person.name, person.age);

    let id = thread.id();
    let page = runtime.store().query(move |tx| view(tx, id, &List::newest(20))).await?;
    println!("[the thread has {} messages]", page.messages.len());
    Ok(runtime.shutdown(Duration::from_secs(5)).await?)
}
