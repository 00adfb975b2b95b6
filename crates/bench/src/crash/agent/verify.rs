//! The check behind a kill: no run is lost, and in the end each is complete and nothing of it is there twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use loomwork_agent::outbox::{self, Told};
use loomwork_agent::{StepEnd, StepRow, compaction, journal};
use loomwork_messages::{
    MessageRow, MessageStatus, Run, RunStatus, StreamRow, StreamStatus, Summary, summaries,
};
use loomwork_models::{Role, ToolOutput};
use loomwork_store::{Page, Row, Store, Table as _, Tx};

use super::ledger::Ledger;
use super::world::{self, Bill, KEPT_TURNS, Order, STEPS, Talk, call_id, noted, open, says, summarise};
use crate::crash::tally::{Fault, Tally};

const SHUTDOWN: Duration = Duration::from_secs(20);
/// More than all rounds of a place leave in the outbox.
const MANY: usize = 10_000;

const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Behind each kill: all runs whose start was answered are there, and calls that have ended are noted.
pub(super) async fn between(place: &Path, ledger: &mut Ledger, tally: &mut Tally) -> Result<()> {
    let store = open(place).await?;
    let seen = store.query(read).await?;
    for number in &ledger.started {
        tally.fact(seen.iter().any(|seen| seen.number == *number), Fault::Lost, || {
            format!("run {number} was started, and is not there")
        });
    }
    for seen in &seen {
        for (step, _) in seen.calls.iter().filter(|(_, tool)| tool == "note") {
            ledger.recorded.insert((seen.number, *step));
        }
    }
    for (number, step) in &ledger.recorded {
        tally.fact(ledger.did.contains_key(&(*number, *step)), Fault::Broken, || {
            format!("the tool of step {step} of run {number} is on record, and was never called")
        });
    }
    store.query(talk).await?.check(None, tally);
    check_store(&store, tally).await?;
    store.close().await;
    Ok(())
}

/// Has all runs made to their end, and checks each.
pub(super) async fn at_the_end(place: &Path, ledger: &mut Ledger, tally: &mut Tally) -> Result<()> {
    let store = open(place).await?;
    let said = Arc::new(Mutex::new(Vec::new()));
    let hears = said.clone();
    let hear = move |word| hears.lock().unwrap_or_else(PoisonError::into_inner).push(word);
    let (runtime, pool) = world::run(&store, hear).await?;
    store
        .mutate(|tx| match tx.first(Talk::all())? {
            Some(talk) => summarise(tx, talk.thread),
            None => Ok(()),
        })
        .await?;
    // Looking at each commit would take longer than the runs themselves.
    while store.query(left).await? > 0 {
        store.clock().sleep(LOOK_AGAIN).await;
    }
    pool.shutdown(SHUTDOWN).await?;
    runtime.shutdown(SHUTDOWN).await?;
    for word in said.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        ledger.note(word, tally);
    }
    let seen = store.query(read).await?;
    for number in &ledger.started {
        tally.fact(seen.iter().any(|seen| seen.number == *number), Fault::Lost, || {
            format!("run {number} was started, and is not there")
        });
    }
    for seen in &seen {
        check_run(seen, ledger, tally);
    }
    store.query(talk).await?.check(Some(KEPT_TURNS), tally);
    let dead = store.query(|tx| outbox::dead(tx, Page::first(1))).await?;
    tally.fact(dead.rows.is_empty(), Fault::Lost, || format!("usage was not told: {:?}", dead.rows));
    let billed: u64 = seen.iter().map(|seen| u64::try_from(seen.bills.len()).unwrap_or(u64::MAX)).sum();
    tally.count("attempts billed", billed);
    tally.count("runs", u64::try_from(seen.len()).unwrap_or(u64::MAX));
    check_store(&store, tally).await?;
    store.close().await;
    Ok(())
}

/// Returns how much is still to be made or told.
fn left(tx: &Tx) -> loomwork_store::Result<usize> {
    let runs = tx.scan(Run::all())?;
    let open = tx.scan(StepRow::all())?.iter().filter(|step| step.end.is_none()).count();
    let summarising = match tx.first(Talk::all())? {
        Some(talk) => usize::from(compaction::state(tx, talk.thread)?.job.is_some()),
        None => 0,
    };
    Ok(runs.iter().filter(|run| !run.status.has_ended()).count() + open + summarising)
}

