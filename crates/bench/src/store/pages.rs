//! Reading pages of a large table, and opening the store that holds it.

use std::path::Path;

use anyhow::Result;
use loomwork_core::Stopwatch;
use loomwork_store::{Store, Table};
use loomwork_store_sqlite::Sqlite;
use rusqlite::Connection;

use super::tables::{self, Clustered, Message, Thread};
use super::{by_hand, folder, one_thread};
use crate::measure::{ROUNDS, Row, Target, median};

const ROWS: u64 = 1_000_000;
const THREADS: u64 = 1_000;
const STEP: u64 = 10_000;
const PAGE: usize = 100;
const READS: u64 = 300;

pub(super) fn measure() -> Result<Vec<Row>> {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let runtime = one_thread()?;
    let store = runtime.block_on(fill(&path))?;
    let hand_path = folder.path().join("hand.db");
    let connection = fill_by_hand(&hand_path)?;

    let plain = Row::measured(
        "newest 100 of a thread, 1,000,000 rows, warm; against a prepared SELECT and the same decoding",
        "ms",
        Target::RatioAtMost(1.3),
        || {
            runtime.block_on(newest(&store, |tx, thread| {
                Ok(tx.scan(Message::by_thread.eq(thread).desc().take(PAGE))?.len())
            }))
        },
        || newest_by_hand(&connection),
    )?;
    let mut clustered = Row::measured(
        "the same in a clustered table",
        "ms",
        Target::ValueAtMost(0.1),
        || {
            runtime.block_on(newest(&store, |tx, thread| {
                Ok(tx.scan(Clustered::by_thread.eq(thread).desc().take(PAGE))?.len())
            }))
        },
        || Ok(0.0),
    )?;
    clustered.baseline.clear();
    let within = Row {
        name: "newest 100 of a thread, absolute",
        unit: "ms",
        ours: plain.ours.clone(),
        baseline: Vec::new(),
        target: Target::ValueAtMost(0.1),
    };

    runtime.block_on(store.close());
    drop(store);
    let open = Row {
        name: "open a store of 1,000,000 rows, beyond opening the file",
        unit: "ms",
        ours: (0..ROUNDS).map(|_| opening(&runtime, &path, &hand_path)).collect::<Result<_>>()?,
        baseline: Vec::new(),
        target: Target::ValueAtMost(50.0),
    };
    Ok(vec![plain, within, clustered, open])
}

async fn open(path: &Path) -> Result<Store> {
    Ok(Store::builder(Sqlite::open(path)?).tables(tables::all()).open().await?)
}

async fn fill(path: &Path) -> Result<Store> {
    let store = open(path).await?;
    for step in 0..ROWS / STEP {
        store
            .mutate(move |tx| {
                for row in step * STEP..(step + 1) * STEP {
                    let message = Message::new(row % THREADS, row / THREADS);
                    let (thread, position, text) = (message.thread, message.position, message.text.clone());
                    tx.insert(message)?;
                    tx.insert(Clustered { thread, position, text })?;
                }
                Ok(())
            })
            .await?;
    }
    Ok(store)
}

fn fill_by_hand(path: &Path) -> Result<Connection> {
    let mut connection = by_hand::open(path)?;
    for step in 0..ROWS / STEP {
        let tx = connection.transaction()?;
        for row in step * STEP..(step + 1) * STEP {
            by_hand::insert(&tx, &Message::new(row % THREADS, row / THREADS))?;
        }
        tx.commit()?;
    }
    Ok(connection)
}

/// One query's time in milliseconds, the closure alone: what a mutation pays for its reads too.
async fn newest(
    store: &Store,
    read: impl Fn(&loomwork_store::Tx, u64) -> loomwork_store::Result<usize> + Copy + Send + 'static,
) -> Result<f64> {
    let times = store
        .query(move |tx| {
            let mut times = Vec::new();
            for number in 0..READS {
                let watch = Stopwatch::start();
                let found = read(tx, number * 7 % THREADS)?;
                times.push(watch.elapsed().as_secs_f64() * 1e3);
                debug_assert_eq!(found, PAGE);
            }
            Ok(times)
        })
        .await?;
    Ok(median(&times))
}

fn newest_by_hand(connection: &Connection) -> Result<f64> {
    let mut times = Vec::new();
    for number in 0..READS {
        let watch = Stopwatch::start();
        let mut page = connection.prepare_cached(
            "SELECT id, record FROM messages WHERE thread = ?1 ORDER BY thread DESC, position DESC LIMIT 100",
        )?;
        let mut rows = page.query([(number * 7 % THREADS) as i64])?;
        let mut messages: Vec<(i64, Message)> = Vec::new();
        while let Some(row) = rows.next()? {
            messages.push((row.get(0)?, serde_json::from_str(row.get_ref(1)?.as_str()?)?));
        }
        times.push(watch.elapsed().as_secs_f64() * 1e3);
        anyhow::ensure!(messages.len() == PAGE, "the page has {} rows", messages.len());
    }
    Ok(median(&times))
}

/// How much longer the store takes to open than the file alone, in milliseconds.
fn opening(runtime: &tokio::runtime::Runtime, path: &Path, by_hand: &Path) -> Result<f64> {
    let watch = Stopwatch::start();
    let store = runtime.block_on(open(path))?;
    runtime.block_on(store.query(|tx| tx.first(Thread::all())))?;
    let ours = watch.elapsed();
    runtime.block_on(store.close());
    let watch = Stopwatch::start();
    let connection = Connection::open(by_hand)?;
    connection.query_row("SELECT id FROM messages LIMIT 1", [], |_| Ok(()))?;
    Ok((ours.as_secs_f64() - watch.elapsed().as_secs_f64()) * 1e3)
}
