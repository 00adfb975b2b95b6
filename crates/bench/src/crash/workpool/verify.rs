//! What must hold of every job: between two kills, and when all have ended.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use loomwork_store::{Page, Store, Tx};
use loomwork_workpool::{
    Counters, Listed, OutcomeKind, State, Status, dead_completions, list, status, waiting_completions,
};

use super::jobs::{DOOMED_ATTEMPTS, Effect, Fate, Order, Told, open, start};
use super::ledger::Ledger;
use crate::crash::tally::{Fault, Tally};

/// How long a pool may take to end that has nothing left to do.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// An order and all that the store knows of it.
#[derive(Clone, Debug, PartialEq)]
struct Fact {
    number: u64,
    fate: Fate,
    status: Option<Status>,
    effects: usize,
    told: Vec<(OutcomeKind, u32)>,
}

fn facts(tx: &Tx) -> loomwork_store::Result<Vec<Fact>> {
    let orders = tx.scan(Order::by_number.all())?;
    orders
        .into_iter()
        .map(|order| {
            let told = tx.scan(Told::by_number.eq(order.number))?;
            Ok(Fact {
                number: order.number,
                fate: order.fate,
                status: order.job.map(|job| status(tx, job)).transpose()?.flatten(),
                effects: tx.count(Effect::by_number.eq(order.number))?,
                told: told.iter().map(|told| (told.outcome, told.attempts)).collect(),
            })
        })
        .collect()
}

/// Checks a file between two kills: nothing is lost, doubled or half done, however far it got.
pub(super) async fn between(place: &Path, ledger: &Ledger, tally: &mut Tally) -> Result<()> {
    let store = open(place).await?;
    check_indexes(&store, tally).await?;
    let found = read(&store, ledger, tally).await?;
    let untold = store.query(|tx| waiting_completions(tx, usize::MAX)).await?;
    for fact in &found {
        let Some(status) = &fact.status else { continue };
        let waits = untold.iter().filter(|untold| untold.job == status.id).count();
        let has_ended = status.state == State::Ended;
        tally.same(
            format_args!("how often {fact:?} was told, or waits for it"),
            fact.told.len() + waits,
            usize::from(has_ended),
        );
        check_effects(fact, tally);
        check_attempts(fact, status, ledger, tally);
    }
    store.close().await;
    Ok(())
}

/// Runs what is left, and checks what became of each job.
pub(super) async fn at_the_end(place: &Path, ledger: &mut Ledger, tally: &mut Tally) -> Result<()> {
    let store = open(place).await?;
    let before = successes(&read(&store, ledger, tally).await?);
    let words = Arc::new(Mutex::new(Vec::new()));
    let hears = words.clone();
    let pool = start(&store, move |word| hears.lock().expect("nobody panics").push(word), None).await?;
    let mut left = store.watch(|tx| {
        let (pending, _) = list(tx, Listed::Pending("default"), Page::first(1))?;
        Ok(pending.len() + waiting_completions(tx, 1)?.len())
    });
    while left.next().await.context("the store is open")?? > 0 {}
    pool.shutdown(SHUTDOWN).await?;
    for word in words.lock().expect("nobody panics").drain(..) {
        ledger.note(word, tally);
    }
    check_indexes(&store, tally).await?;
    let found = read(&store, ledger, tally).await?;
    check_counters(pool.counters(), successes(&found) - before, tally);
    let dead = store.query(|tx| dead_completions(tx, Page::first(1))).await?;
    tally.fact(dead.0.is_empty(), Fault::Lost, || format!("a completion was given up: {:?}", dead.0));
    for fact in &found {
        let Some(status) = &fact.status else { continue };
        let Some(outcome) = status.outcome else {
            tally.fact(false, Fault::Lost, || format!("{fact:?} has not ended"));
            continue;
        };
        tally.same(format_args!("what was told of {fact:?}"), &*fact.told, &[(outcome, status.attempts)]);
        check_effects(fact, tally);
        check_attempts(fact, status, ledger, tally);
        check_outcome(fact, outcome, status.attempts, ledger, tally);
    }
    tally.count("jobs", found.len() as u64);
    store.close().await;
    Ok(())
}

async fn check_indexes(store: &Store, tally: &mut Tally) -> Result<()> {
    let report = store.check().await?;
    tally.fact(report.is_clean(), Fault::Broken, || {
        let some: Vec<_> = report.mismatches.iter().take(5).map(ToString::to_string).collect();
        format!("{} index entries do not fit, such as: {}", report.mismatches.len(), some.join("; "))
    });
    Ok(())
}

