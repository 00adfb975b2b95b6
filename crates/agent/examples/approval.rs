//! A support agent that asks before it gives money back, and asks a colleague what it cannot know; offline:
//! `cargo run -p loomwork-agent --example approval`

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use loomwork_agent::approvals::{self, Approve};
use loomwork_agent::humans::{self, ask_human};
use loomwork_agent::{Agent, Approval, IntoTool, Runtime, ToolPolicy, step_count, tool};
use loomwork_messages::threads::NewThread;
use loomwork_models::OfflineModel;
use serde_json::json;

/// Gives a customer money back.
#[tool]
async fn refund(
    /// The number of the order.
    order: u32,
    /// How much, in euros.
    amount: u32,
) -> String {
    format!("{amount} euros are on their way for order {order}.")
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::memory().await?;
    // Ten euros are not worth a question.
    let needs_approval = Approval::when(|_, input| async move { input["amount"].as_u64() > Some(10) });
    let careful = refund.into_tool().with_policy(ToolPolicy { needs_approval, ..ToolPolicy::default() });
    let support = Agent::new("support", Arc::new(OfflineModel::default()))
        .tool(careful)?
        .tool(ask_human("billing"))?
        .stop_when(step_count(5));
    let thread = support.create_thread(&runtime, NewThread::for_user("alice")).await?;

    println!("> Use refund with order 7 and amount 20.");
    let reply = thread.generate_text("Use refund with order 7 and amount 20.").await?;
    let run = reply.stored.ok_or("it is stored")?.run;
    let open = runtime.store().query(|tx| approvals::open(tx, 10)).await?;
    let asked = open.first().ok_or("somebody is asked")?;
    println!("[{} wants to call {} with {:?}]", asked.site.agent, asked.site.tool, asked.input);

    // Somebody looks at it, in this process or another one, and lets it run with a smaller amount.
    let (id, seen) = (asked.id, asked.digest);
    let answer = Approve::by("bob").seen(seen).with_input(json!({ "order": 7, "amount": 15 }));
    runtime.store().mutate(move |tx| approvals::approve(tx, id, answer)).await?;
    println!("{}\n", thread.resume(run).await?.text);

    println!("> Use ask_human with question \"May Alice pay later?\"");
    let reply = thread.generate_text("Use ask_human with question \"May Alice pay later?\"").await?;
    let run = reply.stored.ok_or("it is stored")?.run;
    let inbox = runtime.store().query(|tx| humans::inbox(tx, Some("billing"), 10)).await?;
    let question = inbox.first().ok_or("there is a question")?;
    println!("[in the inbox of billing: {:?}]", question.input);
    let id = question.id;
    runtime.store().mutate(move |tx| humans::answer(tx, id, "carol", "Until Friday.")).await?;
    println!("{}", thread.resume(run).await?.text);
    Ok(runtime.shutdown(Duration::from_secs(5)).await?)
}
