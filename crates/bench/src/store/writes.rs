//! Durable inserts of a record under three indexes.

use std::path::Path;

use anyhow::{Context as _, Result};
use loomwork_core::Stopwatch;
use loomwork_store::Store;

use super::by_hand::{self, Actor};
use super::tables::Message;
use super::{Bed, folder, one_thread};
use crate::measure::{Row, Target};

const ALONE: u64 = 2_000;
const CALLERS: u64 = 64;
const EACH: u64 = 300;
/// Busy waits starve some connections for seconds, so this side does less and is judged by its rate.
const EACH_CONNECTION: u64 = 30;
const THREADS: u64 = 100;

pub(super) fn measure() -> Result<Vec<Row>> {
    let folder = folder()?;
    let runtime = one_thread()?;
    let many = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let bed = Bed::Sqlite(super::folder()?);
    let store = runtime.block_on(bed.open())?;
    let path = folder.path().join("hand.db");
    let mut connection = by_hand::open(&path)?;
    let actor_path = folder.path().join("actor.db");
    let mut slowest = Vec::new();

    let alone = Row::measured(
        "insert, 1 caller, durable; against rusqlite, a transaction a row",
        "rows/s",
        Target::RatioAtLeast(0.8),
        || runtime.block_on(insert_alone(&store)),
        || {
            let watch = Stopwatch::start();
            for position in 0..ALONE {
                by_hand::insert_alone(&mut connection, &Message::new(position % THREADS, position))?;
            }
            Ok(ALONE as f64 / watch.elapsed().as_secs_f64())
        },
    )?;
    let actor = Row::measured(
        "insert, 64 callers, durable; against a hand-written group-commit actor",
        "rows/s",
        Target::RatioAtLeast(0.85),
        || {
            let (rate, longest) = many.block_on(insert_together(&store))?;
            slowest.push(longest);
            Ok(rate)
        },
        || many.block_on(actor_together(&actor_path)),
    )?;
    let connections = Row::measured(
        "insert, 64 callers, durable; against 64 connections with busy waits",
        "rows/s",
        Target::RatioAtLeast(7.0),
        || Ok(many.block_on(insert_together(&store))?.0),
        || connections_together(&folder.path().join("busy.db")),
    )?;
    let waits = Row {
        name: "the longest wait of any of 64 callers",
        unit: "ms",
        ours: slowest,
        baseline: Vec::new(),
        target: Target::ValueAtMost(100.0),
    };
    Ok(vec![alone, actor, connections, waits])
}

async fn insert_alone(store: &Store) -> Result<f64> {
    let watch = Stopwatch::start();
    for position in 0..ALONE {
        let message = Message::new(position % THREADS, position);
        store.mutate(move |tx| tx.insert(message)).await?;
    }
    Ok(ALONE as f64 / watch.elapsed().as_secs_f64())
}

/// The rate of 64 callers, and the longest wait of any in milliseconds.
async fn insert_together(store: &Store) -> Result<(f64, f64)> {
    let watch = Stopwatch::start();
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let store = store.clone();
        callers.spawn(async move {
            let mut longest: f64 = 0.0;
            for position in 0..EACH {
                let watch = Stopwatch::start();
                let message = Message::new(caller, position);
                store.mutate(move |tx| tx.insert(message)).await?;
                longest = longest.max(watch.elapsed().as_secs_f64() * 1e3);
            }
            anyhow::Ok(longest)
        });
    }
    let longest = callers.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    let rate = (CALLERS * EACH) as f64 / watch.elapsed().as_secs_f64();
    Ok((rate, longest.into_iter().fold(0.0, f64::max)))
}

async fn actor_together(path: &Path) -> Result<f64> {
    let actor = Actor::start(path)?;
    let watch = Stopwatch::start();
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let messages = actor.messages.clone();
        callers.spawn(async move {
            for position in 0..EACH {
                let (answer, answered) = tokio::sync::oneshot::channel();
                messages.send((Message::new(caller, position), answer)).ok().context("the actor runs")?;
                answered.await?;
            }
            anyhow::Ok(())
        });
    }
    callers.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    let rate = (CALLERS * EACH) as f64 / watch.elapsed().as_secs_f64();
    actor.stop()?;
    Ok(rate)
}

fn connections_together(path: &Path) -> Result<f64> {
    by_hand::open(path)?;
    let watch = Stopwatch::start();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                scope.spawn(move || {
                    let mut connection = by_hand::open(path)?;
                    for position in 0..EACH_CONNECTION {
                        by_hand::insert_alone(&mut connection, &Message::new(caller, position))?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        callers.into_iter().try_for_each(|caller| caller.join().ok().context("a caller panicked")?)
    })?;
    Ok((CALLERS * EACH_CONNECTION) as f64 / watch.elapsed().as_secs_f64())
}
