//! Taking from token buckets and fixed windows.

use std::time::Duration;

use loomwork_core::Kind;
use loomwork_rate_limiter::{Limit, MINUTE, SECOND, check, limit};
use loomwork_store::Error;

use super::Bed;
use super::desk::{Desk, START, refusal};

const BUCKET: Limit = Limit::token_bucket("bucket", 1, MINUTE);
const WINDOW: Limit = Limit::fixed_window("window", 1, MINUTE).starting_at(START);

fn both_kinds() -> [Limit<'static>; 2] {
    [BUCKET, WINDOW]
}

#[tokio::test]
async fn a_fresh_limit_is_full_and_one_request_is_one_row() {
    let desk = Desk::open().await;
    for of in both_kinds() {
        let granted = desk.take(&of, "ada", 1).await;
        assert_eq!((granted.remaining, granted.capacity, granted.wait), (0, 1, Duration::ZERO));
        assert_eq!(granted.full_at, Some(START + MINUTE));
        let rows = desk.rows(&of).await;
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].limit(), rows[0].key(), rows[0].value()), (of.name(), Some("ada"), (0, START)));
    }
}

#[tokio::test]
async fn an_exhausted_limit_waits_for_one_period() {
    let desk = Desk::open().await;
    for of in both_kinds() {
        desk.take(&of, "ada", 1).await;
        desk.waits(&of, "ada", 1, 60_000).await;
        desk.pass(Duration::from_secs(20));
        desk.waits(&of, "ada", 1, 40_000).await;
        desk.clock.set(START);
    }
}

#[tokio::test]
async fn keys_are_apart_and_so_is_the_share_without_a_key() {
    let desk = Desk::open().await;
    for of in both_kinds() {
        desk.take(&of, "ada", 1).await;
        desk.take(&of, (), 1).await;
        desk.reserve(&of, "bob", 2).await;
        assert_eq!(desk.value(&of, "ada").await, 0);
        assert_eq!(desk.value(&of, ()).await, 0);
        assert_eq!(desk.value(&of, "bob").await, -1);
        assert_eq!(desk.value(&of, "carol").await, 1);
        desk.waits(&of, "bob", 1, 120_000).await;
        desk.waits(&of, "ada", 1, 60_000).await;
    }
}

#[tokio::test]
async fn names_are_apart() {
    let desk = Desk::open().await;
    desk.take(&BUCKET, "ada", 1).await;
    desk.take(&Limit::token_bucket("another", 1, MINUTE), "ada", 1).await;
    desk.refused(&BUCKET, "ada", 1).await;
}

#[tokio::test]
async fn a_burst_is_granted_up_to_the_capacity() {
    let desk = Desk::open().await;
    for of in both_kinds().map(|of| of.capacity(3)) {
        for left in [2, 1, 0] {
            assert_eq!(desk.take(&of, "ada", 1).await.remaining, left);
        }
        desk.waits(&of, "ada", 1, 60_000).await;
    }
}

#[tokio::test]
async fn the_wait_is_right_after_a_part_was_refilled() {
    let desk = Desk::open().await;
    let (bucket, window) =
        (Limit::token_bucket("b", 10, MINUTE), Limit::fixed_window("w", 10, MINUTE).starting_at(START));
    desk.take(&bucket, (), 10).await;
    desk.take(&window, (), 10).await;
    desk.pass(Duration::from_secs(6));
    assert_eq!(desk.take(&bucket, (), 1).await.remaining, 0);
    desk.waits(&bucket, (), 1, 6_000).await;
    desk.pass(Duration::from_secs(54));
    assert_eq!(desk.take(&window, (), 6).await.remaining, 4);
    desk.waits(&window, (), 10, 60_000).await;
}

#[tokio::test]
async fn a_fast_bucket_refills_by_the_millisecond() {
    let desk = Desk::open().await;
    let of = Limit::token_bucket("fast", 2_000, SECOND);
    desk.take(&of, (), 2_000).await;
    desk.pass(Duration::from_millis(1));
    assert_eq!(desk.value(&of, ()).await, 2);
    desk.waits(&of, (), 3, 1).await;
}

