//! Agents that hand a conversation on, and one that is chosen by likeness; offline:
//! `cargo run -p loomwork-agent --example team`

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use loomwork_agent::{Agent, Routes, Runtime, ask_all, combined};
use loomwork_messages::threads::{NewThread, create, require};
use loomwork_models::{OfflineEmbedder, OfflineModel};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::memory().await?;
    let model = Arc::new(OfflineModel::default().with_pace(Duration::ZERO));
    let reception = Agent::new("reception", model.clone()).instructions("You say hello, and hand on.");
    let billing = Agent::new("billing", model.clone()).instructions("You know all invoices.");
    let team = Routes::default()
        .to("reception", "Says hello.", reception.clone())
        .to("billing", "Invoices, payments and refunds.", billing.clone())
        .like(["I was charged twice", "Where is my invoice?"]);

    // By likeness to examples.
    let corpus = team.corpus(Arc::new(OfflineEmbedder::default())).await?;
    let (chosen, _used) = corpus.choose("Where is the invoice of May?", 0.2).await?;
    println!("by likeness: {:?}", chosen.map(|chosen| (chosen.name.to_owned(), chosen.score)));

    // By the agent that has the conversation, which hands it on.
    let thread = runtime.store().mutate(|tx| create(tx, NewThread::for_user("alice"))).await?.id;
    let reply = team.answer(&runtime, thread, "reception", "Use hand_off with to billing.").await?;
    println!("in the turn: {}", reply.text);
    let home = runtime.store().query(move |tx| require(tx, thread)).await?;
    println!("who answers from now on: {:?}", home.agent);

    // By all of them at once.
    let asked = [reception.for_user(&runtime, "alice"), billing.for_user(&runtime, "alice")];
    let answers = ask_all(&asked, "What do you do?").await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let named = ["reception", "billing"].into_iter().zip(answers.iter().map(|answer| answer.text.as_str()));
    println!("{}", combined("What do you do?", named));
    Ok(runtime.shutdown(Duration::from_secs(5)).await?)
}