/// What is left of the long thread.
#[derive(Debug, Default)]
struct SeenTalk {
    turns: Vec<String>,
    summary: Option<Row<Summary>>,
    /// Calls that have ended, by the key of their bill, with how often that is there.
    calls: Vec<(String, usize)>,
}

fn talk(tx: &Tx) -> loomwork_store::Result<SeenTalk> {
    let Some(talk) = tx.first(Talk::all())? else { return Ok(SeenTalk::default()) };
    let rows = tx.scan(MessageRow::by_position.eq(talk.thread))?;
    let turns = rows.iter().filter(|row| row.step == 0).map(|row| row.order.to_string()).collect();
    let bills = tx.scan(Bill::all())?;
    let mut keys: Vec<String> = bills.into_iter().map(|bill| bill.record.key).collect();
    for row in outbox::waiting(tx, MANY)? {
        if let Told::Usage(event) = row.record.told {
            keys.push(event.key);
        }
    }
    let steps = tx.scan(StepRow::all())?.into_iter();
    let calls = steps.filter(|step| step.thread == talk.thread && step.end.is_some()).map(|step| {
        let key = format!("{}:{}:{}", step.run, step.step, step.attempt);
        let billed = keys.iter().filter(|billed| **billed == key).count();
        (key, billed)
    });
    let calls = calls.collect();
    Ok(SeenTalk { turns, summary: summaries::newest(tx, talk.thread, None)?, calls })
}

impl SeenTalk {
    /// The summary has each turn once that it covers, and each call for it is billed once. In the end it covers all
    /// turns but so many.
    fn check(&self, kept: Option<usize>, tally: &mut Tally) {
        if let Some(summary) = &self.summary {
            let told: Vec<_> = summary.text.split(' ').collect();
            let right: Vec<_> = self.turns.iter().take(told.len()).map(String::as_str).collect();
            tally.same_list(format_args!("the turns in the summary up to {}", summary.to), &told, &right);
            tally.same(
                "the last turn in the summary",
                told.last().copied(),
                Some(summary.to.to_string().as_str()),
            );
        }
        if let Some(kept) = kept {
            let covered = self.summary.as_ref().map_or(0, |summary| summary.text.split(' ').count());
            tally.same(
                "how many turns are in no summary",
                self.turns.len() - covered,
                kept.min(self.turns.len()),
            );
            tally.count("turns summarised", covered as u64);
        }
        for (key, billed) in &self.calls {
            tally.same(format_args!("how often {key} of a summary is billed"), *billed, 1);
        }
    }
}

/// What is left of one run.
struct Seen {
    number: u64,
    run: Option<Row<Run>>,
    runs: usize,
    rows: Vec<Row<MessageRow>>,
    steps: Vec<Row<StepRow>>,
    /// The steps whose call has ended, with its tool.
    calls: Vec<(u32, String)>,
    /// What was billed for it, by key: its tokens, and whether they are estimated. What a killed process was about
    /// to bill counts too, which waits in the outbox until its claim is over.
    bills: BTreeMap<String, Vec<(u64, bool)>>,
    streaming: usize,
}

fn read(tx: &Tx) -> loomwork_store::Result<Vec<Seen>> {
    let bills = tx.scan(Bill::all())?;
    let mut bills: Vec<_> = bills
        .into_iter()
        .map(|bill| (bill.record.key, (bill.record.tokens, bill.record.estimated)))
        .collect();
    for row in outbox::waiting(tx, MANY)? {
        if let Told::Usage(event) = row.record.told {
            bills.push((event.key, (event.usage.total(), event.usage.estimated)));
        }
    }
    let streams = tx.scan(StreamRow::all())?;
    let orders = tx.scan(Order::all())?.into_iter();
    let seen = orders.map(|order| {
        let runs = tx.scan(Run::by_thread.eq(order.thread))?;
        let run = runs.first().cloned();
        let (mut steps, mut calls) = (Vec::new(), Vec::new());
        if let Some(run) = &run {
            steps = journal::steps(tx, run.id)?;
            calls.extend(journal::calls(tx, run.id)?.into_iter().map(|call| (call.step, call.record.tool)));
        }
        let own = run.as_ref().map(|run| format!("{}:", run.id)).unwrap_or_default();
        let mut billed: BTreeMap<String, Vec<(u64, bool)>> = BTreeMap::new();
        for (key, bill) in bills.iter().filter(|(key, _)| key.starts_with(&own)) {
            billed.entry(key.clone()).or_default().push(*bill);
        }
        let streaming = streams
            .iter()
            .filter(|stream| stream.thread == order.thread && stream.status == StreamStatus::Streaming);
        let streaming = streaming.count();
        let rows = tx.scan(MessageRow::by_position.eq(order.thread))?;
        let number = order.number;
        Ok(Seen { number, run, runs: runs.len(), rows, steps, calls, bills: billed, streaming })
    });
    seen.collect()
}

