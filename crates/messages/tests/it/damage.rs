//! Rows that cannot be read hold up nobody but themselves.

use std::ops::ControlFlow;
use std::time::Duration;

use loomwork_core::Tasks;
use loomwork_messages::runs::{NewRun, abort};
use loomwork_messages::streams::{self, NewStream, STREAM_TIMEOUT};
use loomwork_messages::{Failure, MessageStatus, NewMessage, RunStatus, StreamStatus, UiChunk};
use loomwork_store::engine::{Changes, Engine as _, Lane, Role, Scan, Stored, TableNo, TxKind, Write};
use loomwork_testkit::soon;

use super::memory::house::{Driver, House};

/// No table has more indexes.
const INDEXES: usize = 16;

/// Cuts the bodies of all rows short that have this text in them, and leaves their keys.
fn damage(house: &House, text: &str) {
    let mut session = house.bed.engine().session(Role::Writer).expect("there is a session");
    session.begin(TxKind::Write, Lane::Durable).expect("it begins");
    let mut rows = Vec::new();
    for table in (0..100).map(TableNo) {
        let (low, high) = (&[][..], &[0xff; 17][..]);
        let scan =
            Scan { table, index: None, low, high, reverse: false, expect: None, bodies: true, claim: false };
        let _ = session.scan(&scan, &mut |entry| {
            if String::from_utf8_lossy(entry.body).contains(text) {
                let body = entry.body[..5.min(entry.body.len())].to_vec();
                rows.push((
                    table,
                    entry.id,
                    Stored { version: entry.version, body, keys: vec![None; INDEXES] },
                ));
            }
            ControlFlow::Continue(())
        });
    }
    assert!(!rows.is_empty(), "no row has {text:?} in it");
    let unchanged = vec![None; INDEXES];
    let writes: Vec<_> = rows
        .iter()
        .map(|(table, id, row)| Write { table: *table, id: *id, old: Some(&unchanged), new: Some(row) })
        .collect();
    let changes = Changes { writes: &writes, log: &[], log_floor: Default::default(), trim: None };
    session.apply(&changes).expect("it applies");
    session.commit().expect("it commits");
}

fn said(text: &str) -> [UiChunk; 3] {
    let id = || "1".to_owned();
    [
        UiChunk::StartStep,
        UiChunk::TextStart { id: id(), provider_metadata: None },
        UiChunk::TextDelta { id: id(), delta: text.to_owned(), provider_metadata: None },
    ]
}

async fn say(driver: &Driver, new: NewStream, text: &str) -> loomwork_messages::StreamId {
    let writer = driver.live.write(new);
    for chunk in said(text) {
        writer.push(chunk).await.expect("it takes chunks");
    }
    writer.flush().await.expect("stored");
    writer.opened().expect("open")
}

#[tokio::test]
async fn a_run_whose_deltas_are_damaged_is_aborted_and_holds_up_no_other_of_a_dead_process() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let mut holds = Vec::new();
    for text in ["damage me", "and not me", "damage me later"] {
        let hold = driver.run(&house, NewRun::answering("hi")).await;
        let run = house.store.query(move |tx| tx.require(hold.run)).await.expect("the run");
        let new = NewStream { hold: Some(hold), ..NewStream::of(run.pending.expect("pending")) };
        say(&driver, new, text).await;
        holds.push((hold.run, run.first));
    }
    damage(&house, "damage me");
    let last = holds[2].0;
    let stopped = house.store.mutate(move |tx| abort(tx, last, Failure::new("stopped", "stop"))).await;
    assert!(stopped.expect("aborted"));
    let house = house.reopen().await;
    let driver = Driver::start(&house).await;
    for (run, message) in holds {
        let store = house.store.clone();
        soon(async move {
            let mut runs = store.watch(move |tx| Ok(tx.require(run)?.status));
            while runs.next().await.expect("open").expect("read") != RunStatus::Aborted {}
        })
        .await;
        assert_eq!(house.message(message).await.status, MessageStatus::Aborted);
    }
    driver.stop().await;
}

#[tokio::test]
async fn a_stream_whose_deltas_are_damaged_holds_up_no_other() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let mut ids = Vec::new();
    for text in ["damage me", "and not me"] {
        let message = house.save(NewMessage::pending()).await[0].id;
        ids.push(say(&driver, NewStream::of(message), text).await);
    }
    damage(&house, "damage me");
    let tasks = Tasks::new();
    house.store.start_upkeep(&tasks, streams::upkeep());
    house.clock.advance(STREAM_TIMEOUT);
    let other = ids[1];
    let store = house.store.clone();
    soon(async move {
        let mut stream = store.watch(move |tx| Ok(tx.require(other)?.status));
        while stream.next().await.expect("open").expect("read") == StreamStatus::Streaming {}
    })
    .await;
    house.clock.advance(streams::KEEP_ENDED);
    for id in ids {
        let store = house.store.clone();
        soon(async move {
            let mut stream = store.watch(move |tx| Ok(tx.get(id)?.is_some()));
            while stream.next().await.expect("open").expect("read") {}
        })
        .await;
    }
    tasks.shutdown(Duration::from_secs(30)).await.expect("the tasks end");
    driver.stop().await;
}
