//! A support case: a thread is made, a text is drafted, a decision is read out of it as a typed value, a person
//! approves, and the case is closed in one mutation. While the person thinks, the whole engine is stopped and
//! started again: pause and resume cost nothing but rows.
//!
//! Run it with `cargo run -p loomwork-workflow --example support_case`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

mod common;

use std::time::Duration;

use common::{ASK, open, wait};
use loomwork_store::{Id, Result, Table};
use loomwork_workflow::{Event, Flow, Workflow, Workflows, send, start, status};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "cases", id = "case")]
struct Case {
    question: String,
    answer: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Decision {
    refund: bool,
    cents: u64,
}

const SUPPORT: Workflow<String, String> = Workflow::new("support");
const APPROVAL: Event<bool> = Event::new("approval");
const DAYS: u64 = 24 * 60 * 60;

async fn support(wf: Flow, question: String) -> Result<String> {
    let asked = question.clone();
    let thread = move |tx: &mut loomwork_store::Tx| Ok(tx.insert(Case { question: asked, answer: None })?.id);
    let case: Id<Case> = wf.mutation("thread", thread).await?;
    let draft = wf.run(&ASK, format!("{question} When was it promised?")).name("text").await?;

    // A structured step: what comes back is a value, and another shape would fail the step.
    let decide = wf.effect("decision", move || {
        let late = question.contains("late");
        async move { Ok(Decision { refund: late, cents: if late { 500 } else { 0 } }) }
    });
    let decision = decide.await?;

    let approved = match decision.refund {
        true => wf.event(APPROVAL).timeout(Duration::from_secs(7 * DAYS)).await?,
        false => true,
    };
    let answer = match approved {
        true => format!("{draft} You get {} cents back.", decision.cents),
        false => format!("{draft} We are sorry."),
    };
    let told = answer.clone();
    wf.mutation("close", move |tx| tx.update(case, |case| case.answer = Some(told)).map(drop)).await?;
    Ok(answer)
}

#[tokio::main]
async fn main() -> Result<()> {
    let (store, _pool) = open([Case::table()]).await?;
    let workflows = Workflows::builder(&store).on(SUPPORT, support).start().await?;
    let question = "My parcel is late. It was promised for Monday.";
    let id = store.mutate(move |tx| start(tx, &SUPPORT, question.into(), ())).await?;

    let mut live = store.watch(move |tx| status(tx, id));
    while let Some(now) = live.next().await {
        if let Some(waits) =
            now?.and_then(|status| status.running.into_iter().find(|step| step.name == "approval"))
        {
            println!("waits for {:?} until {:?}", waits.name, waits.due);
            break;
        }
    }
    println!("the process ends");
    workflows.shutdown(Duration::from_secs(5)).await?;
    store.mutate(move |tx| send(tx, id, APPROVAL, &true)).await?;
    println!("the approval came meanwhile; another process begins");
    let _workflows = Workflows::builder(&store).on(SUPPORT, support).start().await?;
    println!("{:?}", wait(&store, SUPPORT, id).await?);
    let cases = store.query(|tx| tx.scan(Case::all())).await?;
    println!("{cases:#?}");
    Ok(())
}
