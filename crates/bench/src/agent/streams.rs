//! Answers that are streamed, stored and followed.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use loomwork_agent::{AgentThread, Runtime};
use loomwork_core::Stopwatch;
use loomwork_messages::{List, UiChunk, ViewEvent};

use super::{clerk, folder, open, thread, two_threads};
use crate::measure::{ROUNDS, Row, Target};

const STREAMS: usize = 100;
const TOKENS: usize = 500;

pub(super) fn measure() -> Result<Vec<Row>> {
    let runtime = two_threads()?;
    let ours = (0..ROUNDS).map(|_| runtime.block_on(streams())).collect::<Result<_>>()?;
    Ok(vec![Row {
        name: "100 streams of 500 tokens, stored, one follower each",
        unit: "tokens/s",
        ours,
        baseline: Vec::new(),
        target: Target::ValueAtLeast(60_000.0),
    }])
}

async fn streams() -> Result<f64> {
    let folder = folder()?;
    let house = open(&folder.path().join("store.db")).await?;
    let agent = clerk(&"word ".repeat(TOKENS));
    let mut threads = Vec::new();
    for _ in 0..STREAMS {
        threads.push(thread(&agent, &house, 2).await?);
    }
    let watch = Stopwatch::start();
    let mut followed = tokio::task::JoinSet::new();
    for thread in threads {
        followed.spawn(follow(house.clone(), thread));
    }
    while let Some(done) = followed.join_next().await {
        done??;
    }
    let each = (STREAMS * TOKENS) as f64 / watch.elapsed().as_secs_f64();
    house.shutdown(std::time::Duration::from_secs(10)).await?;
    house.store().close().await;
    Ok(each)
}

/// Asks, and follows the thread until all words of the answer were seen there.
async fn follow(house: Runtime, thread: AgentThread) -> Result<()> {
    let mut follower = house.live().follow(thread.id(), List::newest(10), HashMap::new());
    let stream = thread.stream_text("Go on.").await?;
    let mut seen = 0;
    while seen < TOKENS {
        seen = match follower.next().await.context("the store is open")?? {
            ViewEvent::Slice { slice, .. } => seen + slice.chunks()?.iter().map(words).sum::<usize>(),
            // What has ended before it was looked at is in the view, and has no slices.
            ViewEvent::View(view) if view.streams.is_empty() => {
                seen.max(view.messages.last().map_or(0, |message| message.text.split_whitespace().count()))
            }
            ViewEvent::View(_) => seen,
        };
    }
    stream.finish().await?;
    Ok(())
}

fn words(chunk: &UiChunk) -> usize {
    match chunk {
        UiChunk::TextDelta { delta, .. } => delta.split_whitespace().count(),
        _ => 0,
    }
}
