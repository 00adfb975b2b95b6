//! What clients see.

use std::time::Duration;

use loomwork_core::Time;
use loomwork_rate_limiter::{ClockOffset, Limit, MINUTE, Status, limit, status};
use loomwork_store::Watch;
use loomwork_testkit::soon;

use super::desk::{Desk, START};

const SEND: Limit = Limit::fixed_window("send", 2, MINUTE).starting_at(START);

async fn next(watch: &mut Watch<Status>) -> Status {
    soon(watch.next()).await.expect("the store is open").expect("it can be read")
}

#[tokio::test]
async fn an_unused_limit_is_full() {
    let desk = Desk::open().await;
    let status = desk.read(|tx| status(tx, &SEND, "ada", 1)).await;
    assert_eq!((status.ok, status.retry_at, status.value), (true, None, 2));
    assert_eq!((status.snapshot.name.as_str(), status.snapshot.rules.capacity()), ("send", 2));
    let of = Limit::token_bucket("value", 10, MINUTE);
    assert_eq!(desk.value(&of, ()).await, 10);
    desk.take(&of, (), 4).await;
    assert_eq!(desk.value(&of, ()).await, 6);
}

#[tokio::test]
async fn a_refused_amount_is_no_error_and_says_when() {
    let desk = Desk::open().await;
    desk.take(&SEND, "ada", 2).await;
    desk.pass(Duration::from_secs(20));
    let now = desk.read(|tx| status(tx, &SEND, "ada", 1)).await;
    assert_eq!((now.ok, now.retry_at, now.value), (false, Some(START + MINUTE), 0));
    // Never, where waiting does not help.
    let beyond = desk.read(|tx| status(tx, &SEND, "ada", 3)).await;
    assert_eq!((beyond.ok, beyond.retry_at), (false, None));
}

#[tokio::test]
async fn every_tab_hears_of_it_and_counts_down_by_itself() {
    let desk = Desk::open().await;
    let tab = || desk.store.watch(|tx| status(tx, &SEND, "ada", 1));
    let (mut one, mut two) = (tab(), tab());
    assert!(next(&mut one).await.ok && next(&mut two).await.ok);
    desk.commit(|tx| limit(tx, &SEND, "ada", 2)).await;
    let seen = next(&mut one).await;
    assert_eq!(next(&mut two).await, seen);
    assert_eq!(seen.retry_at, Some(START + MINUTE));

    // From here on no store is needed: the browser's clock is five seconds behind.
    let snapshot = serde_json::to_string(&seen.snapshot).unwrap();
    let snapshot: loomwork_rate_limiter::Snapshot = serde_json::from_str(&snapshot).unwrap();
    let client = |millis| Time::from_millis(START.millis() - 5_000 + millis);
    let offset = ClockOffset::measured(client(0), START + Duration::from_millis(20), client(40));
    let at = |millis| snapshot.predict(offset.to_server(client(millis)), 1);
    assert!(!at(59_999).ok && at(60_000).ok);
    assert_eq!(offset.to_client(at(0).retry_at.unwrap()), client(60_000));
}

#[tokio::test]
async fn a_status_reads_as_a_browser_wants_it() {
    let desk = Desk::open().await;
    desk.take(&SEND, "ada", 2).await;
    let status = desk.read(|tx| status(tx, &SEND, "ada", 1)).await;
    let expected = serde_json::json!({
        "ok": false,
        "retryAt": START.millis() + 60_000,
        "value": 0,
        "snapshot": {
            "name": "send",
            "rules": {
                "algorithm": "fixedWindow", "rate": 2, "periodMs": 60_000, "capacity": 2, "start": START.millis(),
            },
            "level": { "value": 0, "at": START.millis() },
        },
    });
    assert_eq!(serde_json::to_value(status).unwrap(), expected);
    let refusal = desk.refused(&SEND, "ada", 1).await;
    let expected = serde_json::json!({
        "kind": "RateLimited", "name": "send", "retryAfter": 60_000,
        "refused": [{ "name": "send", "retryAfter": 60_000 }],
    });
    assert_eq!(serde_json::to_value(&refusal).unwrap(), expected);
    assert_eq!(refusal.to_string(), "limit \"send\" of \"ada\" has too little left; ask again in 60s");
}
