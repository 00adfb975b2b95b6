//! Saving and listing, in threads of all lengths.

use anyhow::{Result, ensure};
use loomwork_core::Stopwatch;
use loomwork_messages::threads::{NewThread, create};
use loomwork_messages::{List, NewMessage, Save, ThreadId, list, save};
use loomwork_models::Message;
use loomwork_store::{Store, Table};
use serde::{Deserialize, Serialize};

use super::{folder, open, two_threads};
use crate::measure::{Row, Target};

/// How many messages there are in all.
const MESSAGES: usize = 1_000_000;
const LONG: usize = 10_000;
const MIDDLING: usize = 100;
const SAVES: usize = 500;
const LISTS: usize = 200;
const FILL_STEP: usize = 1_000;

/// A row as it would be without this crate: 400 bytes and three indexes.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "plain_messages", id = "plain")]
#[index(by_thread(thread, position))]
#[index(by_user(user, position))]
#[index(by_status(status, position))]
pub(super) struct Plain {
    thread: u64,
    position: u64,
    user: String,
    status: String,
    text: String,
}

pub(super) fn measure() -> Result<Vec<Row>> {
    let folder = folder()?;
    let runtime = two_threads()?;
    let store = runtime.block_on(open(&folder.path().join("store.db")))?;
    let (middling, long) = runtime.block_on(fill(&store))?;
    let mut rows = Vec::new();
    let mut position = 0;
    for (name, thread) in [
        ("save prompt + pending reply, new threads, 1,000,000 messages in the store; two plain rows", None),
        ("the same, thread of 100", Some(middling)),
        ("the same, thread of 10,000", Some(long)),
    ] {
        rows.push(Row::measured(
            name,
            "µs",
            Target::RatioAtMost(2.0),
            || runtime.block_on(saves(&store, thread)),
            || runtime.block_on(inserts(&store, &mut position)),
        )?);
    }
    for (name, thread) in
        [("newest page of 100, thread of 100", middling), ("the same, thread of 10,000", long)]
    {
        rows.push(Row {
            name,
            unit: "µs",
            ours: (0..crate::measure::ROUNDS)
                .map(|_| runtime.block_on(lists(&store, thread)))
                .collect::<Result<_>>()?,
            baseline: Vec::new(),
            target: Target::None,
        });
    }
    Ok(rows)
}

/// Fills the store, and returns a thread of 100 and one of 10,000 messages.
async fn fill(store: &Store) -> Result<(ThreadId, ThreadId)> {
    let long = filled(store, LONG).await?;
    let mut middling = filled(store, MIDDLING).await?;
    let mut count = LONG + MIDDLING;
    while count < MESSAGES {
        middling = filled(store, FILL_STEP).await?;
        count += FILL_STEP;
    }
    let middling = if count > LONG + MIDDLING { filled(store, MIDDLING).await? } else { middling };
    Ok((middling, long))
}

async fn filled(store: &Store, messages: usize) -> Result<ThreadId> {
    let thread = store.mutate(|tx| create(tx, NewThread::for_user("ada"))).await?.id;
    for step in (0..messages).step_by(FILL_STEP) {
        let count = (messages - step).min(FILL_STEP);
        let said = (0..count).map(|number| match number % 2 {
            0 => NewMessage::new(Message::user(text())),
            _ => NewMessage::new(Message::assistant(text())),
        });
        let all = Save::all(said);
        store.mutate(move |tx| save(tx, thread, all)).relaxed().await?;
    }
    Ok(thread)
}

fn text() -> String {
    "how long does it take to weave a carpet of this size ".repeat(4)
}

/// Saves a prompt with its pending answer, one transaction each; microseconds for each.
async fn saves(store: &Store, thread: Option<ThreadId>) -> Result<f64> {
    let mut threads = Vec::new();
    for _ in 0..SAVES {
        let thread = match thread {
            Some(thread) => thread,
            None => store.mutate(|tx| create(tx, NewThread::for_user("ada"))).relaxed().await?.id,
        };
        threads.push(thread);
    }
    let watch = Stopwatch::start();
    for thread in threads {
        let both = Save::all([NewMessage::new(Message::user(text())), NewMessage::pending()]);
        store.mutate(move |tx| save(tx, thread, both)).await?;
    }
    Ok(watch.elapsed().as_secs_f64() * 1e6 / SAVES as f64)
}

/// Inserts two plain rows, one transaction each; microseconds for each.
async fn inserts(store: &Store, position: &mut u64) -> Result<f64> {
    let watch = Stopwatch::start();
    for _ in 0..SAVES {
        *position += 2;
        let at = *position;
        store
            .mutate(move |tx| {
                tx.insert(plain(at))?;
                tx.insert(plain(at + 1))
            })
            .await?;
    }
    Ok(watch.elapsed().as_secs_f64() * 1e6 / SAVES as f64)
}

fn plain(position: u64) -> Plain {
    let (user, status) = ("ada".to_owned(), "success".to_owned());
    Plain { thread: 1, position, user, status, text: text() }
}

/// Lists the newest page; microseconds for each.
async fn lists(store: &Store, thread: ThreadId) -> Result<f64> {
    let watch = Stopwatch::start();
    for _ in 0..LISTS {
        let page = store.query(move |tx| list(tx, thread, &List::newest(100))).await?;
        ensure!(page.messages.len() == 100, "the page has {} messages", page.messages.len());
    }
    Ok(watch.elapsed().as_secs_f64() * 1e6 / LISTS as f64)
}
