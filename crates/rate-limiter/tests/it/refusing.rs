//! Requests and limits that make no sense.

use std::time::Duration;

use loomwork_core::{Fault, Kind};
use loomwork_rate_limiter::{
    Granted, Limit, LimitError, MAX_AMOUNT, MAX_PERIOD, MAX_TEXT_BYTES, MINUTE, RulesError, SECOND, check,
    credit, limit, reserve, reset, reset_all, status, value,
};
use loomwork_store::{Error, Result, Tx};

use super::desk::{Desk, START};

const BUCKET: Limit = Limit::token_bucket("bucket", 10, MINUTE);

fn fault(error: &Error) -> LimitError {
    error.downcast_ref::<LimitError>().unwrap_or_else(|| panic!("{error}")).clone()
}

#[tokio::test]
async fn more_than_can_ever_be_granted_is_refused_for_good() {
    let desk = Desk::open().await;
    for of in [BUCKET, Limit::fixed_window("window", 10, MINUTE)] {
        let limit_name = of.name().to_owned();
        let ways: [fn(&mut Tx, &Limit) -> Result<Granted>; 2] =
            [|tx, of| limit(tx, of, "ada", 11), |tx, of| check(tx, of, "ada", 11)];
        for way in ways {
            let error = desk.fail(move |tx| way(tx, &of)).await;
            let expected = LimitError::ExceedsCapacity { limit: limit_name.clone(), amount: 11, max: 10 };
            assert_eq!(fault(&error), expected);
            assert_eq!(error.kind(), Kind::Invalid, "it is not retryable");
        }
        // With a largest debt, that may be owed beside the capacity.
        let of = of.capacity(1).max_debt(2);
        let error = desk.fail(move |tx| reserve(tx, &of, "ada", 4)).await;
        assert_eq!(fault(&error), LimitError::ExceedsCapacity { limit: limit_name, amount: 4, max: 3 });
        assert_eq!(desk.rows(&of).await, []);
    }
}

#[tokio::test]
async fn a_capacity_of_zero_grants_nothing_but_zero() {
    let desk = Desk::open().await;
    let of = BUCKET.capacity(0);
    desk.take(&of, (), 0).await;
    let error = desk.fail(move |tx| limit(tx, &of, &(), 1)).await;
    assert_eq!(fault(&error), LimitError::ExceedsCapacity { limit: "bucket".into(), amount: 1, max: 0 });
}

#[tokio::test]
async fn a_rate_of_zero_never_refills_and_says_so() {
    let desk = Desk::open().await;
    for of in [Limit::token_bucket("b", 0, MINUTE), Limit::fixed_window("w", 0, MINUTE)] {
        let of = of.capacity(3);
        assert_eq!(desk.take(&of, (), 2).await.full_at, None);
        let refusal = desk.refused(&of, (), 2).await;
        assert_eq!((refusal.retry_after(), refusal.kind()), (None, Kind::Denied));
        assert!(refusal.to_string().contains("waiting will not help"));
        // What is owed would never be paid back.
        let error = desk.fail(move |tx| reserve(tx, &of, &(), 2)).await;
        assert_eq!(error.kind(), Kind::Denied);
    }
}

