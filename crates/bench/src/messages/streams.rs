//! Streams: written, stored and followed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use loomwork_core::{Clock, Stopwatch, Tasks};
use loomwork_messages::streams::{Live, NewStream, StreamReader, StreamWriter, deltas, finish};
use loomwork_messages::threads::{NewThread, create};
use loomwork_messages::{List, NewMessage, StreamId, ThreadId, UiChunk, ViewEvent, save};
use loomwork_store::Store;

use super::{folder, open, two_threads};
use crate::measure::{Row, Target, percentile};

const STREAMS: usize = 1_000;
const TOKENS_A_SECOND: usize = 50;
const SECONDS: usize = 5;
/// The streams are served in turn, so many at a time.
const TURNS: usize = 20;
/// How many streams are watched for when their chunks are stored.
const WATCHED: usize = 10;

pub(super) fn measure() -> Result<Vec<Row>> {
    let runtime = two_threads()?;
    let crowd = runtime.block_on(crowd())?;
    let absolute =
        |name, unit, value, target| Row { name, unit, ours: vec![value], baseline: Vec::new(), target };
    let mut short = Vec::new();
    let mut long = Vec::new();
    for _ in 0..crate::measure::ROUNDS {
        long.push(runtime.block_on(follow(5_000))?);
        short.push(runtime.block_on(follow(500))?);
    }
    Ok(vec![
        absolute(
            "1,000 streams x 50 tokens/s, stored, one reader each: CPU",
            "of a core",
            crowd.cpu,
            Target::ValueAtMost(0.25),
        ),
        absolute("the same: from push to reader, p99", "ms", crowd.live_p99, Target::ValueAtMost(20.0)),
        absolute("the same: from push to stored, p99", "ms", crowd.stored_p99, Target::ValueAtMost(300.0)),
        absolute("the same: bytes of the file for a token", "bytes", crowd.bytes_a_token, Target::None),
        Row {
            name: "following a stream through the view, a token of 5,000 against one of 500",
            unit: "µs",
            ours: long,
            baseline: short,
            target: Target::RatioAtMost(1.2),
        },
    ])
}

struct Crowd {
    cpu: f64,
    live_p99: f64,
    stored_p99: f64,
    bytes_a_token: f64,
}

async fn crowd() -> Result<Crowd> {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let store = open(&path).await?;
    let tasks = Tasks::new();
    let live = Live::start(&store, &tasks);
    let mut writers = Vec::new();
    let mut readers = tokio::task::JoinSet::new();
    let mut watchers = tokio::task::JoinSet::new();
    let start = Arc::new(Stopwatch::start());
    for number in 0..STREAMS {
        let (thread, writer) = new_stream(&store, &live).await?;
        writer.push(UiChunk::TextStart { id: "1".into(), provider_metadata: None }).await?;
        let id = writer.id().await?;
        let reader = live.read(thread, id, 0).await?;
        readers.spawn(read(reader, start.clone()));
        if number < WATCHED {
            watchers.spawn(watch_stored(store.clone(), thread, id, start.clone()));
        }
        writers.push((id, writer));
    }
    let tokens = STREAMS * TOKENS_A_SECOND * SECONDS;
    let (before, watch) = (cpu_seconds()?, Stopwatch::start());
    let clock = Clock::system();
    let tick = Duration::from_secs(1) / (TOKENS_A_SECOND * TURNS) as u32;
    for turn in 0..TOKENS_A_SECOND * SECONDS * TURNS {
        let due = tick * turn as u32;
        if let Some(wait) = due.checked_sub(watch.elapsed()) {
            clock.sleep(wait).await;
        }
        let batch = STREAMS / TURNS;
        for (_, writer) in &writers[(turn % TURNS) * batch..][..batch] {
            writer.push(token(start.elapsed())).await?;
        }
    }
    let cpu = (cpu_seconds()? - before) / watch.elapsed().as_secs_f64();
    for (id, writer) in writers {
        writer.flush().await?;
        store.mutate(move |tx| finish(tx, id)).relaxed().await?;
    }
    let mut live_lags = Vec::new();
    while let Some(lags) = readers.join_next().await {
        live_lags.extend(lags??);
    }
    ensure!(live_lags.len() == tokens, "the readers saw {} of {tokens} tokens", live_lags.len());
    let mut stored_lags = Vec::new();
    while let Some(lags) = watchers.join_next().await {
        stored_lags.extend(lags??);
    }
    tasks.shutdown(Duration::from_secs(10)).await?;
    store.close().await;
    drop(store);
    let bytes = std::fs::metadata(&path)?.len() as f64;
    Ok(Crowd {
        cpu,
        live_p99: percentile(&live_lags, 0.99),
        stored_p99: percentile(&stored_lags, 0.99),
        bytes_a_token: bytes / tokens as f64,
    })
}

