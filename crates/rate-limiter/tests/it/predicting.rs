//! Predictions, without a store.

use std::time::Duration;

use loomwork_core::Time;
use loomwork_rate_limiter::{ClockOffset, Level, Limit, MINUTE, Prediction, Rules, SECOND, Snapshot};

const NOW: Time = Time::from_millis(1_700_000_040_000);

fn snapshot(of: &Limit, value: i64) -> Snapshot {
    Snapshot {
        name: of.name().to_owned(),
        rules: of.rules(&()).expect("the limit works"),
        level: Level { value, part: 0, at: NOW },
    }
}

#[test]
fn a_value_grows_over_time_until_it_is_full() {
    let snapshot = snapshot(&Limit::token_bucket("b", 10, SECOND), 0);
    let value = |millis| snapshot.predict(NOW + Duration::from_millis(millis), 0).value;
    assert_eq!([0, 99, 100, 550, 1_000, 60_000].map(value), [0, 0, 1, 5, 10, 10]);
}

#[test]
fn a_window_says_when_the_next_one_begins() {
    let of = Limit::fixed_window("w", 2, MINUTE).starting_at(NOW);
    let prediction = snapshot(&of, 0).predict(NOW + Duration::from_secs(59), 1);
    let expected =
        Prediction { ok: false, retry_at: Some(NOW + MINUTE), value: -1, paid_at: Some(NOW + MINUTE) };
    assert_eq!(prediction, expected);
}

#[test]
fn what_can_never_be_granted_has_no_time() {
    let prediction = snapshot(&Limit::token_bucket("b", 10, SECOND), 10).predict(NOW, 11);
    assert_eq!((prediction.ok, prediction.retry_at), (false, None));
    assert_eq!(prediction.paid_at, Some(NOW + Duration::from_millis(100)), "if it were owed");
    let prediction = snapshot(&Limit::token_bucket("b", 0, SECOND).capacity(9), 1).predict(NOW, 2);
    assert_eq!((prediction.ok, prediction.retry_at, prediction.paid_at), (false, None, None));
}

#[test]
fn windows_begin_at_multiples_of_the_period_before_and_after_their_start() {
    let later = NOW + 100 * MINUTE + Duration::from_secs(7);
    let of = Limit::fixed_window("w", 2, MINUTE).starting_at(later);
    // A start that is still to come closes nothing.
    let rules = of.rules(&()).expect("the limit works");
    let fresh = rules.fresh(NOW);
    assert_eq!((fresh.value, fresh.at), (2, NOW + Duration::from_secs(7) - MINUTE));
    let zero =
        Limit::fixed_window("w", 2, MINUTE).starting_at(Time::EPOCH).rules(&()).expect("the limit works");
    assert_eq!(zero.fresh(NOW + Duration::from_secs(20)).at, NOW);
    assert_eq!(zero.fresh(Time::from_millis(-1)).at, Time::from_millis(-60_000));
}

#[test]
fn a_window_that_names_no_start_has_one_by_name_and_key() {
    let of = Limit::fixed_window("w", 2, MINUTE);
    let at = |key: &str| of.rules(key).expect("the limit works").fresh(NOW).at;
    assert_eq!(at("ada"), at("ada"));
    // It is stored with each balance, so it must never become another.
    assert_eq!([at("ada"), at("bob")].map(|at| NOW.since(at).as_millis()), [28_014, 12_115]);
}

#[test]
fn a_client_may_be_ahead_or_behind() {
    let client = |millis| Time::from_millis(NOW.millis() + millis);
    for ahead in [-3_600_000, -5_000, -1, 0, 1, 5_000, 3_600_000] {
        let offset = ClockOffset::measured(client(0), client(ahead + 50), client(100));
        assert_eq!(offset.to_server(client(7)), client(ahead + 7));
        assert_eq!(offset.to_client(client(ahead + 7)), client(7));
    }
    // Nonsense stays in bounds.
    let offset = ClockOffset::measured(Time::MIN, Time::MAX, Time::MIN);
    assert_eq!(offset.to_server(Time::MAX), Time::MAX);
    assert_eq!(offset.to_client(Time::MIN), Time::MIN);
}

#[test]
fn a_snapshot_from_outside_is_checked_and_cannot_break_anything() {
    let rules = |period: u64, rate: u64| {
        let text = format!(
            r#"{{"algorithm":"fixedWindow","rate":{rate},"periodMs":{period},"capacity":1,"start":{}}}"#,
            i64::MIN
        );
        serde_json::from_str::<Rules>(&text)
    };
    assert!(rules(0, 1).is_err() && rules(u64::MAX, 1).is_err() && rules(1, u64::MAX).is_err());
    let rules = rules(3_155_760_000_000, 1_000_000_000_000_000_000).expect("these are the largest");
    for value in [i64::MIN, -1, 0, i64::MAX] {
        for at in [Time::MIN, Time::EPOCH, Time::MAX] {
            for now in [Time::MIN, Time::EPOCH, Time::MAX] {
                for amount in [0, 1, u64::MAX] {
                    let level = Level { value, part: u64::MAX, at };
                    let prediction = Snapshot { name: "x".into(), rules, level }.predict(now, amount);
                    assert_eq!(prediction.ok, prediction.value >= 0);
                }
            }
        }
    }
}
