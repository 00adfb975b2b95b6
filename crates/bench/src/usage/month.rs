//! A month of a million events: what its totals take to read, and its close in time and memory.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use loomwork_core::{Clock, ManualClock, Stopwatch, Tasks, Time};
use loomwork_store::Store;
use loomwork_store_sqlite::Sqlite;
use loomwork_usage::{GenerateOptions, generate, lines, month_total, period_of, record, set_price};

use super::recording::LOOKED_AT;
use super::{event, folder, price, two_threads};
use crate::measure::{ROUNDS, Row, Target};

const EVENTS: u64 = 1_000_000;
const FILL_STEP: u64 = 500;
const LOOKS: u32 = 500;

/// The first of August 2026.
const AUGUST: Time = Time::from_millis(1_785_542_400_000);
/// The second of September 2026.
const DUE: Time = Time::from_millis(1_788_307_200_000);

/// More than this is not bounded: a few checks under way, and the caches of the engine.
const MEMORY_MIB: f64 = 64.0;

pub(super) fn measure() -> Result<Vec<Row>> {
    let folder = folder()?;
    let runtime = two_threads()?;
    let clock = Clock::manual(AUGUST);
    let store = runtime.block_on(open(&folder.path().join("store.db"), &clock))?;
    let filling = Stopwatch::start();
    runtime.block_on(fill(&store, &clock))?;
    let filled = EVENTS as f64 / filling.elapsed().as_secs_f64();

    let row = |name, unit, ours, target| Row { name, unit, ours, baseline: Vec::new(), target };
    let totals = (0..ROUNDS).map(|_| runtime.block_on(look_at_totals(&store))).collect::<Result<_>>()?;
    let period = (0..ROUNDS).map(|_| runtime.block_on(look_at_period(&store))).collect::<Result<_>>()?;
    clock.set(DUE);
    let before = resident_mib()?;
    let (seconds, most) = runtime.block_on(close(&store))?;
    Ok(vec![
        row("events recorded in transactions of 500", "events/s", vec![filled], Target::None),
        row("a month's total of a name, 1,000,000 events", "ms", totals, Target::ValueAtMost(1.0)),
        row("the lines of a payer's present month", "ms", period, Target::ValueAtMost(1.0)),
        row("close of a month of 1,000,000 events, 100 payers", "s", vec![seconds], Target::None),
        row(
            "memory that it takes beyond that of before",
            "MiB",
            vec![most - before],
            Target::ValueAtMost(MEMORY_MIB),
        ),
    ])
}

async fn open(path: &Path, clock: &ManualClock) -> Result<Store> {
    let tables = loomwork_usage::tables().into_iter().chain(loomwork_rate_limiter::tables());
    let store = Store::builder(Sqlite::open(path)?).clock(clock.clock()).tables(tables).open().await?;
    let price = price()?;
    store.mutate(|tx| set_price(tx, price)).await?;
    Ok(store)
}

async fn fill(store: &Store, clock: &ManualClock) -> Result<()> {
    let tasks = Tasks::new();
    for upkeep in loomwork_usage::upkeep() {
        store.start_upkeep(&tasks, upkeep);
    }
    // A month passes while they are recorded.
    let apart = std::time::Duration::from_millis(30 * 24 * 60 * 60 * 1000 * FILL_STEP / EVENTS);
    for first in (0..EVENTS).step_by(FILL_STEP as usize) {
        let all = move |tx: &mut loomwork_store::Tx| {
            for number in first..first + FILL_STEP {
                record(tx, event(number.to_string(), number, tx.now()))?;
            }
            Ok(())
        };
        store.mutate(all).await?;
        clock.advance(apart);
    }
    // The upkeep rests between its steps, by the clock of the month.
    while store.query(loomwork_usage::waiting_for_totals).await? > 0 {
        clock.advance(loomwork_usage::FOLD_PAUSE);
        Clock::system().sleep(loomwork_usage::FOLD_PAUSE).await;
    }
    Ok(())
}

/// Milliseconds of one look at a total, as a query of its own.
async fn look_at_totals(store: &Store) -> Result<f64> {
    let watch = Stopwatch::start();
    for look in 0..LOOKS {
        let (dimension, name) = LOOKED_AT[look as usize % LOOKED_AT.len()];
        let sums = store.query(move |tx| month_total(tx, dimension, name, AUGUST)).await?;
        ensure!(sums.events > 0, "{dimension:?} {name:?} has a total");
    }
    Ok(watch.elapsed().as_secs_f64() * 1e3 / f64::from(LOOKS))
}

/// Milliseconds of one look at what a payer's invoice would say.
async fn look_at_period(store: &Store) -> Result<f64> {
    let watch = Stopwatch::start();
    for look in 0..LOOKS {
        let payer = format!("payer-{}", look % 100);
        let found = store.query(move |tx| {
            let period = period_of(tx, &payer, loomwork_usage::Currency::USD, AUGUST)?;
            period.map(|period| lines(tx, period.id, Default::default())).transpose()
        });
        ensure!(found.await?.is_some_and(|lines| lines.len() == 3), "there is a line for each unit");
    }
    Ok(watch.elapsed().as_secs_f64() * 1e3 / f64::from(LOOKS))
}

/// Seconds, and the most memory that was seen meanwhile.
async fn close(store: &Store) -> Result<(f64, f64)> {
    let watch = Stopwatch::start();
    let closing = generate(store, DUE, GenerateOptions::default());
    tokio::pin!(closing);
    let mut most: f64 = 0.0;
    let ticking = Clock::system();
    let report = loop {
        tokio::select! {
            report = &mut closing => break report?,
            () = ticking.sleep(std::time::Duration::from_millis(20)) => most = most.max(resident_mib()?),
        }
    };
    ensure!((report.invoiced, report.failed) == (100, 0), "every payer has an invoice: {report:?}");
    Ok((watch.elapsed().as_secs_f64(), most))
}

/// What this process has in memory of its own.
fn resident_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib: f64 = line.and_then(|line| line.split_whitespace().next()).context("no RssAnon")?.parse()?;
    Ok(kib / 1024.0)
}
