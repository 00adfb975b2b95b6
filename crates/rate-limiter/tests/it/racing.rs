//! Many callers over one key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use loomwork_core::Kind;
use loomwork_rate_limiter::{Limit, MINUTE, SECOND, hold, limit, limit_all, settle};

use super::desk::Desk;

const CALLERS: u64 = 16;

/// Has all callers ask until they are refused, and returns how much was granted.
async fn ask_until_refused(desk: &Desk, of: &Limit<'static>) -> u64 {
    let granted = Arc::new(AtomicU64::new(0));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let (store, of, granted) = (desk.store.clone(), *of, granted.clone());
        callers.spawn(async move {
            let amount = 1 + caller % 2;
            loop {
                match store.mutate(move |tx| limit(tx, &of, "hot", amount)).await {
                    Ok(_) => granted.fetch_add(amount, Ordering::Relaxed),
                    Err(error) if matches!(error.kind(), Kind::Limited { .. }) => return,
                    Err(error) => panic!("{error}"),
                };
            }
        });
    }
    callers.join_all().await;
    granted.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_get_exactly_what_there_is_minute_long() {
    let desk = Desk::open().await;
    let of = Limit::token_bucket("hot", 7, SECOND).capacity(50);
    let mut granted = 0;
    for second in 0..=60 {
        granted += ask_until_refused(&desk, &of).await;
        // Whoever wants one asks until there is none, so nothing is left over.
        assert_eq!(granted, 50 + 7 * second);
        desk.pass(SECOND);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_gives_its_rate_and_what_is_left_over() {
    let desk = Desk::open().await;
    let of = Limit::fixed_window("hot", 20, MINUTE).capacity(30).starting_at(super::desk::START);
    for expected in [30, 20, 20] {
        assert_eq!(ask_until_refused(&desk, &of).await, expected);
        desk.pass(MINUTE);
    }
    desk.pass(10 * MINUTE);
    assert_eq!(ask_until_refused(&desk, &of).await, 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_limits_are_never_taken_from_apart() {
    let desk = Desk::open().await;
    const USER: Limit = Limit::token_bucket("user", 5, MINUTE);
    const GLOBAL: Limit = Limit::token_bucket("global", 40, MINUTE);
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let store = desk.store.clone();
        callers.spawn(async move {
            let mut granted = 0;
            for _ in 0..8 {
                let asked =
                    store.mutate(move |tx| limit_all(tx, &[USER.ask(&caller, 1), GLOBAL.ask(&(), 1)]));
                granted += u64::from(asked.await.is_ok());
            }
            granted
        });
    }
    let granted: u64 = callers.join_all().await.into_iter().sum();
    assert_eq!(granted, 40);
    assert_eq!(desk.value(&GLOBAL, ()).await, 0);
    let left: i64 = {
        let mut left = 0;
        for caller in 0..CALLERS {
            left += desk.value(&USER, caller).await;
        }
        left
    };
    assert_eq!(left, 16 * 5 - 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_in_flight_are_never_beyond_the_limit() {
    let desk = Desk::open().await;
    const SLOTS: Limit = Limit::token_bucket("slots", 0, SECOND).capacity(10);
    let in_flight = Arc::new(AtomicU64::new(0));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (store, in_flight) = (desk.store.clone(), in_flight.clone());
        callers.spawn(async move {
            let mut admitted = 0;
            for _ in 0..10 {
                let Ok(held) = store.mutate(|tx| hold(tx, &[SLOTS.ask(&(), 2)], MINUTE)).await else {
                    continue;
                };
                admitted += 1;
                assert!(in_flight.fetch_add(2, Ordering::SeqCst) + 2 <= 10);
                tokio::task::yield_now().await;
                in_flight.fetch_sub(2, Ordering::SeqCst);
                store.mutate(move |tx| settle(tx, held.id, &[0])).await.expect("it is settled");
            }
            admitted
        });
    }
    let admitted: u64 = callers.join_all().await.into_iter().sum();
    assert!(admitted >= 10);
    assert_eq!(desk.value(&SLOTS, ()).await, 10);
}
