//! The guard of a process, against `governor` as it comes.

use std::hint::black_box;
use std::num::NonZeroU32;

use anyhow::{Context as _, Result, ensure};
use governor::{Quota, RateLimiter};
use loomwork_core::{Clock, Stopwatch};
use loomwork_rate_limiter::{Guard, Limit, SECOND};

use crate::measure::{Row, Target};

const DECISIONS: u64 = 1_000_000;
const PER_SECOND: u32 = 1_000_000_000;

pub(super) fn measure() -> Result<Vec<Row>> {
    Ok(vec![
        row("guard, one key, 1 thread; against governor, keyed", 1, 1)?,
        row("guard, 10,000 keys, 1 thread; against governor, keyed", 10_000, 1)?,
        row("guard, 10,000 keys, 2 threads; against governor, keyed", 10_000, 2)?,
    ])
}

fn row(name: &'static str, keys: u64, threads: u64) -> Result<Row> {
    let limit = Limit::token_bucket("guard", PER_SECOND.into(), SECOND);
    let guard = Guard::new(&limit, &Clock::system())?;
    let quota = Quota::per_second(NonZeroU32::new(PER_SECOND).context("it is not zero")?);
    let by_hand = RateLimiter::keyed(quota);
    Row::measured(
        name,
        "decisions/s",
        Target::RatioAtLeast(0.7),
        || rate(threads, |turn| guard.take(&(turn % keys), 1).is_ok()),
        || rate(threads, |turn| by_hand.check_key(&(turn % keys)).is_ok()),
    )
}

fn rate(threads: u64, decide: impl Fn(u64) -> bool + Sync) -> Result<f64> {
    let watch = Stopwatch::start();
    let granted: u64 = std::thread::scope(|scope| {
        let run = || (0..DECISIONS).map(|turn| u64::from(black_box(decide(black_box(turn))))).sum::<u64>();
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        all.into_iter().map(|thread| thread.join().unwrap_or(0)).sum()
    });
    ensure!(granted == threads * DECISIONS, "each is granted, not {granted}");
    Ok((threads * DECISIONS) as f64 / watch.elapsed().as_secs_f64())
}
