//! Three ways to put calls together: routing (one call decides who answers), fan-out and combine (several
//! answer at once, one sums up), and an orchestrator that plans pieces and has a workflow do each.
//!
//! Run it with `cargo run -p loomwork-workflow --example patterns`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

mod common;

use common::{ASK, open, wait};
use loomwork_store::Result;
use loomwork_workflow::{Flow, Workflow, Workflows, start};

const ROUTING: Workflow<String, String> = Workflow::new("routing");
const FAN_OUT: Workflow<String, String> = Workflow::new("fan out");
const ORCHESTRATOR: Workflow<String, String> = Workflow::new("orchestrator");
const PIECE: Workflow<String, String> = Workflow::new("piece");

async fn routing(wf: Flow, question: String) -> Result<String> {
    let asked = question.clone();
    let route = wf.effect("route", move || {
        let bill = asked.contains("invoice");
        async move { Ok(if bill { "billing" } else { "technical" }.to_owned()) }
    });
    let (expert, facts) = match route.await?.as_str() {
        "billing" => ("billing", "An invoice is due within 14 days."),
        _ => ("technical", "A restart takes a minute."),
    };
    wf.run(&ASK, format!("{facts}\n{question}")).name(expert).await
}

async fn fan_out(wf: Flow, subject: String) -> Result<String> {
    let views = ["its cost", "its speed", "its beauty"];
    let asked = views.map(|view| format!("{subject} is known for {view}. What is {subject} known for?"));
    let answers = wf.join_all(asked.map(|prompt| wf.run(&ASK, prompt))).await?;
    wf.effect("combine", move || {
        let answers = answers.join(" / ");
        async move { Ok(answers) }
    })
    .await
}

/// Plans pieces, and does two of them at a time; each is a workflow of its own, with its own history.
async fn orchestrator(wf: Flow, goal: String) -> Result<String> {
    let planned = goal.clone();
    let plan = wf.effect("plan", move || {
        let pieces: Vec<String> = planned.split(", ").map(str::to_owned).collect();
        async move { Ok(pieces) }
    });
    let done = wf.for_each(plan.await?, 2, |wf, piece| async move { wf.child(&PIECE, piece).await });
    Ok(done.await?.join("; "))
}

async fn piece(wf: Flow, piece: String) -> Result<String> {
    wf.run(&ASK, format!("The {piece} is ready on Friday. When is the {piece} ready?")).await
}

#[tokio::main]
async fn main() -> Result<()> {
    let (store, _pool) = open([]).await?;
    let _workflows = Workflows::builder(&store)
        .on(ROUTING, routing)
        .on(FAN_OUT, fan_out)
        .on(ORCHESTRATOR, orchestrator)
        .on(PIECE, piece)
        .start()
        .await?;
    for (workflow, input) in [
        (ROUTING, "When is my invoice due?"),
        (FAN_OUT, "The Jacquard loom"),
        (ORCHESTRATOR, "warp, weft, pattern"),
    ] {
        let id = store.mutate(move |tx| start(tx, &workflow, input.to_owned(), ())).await?;
        println!("{}: {:?}\n", workflow.name(), wait(&store, workflow, id).await?);
    }
    Ok(())
}
