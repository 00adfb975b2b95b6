//! The process that is killed: callers that enqueue and cancel, and a pool that runs what they enqueue.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use loomwork_core::Random;
use loomwork_store::Store;
use loomwork_workpool::cancel;
use tokio::task::JoinSet;

use super::jobs::{Fate, open, place, start};
use super::word::Word;
use crate::crash::random;

const CALLERS: u64 = 4;

/// One of so many completions fails, and is told again later.
const TROUBLE: u64 = 10;

/// The numbers of one caller of one round: more than it can use.
const NUMBERS: u64 = 1_000_000;

pub(super) fn run(words: &[String]) -> Result<()> {
    let [place, seed, round] = words else { bail!("expected PLACE SEED ROUND, found {words:?}") };
    let (seed, round): (u64, u64) = (seed.parse()?, round.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        say(Word::Opening)?;
        let store = open(Path::new(place)).await?;
        let loudly = |word| {
            // A word that nobody hears is one less that the store has to keep.
            let _ = say(word);
        };
        let _pool = start(&store, loudly, Some(TROUBLE)).await?;
        say(Word::Ready)?;
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let first = (round * CALLERS + caller) * NUMBERS;
            callers.spawn(call(store.clone(), first, random(seed, &[round, caller])));
        }
        while let Some(ended) = callers.join_next().await {
            ended??;
        }
        bail!("every caller has ended")
    })
}

/// Enqueues one job after the other, and cancels some of them later.
async fn call(store: Store, first: u64, random: Random) -> Result<()> {
    for number in first.. {
        let fate = draw(&random);
        let own = random.clone();
        let job = store.mutate(move |tx| place(tx, number, fate, &own)).await?;
        say(Word::Enqueued { number })?;
        let pause = Duration::from_millis(random.below(8));
        store.clock().sleep(pause).await;
        if fate == Fate::Stopped {
            let found = store.mutate(move |tx| cancel(tx, job)).await?;
            say(Word::Cancelled { number, found })?;
        }
    }
    Ok(())
}

fn draw(random: &Random) -> Fate {
    match random.below(11) {
        0..=2 => Fate::Steady { failures: random.below(3) as u32 },
        3 => Fate::Doomed,
        4 | 5 => Fate::Once,
        6 => Fate::Written,
        7 => Fate::Refused,
        8 => Fate::Dropped,
        9 => Fate::External,
        _ => Fate::Stopped,
    }
}

/// Tells the parent something. Once the parent has read it, it is a promise.
fn say(word: Word) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{word}").and_then(|()| output.flush()).context("nobody listens any more")
}
