//! A long conversation whose oldest turns are summarised; offline: `cargo run -p loomwork-agent --example long_threads`

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use loomwork_agent::{Agent, Compaction, CompactionLimits, Options, Runtime, ToSummarise, compaction};
use loomwork_messages::threads::NewThread;
use loomwork_models::OfflineModel;
use loomwork_workpool::Workpool;

/// Keeps what begins with "Remember"; a model does better: `Compaction::new("summaries", model)`.
async fn write(what: ToSummarise) -> Result<String, Box<dyn Error + Send + Sync>> {
    let earlier = what.earlier.unwrap_or_default();
    let lines = earlier.lines().chain(what.text.lines());
    let facts: Vec<_> = lines.filter(|line| line.contains("Remember")).collect();
    Ok(format!("(up to turn {})\n{}", what.turns.last().map_or(0, |turn| turn.order), facts.join("\n")))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::memory().await?;
    let limits = CompactionLimits { keep_turns: 3, above_turns: 4, ..CompactionLimits::default() };
    let short = Compaction::by("facts", write).limits(limits);
    let pool = short.bind(Workpool::builder(runtime.store()), &runtime).start().await?;

    let model = Arc::new(OfflineModel::default().with_pace(Duration::ZERO));
    let support = Agent::new("support", model).compaction(short);
    let thread = support.create_thread(&runtime, NewThread::for_user("alice")).await?;
    let id = thread.id();
    for turn in 0..40 {
        let said = match turn {
            3 => "Remember that my cat is called Ada.".to_owned(),
            turn => format!("This is turn {turn}."),
        };
        thread.generate_text(said).await?;
        let mut states = runtime.store().watch(move |tx| compaction::state(tx, id));
        while let Some(state) = states.next().await {
            if state?.job.is_none() {
                break;
            }
        }
    }
    println!("{}", thread.dry_run("What is my cat called?", Options::default()).await?);

    pool.shutdown(Duration::from_secs(5)).await?;
    Ok(runtime.shutdown(Duration::from_secs(5)).await?)
}
