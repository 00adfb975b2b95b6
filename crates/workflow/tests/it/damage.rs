//! Rows that cannot be read hold up nobody but their own run.

use std::ops::ControlFlow;

use loomwork_core::RawId;
use loomwork_store::Table as _;
use loomwork_store::engine::{Changes, Engine as _, Lane, Role, Scan, Stored, TableNo, TxKind, Write};
use loomwork_workflow::{
    Event, Flow, Outcome, State, StepRow, Workflow, cancel, clean_up, outcome, send, steps,
};

use super::memory::Bed;
use super::memory::yard::{Yard, marked, seconds, shut_down};

const WORK: Workflow<u64, String> = Workflow::new("work");
const GO: Event<u64> = Event::new("go");

async fn work(wf: Flow, input: u64) -> loomwork_store::Result<String> {
    marked(&wf, format!("first of {input}")).await?;
    wf.event(GO).await?;
    wf.sleep(seconds(60)).await;
    Ok(format!("{input}"))
}

/// A row as it was before it was damaged.
struct Whole {
    table: TableNo,
    id: RawId,
    stored: Stored,
}

/// No table of the crate has more indexes.
const INDEXES: usize = 16;

/// Cuts the body of the first row short that has this text in it, and leaves its keys. Returns what it was.
fn damage(bed: &Bed, text: &str) -> Whole {
    let whole = find(bed, text);
    let mut cut = whole.stored.clone();
    cut.body.truncate(5);
    write(bed, &whole, &cut);
    whole
}

fn write(bed: &Bed, row: &Whole, stored: &Stored) {
    let mut session = bed.engine().session(Role::Writer).expect("there is a session");
    session.begin(TxKind::Write, Lane::Durable).expect("it begins");
    let unchanged = vec![None; row.stored.keys.len()];
    let write = Write { table: row.table, id: row.id, old: Some(&unchanged), new: Some(stored) };
    let changes = Changes { writes: &[write], log: &[], log_floor: Default::default(), trim: None };
    session.apply(&changes).expect("it applies");
    session.commit().expect("it commits");
}

fn find(bed: &Bed, text: &str) -> Whole {
    let mut session = bed.engine().session(Role::Writer).expect("there is a session");
    session.begin(TxKind::Read, Lane::Durable).expect("it begins");
    for table in (0..100).map(TableNo) {
        let (low, high) = (&[][..], &[0xff; 17][..]);
        let scan =
            Scan { table, index: None, low, high, reverse: false, expect: None, bodies: true, claim: false };
        let mut found = None;
        let scanned = session.scan(&scan, &mut |entry| {
            if !String::from_utf8_lossy(entry.body).contains(text) {
                return ControlFlow::Continue(());
            }
            let (version, body) = (entry.version, entry.body.to_vec());
            found = Some((entry.id, Stored { version, body, keys: vec![None; INDEXES] }));
            ControlFlow::Break(())
        });
        if let (Ok(()), Some((id, stored))) = (scanned, found) {
            return Whole { table, id, stored };
        }
    }
    panic!("no row has {text:?} in it");
}

#[tokio::test]
async fn a_journal_that_cannot_be_read_blocks_its_run_alone_until_it_can_be() {
    let yard = Yard::open().await;
    let workflows = yard.forgetful().on(WORK, work).start().await.unwrap();
    let (bad, good) = (yard.start(WORK, 1, ()).await, yard.start(WORK, 2, ()).await);
    for id in [bad, good] {
        yard.waits(id, 1).await;
    }
    shut_down(&workflows).await;
    for id in [bad, good] {
        yard.commit(move |tx| send(tx, id, GO, &0)).await;
    }
    let whole = damage(&yard.bed, "\"name\":\"first of 1\"");
    let workflows = yard.forgetful().on(WORK, work).start().await.unwrap();
    let blocked = yard.reaches(bad, State::Blocked).await.blocked.expect("it says why");
    assert!(blocked.starts_with("it cannot be read: "), "{blocked}");
    yard.until(move |tx| steps(tx, good), |steps| steps.len() == 3).await;
    yard.pass(seconds(60)).await;
    assert_eq!(yard.ends(WORK, good).await, Outcome::Success("2".into()));
    shut_down(&workflows).await;

    write(&yard.bed, &whole, &whole.stored);
    let _workflows = yard.forgetful().on(WORK, work).start().await.unwrap();
    yard.until(move |tx| steps(tx, bad), |steps| steps.len() == 3).await;
    yard.pass(seconds(60)).await;
    assert_eq!(yard.ends(WORK, bad).await, Outcome::Success("1".into()));
}

