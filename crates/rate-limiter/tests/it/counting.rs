//! Costs, and header fields.

use std::time::Duration;

use loomwork_core::Time;
use loomwork_rate_limiter::{Granted, Limit, MINUTE, Weight, estimated_tokens, http, weighted};

#[test]
fn an_estimate_counts_question_answer_and_what_came_before() {
    assert_eq!(estimated_tokens("", None), 2);
    assert_eq!(estimated_tokens("four", Some(100)), 105);
    assert_eq!(estimated_tokens("äöü", None), 5, "characters, not bytes");
    assert_eq!(estimated_tokens("x", Some(u64::MAX)), u64::MAX);
}

#[test]
fn weights_are_added_up_exactly_and_rounded_up_once() {
    assert_eq!(weighted([]), 0);
    assert_eq!(weighted([(3, Weight::thousandths(333)), (1, Weight::thousandths(1))]), 1);
    assert_eq!(weighted([(3, Weight::thousandths(333)), (1, Weight::thousandths(2))]), 2);
    assert_eq!(weighted([(1_000_000, Weight::FREE), (7, Weight::ONE)]), 7);
    assert_eq!(weighted([(u64::MAX, Weight::thousandths(u32::MAX)); 3]), u64::MAX);
}

#[test]
fn header_fields_round_up_to_seconds() {
    let waits = [0, 1, 999, 1_000, 1_001].map(|millis| http::retry_after(Duration::from_millis(millis)));
    assert_eq!(waits, ["0", "1", "1", "1", "2"]);
    let of = Limit::token_bucket("send \"a\" é", 10, MINUTE);
    assert_eq!(http::policy(&of, &()).expect("the limit works"), r#""send \"a\" ?";q=10;w=60"#);
    let now = Time::EPOCH;
    let granted = Granted {
        remaining: 4,
        capacity: 10,
        wait: Duration::ZERO,
        full_at: Some(now + Duration::from_millis(30_001)),
    };
    assert_eq!(http::rate_limit(&of, &granted, now), r#""send \"a\" ?";r=4;t=31"#);
    assert_eq!(http::rate_limit(&of, &Granted { full_at: None, ..granted }, now), r#""send \"a\" ?";r=4"#);
}