async fn new_stream(store: &Store, live: &Live) -> Result<(ThreadId, StreamWriter)> {
    let (thread, message) = store
        .mutate(|tx| {
            let thread = create(tx, NewThread::for_user("ada"))?.id;
            let rows = save(tx, thread, NewMessage::pending())?;
            Ok((thread, rows[0].id))
        })
        .relaxed()
        .await?;
    Ok((thread, live.write(NewStream::of(message))))
}

/// A token that says when it was made, as long as one of a model.
fn token(at: Duration) -> UiChunk {
    UiChunk::TextDelta { id: "1".into(), delta: format!("{:09} ", at.as_micros()), provider_metadata: None }
}

/// Returns when the tokens of a chunk were made.
fn made(chunk: &UiChunk) -> Vec<Duration> {
    let UiChunk::TextDelta { delta, .. } = chunk else { return Vec::new() };
    delta.split_whitespace().filter_map(|word| word.parse().ok()).map(Duration::from_micros).collect()
}

/// Reads a stream, and returns how old each token was, in milliseconds.
async fn read(mut reader: StreamReader, start: Arc<Stopwatch>) -> Result<Vec<f64>> {
    let mut lags = Vec::new();
    while let Some(slice) = reader.next().await {
        let now = start.elapsed();
        for chunk in slice?.chunks()? {
            lags.extend(made(&chunk).into_iter().map(|made| now.saturating_sub(made).as_secs_f64() * 1e3));
        }
    }
    Ok(lags)
}

/// Watches the rows of a stream, and returns how old the first token of each slice was when it was stored.
async fn watch_stored(
    store: Store,
    thread: ThreadId,
    id: StreamId,
    start: Arc<Stopwatch>,
) -> Result<Vec<f64>> {
    let mut lags = Vec::new();
    let mut slices = store.follow(0, move |tx, cursor| {
        let slices = deltas(tx, thread, id, *cursor)?;
        let end = slices.last().map_or(*cursor, |slice| slice.end);
        let texts: Vec<String> = slices.iter().map(|slice| slice.chunks.get().to_owned()).collect();
        Ok((texts, end))
    });
    let expected = (TOKENS_A_SECOND * SECONDS + 1) as u64;
    while *slices.cursor() < expected {
        let texts = slices.next().await.context("the store is open")??;
        let now = start.elapsed();
        for text in texts {
            let chunks: Vec<UiChunk> = serde_json::from_str(&text)?;
            let first = chunks.iter().flat_map(made).next();
            lags.extend(first.map(|made| now.saturating_sub(made).as_secs_f64() * 1e3));
        }
    }
    Ok(lags)
}

/// Streams so many tokens to one who follows the thread's view; microseconds for a token.
async fn follow(tokens: usize) -> Result<f64> {
    let folder = folder()?;
    let store = open(&folder.path().join("store.db")).await?;
    let tasks = Tasks::new();
    let live = Live::start(&store, &tasks);
    let (thread, writer) = new_stream(&store, &live).await?;
    writer.push(UiChunk::TextStart { id: "1".into(), provider_metadata: None }).await?;
    let mut follower = live.follow(thread, List::newest(100), HashMap::new());
    follower.next().await.context("the store is open")??;
    let watch = Stopwatch::start();
    let mut reading = tokio::task::JoinSet::new();
    reading.spawn(async move {
        let mut seen = 0;
        while seen <= tokens as u64 {
            if let ViewEvent::Slice { slice, .. } = follower.next().await.context("the store is open")?? {
                seen = slice.end;
            }
        }
        anyhow::Ok(())
    });
    for _ in 0..tokens {
        writer.push(token(watch.elapsed())).await?;
        tokio::task::yield_now().await;
    }
    writer.flush().await?;
    reading.join_next().await.context("it was spawned")???;
    let each = watch.elapsed().as_secs_f64() * 1e6 / tokens as f64;
    tasks.shutdown(Duration::from_secs(10)).await?;
    store.close().await;
    Ok(each)
}

/// Returns how long this process has computed.
fn cpu_seconds() -> Result<f64> {
    // A tick is a hundredth of a second on every Linux that this runs on.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").context("the figure needs Linux")?;
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = behind_name.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).context("/proc/self/stat has no times")?;
    Ok((user + system) / TICKS)
}
