//! The arithmetic against a model that knows only steps of a millisecond, and the promise about waiting.

use std::time::Duration;

use loomwork_core::Time;
use loomwork_rate_limiter::{Algorithm, Level, Limit, MAX_AMOUNT, Snapshot};
use proptest::prelude::*;

/// Any limit that works: small numbers, usual ones, and the largest.
pub(crate) fn limits() -> impl Strategy<Value = Limit<'static>> {
    let rate = prop_oneof![1..20_u64, 1..100_000_u64, 1..=MAX_AMOUNT];
    let period = prop_oneof![1..50_u64, 1..10_000_000_u64, 1..=3_155_760_000_000_u64];
    let capacity = prop_oneof![0..50_u64, 0..1_000_000_u64, 0..=MAX_AMOUNT];
    let start = prop_oneof![Just(0), -100_000..100_000_i64, any::<i64>()];
    (any::<bool>(), rate, period, prop::option::of(capacity), prop::option::of(start)).prop_map(
        |(bucket, rate, period, capacity, start)| {
            let period = Duration::from_millis(period);
            let limit = if bucket {
                Limit::token_bucket("any", rate, period)
            } else {
                let window = Limit::fixed_window("any", rate, period);
                start.map_or(window, |start| window.starting_at(Time::from_millis(start)))
            };
            capacity.map_or(limit, |capacity| limit.capacity(capacity))
        },
    )
}

fn snapshots() -> impl Strategy<Value = Snapshot> {
    let value = prop_oneof![-50..50_i64, -1_000_000..1_000_000_i64, -(MAX_AMOUNT as i64)..=MAX_AMOUNT as i64];
    (limits(), value, any::<u64>(), -1_000_000..1_000_000_i64).prop_map(|(limit, value, part, at)| {
        let rules = limit.rules("ada").expect("the limit works");
        let level =
            Level { value, part: part % rules.period().as_millis() as u64, at: Time::from_millis(at) };
        Snapshot { name: "any".into(), rules, level }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn whoever_waits_as_told_is_granted_and_a_millisecond_earlier_is_not(
        snapshot in snapshots(),
        // The balance may be ahead of the clock, too.
        now in -3_000_000..3_000_000_i64,
        amount in prop_oneof![0..60_u64, 0..1_000_000_u64, 0..=MAX_AMOUNT],
    ) {
        let now = Time::from_millis(now);
        let prediction = snapshot.predict(now, amount);
        prop_assert_eq!(prediction.ok, prediction.value >= 0);
        if let Some(retry_at) = prediction.retry_at {
            prop_assert!(!prediction.ok && retry_at > now);
            prop_assert!(snapshot.predict(retry_at, amount).ok);
            prop_assert!(!snapshot.predict(retry_at - Duration::from_millis(1), amount).ok);
        } else if !prediction.ok {
            let beyond = amount > snapshot.rules.capacity();
            prop_assert!(beyond || !snapshot.predict(Time::MAX, amount).ok);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn two_steps_forward_are_one(snapshot in snapshots(), one in 0..3_000_000_i64, two in 0..3_000_000_i64) {
        let (first, second) = (one.min(two), one.max(two));
        let (first, second) = (Time::from_millis(first), Time::from_millis(second));
        let rules = snapshot.rules;
        let stepped = rules.forward(rules.forward(snapshot.level, first), second);
        prop_assert_eq!(stepped, rules.forward(snapshot.level, second));
        prop_assert!(stepped.value <= rules.capacity() as i64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn growth_is_that_of_counting_milliseconds(
        bucket in any::<bool>(),
        rate in 0..12_u64,
        period in 1..40_u64,
        capacity in 0..30_u64,
        start in -100..100_i64,
        (value, part) in (-40..30_i64, 0..40_u64),
        at in -50..50_i64,
    ) {
        let limit = if bucket {
            Limit::token_bucket("small", rate, Duration::from_millis(period))
        } else {
            Limit::fixed_window("small", rate, Duration::from_millis(period)).starting_at(Time::from_millis(start))
        };
        let rules = limit.capacity(capacity).rules(&()).expect("the limit works");
        let level = Level { value, part: part % period, at: Time::from_millis(at) };

        // In units of 1/period of a token.
        let mut units = (value * period as i64 + (part % period) as i64).min((capacity * period) as i64);
        for now in at..at + 200 {
            let grows = match rules.algorithm() {
                Algorithm::TokenBucket => rate as i64,
                Algorithm::FixedWindow if (now - start).rem_euclid(period as i64) == 0 => (rate * period) as i64,
                Algorithm::FixedWindow => 0,
            };
            if now > at {
                units = (units + grows).min((capacity * period) as i64);
            }
            let seen = rules.forward(level, Time::from_millis(now));
            prop_assert_eq!(seen.value, units.div_euclid(period as i64));
            prop_assert_eq!(seen.part as i64, units.rem_euclid(period as i64));
        }
    }
}
