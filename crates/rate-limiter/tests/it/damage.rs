//! Rows that cannot be read hold up nobody but themselves.

use std::ops::ControlFlow;

use loomwork_core::{Clock, Kind, RawId};
use loomwork_rate_limiter::{
    HOUR, HoldState, KEEP_FULL, Limit, MINUTE, clear_all, hold, release, reset, reset_all, settle, value,
};
use loomwork_store::engine::{
    Changes, Engine as _, Lane, Role, Scan, Session, Stored, TableNo, TxKind, Write,
};
use loomwork_testkit::GUARD;

use crate::memory::Bed;
use crate::memory::desk::{Desk, START};

const STOCK: Limit = Limit::token_bucket("stock", 0, MINUTE).capacity(10);
const BUCKET: Limit = Limit::token_bucket("bucket", 10, MINUTE);

/// No table of the crate has more indexes.
const INDEXES: usize = 2;

/// Cuts the body of the first row short that has this text in it, and leaves its keys.
fn damage(bed: &Bed, text: &str) {
    let mut session = bed.engine().session(Role::Writer).expect("there is a session");
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

#[tokio::test]
async fn a_balance_fails_closed_and_alone() {
    let bed = Bed::new();
    let desk = Desk::open_over(&bed, Clock::manual(START)).await;
    desk.take(&BUCKET, "bad", 1).await;
    desk.take(&BUCKET, "good", 1).await;
    damage(&bed, "\"key\":\"bad\",\"value\"");
    let error = desk.fail(|tx| reset(tx, &BUCKET, "bad")).await;
    assert_eq!(error.kind(), Kind::Corrupt);
    desk.take(&BUCKET, "good", 1).await;
    // Operators see the others and reset them.
    assert_eq!(desk.rows(&BUCKET).await.len(), 1);
    assert!(!desk.commit(|tx| reset_all(tx, &BUCKET)).await);
    assert_eq!(desk.value(&BUCKET, "good").await, 10);
    desk.take(&BUCKET, "good", 1).await;
    assert!(!desk.commit(|tx| clear_all(tx, START)).await);
    assert_eq!(desk.value(&BUCKET, "good").await, 10);
    desk.take(&BUCKET, "good", 1).await;
    // Nor does it keep others from being forgotten.
    let tasks = desk.keep_up();
    desk.clock.timers_waiting(1).await;
    desk.pass(KEEP_FULL + 2 * HOUR);
    let row = |tx: &loomwork_store::Tx| {
        use loomwork_rate_limiter::BalanceRow;
        use loomwork_store::Table as _;
        Ok(tx.scan(BalanceRow::all().readable())?.len())
    };
    desk.until(row, |rows| *rows == 0).await;
    tasks.shutdown(GUARD).await.expect("the upkeep ends");
}

#[tokio::test]
async fn a_hold_that_cannot_be_given_back_holds_up_no_other() {
    let bed = Bed::new();
    let desk = Desk::open_over(&bed, Clock::manual(START)).await;
    let bad = desk.commit(|tx| hold(tx, &[STOCK.ask("bad", 4)], MINUTE)).await.id;
    desk.commit(|tx| hold(tx, &[STOCK.ask("good", 4)], MINUTE)).await;
    damage(&bed, "\"key\":\"bad\",\"value\"");
    let tasks = desk.keep_up();
    desk.clock.timers_waiting(2).await;
    desk.pass(MINUTE);
    desk.until(|tx| value(tx, &STOCK, "good"), |left| *left == 10).await;
    let row = desk.read(move |tx| tx.require(bad)).await;
    assert_eq!((row.state(), row.expires()), (HoldState::Open, START + MINUTE + HOUR));
    tasks.shutdown(GUARD).await.expect("the upkeep ends");
}

#[tokio::test]
async fn a_settlement_that_fails_books_no_line_though_the_mutation_goes_on() {
    let bed = Bed::new();
    let desk = Desk::open_over(&bed, Clock::manual(START)).await;
    let of = desk.commit(|tx| hold(tx, &[STOCK.ask("good", 4), STOCK.ask("bad", 4)], MINUTE)).await.id;
    damage(&bed, "\"key\":\"bad\",\"value\"");
    let error = desk.commit(move |tx| Ok(settle(tx, of, &[1, 1]).expect_err("a row is damaged"))).await;
    assert_eq!(error.kind(), Kind::Corrupt);
    assert_eq!(desk.value(&STOCK, "good").await, 6);
    let error = desk.commit(move |tx| Ok(release(tx, of).expect_err("a row is damaged"))).await;
    assert_eq!(error.kind(), Kind::Corrupt);
    assert_eq!(desk.value(&STOCK, "good").await, 6);
}
