//! A message and the event that it was paid with in one transaction, against the message alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use loomwork_core::{Stopwatch, Tasks};
use loomwork_messages::threads::{NewThread, create};
use loomwork_messages::{NewMessage, Save, ThreadId, save};
use loomwork_models::Message;
use loomwork_store::Store;
use loomwork_store_sqlite::Sqlite;
use loomwork_usage::{Dimension, record, set_price};

use super::{event, folder, price, two_threads};
use crate::measure::{Row, Target};

/// So many that what is left to fold when they have ended, the events of a fifth of a second, is little of all.
const EACH: u64 = 300;

/// What is recorded in one run of the callers, and whether its event is.
#[derive(Clone, Copy)]
enum What {
    MessageAndEvent,
    Message,
}

pub(super) fn measure() -> Result<Vec<Row>> {
    let folder = folder()?;
    let runtime = two_threads()?;
    let store = runtime.block_on(open(&folder.path().join("store.db")))?;
    // Totals are added up meanwhile, as they are in a program.
    let tasks = Tasks::new();
    runtime.block_on(async {
        for upkeep in loomwork_usage::upkeep() {
            store.start_upkeep(&tasks, upkeep);
        }
    });
    let keys = Arc::new(AtomicU64::new(0));
    let mut rows = Vec::new();
    for (name, callers) in
        [("a message with its event, 64 callers; against the message alone", 64), ("the same, one caller", 1)]
    {
        rows.push(Row::measured(
            name,
            "µs",
            Target::RatioAtMost(1.3),
            || runtime.block_on(together(&store, callers, What::MessageAndEvent, &keys)),
            || runtime.block_on(together(&store, callers, What::Message, &keys)),
        )?);
    }
    let rate = |row: &Row| row.ours.iter().map(|micros| 1e6 / micros).collect();
    rows.push(Row {
        name: "events recorded with their messages, 64 callers",
        unit: "events/s",
        ours: rate(&rows[0]),
        baseline: Vec::new(),
        target: Target::None,
    });
    Ok(rows)
}

async fn open(path: &std::path::Path) -> Result<Store> {
    let tables = loomwork_messages::tables().into_iter().chain(loomwork_search::tables());
    let tables = tables.chain(loomwork_usage::tables()).chain(loomwork_rate_limiter::tables());
    let store = Store::builder(Sqlite::open(path)?).tables(tables).open().await?;
    let price = price()?;
    store.mutate(|tx| set_price(tx, price)).await?;
    Ok(store)
}

/// Microseconds for each message, over all callers; events are folded into totals and lines meanwhile.
async fn together(store: &Store, callers: u64, what: What, keys: &Arc<AtomicU64>) -> Result<f64> {
    let mut threads = Vec::new();
    for _ in 0..callers {
        threads.push(store.mutate(|tx| create(tx, NewThread::for_user("ada"))).await?.id);
    }
    let watch = Stopwatch::start();
    let mut running = tokio::task::JoinSet::new();
    for thread in threads {
        running.spawn(call(store.clone(), thread, what, keys.clone()));
    }
    running.join_all().await.into_iter().collect::<Result<()>>()?;
    let elapsed = watch.elapsed();
    // The next run is not to pay for this one.
    let mut waiting = store.watch(loomwork_usage::waiting_for_totals);
    while waiting.next().await.transpose()?.is_some_and(|left| left > 0) {}
    Ok(elapsed.as_secs_f64() * 1e6 / (callers * EACH) as f64)
}

async fn call(store: Store, thread: ThreadId, what: What, keys: Arc<AtomicU64>) -> Result<()> {
    for _ in 0..EACH {
        let number = keys.fetch_add(1, Ordering::Relaxed);
        store
            .mutate(move |tx| {
                let answer =
                    Message::assistant("how long does it take to weave a carpet of this size ".repeat(4));
                let saved = save(tx, thread, Save::all([NewMessage::new(answer)]))?;
                if let What::MessageAndEvent = what {
                    let key = format!("{thread}/{number}");
                    record(tx, event(key, number, tx.now()))?;
                }
                Ok(saved)
            })
            .await?;
    }
    Ok(())
}

/// The dimensions whose totals are looked at.
pub(super) const LOOKED_AT: [(Dimension, &str); 4] = [
    (Dimension::All, ""),
    (Dimension::Payer, "payer-7"),
    (Dimension::User, "user-7"),
    (Dimension::Model, "small"),
];