#[tokio::test]
async fn looking_takes_nothing() {
    let desk = Desk::open().await;
    for of in both_kinds() {
        for _ in 0..3 {
            assert_eq!(desk.read(move |tx| check(tx, &of, "ada", 1)).await.remaining, 0);
        }
        assert_eq!(desk.rows(&of).await, []);
        desk.take(&of, "ada", 1).await;
        let error = desk.store.query(move |tx| check(tx, &of, "ada", 1)).await.expect_err("it is used up");
        assert_eq!(error.kind(), Kind::Limited { wait: MINUTE });
    }
}

#[tokio::test]
async fn a_refusal_writes_nothing() {
    let desk = Desk::open().await;
    for of in both_kinds() {
        desk.take(&of, "ada", 1).await;
        let before = desk.rows(&of).await;
        desk.pass(Duration::from_secs(1));
        // Even where the mutation goes on and commits.
        let error = desk.commit(move |tx| Ok(limit(tx, &of, "ada", 1).expect_err("it is used up"))).await;
        assert_eq!(refusal(&error).limit(), of.name());
        assert_eq!(desk.rows(&of).await, before);
    }
}

#[tokio::test]
async fn a_mutation_that_fails_gives_its_tokens_back() {
    let desk = Desk::open().await;
    for of in both_kinds() {
        desk.fail(move |tx| {
            limit(tx, &of, "ada", 1)?;
            Err::<(), _>(Error::message(Kind::Internal, "something else went wrong"))
        })
        .await;
        desk.fail(move |tx| -> loomwork_store::Result<()> {
            limit(tx, &of, "ada", 1)?;
            panic!("something else went wrong")
        })
        .await;
        desk.commit(move |tx| {
            let undone = tx.nested(|tx| {
                limit(tx, &of, "ada", 1)?;
                Err::<(), _>(Error::message(Kind::Internal, "this part is undone"))
            });
            assert!(undone.is_err());
            Ok(())
        })
        .await;
        assert_eq!(desk.rows(&of).await, []);
        desk.take(&of, "ada", 1).await;
    }
}

