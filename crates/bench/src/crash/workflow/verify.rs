//! What must hold of every workflow: between two kills, and when all have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use loomwork_store::{Page, Store, Tx};
use loomwork_workflow::{
    Listed, Outcome, OutcomeKind, StepKind, StepState, StepStatus, WorkflowId, cancel, list, outcome, status,
    steps,
};

use super::child::feed;
use super::flows::{CHILDREN, EVENTS, Effect, Fate, Order, Told, WORK, open, right, run};
use super::ledger::Ledger;
use crate::crash::tally::{Fault, Tally};

/// How long an engine may take to end that has nothing left to do.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// An order and all that the store knows of it.
#[derive(Clone, Debug)]
struct Fact {
    number: u64,
    fate: Fate,
    id: WorkflowId,
    is_there: bool,
    chapter: u32,
    outcome: Option<Outcome<u64>>,
    steps: Vec<StepStatus>,
    effects: Vec<String>,
    told: Vec<OutcomeKind>,
    sent: u64,
}

fn facts(tx: &Tx) -> loomwork_store::Result<Vec<Fact>> {
    let mut facts = Vec::new();
    for order in tx.scan(Order::by_number.all())? {
        let Some(id) = order.workflow else { continue };
        let found = status(tx, id)?;
        let mut effects: Vec<_> =
            tx.scan(Effect::by_number.eq(order.number))?.into_iter().map(|row| row.record.step).collect();
        effects.sort();
        facts.push(Fact {
            number: order.number,
            fate: order.fate,
            id,
            is_there: found.is_some(),
            chapter: found.map_or(0, |found| found.chapter),
            outcome: outcome(tx, &WORK, id)?,
            steps: steps(tx, id)?,
            effects,
            told: tx.scan(Told::by_number.eq(order.number))?.iter().map(|told| told.outcome).collect(),
            sent: order.sent,
        });
    }
    Ok(facts)
}

/// Checks a file between two kills: nothing is lost, doubled or changed, however far it got.
pub(super) async fn between(place: &Path, ledger: &mut Ledger, tally: &mut Tally) -> Result<()> {
    let store = open(place).await?;
    check_indexes(&store, tally).await?;
    for fact in read(&store, ledger, tally).await? {
        check_journal(&fact, ledger, tally);
        check_effects(&fact, tally);
        tally.fact(fact.told.len() <= 1, Fault::Doubled, || format!("{fact:?} was told more than once"));
        let early = fact.outcome.is_none() && !fact.told.is_empty();
        tally.fact(!early, Fault::Broken, || format!("{fact:?} was told before it ended"));
    }
    store.close().await;
    Ok(())
}

/// Runs what is left, and checks what became of each workflow.
pub(super) async fn at_the_end(place: &Path, ledger: &mut Ledger, tally: &mut Tally) -> Result<()> {
    let store = open(place).await?;
    // What the killed callers did not come to.
    for fact in read(&store, ledger, tally).await? {
        let (number, id) = (fact.number, fact.id);
        match fact.fate {
            Fate::Patient => {
                for _ in fact.sent..EVENTS {
                    store.mutate(move |tx| feed(tx, number, id)).await?;
                }
            }
            Fate::Stopped => {
                store.mutate(move |tx| cancel(tx, id)).await?;
            }
            _ => {}
        }
    }
    let words = Arc::new(Mutex::new(Vec::new()));
    let hears = words.clone();
    let running = run(&store, move |word| hears.lock().expect("nobody panics").push(word), None).await?;
    let mut left = store.watch(|tx| {
        let (open, _) = list(tx, Listed::Open("work"), Page::first(1))?;
        let untold = facts_untold(tx)?;
        Ok(open.len() + untold)
    });
    while left.next().await.context("the store is open")?? > 0 {}
    running.workflows.shutdown(SHUTDOWN).await?;
    running.pool.shutdown(SHUTDOWN).await?;
    for word in words.lock().expect("nobody panics").drain(..) {
        ledger.note(word, tally);
    }
    check_indexes(&store, tally).await?;
    let found = read(&store, ledger, tally).await?;
    for fact in &found {
        check_journal(fact, ledger, tally);
        check_end(fact, ledger, tally);
    }
    tally.count("workflows", found.len() as u64);
    tally.count("steps", found.iter().map(|fact| fact.steps.len() as u64).sum());
    store.close().await;
    Ok(())
}

/// How many orders were not told yet.
fn facts_untold(tx: &Tx) -> loomwork_store::Result<usize> {
    Ok(tx.count(Order::by_number.all())?.saturating_sub(tx.count(Told::by_number.all())?))
}

