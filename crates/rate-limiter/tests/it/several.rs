//! Several limits at once: all or none.

use std::time::Duration;

use loomwork_core::Kind;
use loomwork_rate_limiter::{Limit, LimitError, MINUTE, SECOND, check_all, limit, limit_all};
use loomwork_store::{Error, Tx};

use super::desk::{Desk, both, refusal};

const USER: Limit = Limit::token_bucket("user", 2, MINUTE);
const TEAM: Limit = Limit::token_bucket("team", 3, SECOND);
const GLOBAL: Limit = Limit::fixed_window("global", 100, MINUTE);

#[tokio::test]
async fn all_are_taken_from_in_the_order_of_the_requests() {
    let desk = Desk::open().await;
    let granted =
        desk.commit(|tx| limit_all(tx, &[GLOBAL.ask(&(), 5), USER.ask("ada", 1), TEAM.ask("red", 3)])).await;
    let left: Vec<_> = granted.iter().map(|granted| (granted.remaining, granted.capacity)).collect();
    assert_eq!(left, [(95, 100), (1, 2), (0, 3)]);
}

#[tokio::test]
async fn one_refusal_takes_from_none_and_each_that_refused_is_named() {
    let desk = Desk::open().await;
    desk.take(&USER, "ada", 2).await;
    desk.take(&TEAM, "red", 3).await;
    let asks = |tx: &mut Tx| {
        let refused = limit_all(tx, &[GLOBAL.ask(&(), 5), TEAM.ask("red", 1), USER.ask("ada", 1)]);
        // Even where the mutation commits, outside of any error handling.
        Ok(refused.expect_err("two of them are used up"))
    };
    let refusal = refusal(&desk.commit(asks).await);
    let names: Vec<_> = refusal.refused.iter().map(|refusal| refusal.limit.as_str()).collect();
    assert_eq!(names, ["team", "user"]);
    assert_eq!(refusal.refused[0].key.as_deref(), Some("red"));
    assert_eq!(refusal.refused[0].retry_after, Some(Duration::from_millis(334)));
    // The longest wait is that of the whole request.
    assert_eq!((refusal.limit(), refusal.retry_after()), ("user", Some(Duration::from_secs(30))));
    assert_eq!(desk.rows(&GLOBAL).await, []);
    desk.pass(Duration::from_millis(29_999));
    desk.fail(|tx| both(tx, [TEAM.ask("red", 1), USER.ask("ada", 1)])).await;
    desk.pass(Duration::from_millis(1));
    desk.commit(|tx| both(tx, [TEAM.ask("red", 1), USER.ask("ada", 1)])).await;
}

#[tokio::test]
async fn a_mutation_that_fails_behind_them_takes_from_none() {
    let desk = Desk::open().await;
    desk.fail(move |tx| -> loomwork_store::Result<()> {
        limit_all(tx, &[GLOBAL.ask(&(), 1), USER.ask("ada", 1), TEAM.ask("red", 1)])?;
        Err(Error::message(Kind::Internal, "something else went wrong"))
    })
    .await;
    for of in [GLOBAL, USER, TEAM] {
        assert_eq!(desk.rows(&of).await, []);
    }
}

#[tokio::test]
async fn requests_for_one_share_are_added_up() {
    let desk = Desk::open().await;
    let twice =
        |first, second| move |tx: &mut Tx| limit_all(tx, &[USER.ask("ada", first), USER.ask("ada", second)]);
    let granted = desk.commit(twice(1, 1)).await;
    assert_eq!(granted.iter().map(|granted| granted.remaining).collect::<Vec<_>>(), [0, 0]);
    assert_eq!(refusal(&desk.fail(twice(1, 1)).await).retry_after(), Some(MINUTE));
    // Together they are more than can ever be granted, although each is not.
    let error = desk.fail(twice(2, 1)).await;
    let expected = LimitError::ExceedsCapacity { limit: "user".into(), amount: 3, max: 2 };
    assert_eq!(error.downcast_ref(), Some(&expected));
    let error = desk.fail(twice(u64::MAX, u64::MAX)).await;
    assert_eq!(error.kind(), Kind::Invalid);
}

#[tokio::test]
async fn one_share_cannot_be_asked_for_under_two_rules() {
    let desk = Desk::open().await;
    let expected = LimitError::AskedTwice { limit: "user".into() };
    let larger = USER.capacity(5);
    let error = desk.fail(move |tx| limit_all(tx, &[USER.ask("ada", 1), larger.ask("ada", 1)])).await;
    assert_eq!(error.downcast_ref(), Some(&expected));
    let error = desk.fail(|tx| limit_all(tx, &[USER.ask("ada", 1), USER.ask("ada", 1).or_owe()])).await;
    assert_eq!(error.downcast_ref(), Some(&expected));
}

#[tokio::test]
async fn some_may_owe_beside_others_that_may_not() {
    let desk = Desk::open().await;
    desk.take(&USER, "ada", 2).await;
    let granted = desk.commit(|tx| limit_all(tx, &[TEAM.ask("red", 1), USER.ask("ada", 2).or_owe()])).await;
    assert_eq!(granted[0].wait, Duration::ZERO);
    assert_eq!(granted[1].wait, MINUTE);
}

#[tokio::test]
async fn nothing_asked_is_nothing_taken() {
    let desk = Desk::open().await;
    assert_eq!(desk.commit(|tx| limit_all(tx, &[])).await, []);
    assert_eq!(desk.read(|tx| check_all(tx, &[])).await, []);
}

#[tokio::test]
async fn a_tier_is_a_changed_copy_over_the_same_balance() {
    let desk = Desk::open().await;
    let tier = |plan: &str| if plan == "large" { USER.capacity(10) } else { USER };
    let (large, small) = (tier("large"), tier("small"));
    desk.take(&large, "ada", 7).await;
    desk.commit(move |tx| limit(tx, &small, "ada", 2)).await;
    desk.refused(&USER, "ada", 1).await;
}