#[tokio::test]
async fn a_sleep_that_cannot_end_keeps_no_other_from_ending() {
    let yard = Yard::open().await;
    let _workflows = yard.forgetful().on(WORK, work).start().await.unwrap();
    let (bad, good) = (yard.start(WORK, 1, ()).await, yard.start(WORK, 2, ()).await);
    for (id, value) in [(bad, 777_001), (good, 777_002)] {
        yard.waits(id, 1).await;
        yard.commit(move |tx| send(tx, id, GO, &value)).await;
        yard.until(move |tx| steps(tx, id), |steps| steps.len() == 3).await;
        yard.reaches(id, State::Parked).await;
    }
    damage(&yard.bed, "777001");
    yard.pass(seconds(60)).await;
    assert_eq!(yard.ends(WORK, good).await, Outcome::Success("2".into()));
    assert_eq!(yard.status(bad).await.state, State::Parked);
}

#[tokio::test]
async fn what_cannot_be_read_keeps_nothing_else_from_being_cancelled_and_swept_away() {
    let yard = Yard::open().await;
    let _workflows = yard.forgetful().on(WORK, work).start().await.unwrap();
    let (bad, good) = (yard.start(WORK, 1, ()).await, yard.start(WORK, 2, ()).await);
    for id in [bad, good] {
        yard.waits(id, 1).await;
        yard.reaches(id, State::Parked).await;
    }
    // Of one run a step that is done, of the same one the wait.
    damage(&yard.bed, "\"name\":\"first of 1\"");
    damage(&yard.bed, "\"kind\":\"event\"");
    for id in [bad, good] {
        assert!(yard.commit(move |tx| cancel(tx, id)).await);
        assert!(yard.commit(move |tx| clean_up(tx, id)).await);
    }
    yard.until(|tx| tx.ids(StepRow::all()).map(|left| left.len()), |left| *left == 2).await;
    let after = yard.start(WORK, 3, ()).await;
    yard.waits(after, 1).await;
    assert!(yard.commit(move |tx| cancel(tx, after)).await);
    assert!(yard.commit(move |tx| clean_up(tx, after)).await);
    yard.until(|tx| tx.ids(StepRow::all()).map(|left| left.len()), |left| *left == 2).await;
}

#[tokio::test]
async fn an_input_that_cannot_be_read_blocks_its_run_and_a_result_that_is_gone_is_no_success() {
    const LARGE: Workflow<String, String> = Workflow::new("large");
    let yard = Yard::open().await;
    let (input, other) = ("in".repeat(5_000), "out".repeat(5_000));
    let id = yard.start(LARGE, input.clone(), ()).await;
    let whole = damage(&yard.bed, "inininin");
    let code = |_: Flow, input: String| async move { Ok(input.replace("in", "out")) };
    let workflows = yard.workflows().on(LARGE, code).start().await.unwrap();
    let blocked = yard.reaches(id, State::Blocked).await.blocked.expect("it says why");
    assert!(blocked.starts_with("it cannot be read: "), "{blocked}");
    shut_down(&workflows).await;
    write(&yard.bed, &whole, &whole.stored);
    let _workflows = yard.workflows().on(LARGE, code).start().await.unwrap();
    assert_eq!(yard.ends(LARGE, id).await, Outcome::Success(other));
    damage(&yard.bed, "outoutout");
    let error = yard.store.query(move |tx| outcome(tx, &LARGE, id)).await.expect_err("it is gone");
    assert_eq!(error.kind(), loomwork_core::Kind::Corrupt);
}
