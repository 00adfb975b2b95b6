//! The limits of a chat, from the question to the bill.

use std::time::Duration;

use loomwork_core::Kind;
use loomwork_rate_limiter::{
    HoldId, Limit, LimitError, MINUTE, Settlement, Weight, check_all, estimated_tokens, hold, limit_all,
    reserve, settle, weighted,
};
use loomwork_store::{Result, Table, Tx};
use serde::{Deserialize, Serialize};

use super::desk::{Desk, START, refusal};

const SEND_MESSAGE: Limit =
    Limit::fixed_window("send-message", 1, Duration::from_secs(5)).capacity(2).starting_at(START);
const SEND_GLOBAL: Limit = Limit::token_bucket("send-global", 1_000, MINUTE);
const TOKENS: Limit = Limit::token_bucket("tokens", 2_000, MINUTE).capacity(10_000);
const TOKENS_GLOBAL: Limit = Limit::token_bucket("tokens-global", 100_000, MINUTE);
const TERM: Duration = Duration::from_secs(600);

/// What is asked before anything is generated: nothing of it is taken unless all of it is there.
fn admit(tx: &mut Tx, user: &str, question: &str, latest: Option<u64>) -> Result<HoldId> {
    limit_all(tx, &[SEND_MESSAGE.ask(user, 1), SEND_GLOBAL.ask(&(), 1)])?;
    let estimate = estimated_tokens(question, latest);
    Ok(hold(tx, &[TOKENS.ask(user, estimate), TOKENS_GLOBAL.ask(&(), estimate)], TERM)?.id)
}

#[tokio::test]
async fn an_estimate_is_held_and_the_usage_is_booked() {
    let desk = Desk::open().await;
    let question = "q".repeat(400);
    let asked = question.clone();
    let of = desk.commit(move |tx| admit(tx, "ada", &asked, None)).await;
    assert_eq!(desk.value(&TOKENS, "ada").await, 10_000 - 402);
    assert_eq!(desk.value(&TOKENS_GLOBAL, ()).await, 100_000 - 402);

    // The usage is booked in one transaction with the answer, and a repeated report changes nothing.
    for expected in [Settlement::Booked, Settlement::Repeated] {
        assert_eq!(desk.commit(move |tx| settle(tx, of, &[11_000, 11_000])).await, expected);
        assert_eq!(desk.value(&TOKENS, "ada").await, -1_000);
    }
    // The debt stands in the way of the next question until it is paid back, and the client can say how long.
    desk.pass(Duration::from_secs(5));
    let asked = question.clone();
    let refusal = refusal(&desk.fail(move |tx| admit(tx, "ada", &asked, Some(598))).await);
    // 1,000 are owed, 1,000 are wanted, and 5 seconds have brought 166 and two thirds.
    assert_eq!((refusal.limit(), refusal.retry_after()), ("tokens", Some(Duration::from_millis(54_970))));
    // The refused question took no message from the user either.
    assert_eq!(desk.value(&SEND_MESSAGE, "ada").await, 2);
}

#[tokio::test]
async fn messages_are_limited_per_user_and_in_all() {
    let desk = Desk::open().await;
    for _ in 0..2 {
        desk.commit(|tx| admit(tx, "ada", "hi", None)).await;
    }
    let error = desk.fail(|tx| admit(tx, "ada", "hi", None)).await;
    assert_eq!(
        (refusal(&error).limit(), error.kind()),
        ("send-message", Kind::Limited { wait: Duration::from_secs(5) })
    );
    desk.commit(|tx| admit(tx, "bob", "hi", None)).await;
    assert_eq!(desk.value(&SEND_GLOBAL, ()).await, 997);
}

#[tokio::test]
async fn the_two_ends_can_be_apart_as_well() {
    let desk = Desk::open().await;
    // Before: only looked at.
    let looks = |estimate| {
        move |tx: &Tx| check_all(tx, &[TOKENS.ask("ada", estimate), TOKENS_GLOBAL.ask(&(), estimate)])
    };
    desk.read(looks(402)).await;
    assert_eq!(desk.rows(&TOKENS).await, []);
    // More than can ever be there is said at once, instead of a wait that does not help.
    let error = desk.store.query(looks(10_001)).await.expect_err("it is beyond the capacity");
    let expected = LimitError::ExceedsCapacity { limit: "tokens".into(), amount: 10_001, max: 10_000 };
    assert_eq!(error.downcast_ref(), Some(&expected));
    // After each call of the model: taken whether it is there or not.
    for total in [8_000, 4_000] {
        desk.commit(move |tx| {
            reserve(tx, &TOKENS, "ada", total)?;
            reserve(tx, &TOKENS_GLOBAL, &(), total).map(drop)
        })
        .await;
    }
    desk.waits(&TOKENS, "ada", 0, 60_000).await;
    let error = desk.store.query(looks(402)).await.expect_err("the debt is in the way");
    assert_eq!(error.kind(), Kind::Limited { wait: Duration::from_millis(72_060) });
}

#[tokio::test]
async fn kinds_of_tokens_weigh_differently() {
    let desk = Desk::open().await;
    let cost = weighted([(1_000, Weight::ONE), (3_000, Weight::thousandths(100)), (500, Weight::FREE)]);
    let of = desk.commit(move |tx| hold(tx, &[TOKENS.ask("ada", 5_000)], TERM)).await.id;
    desk.commit(move |tx| settle(tx, of, &[cost])).await;
    assert_eq!(desk.value(&TOKENS, "ada").await, 10_000 - 1_300);
}

/// A file that waits to be taken in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "uploads", id = "upload")]
struct Upload {
    bytes: u64,
}

#[tokio::test]
async fn ids_are_keys_and_uploads_are_limited_by_bytes() {
    let desk = Desk::open().await;
    const BYTES: Limit = Limit::token_bucket("upload-bytes", 1_000_000, MINUTE).capacity(5_000_000);
    let of = loomwork_store::Id::<Upload>::from_raw(loomwork_core::RawId::from_bytes([7; 16]));
    desk.take(&BYTES, of, 4_000_000).await;
    let refusal = desk.refused(&BYTES, of, 4_000_000).await;
    assert_eq!(refusal.refused[0].key, Some(of.to_string()));
    assert_eq!(refusal.retry_after(), Some(3 * MINUTE));
}
