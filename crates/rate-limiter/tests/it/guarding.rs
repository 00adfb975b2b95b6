//! The guard of a process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use loomwork_core::{Clock, Kind, Time};
use loomwork_rate_limiter::{Guard, Limit, LimitError, MAX_PERIOD, MINUTE, RateLimited, SECOND};
use proptest::prelude::*;

const START: Time = Time::from_millis(1_700_000_000_000);
const PER_ADDRESS: Limit = Limit::token_bucket("per-address", 10, SECOND).capacity(20);

fn wait(error: &loomwork_store::Error) -> Duration {
    RateLimited::of(error).and_then(RateLimited::retry_after).unwrap_or_else(|| panic!("{error}"))
}

#[test]
fn a_flood_is_stopped_and_each_key_counts_for_itself() {
    let clock = Clock::manual(START);
    let guard = Guard::new(&PER_ADDRESS, &clock.clock()).expect("the limit works");
    for _ in 0..20 {
        guard.take(&"a", 1).expect("there is some left");
    }
    let error = guard.take(&"a", 1).expect_err("it is used up");
    assert_eq!(wait(&error), Duration::from_millis(100));
    assert_eq!(error.to_string(), "limit \"per-address\" has too little left; ask again in 100ms");
    guard.take(&"b", 20).expect("it is another key");
    clock.advance(Duration::from_millis(99));
    guard.take(&"a", 1).expect_err("it is a millisecond early");
    clock.advance(Duration::from_millis(1));
    guard.take(&"a", 1).expect("it was told so");
    guard.take(&"a", 0).expect("nothing is always there");
}

#[test]
fn a_guard_is_shared_by_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&Guard::<u64>::new(&PER_ADDRESS, &Clock::system()).expect("the limit works"));
}

#[test]
fn a_clock_that_is_set_back_locks_nobody_out() {
    let clock = Clock::manual(START);
    let guard = Guard::new(&PER_ADDRESS, &clock.clock()).expect("the limit works");
    guard.take(&1, 20).expect("it is full");
    clock.set(START - Duration::from_secs(3_600));
    guard.take(&1, 1).expect_err("nothing was given away");
    clock.advance(Duration::from_millis(100));
    guard.take(&1, 1).expect("time goes on from there");
}

#[test]
fn threads_that_stand_still_in_between_make_no_time() {
    const MILLIS: u64 = 20_000;
    let clock = Clock::manual(START);
    let of = Limit::token_bucket("threads", 1, Duration::from_millis(1)).capacity(MILLIS);
    let guard = Guard::new(&of, &clock.clock()).expect("the limit works");
    guard.take(&(), MILLIS).expect("it is full");
    let over = AtomicBool::new(false);
    let granted: u64 = std::thread::scope(|scope| {
        let take = || {
            let mut granted = 0;
            // All that there is, and the rest when the clock has come to its end.
            loop {
                let last = over.load(Ordering::SeqCst);
                while guard.take(&(), 1).is_ok() {
                    granted += 1;
                }
                if last {
                    return granted;
                }
            }
        };
        let takers: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        for _ in 0..MILLIS {
            clock.advance(Duration::from_millis(1));
        }
        over.store(true, Ordering::SeqCst);
        takers.into_iter().map(|taker| taker.join().expect("it only takes")).sum()
    });
    assert_eq!(granted, MILLIS, "one came with each millisecond");
}

#[test]
fn keys_that_are_full_again_are_forgotten() {
    let clock = Clock::manual(START);
    let guard = Guard::new(&PER_ADDRESS, &clock.clock()).expect("the limit works");
    for key in 0..20_000_u64 {
        guard.take(&key, 1).expect("each has its own");
        clock.advance(Duration::from_millis(1));
    }
    assert!(guard.keys() < 2_000, "{} keys are remembered", guard.keys());
    // A share of which some is missing is not among them.
    guard.take(&0, 20).expect("it is full");
    clock.advance(SECOND);
    guard.take(&1, 1).expect("it is full");
    assert!(guard.keys() < 10, "{} keys are remembered", guard.keys());
    guard.take(&0, 11).expect_err("ten came in a second");
    guard.take(&0, 10).expect("ten came in a second");
}

