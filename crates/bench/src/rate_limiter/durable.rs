//! Check and take in a transaction, against a mutation that counts down a row of its own.

use std::sync::Arc;

use anyhow::Result;
use loomwork_core::Stopwatch;
use loomwork_rate_limiter::{Limit, SECOND, limit};
use loomwork_store::engine::Engine;
use loomwork_store::{Store, Table, Tx};
use serde::{Deserialize, Serialize};

use super::{open, two_threads};
use crate::measure::{Row, Target};

const CALLERS: u64 = 64;
const EACH: u64 = 300;
const KEYS: u64 = 10_000;

/// It is never used up, since a refusal would write nothing.
const TOKENS: Limit<'_> = Limit::token_bucket("tokens", 1_000, SECOND).capacity(1_000_000_000);

/// What one would write by hand: a number by name and key.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "counters", id = "counter")]
#[index(unique by_key(name, key))]
pub(super) struct Counter {
    name: String,
    key: String,
    left: u64,
}

pub(super) fn measure(engine: Arc<dyn Engine>) -> Result<Vec<Row>> {
    let runtime = two_threads()?;
    let store = runtime.block_on(open(engine))?;
    let target = Target::RatioAtLeast(0.8);
    let against = |name, keys| {
        Row::measured(
            name,
            "decisions/s",
            target,
            || runtime.block_on(together(&store, keys, take)),
            || runtime.block_on(together(&store, keys, count_down)),
        )
    };
    let hot = against("check and take, 64 callers, one hot key; against a mutation of a row by hand", 1)?;
    let many = against("check and take, 64 callers, 10,000 keys; against a mutation of a row by hand", KEYS)?;
    let absolute = Row {
        name: "one hot key, absolute",
        unit: "decisions/s",
        ours: hot.ours.clone(),
        baseline: Vec::new(),
        target: Target::ValueAtLeast(30_000.0),
    };
    Ok(vec![hot, absolute, many])
}

fn take(tx: &mut Tx, key: u64) -> loomwork_store::Result<()> {
    limit(tx, &TOKENS, &key, 1).map(drop)
}

fn count_down(tx: &mut Tx, key: u64) -> loomwork_store::Result<()> {
    let key = key.to_string();
    match tx.first(Counter::by_key.eq("tokens").eq(&key))? {
        Some(row) => tx.update(row.id, |row| row.left -= 1)?,
        None => tx.insert(Counter { name: "tokens".to_owned(), key, left: 1_000_000_000 })?,
    };
    Ok(())
}

/// The rate of 64 callers, each going over the keys from a place of its own.
async fn together(
    store: &Store,
    keys: u64,
    decide: fn(&mut Tx, u64) -> loomwork_store::Result<()>,
) -> Result<f64> {
    let watch = Stopwatch::start();
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let store = store.clone();
        callers.spawn(async move {
            for turn in 0..EACH {
                let key = (caller * EACH + turn) % keys;
                store.mutate(move |tx| decide(tx, key)).await?;
            }
            anyhow::Ok(())
        });
    }
    callers.join_all().await.into_iter().collect::<Result<()>>()?;
    Ok((CALLERS * EACH) as f64 / watch.elapsed().as_secs_f64())
}
