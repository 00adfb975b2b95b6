//! The process that is killed: callers that start runs and say turns of a long thread, and a pool that makes the runs
//! and the summaries.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use loomwork_core::Random;
use loomwork_store::Store;

use super::word::Word;
use super::world::{self, begin, open, say_turn};
use crate::crash::working::{say, say_if_heard, work};

const CALLERS: u64 = 2;

/// The longest pause between two starts of a caller, in milliseconds.
const PAUSE: u64 = 300;

/// How many turns of the long thread are said behind each start.
const TURNS: u64 = 4;

pub(super) fn run(words: &[String]) -> Result<()> {
    let begin = async |place: &Path| {
        let store = open(place).await?;
        let running = world::run(&store, say_if_heard).await?;
        Ok((store, running))
    };
    work(words, CALLERS, begin, call)
}

/// Starts one run after the other, and goes on with the long thread.
async fn call(store: Store, first: u64, random: Random) -> Result<()> {
    for number in first.. {
        store.mutate(move |tx| begin(tx, number)).await?;
        say(Word::Started { number })?;
        for _ in 0..TURNS {
            store.mutate(say_turn).await?;
            store.clock().sleep(Duration::from_millis(random.below(PAUSE / TURNS))).await;
        }
    }
    Ok(())
}