#[test]
fn a_flood_of_addresses_is_forgotten() {
    let clock = Clock::manual(START);
    let guard = Guard::new(&PER_ADDRESS, &clock.clock()).expect("the limit works");
    for key in 0..70_000_u64 {
        guard.take(&key, 20).expect("each has its own");
    }
    guard.take(&0, 1).expect_err("it is used up");
    assert_eq!(guard.keys(), 70_000);
    clock.advance(Duration::from_secs(3));
    guard.take(&0, 20).expect("it is full again");
    assert_eq!(guard.keys(), 1);
    guard.take(&0, 1).expect_err("and used up again");
}

#[test]
fn limits_that_do_not_fit_are_refused() {
    let clock = Clock::system();
    let refused = |of: Limit| Guard::<u64>::new(&of, &clock).expect_err("it does not fit");
    for of in [
        Limit::fixed_window("x", 1, SECOND),
        Limit::token_bucket("x", 0, SECOND).capacity(1),
        Limit::token_bucket("x", 1, SECOND).capacity(0),
        Limit::token_bucket("x", 1, SECOND).capacity(1 << 32),
        Limit::token_bucket("x", 1, MAX_PERIOD).capacity(2),
    ] {
        assert!(matches!(refused(of), LimitError::NoGuard { .. }));
    }
    assert!(matches!(refused(Limit::token_bucket("x", 1, Duration::ZERO)), LimitError::BadRules { .. }));
    let guard = Guard::new(&PER_ADDRESS, &clock).expect("the limit works");
    for amount in [21, u64::MAX] {
        let error = guard.take(&1, amount).expect_err("it is beyond the capacity");
        let expected = LimitError::ExceedsCapacity { limit: "per-address".into(), amount, max: 20 };
        assert_eq!((error.downcast_ref(), error.kind()), (Some(&expected), Kind::Invalid));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Never more than the limit says, and hardly less: a token may come a nanosecond late.
    #[test]
    fn a_guard_grants_what_its_limit_says(
        rate in 1..5_000_u64,
        period in 1..100_000_u64,
        capacity in 1..200_u64,
        steps in proptest::collection::vec((0..2_000_u64, 1..50_u64), 1..50),
    ) {
        let of = Limit::token_bucket("any", rate, Duration::from_millis(period)).capacity(capacity);
        let clock = Clock::manual(START);
        let guard = Guard::new(&of, &clock.clock()).expect("the limit works");
        let (mut granted, mut passed) = (0, 0);
        for (millis, amount) in steps {
            clock.advance(Duration::from_millis(millis));
            passed += millis;
            match guard.take(&(), amount) {
                Ok(()) => granted += amount,
                Err(error) if amount > capacity => prop_assert_eq!(error.kind(), Kind::Invalid),
                Err(error) => {
                    let wait = wait(&error);
                    let now = clock.clock().now();
                    clock.set(now + wait - Duration::from_millis(1));
                    prop_assert!(guard.take(&(), amount).is_err());
                    clock.set(now + wait);
                    prop_assert!(guard.take(&(), amount).is_ok());
                    granted += amount;
                    passed += wait.as_millis() as u64;
                }
            }
            let most = capacity + passed * rate / period;
            prop_assert!(granted <= most, "{granted} were granted, {most} at most");
        }
    }
}

#[test]
fn a_window_of_a_guard_is_told_to_be_a_bucket() {
    let of = Limit::fixed_window("x", 1, MINUTE);
    let error = Guard::<u64>::new(&of, &Clock::system()).expect_err("it is a window");
    assert_eq!(
        error.to_string(),
        "limit \"x\" cannot guard a process: it is a fixed window; take a token bucket"
    );
}