#[tokio::test]
async fn limits_that_cannot_work_are_refused_wherever_they_are_used() {
    let desk = Desk::open().await;
    let bad = [
        (Limit::token_bucket("x", 1, Duration::ZERO), RulesError::NotWholeMillis { period: Duration::ZERO }),
        (
            Limit::fixed_window("x", 1, Duration::from_micros(1_500)),
            RulesError::NotWholeMillis { period: Duration::from_micros(1_500) },
        ),
        (Limit::token_bucket("x", 1, Duration::MAX), RulesError::PeriodTooLong { period: Duration::MAX }),
        (
            Limit::token_bucket("x", 1, MAX_PERIOD + Duration::from_millis(1)),
            RulesError::PeriodTooLong { period: MAX_PERIOD + Duration::from_millis(1) },
        ),
        (Limit::token_bucket("x", u64::MAX, MINUTE), RulesError::TooMany { what: "rate", tokens: u64::MAX }),
        (
            Limit::token_bucket("x", 1, MINUTE).capacity(MAX_AMOUNT + 1),
            RulesError::TooMany { what: "capacity", tokens: MAX_AMOUNT + 1 },
        ),
        (
            Limit::token_bucket("x", 1, MINUTE).max_debt(u64::MAX),
            RulesError::TooMany { what: "largest debt", tokens: u64::MAX },
        ),
        (Limit::token_bucket("x", 1, MINUTE).starting_at(START), RulesError::BucketWithStart),
    ];
    for (of, source) in bad {
        let expected = LimitError::BadRules { limit: "x".into(), source };
        assert_eq!(of.rules("ada"), Err(expected.clone()));
        let calls: [fn(&mut Tx, &Limit) -> Result<()>; 9] = [
            |tx, of| limit(tx, of, "ada", 1).map(drop),
            |tx, of| limit(tx, of, "ada", 0).map(drop),
            |tx, of| check(tx, of, "ada", 1).map(drop),
            |tx, of| reserve(tx, of, "ada", 1).map(drop),
            |tx, of| credit(tx, of, "ada", 1),
            |tx, of| reset(tx, of, "ada"),
            |tx, of| value(tx, of, "ada").map(drop),
            |tx, of| status(tx, of, "ada", 1).map(drop),
            |tx, of| loomwork_rate_limiter::hold(tx, &[of.ask("ada", 1)], MINUTE).map(drop),
        ];
        for call in calls {
            assert_eq!(fault(&desk.fail(move |tx| call(tx, &of)).await), expected);
        }
    }
}

#[tokio::test]
async fn names_and_keys_have_a_length() {
    let desk = Desk::open().await;
    let long = "x".repeat(MAX_TEXT_BYTES + 1);
    for (name, bytes) in [(String::new(), 0), (long.clone(), 201)] {
        assert_eq!(Limit::token_bucket(&name, 1, MINUTE).rules("ada"), Err(LimitError::BadName { bytes }));
        let error = desk.fail(move |tx| reset_all(tx, &Limit::token_bucket(&name, 1, MINUTE))).await;
        assert_eq!(fault(&error), LimitError::BadName { bytes });
    }
    for (key, bytes) in [(String::new(), 0), (long, 201)] {
        let error = desk.fail(move |tx| limit(tx, &BUCKET, &key, 1)).await;
        assert_eq!(fault(&error), LimitError::BadKey { limit: "bucket".into(), bytes });
    }
    let longest = || ("ü".repeat(100), "\0".repeat(200));
    desk.commit(move |tx| limit(tx, &Limit::token_bucket(&longest().0, 1, MINUTE), &longest().1, 1)).await;
}

#[tokio::test]
async fn amounts_beyond_what_is_counted_are_refused() {
    let desk = Desk::open().await;
    for amount in [MAX_AMOUNT + 1, u64::MAX] {
        let expected = LimitError::AmountTooLarge { what: "bucket".into(), amount };
        assert_eq!(fault(&desk.fail(move |tx| credit(tx, &BUCKET, "ada", amount)).await), expected);
        assert_eq!(fault(&desk.fail(move |tx| status(tx, &BUCKET, "ada", amount)).await), expected);
        let error = desk.fail(move |tx| reserve(tx, &BUCKET, "ada", amount)).await;
        assert_eq!(error.kind(), Kind::Invalid);
    }
    // A debt that would be deeper than what is counted is refused until it is not.
    let fast = Limit::token_bucket("fast", MAX_AMOUNT, SECOND).capacity(10);
    desk.reserve(&fast, "ada", MAX_AMOUNT).await;
    let error = desk.fail(move |tx| reserve(tx, &fast, "ada", 11)).await;
    assert_eq!(error.kind(), Kind::Limited { wait: Duration::from_millis(1) });
}

#[test]
fn errors_say_what_is_wrong_and_what_would_be_right() {
    let error = Limit::token_bucket("mail", 1, Duration::ZERO).rules(&()).expect_err("it has no period");
    assert_eq!(error.to_string(), "limit \"mail\" cannot work");
    let source = std::error::Error::source(&error).expect("it says why").to_string();
    assert_eq!(source, "its period is 0ns; it must be whole milliseconds, at least one");
    let error = LimitError::ExceedsCapacity { limit: "mail".into(), amount: 12, max: 10 };
    assert_eq!(
        error.to_string(),
        "limit \"mail\" can grant 10 at most, and 12 were asked for; ask for less at once"
    );
    assert_eq!(
        LimitError::AskedTwice { limit: "mail".into() }.to_string(),
        "one call asks for the same share of limit \"mail\" in two ways: by other rules, or only once with the right \
         to owe; ask once, for the sum"
    );
}
