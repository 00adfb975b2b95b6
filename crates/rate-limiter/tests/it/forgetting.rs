//! The upkeep: rows that say nothing go, and nothing else changes.

use std::time::Duration;

use loomwork_core::Kind;
use loomwork_rate_limiter::{
    DAY, HOUR, HoldRow, KEEP_ENDED, KEEP_FULL, Limit, MINUTE, UPKEEP_STEP, hold, limit, list, reserve, settle,
};
use loomwork_store::{Page, Table as _};
use loomwork_testkit::GUARD;

use super::desk::{Desk, START};

const BUCKET: Limit = Limit::token_bucket("bucket", 10, MINUTE);
const WINDOW: Limit = Limit::fixed_window("window", 10, MINUTE);

#[tokio::test]
async fn a_balance_that_was_full_for_a_day_is_forgotten_and_means_the_same() {
    let desk = Desk::open().await;
    for of in [BUCKET, WINDOW] {
        desk.take(&of, "once", 10).await;
        desk.reserve(&of, "in debt", 10 + 10 * 60 * 24 * 3).await;
    }
    let tasks = desk.keep_up();
    desk.clock.timers_waiting(1).await;
    desk.pass(KEEP_FULL);
    assert_eq!(desk.rows(&BUCKET).await.len(), 2, "it has not been full for a day");
    desk.pass(2 * HOUR + MINUTE);
    for of in [BUCKET, WINDOW] {
        let counted = of;
        desk.until(move |tx| Ok(list(tx, &counted, Page::first(9))?.rows.len()), |rows| *rows == 1).await;
        assert_eq!(desk.rows(&of).await[0].key(), Some("in debt"));
        let (forgotten, kept) = (desk.take(&of, "once", 3).await, desk.take(&of, "never", 3).await);
        assert_eq!((forgotten.remaining, kept.remaining), (7, 7));
    }
    tasks.shutdown(GUARD).await.expect("the upkeep ends");
}

#[tokio::test]
async fn more_than_a_step_is_forgotten_at_once() {
    let desk = Desk::open().await;
    desk.commit(|tx| {
        for key in 0..2 * UPKEEP_STEP as u64 + 1 {
            limit(tx, &BUCKET, &key, 1)?;
        }
        Ok(())
    })
    .await;
    desk.pass(KEEP_FULL + 2 * HOUR);
    let tasks = desk.keep_up();
    desk.until(|tx| Ok(list(tx, &BUCKET, Page::first(1))?.rows.len()), |rows| *rows == 0).await;
    tasks.shutdown(GUARD).await.expect("the upkeep ends");
}

#[tokio::test]
async fn what_is_never_full_is_never_forgotten() {
    let desk = Desk::open().await;
    let of = Limit::token_bucket("stock", 0, MINUTE).capacity(10);
    desk.take(&of, "ada", 1).await;
    desk.pass(1_000 * DAY);
    let tasks = desk.keep_up();
    desk.clock.timers_waiting(1).await;
    assert_eq!(desk.value(&of, "ada").await, 9);
    assert_eq!(desk.rows(&of).await.len(), 1);
    tasks.shutdown(GUARD).await.expect("the upkeep ends");
}

#[tokio::test]
async fn an_ended_hold_is_remembered_for_a_day() {
    let desk = Desk::open().await;
    let of = desk.commit(|tx| hold(tx, &[BUCKET.ask("ada", 1)], MINUTE)).await.id;
    desk.commit(move |tx| settle(tx, of, &[1])).await;
    let tasks = desk.keep_up();
    desk.clock.timers_waiting(1).await;
    desk.pass(KEEP_ENDED - MINUTE);
    desk.commit(move |tx| settle(tx, of, &[1])).await;
    desk.pass(2 * HOUR);
    desk.until(|tx| Ok(tx.scan(HoldRow::all())?.len()), |rows| *rows == 0).await;
    let error = desk.fail(move |tx| settle(tx, of, &[1])).await;
    assert_eq!(error.kind(), Kind::NotFound);
    tasks.shutdown(GUARD).await.expect("the upkeep ends");
}

#[tokio::test]
async fn requests_wake_no_upkeep_and_idle_ones_rest() {
    let desk = Desk::open().await;
    // A hold that lasts for long, so that each upkeep has a time to wait for once it rests.
    desk.commit(|tx| hold(tx, &[WINDOW.ask("ada", 1)], DAY)).await;
    let tasks = desk.keep_up();
    desk.clock.timers_waiting(2).await;
    // One request makes the row, the others change it.
    desk.take(&BUCKET, "hot", 1).await;
    let before = desk.begun.writes();
    for _ in 0..20 {
        desk.commit(|tx| reserve(tx, &BUCKET, "hot", 1)).await;
        desk.pass(Duration::from_secs(1));
    }
    assert_eq!(desk.begun.writes() - before, 20);
    assert_eq!(desk.clock.clock().now(), START + Duration::from_secs(20));
    tasks.shutdown(GUARD).await.expect("the upkeep ends");
}
