//! Many partitions in one index: 1,000,000 messages in 100,000 threads of 10, and in 10 rooms of 100,000.

use std::time::Duration;

use anyhow::Result;
use loomwork_core::Stopwatch;
use loomwork_search::{Filter, Index, Query, Search, Space, vectors};
use loomwork_store::{Store, Table};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use super::{TOP, folder, single};
use crate::measure::{Row, Target, median};

const ROWS: u32 = 1_000_000;
const THREADS: u32 = 100_000;
const ROOMS: u32 = 10;
const STEP: u32 = 5_000;
const QUERIES: u32 = 100;
const INDEX: &str = "notes";

/// Short vectors: what is measured is the partitions.
const DIMENSION: usize = 8;

#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "notes", id = "note", feed)]
struct Note {
    number: u32,
}

fn space() -> Result<Space> {
    Ok(Space::new("short", DIMENSION)?)
}

fn vector(number: u32) -> Vec<f32> {
    let random = loomwork_core::Random::seeded(u64::from(number));
    (0..DIMENSION).map(|_| (random.unit() - 0.5) as f32).collect()
}

/// The same index with threads as partitions, with rooms, or with both.
async fn start(store: &Store, folder: &std::path::Path, fields: &[&'static str]) -> Result<Search> {
    let mut notes = Index::<Note>::new(INDEX).vectors(space()?);
    if fields.contains(&"thread") {
        notes = notes.field("thread", |note| format!("{}", note.number % THREADS));
    }
    if fields.contains(&"room") {
        notes = notes.field("room", |note| format!("{}", note.number % ROOMS));
    }
    Ok(Search::builder(store).folder(folder).index(notes).start().await?)
}

async fn fill(store: &Store) -> Result<()> {
    for first in (0..ROWS).step_by(STEP as usize) {
        let space = space()?;
        store
            .mutate(move |tx| {
                for number in first..first + STEP {
                    let id = tx.insert(Note { number })?.id;
                    vectors::insert(tx, &space, id, vector(number))?;
                }
                Ok(())
            })
            .await?;
    }
    Ok(())
}

pub(super) fn measure(runtime: &Runtime) -> Result<Vec<Row>> {
    let folder = folder()?;
    let store =
        runtime.block_on(Store::memory().tables([Note::table()]).tables(loomwork_search::tables()).open())?;
    runtime.block_on(fill(&store))?;
    let held = |fields: &[&'static str]| {
        let place = folder.path().join(fields.join("-"));
        let search = runtime.block_on(start(&store, &place, fields))?;
        runtime.block_on(search.filled())?;
        runtime.block_on(search.commit())?;
        let bytes: usize = search.stats().iter().map(|stats| stats.bytes).sum();
        Ok::<_, anyhow::Error>((search, bytes))
    };
    let (plain, without) = held(&["room"])?;
    runtime.block_on(plain.shutdown(Duration::from_secs(60)))?;
    let (search, with) = held(&["room", "thread"])?;
    let a_partition = with.saturating_sub(without) as f64 / f64::from(THREADS);
    runtime.block_on(search.shutdown(Duration::from_secs(60)))?;

    let watch = Stopwatch::start();
    let search = runtime.block_on(start(&store, &folder.path().join("room-thread"), &["room", "thread"]))?;
    let opening = watch.elapsed().as_secs_f64();
    let p50 = |field: &str, of: u32| {
        let times = (0..QUERIES).map(|number| {
            let filter = Filter::eq(field, format!("{}", number * 977 % of));
            let query = Query { filter, limit: TOP, ..Query::vector(vector(number)) };
            let watch = Stopwatch::start();
            let hits = runtime.block_on(search.find::<Note>(INDEX, query))?.hits;
            anyhow::ensure!(hits.len() == TOP, "each partition has ten");
            Ok(watch.elapsed().as_secs_f64() * 1e3)
        });
        Ok(median(&times.collect::<Result<Vec<_>>>()?))
    };
    let latency = Row::measured(
        "vector top 10 in one of 100,000 partitions of 10; against 10 of 100,000",
        "ms",
        Target::RatioAtMost(2.0),
        || p50("thread", THREADS),
        || p50("room", ROOMS),
    )?;
    runtime.block_on(search.shutdown(Duration::from_secs(60)))?;
    Ok(vec![
        single("memory of one of 100,000 partitions of 10", "B", a_partition, Target::ValueAtMost(1_024.0)),
        single(
            "opening an index of 100,000 partitions, 1,000,000 vectors",
            "s",
            opening,
            Target::ValueAtMost(1.0),
        ),
        latency,
    ])
}
