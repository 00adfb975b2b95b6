//! The process that is killed: callers that enqueue and cancel, and a pool that runs what they enqueue.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use loomwork_core::Random;
use loomwork_store::Store;
use loomwork_workpool::cancel;

use super::jobs::{Fate, open, place, start};
use super::word::Word;
use crate::crash::working::{say, say_if_heard, work};

const CALLERS: u64 = 4;

/// One of so many completions fails, and is told again later.
const TROUBLE: u64 = 10;

pub(super) fn run(words: &[String]) -> Result<()> {
    let begin = async |place: &Path| {
        let store = open(place).await?;
        let pool = start(&store, say_if_heard, Some(TROUBLE)).await?;
        Ok((store, pool))
    };
    work(words, CALLERS, begin, call)
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