async fn check_indexes(store: &Store, tally: &mut Tally) -> Result<()> {
    let report = store.check().await?;
    tally.fact(report.is_clean(), Fault::Broken, || {
        let some: Vec<_> = report.mismatches.iter().take(5).map(ToString::to_string).collect();
        format!("{} index entries do not fit, such as: {}", report.mismatches.len(), some.join("; "))
    });
    Ok(())
}

/// Reads all facts; every promised order must be there, and every order has its workflow.
async fn read(store: &Store, ledger: &Ledger, tally: &mut Tally) -> Result<Vec<Fact>> {
    let found = store.query(facts).await?;
    let numbers: BTreeMap<u64, &Fact> = found.iter().map(|fact| (fact.number, fact)).collect();
    for number in &ledger.started {
        tally.fact(numbers.contains_key(number), Fault::Lost, || format!("order {number} is not there"));
    }
    for (number, count) in &ledger.sent {
        let sent = numbers.get(number).map_or(0, |fact| fact.sent);
        tally.fact(sent >= *count, Fault::Lost, || format!("order {number} has {sent} events of {count}"));
    }
    for fact in &found {
        tally.fact(fact.is_there, Fault::Lost, || format!("the workflow of {fact:?} is not there"));
    }
    Ok(found)
}

/// A step is on record once, and what is on record never changes.
fn check_journal(fact: &Fact, ledger: &mut Ledger, tally: &mut Tally) {
    let mut numbers = BTreeSet::new();
    for step in &fact.steps {
        let is_new = numbers.insert(step.number);
        tally.fact(is_new, Fault::Doubled, || format!("step {} of {fact:?} is on record twice", step.number));
    }
    let settled: BTreeMap<u32, String> = fact
        .steps
        .iter()
        .filter(|step| !matches!(step.state, StepState::Pending | StepState::CutOff))
        .map(|step| (step.number, format!("{:?} {} {:?}", step.kind, step.name, step.state)))
        .collect();
    let before = ledger.journals.entry((fact.id, fact.chapter)).or_default();
    for (number, text) in before.iter() {
        tally.fact(settled.get(number) == Some(text), Fault::Lost, || {
            format!("step {number} was {text:?} and is {:?} in {fact:?}", settled.get(number))
        });
    }
    *before = settled;
    let acted = fact.steps.iter().any(|step| step.kind == StepKind::Effect && step.finished.is_some());
    if acted {
        ledger.recorded.insert(fact.number);
    }
}

/// A mutation took effect once, and just if it is on record.
fn check_effects(fact: &Fact, tally: &mut Tally) {
    let mut once = fact.effects.clone();
    once.dedup();
    tally.fact(once == fact.effects, Fault::Doubled, || format!("a mutation took effect twice: {fact:?}"));
    if fact.fate == Fate::Endless {
        // Earlier chapters are swept away with their journals.
        return;
    }
    let mut recorded: Vec<_> = fact
        .steps
        .iter()
        .filter(|step| step.kind == StepKind::Mutation && matches!(step.state, StepState::Success(_)))
        .map(|step| step.name.clone())
        .collect();
    recorded.sort();
    tally.same(format_args!("what mutations left of {fact:?}"), &fact.effects, &recorded);
}

/// It came to the end that it has without any kill.
fn check_end(fact: &Fact, ledger: &Ledger, tally: &mut Tally) {
    let (kind, value, effects) = right(fact.number, fact.fate);
    let found = match &fact.outcome {
        None => {
            tally.fact(false, Fault::Lost, || format!("{fact:?} has not ended"));
            return;
        }
        Some(found) => found,
    };
    tally.same(format_args!("the end of {fact:?}"), found.kind(), kind);
    if let Some(value) = value {
        tally.same(format_args!("the result of {fact:?}"), found, &Outcome::Success(value));
    }
    tally.same(format_args!("what was told of {fact:?}"), &*fact.told, &[found.kind()]);
    let may_miss = fact.fate == Fate::Stopped && fact.effects.is_empty();
    if !may_miss {
        tally.same(
            format_args!("the effects of {fact:?}"),
            fact.effects.iter().map(String::as_str).collect(),
            effects,
        );
    }
    let waits = fact.steps.iter().any(|step| step.state == StepState::Pending);
    tally.fact(!waits, Fault::Broken, || format!("{fact:?} has ended and waits"));
    for number in [fact.number, fact.number + CHILDREN] {
        let acted = ledger.acted.get(&number).copied().unwrap_or_default();
        tally.fact(acted <= 1 + ledger.kills, Fault::Doubled, || {
            format!("the action of {fact:?} began {acted} times")
        });
    }
    if ledger.cancelled.contains(&fact.number) {
        tally.same(
            format_args!("the end of {fact:?}, which was called off"),
            found.kind(),
            OutcomeKind::Cancelled,
        );
    }
}