/// Reads all facts; every promised order must be there, and every order has its job.
async fn read(store: &Store, ledger: &Ledger, tally: &mut Tally) -> Result<Vec<Fact>> {
    let found = store.query(facts).await?;
    let numbers: BTreeMap<u64, &Fact> = found.iter().map(|fact| (fact.number, fact)).collect();
    for number in &ledger.enqueued {
        tally.fact(numbers.contains_key(number), Fault::Lost, || format!("order {number} is not there"));
    }
    for fact in &found {
        tally.fact(fact.status.is_some(), Fault::Lost, || format!("the job of {fact:?} is not there"));
    }
    Ok(found)
}

/// A mutation's effect is there just if its job has succeeded.
fn check_effects(fact: &Fact, tally: &mut Tally) {
    let outcome = fact.status.as_ref().and_then(|status| status.outcome);
    let expected = usize::from(fact.fate == Fate::Written && outcome == Some(OutcomeKind::Success));
    tally.same(format_args!("the effects of {fact:?}"), fact.effects, expected);
}

/// No attempt began that the row does not count, nor any of a job that was dropped.
fn check_attempts(fact: &Fact, status: &Status, ledger: &Ledger, tally: &mut Tally) {
    let running = u32::from(status.state == State::Running);
    let most = match fact.fate {
        Fate::Dropped => 0,
        Fate::Once => 1,
        _ => status.attempts + running,
    };
    let last = ledger.of(fact.number).keys().next_back().copied().unwrap_or_default();
    tally.fact(last <= most, Fault::Doubled, || format!("attempt {last} began of {fact:?}"));
}

/// What the job's fate allows. Only a kill explains an attempt that did not return.
fn check_outcome(fact: &Fact, outcome: OutcomeKind, attempts: u32, ledger: &Ledger, tally: &mut Tally) {
    let seen = ledger.of(fact.number);
    let kills = ledger.kills;
    let last_was_well = seen.get(&attempts).copied().flatten() == Some(true);
    let expected = match (fact.fate, outcome) {
        (Fate::Steady { failures }, OutcomeKind::Success) => {
            last_was_well && (failures + 1..=failures + 1 + kills).contains(&attempts)
        }
        (Fate::Doomed, OutcomeKind::Failed) => attempts == DOOMED_ATTEMPTS,
        (Fate::Once, OutcomeKind::Success) => attempts == 1 && last_was_well,
        (Fate::Once, OutcomeKind::Interrupted) => attempts == 1 && kills > 0,
        (Fate::Written, OutcomeKind::Success) | (Fate::Refused, OutcomeKind::Failed) => {
            (1..=1 + kills).contains(&attempts)
        }
        (Fate::External, OutcomeKind::Success) => seen.contains_key(&attempts),
        (Fate::Dropped, OutcomeKind::Cancelled) => attempts == 0,
        (Fate::Stopped, OutcomeKind::Success) => last_was_well,
        (Fate::Stopped, OutcomeKind::Cancelled) => true,
        _ => false,
    };
    tally.fact(expected, Fault::Broken, || format!("{fact:?} ended so, seen from outside: {seen:?}"));
    if ledger.cancelled.contains(&fact.number) && seen.is_empty() {
        tally.same(format_args!("the outcome of {fact:?}"), outcome, OutcomeKind::Cancelled);
    }
}

/// How many jobs have succeeded by what a pool settled: calls from outside are no pool's.
fn successes(facts: &[Fact]) -> u64 {
    let has_succeeded = |fact: &&Fact| {
        let outcome = fact.status.as_ref().and_then(|status| status.outcome);
        fact.fate != Fate::External && outcome == Some(OutcomeKind::Success)
    };
    facts.iter().filter(has_succeeded).count() as u64
}

/// The counters of the last pool say what the rows say.
fn check_counters(counters: Counters, succeeded: u64, tally: &mut Tally) {
    tally.same("the pool's count of successes", counters.succeeded, succeeded);
    tally.same("what the pool still runs", counters.running, 0);
    tally.same("the results that came too late", counters.dropped, 0);
    let ended = counters.completed() + counters.handed_over;
    tally.same("how many attempts ended", ended, counters.started);
}
