//! The check behind a kill: what dead runs have left is settled, and all that was promised is there.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use loomwork_core::Tasks;
use loomwork_messages::runs::Host;
use loomwork_messages::{
    DeltaRow, List, Member, MessageRow, MessageStatus, Reducer, Run, RunStatus, StreamId, StreamRow,
    StreamStatus, Thread, ThreadId, deletion, list, streams,
};
use loomwork_store::{Result as Stored, Row, Store, Table as _, Tx};

use super::answer::{STEPS, text};
use super::ledger::Ledger;
use super::open;
use crate::crash::tally::{Fault, Tally};

pub(super) async fn check(path: &Path, ledger: &Ledger, tally: &mut Tally) -> Result<()> {
    let store = open(path).await?;
    let tasks = Tasks::new();
    let _host = Host::start(&store, &tasks).await?;
    let mut driven = store.watch(|tx| {
        let runs = tx.scan(Run::all())?;
        Ok(runs.iter().filter(|run| run.status == RunStatus::Running).count())
    });
    while driven.next().await.context("the store is open")?? > 0 {}
    store.start_upkeep(&tasks, deletion::upkeep());
    for thread in ledger.deleting.iter().copied() {
        let mut sweeping = store.watch(move |tx| deletion::progress(tx, thread));
        while sweeping.next().await.context("the store is open")??.is_some() {}
    }
    let seen = store.query(read).await?;
    for thread in &ledger.deleted {
        let thread = *thread;
        let left = store.query(move |tx| rows_of(tx, thread)).await?;
        tally.fact(left == 0, Fault::Broken, || format!("{thread} was deleted, and has left {left} rows"));
    }
    let may_be_gone = |thread: &ThreadId| ledger.deleting.contains(thread);
    for (run, (_, steps)) in ledger.steps.iter().filter(|(_, (thread, _))| !may_be_gone(thread)) {
        let row = seen.runs.iter().find(|row| row.id == *run);
        tally.fact(row.is_some_and(|row| row.steps >= *steps), Fault::Lost, || {
            format!("{run} had made {steps} steps, and is {row:?}")
        });
    }
    for (stream, (_, end)) in ledger.stored.iter().filter(|(_, (thread, _))| !may_be_gone(thread)) {
        let found = seen.streams.get(stream).copied().unwrap_or(0);
        tally.fact(found >= *end, Fault::Lost, || {
            format!("{stream} was stored up to {end}, and is up to {found}")
        });
    }
    for run in &seen.runs {
        check_run(run, &seen, tally);
    }
    for (thread, messages) in &seen.threads {
        let places: Vec<_> = messages.iter().map(|row| row.position()).collect();
        tally.fact(places.is_sorted_by(|a, b| a < b), Fault::Doubled, || {
            format!("the positions of {thread:?} are {places:?}")
        });
    }
    for broken in &seen.broken {
        tally.broken(broken.clone());
    }
    check_store(&store, tally).await?;
    tasks.shutdown(Duration::from_secs(10)).await?;
    store.close().await;
    Ok(())
}

/// Counts what hangs on a thread.
fn rows_of(tx: &Tx, thread: ThreadId) -> Stored<usize> {
    let streams = tx.scan(StreamRow::by_thread.eq(thread))?;
    let mut rows = streams.len() + usize::from(tx.get(thread)?.is_some());
    for stream in streams {
        rows += tx.count(DeltaRow::by_stream.eq(stream.id))?;
    }
    rows += tx.count(MessageRow::by_position.eq(thread))? + tx.count(Run::by_thread.eq(thread))?;
    Ok(rows + tx.count(Member::by_thread.eq(thread))?)
}

/// What is in the store.
struct Seen {
    runs: Vec<Row<Run>>,
    threads: Vec<(ThreadId, Vec<Row<MessageRow>>)>,
    /// Up to where each stream is stored.
    streams: BTreeMap<StreamId, u64>,
    broken: Vec<String>,
}

fn read(tx: &Tx) -> Stored<Seen> {
    let mut seen = Seen {
        runs: tx.scan(Run::all())?,
        threads: Vec::new(),
        streams: BTreeMap::new(),
        broken: Vec::new(),
    };
    for thread in tx.scan(Thread::all())? {
        seen.threads.push((thread.id, list(tx, thread.id, &List::oldest(10_000))?.messages));
        let all = [StreamStatus::Streaming, StreamStatus::Finished, StreamStatus::Aborted];
        for stream in streams::list(tx, thread.id, 0, &all)? {
            let (mut end, mut reducer) = (0, Reducer::strict());
            loop {
                let slices = streams::deltas(tx, thread.id, stream.id, end)?;
                let Some(last) = slices.last().map(|last| last.end) else { break };
                for slice in slices {
                    if slice.start != end {
                        seen.broken
                            .push(format!("{} has a gap between {end} and {}", stream.id, slice.start));
                    }
                    end = slice.end;
                    let fits = slice.chunks().map(|chunks| reducer.extend(chunks).is_ok()).unwrap_or(false);
                    if !fits {
                        seen.broken
                            .push(format!("the chunks of {} before {end} do not fit together", stream.id));
                    }
                }
                end = last;
            }
            seen.streams.insert(stream.id, end);
        }
    }
    Ok(seen)
}

/// Each step that was made is there once and whole; what was being made is partial, or still to be made.
fn check_run(run: &Row<Run>, seen: &Seen, tally: &mut Tally) {
    let thread = seen.threads.iter().find(|(thread, _)| *thread == run.thread);
    let own: Vec<_> =
        thread.iter().flat_map(|(_, rows)| rows).filter(|row| row.run == Some(run.id)).collect();
    for step in 0..run.steps {
        let whole = text(run.id, step);
        let count = own
            .iter()
            .filter(|row| row.status == MessageStatus::Success && row.message.text() == whole)
            .count();
        tally.fact(count > 0, Fault::Lost, || format!("step {step} of {} is not there", run.id));
        tally.fact(count < 2, Fault::Doubled, || format!("step {step} of {} is there {count} times", run.id));
    }
    let rest: Vec<_> = own.iter().filter(|row| row.status != MessageStatus::Success).collect();
    let right = match run.status {
        RunStatus::Success => run.steps == STEPS && rest.is_empty(),
        // It goes on in the next round.
        RunStatus::Queued => {
            (run.durable || run.fence == 0)
                && matches!(rest[..], [row] if row.status == MessageStatus::Pending)
        }
        RunStatus::Aborted => {
            let is_partial = |row: &MessageRow| {
                row.status == MessageStatus::Aborted
                    && text(run.id, run.steps).starts_with(&row.message.text())
            };
            !run.durable && matches!(rest[..], [row] if is_partial(row))
        }
        RunStatus::Running | RunStatus::Waiting | RunStatus::Failed => false,
    };
    tally.fact(right, Fault::Broken, || {
        let rest: Vec<_> = rest.iter().map(|row| (row.status, row.message.text())).collect();
        format!("{run:?} has left {rest:?}")
    });
    tally.count("settled with what came", u64::from(run.status == RunStatus::Aborted));
    tally.count("waiting for the next process", u64::from(run.status == RunStatus::Queued));
}

async fn check_store(store: &Store, tally: &mut Tally) -> Result<()> {
    let report = store.check().await?;
    tally.fact(report.is_clean(), Fault::Broken, || format!("the store does not fit itself: {report:?}"));
    Ok(())
}
