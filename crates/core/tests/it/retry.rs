use std::{cell::Cell, future::Future, pin::pin, time::Duration};

use loomwork_core::{Clock, Fault, Kind, ManualClock, PolicyError, Random, RetryPolicy, Time, retry};
use proptest::prelude::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn delays(policy: &RetryPolicy) -> Vec<Duration> {
    let random = Random::seeded(1);
    (1..policy.attempts).map(|finished| policy.delay(finished, &random)).collect()
}

/// Runs `work` while stepping the clock from timer to timer; returns the time when it ended too.
async fn turn<T>(manual: &ManualClock, work: impl Future<Output = T>) -> (T, Time) {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            output = &mut work => return (output, manual.clock().now()),
            () = manual.timers_waiting(1) => manual.advance_to_next_timer(),
        };
    }
}

/// Retries attempts that fail with these kinds, one after the other, and then succeed.
/// Expects so many calls, and that they take so long.
async fn check(
    policy: RetryPolicy,
    failures: &[Kind],
    calls: u32,
    took: Duration,
) -> Result<u32, (Kind, u32)> {
    let manual = Clock::manual(Time::EPOCH);
    let (clock, random) = (manual.clock(), Random::seeded(1));
    let called = Cell::new(0);
    let work = retry(
        &policy,
        &clock,
        &random,
        |(kind, _)| *kind,
        async |attempt| {
            called.set(attempt);
            failures.get(attempt as usize - 1).map_or(Ok(attempt), |kind| Err((*kind, attempt)))
        },
    );
    let (result, end) = turn(&manual, work).await;
    assert_eq!((called.get(), end.since(Time::EPOCH)), (calls, took));
    result
}

fn steady() -> RetryPolicy {
    RetryPolicy::default().with_jitter(false)
}

#[tokio::test]
async fn success_ends_at_once() {
    assert_eq!(check(steady(), &[], 1, ms(0)).await, Ok(1));
}

#[tokio::test]
async fn each_wait_is_longer_than_the_one_before() {
    let failures = [Kind::Unavailable, Kind::Conflict, Kind::Unavailable, Kind::Unavailable];
    assert_eq!(check(steady(), &failures, 5, ms(250 + 500 + 1000 + 2000)).await, Ok(5));
}

#[tokio::test]
async fn the_last_error_is_returned_when_attempts_run_out() {
    let failures = [Kind::Unavailable, Kind::Conflict, Kind::Unavailable];
    let result = check(steady().with_attempts(2), &failures, 2, ms(250)).await;
    assert_eq!(result, Err((Kind::Conflict, 2)));
}

#[tokio::test]
async fn what_cannot_get_better_is_not_retried() {
    let kinds = [Kind::Invalid, Kind::Denied, Kind::NotFound, Kind::Cancelled, Kind::Corrupt, Kind::Internal];
    for kind in kinds {
        assert_eq!(check(steady(), &[kind], 1, ms(0)).await, Err((kind, 1)));
    }
}

#[tokio::test]
async fn a_limit_is_waited_out_even_beyond_the_ceiling() {
    let limited = [Kind::Limited { wait: ms(90_000) }];
    assert_eq!(check(steady(), &limited, 2, ms(90_000)).await, Ok(2));
}

#[tokio::test]
async fn a_short_limit_does_not_shorten_the_wait() {
    let limited = [Kind::Limited { wait: ms(1) }];
    assert_eq!(check(steady(), &limited, 2, ms(250)).await, Ok(2));
}

#[tokio::test]
async fn one_attempt_is_made_even_if_the_policy_has_none() {
    for policy in [RetryPolicy::none(), steady().with_attempts(0)] {
        let result = check(policy, &[Kind::Unavailable], 1, ms(0)).await;
        assert_eq!(result, Err((Kind::Unavailable, 1)));
    }
}

#[test]
fn waits_stop_growing_at_the_ceiling() {
    let policy = steady().with_attempts(6).with_ceiling(ms(1500));
    assert_eq!(delays(&policy), [250, 500, 1000, 1500, 1500].map(ms));
}

#[test]
fn a_seed_repeats_the_jitter() {
    let policy = RetryPolicy::default();
    assert_eq!(delays(&policy), delays(&policy));
    assert_ne!(delays(&policy), delays(&steady()));
}

#[test]
fn defaults_are_valid_and_documented_as_they_are() {
    let json = r#"{"attempts":5,"initialMs":250,"base":2.0,"jitter":true,"ceilingMs":60000}"#;
    let policy = RetryPolicy::default();
    assert_eq!(policy.validate(), Ok(()));
    assert_eq!(serde_json::to_string(&policy).unwrap(), json);
    assert_eq!(serde_json::from_str::<RetryPolicy>(json).unwrap(), policy);
    assert_eq!(serde_json::from_str::<RetryPolicy>("{}").unwrap(), policy);
}

#[test]
fn a_wrong_policy_names_the_field() {
    let check = |policy: RetryPolicy, message: &str| {
        let error: PolicyError = policy.validate().expect_err("the policy is wrong");
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(error.kind(), Kind::Invalid);
    };
    check(steady().with_attempts(0), "`attempts` 0");
    check(steady().with_base(0.9), "`base` 0.9");
    check(steady().with_base(f64::NAN), "`base` NaN");
    check(steady().with_base(f64::INFINITY), "`base` inf");
    check(steady().with_ceiling(ms(1)), "`ceiling` 1ms");
}

proptest! {
    #[test]
    fn a_wait_is_within_half_of_its_nominal_length(
        initial in 1..10_000_u64, base in 1.0..4.0_f64, finished in 1..12_u32, seed: u64,
    ) {
        let policy = RetryPolicy::default()
            .with_initial(ms(initial)).with_base(base).with_ceiling(Duration::MAX);
        let delay = policy.delay(finished, &Random::seeded(seed)).as_secs_f64();
        let nominal = policy.with_jitter(false).delay(finished, &Random::seeded(seed)).as_secs_f64();
        let rounding = 1e-9;
        prop_assert!(delay >= nominal * 0.5 - rounding && delay <= nominal * 1.5 + rounding);
    }

    #[test]
    fn no_value_is_too_absurd(
        initial: u64, ceiling: u64, base in prop::num::f64::ANY, finished: u32, jitter: bool,
    ) {
        let policy = RetryPolicy { attempts: 1, initial: ms(initial), base, jitter, ceiling: ms(ceiling) };
        prop_assert!(policy.delay(finished, &Random::seeded(1)) <= policy.ceiling);
    }
}