#[tokio::test]
async fn a_mutation_sees_what_it_took_itself() {
    let desk = Desk::open().await;
    let of = BUCKET.capacity(2);
    desk.commit(move |tx| {
        limit(tx, &of, "ada", 1)?;
        limit(tx, &of, "ada", 1)?;
        assert!(limit(tx, &of, "ada", 1).is_err());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn zero_tokens_ask_whether_something_is_owed() {
    let desk = Desk::open().await;
    for of in both_kinds() {
        assert_eq!(desk.take(&of, "ada", 0).await.remaining, 1);
        assert_eq!(desk.rows(&of).await, []);
        desk.reserve(&of, "ada", 3).await;
        desk.waits(&of, "ada", 0, 120_000).await;
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_neither_takes_nor_gives() {
    let desk = Desk::open().await;
    for of in [
        Limit::token_bucket("set-back-b", 10, MINUTE),
        Limit::fixed_window("set-back-w", 10, MINUTE).starting_at(START),
    ] {
        desk.take(&of, (), 1).await;
        desk.clock.set(START - Duration::from_millis(500));
        assert_eq!(desk.take(&of, (), 1).await.remaining, 8);
        desk.clock.set(START - Duration::from_secs(3_600));
        assert_eq!(desk.take(&of, (), 8).await.remaining, 0);
        // The balance waits for the clock, and the wait says so.
        let refill = if of.name() == "set-back-b" { 6_000 } else { 60_000 };
        desk.waits(&of, (), 1, 3_600_000 + refill).await;
        assert_eq!(desk.rows(&of).await[0].value(), (0, START));
        desk.clock.set(START);
    }
}

#[tokio::test]
async fn a_clock_that_leaps_fills_once_and_gives_nothing_when_it_is_set_right() {
    let desk = Desk::open().await;
    for of in [
        Limit::token_bucket("leap-b", 10, MINUTE),
        Limit::fixed_window("leap-w", 10, MINUTE).starting_at(START),
    ] {
        desk.take(&of, (), 10).await;
        desk.pass(Duration::from_secs(3_600));
        assert_eq!(desk.take(&of, (), 10).await.remaining, 0);
        desk.clock.set(START);
        desk.refused(&of, (), 1).await;
        desk.pass(Duration::from_secs(1_800));
        desk.refused(&of, (), 1).await;
        desk.clock.set(START);
    }
}

#[tokio::test]
async fn debts_and_balances_outlive_the_process() {
    let bed = Bed::new();
    {
        let desk = Desk::open_over(&bed, loomwork_core::Clock::manual(START)).await;
        desk.take(&BUCKET, "ada", 1).await;
        desk.reserve(&WINDOW, "bob", 4).await;
        desk.store.close().await;
    }
    let desk = Desk::open_over(&bed, loomwork_core::Clock::manual(START)).await;
    desk.waits(&BUCKET, "ada", 1, 60_000).await;
    desk.waits(&WINDOW, "bob", 1, 240_000).await;
}

#[tokio::test]
async fn changed_rules_hold_from_the_next_request_on() {
    let desk = Desk::open().await;
    let of = Limit::token_bucket("plan", 10, MINUTE);
    // Lowered: what is above is gone.
    desk.take(&of, "ada", 2).await;
    assert_eq!(desk.value(&of.capacity(5), "ada").await, 5);
    // Raised: what is there grows by the rate.
    assert_eq!(desk.value(&of.capacity(100), "ada").await, 8);
    desk.pass(MINUTE);
    assert_eq!(desk.value(&of.capacity(100), "ada").await, 18);
    // Another period: parts of tokens are kept as parts.
    desk.take(&of, "bob", 10).await;
    desk.pass(Duration::from_secs(9));
    assert_eq!(desk.take(&of, "bob", 1).await.remaining, 0);
    assert_eq!(desk.value(&Limit::token_bucket("plan", 10, 2 * MINUTE), "bob").await, 0);
    desk.pass(Duration::from_secs(6));
    assert_eq!(desk.value(&Limit::token_bucket("plan", 10, 2 * MINUTE), "bob").await, 1);
}

#[tokio::test]
async fn a_limit_of_another_kind_goes_on_with_the_balance() {
    let desk = Desk::open().await;
    let bucket = Limit::token_bucket("kind", 10, MINUTE);
    let window = Limit::fixed_window("kind", 10, MINUTE).starting_at(START);
    desk.pass(Duration::from_secs(30));
    desk.take(&bucket, (), 10).await;
    // The window that the balance is in ends where the new rules say.
    desk.waits(&window, (), 1, 30_000).await;
    desk.pass(Duration::from_secs(30));
    assert_eq!(desk.take(&window, (), 10).await.remaining, 0);
    desk.pass(Duration::from_secs(6));
    assert_eq!(desk.take(&bucket, (), 1).await.remaining, 0);
}

#[tokio::test]
async fn the_largest_numbers_are_counted_exactly() {
    let desk = Desk::open().await;
    const MOST: u64 = loomwork_rate_limiter::MAX_AMOUNT;
    let of = Limit::token_bucket("large", MOST, loomwork_rate_limiter::MAX_PERIOD);
    assert_eq!(desk.take(&of, (), MOST).await.remaining, 0);
    desk.waits(&of, (), MOST, loomwork_rate_limiter::MAX_PERIOD.as_millis() as u64).await;
    assert_eq!(desk.reserve(&of, (), MOST).await.wait, loomwork_rate_limiter::MAX_PERIOD);
    assert_eq!(desk.value(&of, ()).await, -(MOST as i64));
    desk.pass(Duration::from_millis(1));
    // A little less than 317 thousand tokens come in a millisecond.
    assert_eq!(desk.value(&of, ()).await, -(MOST as i64) + 316_880);
    for edge in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX] {
        let (bed, clock) = (Bed::new(), loomwork_core::Clock::manual(loomwork_core::Time::from_millis(edge)));
        let desk = Desk::open_over(&bed, clock).await;
        for of in [of, Limit::fixed_window("edge", MOST, loomwork_rate_limiter::MAX_PERIOD)] {
            assert_eq!(desk.take(&of, (), MOST).await.remaining, 0);
            desk.refused(&of, (), 1).await;
        }
    }
}