fn check_run(seen: &Seen, ledger: &Ledger, tally: &mut Tally) {
    let number = seen.number;
    tally.same(format_args!("the number of runs of {number}"), seen.runs, 1);
    let Some(run) = &seen.run else { return };
    tally.same(format_args!("how run {number} ended"), run.status, RunStatus::Success);
    tally.same(format_args!("the steps of run {number}"), run.steps, STEPS);
    tally.same(format_args!("the streams that run {number} left open"), seen.streaming, 0);
    let said: Vec<_> = seen.rows.iter().map(|row| (row.role(), row.status, row.message.text())).collect();
    let mut right = vec![(Role::User, MessageStatus::Success, number.to_string())];
    for step in 0..STEPS {
        right.push((Role::Assistant, MessageStatus::Success, says(number, step)));
        if step + 1 < STEPS {
            right.push((Role::Tool, MessageStatus::Success, String::new()));
        }
    }
    tally.same_list(format_args!("the messages of run {number}"), &said, &right);
    for step in 0..STEPS - 1 {
        let id = call_id(step);
        let results: Vec<_> = seen
            .rows
            .iter()
            .flat_map(|row| row.message.tool_results())
            .filter(|result| result.call == id)
            .map(|result| result.output.clone())
            .collect();
        tally.same(
            format_args!("what step {step} of run {number} was told"),
            results,
            vec![ToolOutput::Text(noted(number, step))],
        );
        let did = ledger.did.get(&(number, step)).copied().unwrap_or_default();
        tally.fact(did > 0, Fault::Lost, || {
            format!("the tool of step {step} of run {number} was never called")
        });
        tally.fact(did <= 1 + ledger.kills, Fault::Doubled, || {
            format!(
                "the tool of step {step} of run {number} was called {did} times in {} processes",
                ledger.kills + 1
            )
        });
    }
    check_usage(seen, tally);
}

/// Each attempt is billed once, as its row says; a step has one that succeeded.
fn check_usage(seen: &Seen, tally: &mut Tally) {
    let number = seen.number;
    let mut succeeded = vec![0; STEPS as usize];
    for row in &seen.steps {
        let (step, attempt) = (row.step, row.attempt);
        let key = format!("{}:{step}:{attempt}", row.run);
        let bills = seen.bills.get(&key).map(Vec::as_slice).unwrap_or_default();
        tally.fact(!bills.is_empty(), Fault::Lost, || format!("{key} of run {number} was not billed"));
        tally.fact(bills.len() < 2, Fault::Doubled, || format!("{key} of run {number} was billed twice"));
        let usage = row.usage.clone().unwrap_or_default();
        let billed = bills.first().copied();
        tally.same(format_args!("the bill of {key}"), billed, Some((usage.total(), usage.estimated)));
        if row.end == Some(StepEnd::Success)
            && let Some(count) = succeeded.get_mut(step as usize)
        {
            *count += 1;
        }
    }
    tally.same(
        format_args!("the attempts that made the steps of run {number}"),
        succeeded,
        vec![1; STEPS as usize],
    );
    tally.same(format_args!("the bills of run {number}"), seen.bills.len(), seen.steps.len());
}

async fn check_store(store: &Store, tally: &mut Tally) -> Result<()> {
    let report = store.check().await?;
    tally.fact(report.is_clean(), Fault::Broken, || format!("the store does not fit itself: {report:?}"));
    Ok(())
}
