//! The process that is killed: callers that start, feed and cancel workflows, and an engine that runs them.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use loomwork_core::Random;
use loomwork_store::{Store, Tx};
use loomwork_workflow::{WorkflowId, cancel, send};
use tokio::task::JoinSet;

use super::flows::{EVENTS, Fate, GO, Order, fate, open, place};
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
        let _running = super::flows::run(&store, loudly, Some(TROUBLE)).await?;
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

/// Starts one workflow after the other, and gives each what it waits for.
async fn call(store: Store, first: u64, random: Random) -> Result<()> {
    for number in first.. {
        let fate = fate(&random);
        let id = store.mutate(move |tx| place(tx, number, fate)).await?;
        say(Word::Started { number })?;
        let pause = || store.clock().sleep(Duration::from_millis(random.below(8)));
        pause().await;
        match fate {
            Fate::Patient => {
                for _ in 0..EVENTS {
                    pause().await;
                    let count = store.mutate(move |tx| feed(tx, number, id)).await?;
                    say(Word::Sent { number, count })?;
                }
            }
            Fate::Stopped => {
                let found = store.mutate(move |tx| cancel(tx, id)).await?;
                say(Word::Cancelled { number, found })?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Sends an order its next event, and counts it in the same mutation.
pub(super) fn feed(tx: &mut Tx, number: u64, id: WorkflowId) -> loomwork_store::Result<u64> {
    let Some(order) = tx.first(Order::by_number.eq(number))? else { return Ok(0) };
    send(tx, id, GO, &order.sent)?;
    Ok(tx.update(order.id, |order| order.sent += 1)?.sent)
}

/// Tells the parent something. Once the parent has read it, it is a promise.
fn say(word: Word) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{word}").and_then(|()| output.flush()).context("nobody listens any more")
}
