//! Turns of a chat, whose model answers at once.

use anyhow::{Result, ensure};
use loomwork_agent::{AgentThread, Runtime};
use loomwork_core::Stopwatch;
use loomwork_messages::runs::{self, NewRun, Step, Then};
use loomwork_messages::{List, NewMessage, ThreadId, list};
use loomwork_models::Message;

use super::by_hand::Chat;
use super::{clerk, folder, open, text, thread, two_threads};
use crate::measure::{ROUNDS, Row, Target, percentile};

const HISTORY: usize = 10_000;
const TURNS: usize = 200;
const CALLERS: usize = 64;
const SHORT: usize = 100;
const TURNS_EACH: usize = 10;

pub(super) fn measure() -> Result<Vec<Row>> {
    let (folder, runtime) = (folder()?, two_threads()?);
    let house = runtime.block_on(open(&folder.path().join("store.db")))?;
    let agent = clerk(&text());
    let long = runtime.block_on(thread(&agent, &house, HISTORY))?;
    let (mut ours, mut by_hand) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(runtime.block_on(turns(&long))?);
        by_hand.push(runtime.block_on(store_work(&house, long.id()))?);
    }
    let crowd = runtime.block_on(async {
        let mut threads = Vec::new();
        for _ in 0..CALLERS {
            threads.push(thread(&agent, &house, SHORT).await?);
        }
        anyhow::Ok(threads)
    })?;
    let mut chat = Chat::open(&folder.path().join("by_hand.db"))?;
    for thread in 0..CALLERS as i64 {
        chat.fill(thread, SHORT as i64)?;
    }
    Ok(vec![
        Row {
            name: "chat turn, 10,000 messages of history, p50; the same calls of the store",
            unit: "µs",
            ours: ours.clone(),
            baseline: by_hand,
            target: Target::RatioAtMost(2.0),
        },
        Row {
            name: "the same, alone",
            unit: "µs",
            ours,
            baseline: Vec::new(),
            target: Target::ValueAtMost(1_000.0),
        },
        Row::measured(
            "64 chat turns at once, history 100, durable; rusqlite, one after the other",
            "turns/s",
            Target::ValueAtLeast(1_500.0),
            || runtime.block_on(at_once(&crowd, TURNS_EACH)),
            || by_hand_turns(&mut chat),
        )?,
    ])
}

/// Callers without HTTP: each makes turns in a thread of its own, from its beginning.
pub(crate) struct Crowd {
    threads: Vec<AgentThread>,
    _folder: tempfile::TempDir,
}

impl Crowd {
    pub(crate) async fn gather(callers: usize) -> Result<Self> {
        let folder = folder()?;
        let house = open(&folder.path().join("store.db")).await?;
        let agent = clerk(text().as_str());
        let mut threads = Vec::with_capacity(callers);
        for _ in 0..callers {
            threads.push(thread(&agent, &house, 0).await?);
        }
        Ok(Self { threads, _folder: folder })
    }

    /// Has each make so many turns; turns in a second.
    pub(crate) async fn turns(&self, each: usize) -> Result<f64> {
        at_once(&self.threads, each).await
    }
}

/// Makes turns one by one, and returns the median of microseconds.
async fn turns(thread: &AgentThread) -> Result<f64> {
    let mut took = Vec::with_capacity(TURNS);
    for _ in 0..TURNS {
        let watch = Stopwatch::start();
        thread.generate_text(text().as_str()).await?;
        took.push(watch.elapsed().as_secs_f64() * 1e6);
    }
    Ok(percentile(&took, 0.5))
}

/// Makes the calls of the store that a turn needs, without an agent.
async fn store_work(house: &Runtime, thread: ThreadId) -> Result<f64> {
    let tasks = loomwork_core::Tasks::new();
    let host = runs::Host::start(house.store(), &tasks).await?;
    let mut took = Vec::with_capacity(TURNS);
    for _ in 0..TURNS {
        let watch = Stopwatch::start();
        let page = house.store().query(move |tx| list(tx, thread, &List::newest(100))).await?;
        ensure!(page.messages.len() == 100, "the context has {} messages", page.messages.len());
        let (id, prompt) = (host.id(), text());
        let hold = house.store().mutate(move |tx| {
            let run = runs::begin(tx, thread, NewRun::answering(prompt.as_str()))?.run.id;
            runs::take(tx, id, run)
        });
        let hold = hold.await?;
        let Some(hold) = hold else { anyhow::bail!("nobody else takes the run") };
        let step = Step { messages: vec![NewMessage::new(Message::assistant(text()))], then: Then::End };
        house.store().mutate(move |tx| runs::step(tx, hold, step)).await?;
        took.push(watch.elapsed().as_secs_f64() * 1e6);
    }
    Ok(percentile(&took, 0.5))
}

/// Makes turns in all threads at once; turns in a second.
async fn at_once(threads: &[AgentThread], each: usize) -> Result<f64> {
    let watch = Stopwatch::start();
    let mut callers = tokio::task::JoinSet::new();
    for thread in threads {
        let thread = thread.clone();
        callers.spawn(async move {
            for _ in 0..each {
                thread.generate_text(text().as_str()).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = callers.join_next().await {
        done??;
    }
    Ok((threads.len() * each) as f64 / watch.elapsed().as_secs_f64())
}

fn by_hand_turns(chat: &mut Chat) -> Result<f64> {
    let watch = Stopwatch::start();
    for thread in 0..CALLERS as i64 {
        for _ in 0..TURNS_EACH {
            ensure!(chat.turn(thread)? > 0, "the model reads nothing");
        }
    }
    Ok((CALLERS * TURNS_EACH) as f64 / watch.elapsed().as_secs_f64())
}
