//! A cycle of reasoning and acting, and a network of agents: each turn decides which tool, or which other agent,
//! comes next, until one has the answer. Turns go on anew after a while, so the cycle may last for ever.
//!
//! Run it with `cargo run -p loomwork-workflow --example react`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

mod common;

use common::{ASK, open, wait};
use loomwork_core::Kind;
use loomwork_store::{Error, Result};
use loomwork_workflow::{Flow, Workflow, Workflows, start};
use serde::{Deserialize, Serialize};

const REACT: Workflow<String, String> = Workflow::new("react");
const NETWORK: Workflow<State, Vec<String>> = Workflow::new("network");

/// A cycle has so many turns at most.
const TURNS: usize = 8;

/// What a turn decides.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Move {
    Look(String),
    Add(u64, u64),
    Answer(String),
}

/// Stands for a model that reasons: it looks at what it knows, and says what to do next.
fn reason(question: &str, notes: &[String]) -> Move {
    match notes {
        [] => Move::Look(question.to_owned()),
        [found] => {
            let mut numbers =
                found.split(|letter: char| !letter.is_ascii_digit()).filter_map(|part| part.parse().ok());
            match (numbers.next(), numbers.next()) {
                (Some(left), Some(right)) => Move::Add(left, right),
                _ => Move::Answer(found.clone()),
            }
        }
        [.., sum] => Move::Answer(format!("There are {sum}.")),
    }
}

async fn react(wf: Flow, question: String) -> Result<String> {
    let mut notes: Vec<String> = Vec::new();
    for turn in 0..TURNS {
        let (asked, known) = (question.clone(), notes.clone());
        let thought = wf.effect(format!("think {turn}"), move || {
            let next = reason(&asked, &known);
            async move { Ok(next) }
        });
        notes.push(match thought.await? {
            Move::Answer(answer) => return Ok(answer),
            Move::Look(what) => {
                wf.run(&ASK, format!("The hall has 12 looms and 30 spindles. {what}")).name("look").await?
            }
            Move::Add(left, right) => {
                wf.effect("add", move || async move { Ok(left + right) }).await?.to_string()
            }
        });
    }
    Err(Error::message(Kind::Limited { wait: std::time::Duration::ZERO }, "it took too many turns"))
}

/// What agents of the network hand to each other.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    agent: String,
    notes: Vec<String>,
}

/// One turn of one agent, and then the next agent's: each chapter has a journal of one turn.
async fn network(wf: Flow, State { agent, mut notes }: State) -> Result<Vec<String>> {
    let (name, known) = (agent.clone(), notes.len());
    let turn = wf.effect(agent, move || {
        let (note, next) = match name.as_str() {
            "researcher" => ("three sources found", "writer"),
            "writer" => ("a draft is written", "critic"),
            _ if known < 4 => ("the draft is too long", "writer"),
            _ => ("the draft is good", ""),
        };
        let said = format!("{name}: {note}");
        async move { Ok((said, next.to_owned())) }
    });
    let (note, next) = turn.await?;
    notes.push(note);
    if next.is_empty() { Ok(notes) } else { Err(wf.continue_with(State { agent: next, notes })) }
}

#[tokio::main]
async fn main() -> Result<()> {
    let (store, _pool) = open([]).await?;
    let _workflows = Workflows::builder(&store).on(REACT, react).on(NETWORK, network).start().await?;
    let question = "How many looms and spindles has the hall?".to_owned();
    let id = store.mutate(move |tx| start(tx, &REACT, question, ())).await?;
    println!("{:?}", wait(&store, REACT, id).await?);
    let first = State { agent: "researcher".into(), notes: Vec::new() };
    let id = store.mutate(move |tx| start(tx, &NETWORK, first, ())).await?;
    println!("{:#?}", wait(&store, NETWORK, id).await?);
    Ok(())
}
