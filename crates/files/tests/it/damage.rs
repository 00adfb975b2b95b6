//! Rows that cannot be read hold up nobody but themselves.

use std::ops::ControlFlow;

use loomwork_core::{Clock, RawId};
use loomwork_files::{Files, attach, detach_all};
use loomwork_store::engine::{
    Changes, Engine as _, Lane, Role, Scan, Session, Stored, TableNo, TxKind, Write,
};

use super::memory::Bed;
use super::memory::desk::{DAY, Desk, START};

/// No table here has more indexes.
const INDEXES: usize = 8;

async fn open() -> Desk {
    Desk::open_over(&Bed::new(), Clock::manual(START)).await
}

/// Cuts the body of the first row short that has this text in it, and leaves its keys.
fn damage(desk: &Desk, text: &str) {
    let mut session = desk.bed.engine().session(Role::Writer).expect("there is a session");
    session.begin(TxKind::Write, Lane::Durable).expect("it begins");
    let (table, id, mut stored) = find(&*session, text);
    stored.body.truncate(5);
    let unchanged = vec![None; stored.keys.len()];
    let write = Write { table, id, old: Some(&unchanged), new: Some(&stored) };
    let changes = Changes { writes: &[write], log: &[], log_floor: Default::default(), trim: None };
    session.apply(&changes).expect("it applies");
    session.commit().expect("it commits");
}

fn find(session: &dyn Session, text: &str) -> (TableNo, RawId, Stored) {
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
            found = Some((table, entry.id, Stored { version, body, keys: vec![None; INDEXES] }));
            ControlFlow::Break(())
        });
        if let (Ok(()), Some(found)) = (scanned, found) {
            return found;
        }
    }
    panic!("no row has {text:?} in it");
}

async fn vacuumed(files: &Files) -> usize {
    files.vacuum().await.expect("the vacuum runs").files
}

#[tokio::test]
async fn a_file_that_cannot_be_read_holds_up_no_other() {
    let desk = open().await;
    desk.put("bad", "bad.txt").await;
    let good = desk.put("good", "good.txt").await.id;
    damage(&desk, "bad.txt");
    desk.clock.advance(DAY);
    assert_eq!(vacuumed(&desk.files).await, 1);
    assert_eq!(desk.file(good).await, None);
}

#[tokio::test]
async fn a_content_whose_row_cannot_be_read_keeps_no_file() {
    let desk = open().await;
    let bad = desk.put("bad", ()).await;
    desk.put("good", ()).await;
    damage(&desk, &format!("\"stored\",\"hash\":\"{}\"", bad.hash));
    desk.clock.advance(DAY);
    assert_eq!(vacuumed(&desk.files).await, 2);
    assert_eq!(desk.file(bad.id).await, None);
}

#[tokio::test]
async fn an_owner_lets_go_of_a_file_that_cannot_be_read() {
    let desk = open().await;
    let (bad, good) = (desk.put("bad", "bad.txt").await.id, desk.put("good", ()).await.id);
    let letter = desk.letter().await;
    desk.commit(move |tx| {
        attach(tx, bad, letter)?;
        attach(tx, good, letter)
    })
    .await;
    damage(&desk, "bad.txt");
    assert_eq!(desk.commit(move |tx| detach_all(tx, letter)).await, 2);
    assert_eq!(desk.file(good).await.expect("its grace has begun").owners, 0);
}

#[tokio::test]
async fn a_reference_that_cannot_be_read_keeps_no_other() {
    let desk = open().await;
    let (bad, good) = (desk.put("bad", ()).await.id, desk.put("good", ()).await.id);
    let letter = desk.letter().await;
    desk.commit(move |tx| {
        attach(tx, bad, letter)?;
        attach(tx, good, letter)
    })
    .await;
    damage(&desk, &format!("\"file\":\"{bad}\""));
    assert_eq!(desk.commit(move |tx| detach_all(tx, letter)).await, 1);
    assert_eq!(desk.file(good).await.expect("its grace has begun").owners, 0);
}
