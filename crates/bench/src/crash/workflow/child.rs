//! The process that is killed: callers that start, feed and cancel workflows, and an engine that runs them.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use loomwork_core::Random;
use loomwork_store::{Store, Tx};
use loomwork_workflow::{WorkflowId, cancel, send};

use super::flows::{EVENTS, Fate, GO, Order, fate, open, place};
use super::word::Word;
use crate::crash::working::{say, say_if_heard, work};

const CALLERS: u64 = 4;

/// One of so many completions fails, and is told again later.
const TROUBLE: u64 = 10;

pub(super) fn run(words: &[String]) -> Result<()> {
    let begin = async |place: &Path| {
        let store = open(place).await?;
        let running = super::flows::run(&store, say_if_heard, Some(TROUBLE)).await?;
        Ok((store, running))
    };
    work(words, CALLERS, begin, call)
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
