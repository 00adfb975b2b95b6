//! Taking what is not there yet, and giving back.

use std::time::Duration;

use loomwork_core::Kind;
use loomwork_rate_limiter::{Limit, MAX_AMOUNT, MINUTE, credit, reserve};

use super::desk::{Desk, START};

fn kinds(rate: u64) -> [Limit<'static>; 2] {
    [
        Limit::token_bucket("bucket", rate, MINUTE),
        Limit::fixed_window("window", rate, MINUTE).starting_at(START),
    ]
}

#[tokio::test]
async fn reserved_tokens_are_owed_and_the_wait_is_told() {
    let desk = Desk::open().await;
    let [bucket, window] = kinds(10);
    desk.take(&bucket, (), 4).await;
    desk.take(&window, (), 0).await;
    assert_eq!(desk.reserve(&bucket, (), 16).await.wait, MINUTE);
    assert_eq!(desk.value(&bucket, ()).await, -10);
    assert_eq!(desk.reserve(&window, (), 16).await.wait, MINUTE);
    assert_eq!(desk.value(&window, ()).await, -6);
    desk.pass(Duration::from_secs(30));
    assert_eq!(desk.reserve(&bucket, (), 5).await.wait, MINUTE);
    assert_eq!(desk.value(&bucket, ()).await, -10);
    assert_eq!(desk.reserve(&window, (), 5).await.wait, Duration::from_secs(90));
    assert_eq!(desk.value(&window, ()).await, -11);
}

#[tokio::test]
async fn what_is_there_needs_no_wait() {
    let desk = Desk::open().await;
    for of in kinds(10) {
        let granted = desk.reserve(&of, (), 10).await;
        assert_eq!((granted.wait, granted.remaining), (Duration::ZERO, 0));
    }
}

#[tokio::test]
async fn a_plain_request_waits_until_the_debt_is_paid_too() {
    let desk = Desk::open().await;
    for of in kinds(1) {
        assert_eq!(desk.reserve(&of, (), 3).await.wait, 2 * MINUTE);
        desk.waits(&of, (), 1, 180_000).await;
        desk.pass(3 * MINUTE);
        assert_eq!(desk.take(&of, (), 1).await.remaining, 0);
        desk.clock.set(START);
    }
}

#[tokio::test]
async fn the_largest_debt_holds() {
    let desk = Desk::open().await;
    for of in kinds(1).map(|of| of.max_debt(1)) {
        assert_eq!(desk.reserve(&of, (), 2).await.wait, MINUTE);
        desk.waits(&of, (), 1, 120_000).await;
        // A further reservation is granted as soon as the debt stays within its bound, not earlier.
        let error = desk.fail(move |tx| reserve(tx, &of, &(), 1)).await;
        assert_eq!(error.kind(), Kind::Limited { wait: MINUTE });
        desk.pass(MINUTE - Duration::from_millis(1));
        desk.fail(move |tx| reserve(tx, &of, &(), 1)).await;
        desk.pass(Duration::from_millis(1));
        assert_eq!(desk.reserve(&of, (), 1).await.wait, MINUTE);
        desk.clock.set(START);
    }
}

#[tokio::test]
async fn a_largest_debt_of_zero_forbids_owing() {
    let desk = Desk::open().await;
    for of in kinds(1).map(|of| of.max_debt(0)) {
        desk.reserve(&of, (), 1).await;
        let error = desk.fail(move |tx| reserve(tx, &of, &(), 1)).await;
        assert_eq!(error.kind(), Kind::Limited { wait: MINUTE });
    }
}

#[tokio::test]
async fn without_a_largest_debt_anything_can_be_reserved() {
    let desk = Desk::open().await;
    for of in kinds(1) {
        desk.reserve(&of, (), 1_000_000_000).await;
        assert_eq!(desk.value(&of, ()).await, 1 - 1_000_000_000);
        // What would be owed beyond the end of time is no reservation.
        let error = desk.fail(move |tx| reserve(tx, &of, &(), MAX_AMOUNT)).await;
        assert_eq!(error.kind(), Kind::Denied);
    }
}

#[tokio::test]
async fn credit_gives_back_up_to_the_capacity() {
    let desk = Desk::open().await;
    for of in kinds(10) {
        let give = |amount| desk.commit(move |tx| credit(tx, &of, "ada", amount));
        desk.reserve(&of, "ada", 12).await;
        give(6).await;
        assert_eq!(desk.value(&of, "ada").await, 4);
        let before = desk.rows(&of).await;
        give(0).await;
        assert_eq!(desk.rows(&of).await, before);
        give(100).await;
        assert_eq!(desk.value(&of, "ada").await, 10);
        desk.commit(move |tx| credit(tx, &of, "nobody", 5)).await;
        assert_eq!(desk.rows(&of).await.len(), 1, "who has all gets no row");
    }
}
