use loomwork_core::{Clock, Kind, ManualClock, Tasks};
use loomwork_models::Message;
use loomwork_store::{Error, Page, Store};
use loomwork_testkit::{GUARD, soon};

use super::*;
use crate::tables::{MessageRow, MessageStatus, Metadata};
use crate::threads::{NewThread, create};

async fn open() -> (Store, ManualClock) {
    let clock = Clock::manual(Time::from_millis(1_700_000_000_000));
    let tables = crate::tables().into_iter().chain(loomwork_search::tables());
    let store = Store::memory().clock(clock.clock()).tables(tables);
    (store.open().await.expect("the store opens"), clock)
}

/// A deleted thread of some messages.
async fn deleted(store: &Store, messages: u64, text: String) -> ThreadId {
    let filled = store.mutate(move |tx| {
        let thread = create(tx, NewThread::for_user("alice"))?.id;
        for order in 0..messages {
            tx.insert(message(tx.now(), thread, order, &text))?;
        }
        enter(tx, thread)?;
        Ok(thread)
    });
    filled.await.expect("the thread is written")
}

fn message(now: Time, thread: ThreadId, order: u64, text: &str) -> MessageRow {
    MessageRow {
        thread,
        user: None,
        order,
        step: 0,
        status: MessageStatus::Success,
        error: None,
        message: Message::user(text),
        tool: false,
        text: None,
        agent: None,
        model: None,
        provider: None,
        provider_metadata: Metadata::new(),
        usage: None,
        finish_reason: None,
        warnings: Vec::new(),
        run: None,
        prompt: None,
        files: Vec::new(),
        hidden: false,
        metadata: Metadata::new(),
        created: now,
        updated: None,
    }
}

/// Deletes a thread step by step, and returns how many rows were gone after each but the last.
async fn steps(store: &Store, thread: ThreadId) -> Vec<u64> {
    let mut rows = Vec::new();
    loop {
        let stepped = store.mutate(move |tx| {
            step_of(tx, thread)?;
            progress(tx, thread)
        });
        match stepped.await.expect("the step commits") {
            Some(progress) => rows.push(progress.rows),
            None => return rows,
        }
    }
}

#[tokio::test]
async fn a_step_deletes_so_many_rows_and_no_more() {
    let (store, _) = open().await;
    let thread = deleted(&store, 2 * STEP_ROWS as u64 + 1, "hello".into()).await;
    let rows = STEP_ROWS as u64;
    assert_eq!(steps(&store, thread).await, [rows, 2 * rows]);
}

#[tokio::test]
async fn a_step_begins_no_row_beyond_its_bytes() {
    let (store, _) = open().await;
    let thread = deleted(&store, 3, "x".repeat(STEP_BYTES / 2)).await;
    assert_eq!(steps(&store, thread).await, [2]);
}

#[tokio::test]
async fn a_deletion_that_failed_rests_and_holds_up_no_other() {
    let (store, clock) = open().await;
    let first = deleted(&store, 1, "hello".into()).await;
    let second = deleted(&store, 1, "hello".into()).await;
    let rested = store.mutate(move |tx| {
        let row = tx.first(Deletion::by_thread.eq(first))?.expect("it was asked for");
        let failed: Result<()> = Err(Error::message(Kind::Corrupt, "a row cannot be read"));
        rest_if_failed(tx, failed, &row, |row, due| row.due = due)
    });
    rested.await.expect("it is written");
    let tasks = Tasks::new();
    store.start_upkeep(&tasks, upkeep());
    let left = |tx: &Tx| Ok(tx.page(Deletion::by_due.all(), Page::first(9))?.rows);
    let mut watch = store.watch(left);
    let mut next = async || soon(watch.next()).await.expect("the store is open").expect("it is read");
    let mut now = next().await;
    while now.iter().any(|deletion| deletion.thread == second) {
        now = next().await;
    }
    assert_eq!(now.iter().map(|deletion| deletion.thread).collect::<Vec<_>>(), [first]);
    soon(async {
        while clock.next_timer().is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    clock.advance(RETRY_AFTER);
    while !now.is_empty() {
        now = next().await;
    }
    tasks.shutdown(GUARD).await.expect("the upkeep ends");
}
