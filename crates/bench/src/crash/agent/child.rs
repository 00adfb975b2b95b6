//! The process that is killed: callers that start runs, and a pool that makes them.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use loomwork_core::Random;
use loomwork_store::Store;
use tokio::task::JoinSet;

use super::word::Word;
use super::world::{self, begin, open};
use crate::crash::random;

const CALLERS: u64 = 2;

/// The longest pause between two starts of a caller, in milliseconds.
const PAUSE: u64 = 300;

/// The numbers of one caller of one round: more than it can use.
const NUMBERS: u64 = 1_000_000;

pub(super) fn run(words: &[String]) -> Result<()> {
    let [path, seed, round] = words else { bail!("expected PATH SEED ROUND, found {words:?}") };
    let (seed, round): (u64, u64) = (seed.parse()?, round.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        say(Word::Opening)?;
        let store = open(Path::new(path)).await?;
        let loudly = |word| {
            // A word that nobody hears is one less that the store has to keep.
            let _ = say(word);
        };
        let _running = world::run(&store, loudly).await?;
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

/// Starts one run after the other.
async fn call(store: Store, first: u64, random: Random) -> Result<()> {
    for number in first.. {
        store.mutate(move |tx| begin(tx, number)).await?;
        say(Word::Started { number })?;
        store.clock().sleep(Duration::from_millis(random.below(PAUSE))).await;
    }
    Ok(())
}

/// Tells the parent something. Once the parent has read it, it is a promise.
fn say(word: Word) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{word}").and_then(|()| output.flush()).context("nobody listens any more")
}
