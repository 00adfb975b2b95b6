//! Looking at balances, and beginning anew.

use std::collections::BTreeSet;
use std::time::Duration;

use loomwork_rate_limiter::{Limit, MINUTE, RESET_STEP, clear_all, limit, list, reset, reset_all};
use loomwork_store::Page;

use super::desk::{Desk, START};

const LOGIN: Limit = Limit::fixed_window("login", 3, MINUTE);
const OTHER: Limit = Limit::token_bucket("login ", 3, MINUTE);

#[tokio::test]
async fn a_reset_concerns_one_key_alone() {
    let desk = Desk::open().await;
    for (of, key) in [(&LOGIN, Some("ada")), (&LOGIN, Some("bob")), (&LOGIN, None), (&OTHER, Some("ada"))] {
        match key {
            Some(key) => desk.take(of, key, 3).await,
            None => desk.take(of, (), 3).await,
        };
    }
    desk.commit(|tx| reset(tx, &LOGIN, "ada")).await;
    assert_eq!(desk.take(&LOGIN, "ada", 3).await.remaining, 0);
    desk.commit(|tx| reset(tx, &LOGIN, &())).await;
    assert_eq!(desk.value(&LOGIN, ()).await, 3);
    assert_eq!((desk.value(&LOGIN, "bob").await, desk.value(&OTHER, "ada").await), (0, 0));
    desk.commit(|tx| reset(tx, &LOGIN, "nobody")).await;
}

#[tokio::test]
async fn a_window_keeps_its_phase_over_a_reset_and_differs_between_keys() {
    let desk = Desk::open().await;
    let full_at = |key: &'static str| desk.take(&LOGIN, key, 1);
    let before = full_at("ada").await.full_at;
    desk.commit(|tx| reset(tx, &LOGIN, "ada")).await;
    assert_eq!(full_at("ada").await.full_at, before);
    let mut phases = BTreeSet::new();
    for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        phases.insert(full_at(key).await.full_at);
    }
    assert!(phases.len() >= 7, "they are spread over the minute: {phases:?}");
}

#[tokio::test]
async fn all_keys_of_a_limit_are_reset_in_steps() {
    let desk = Desk::open().await;
    desk.commit(|tx| {
        for key in 0..RESET_STEP as u64 + 10 {
            limit(tx, &LOGIN, &key, 1)?;
        }
        limit(tx, &LOGIN, &(), 1)?;
        limit(tx, &OTHER, "ada", 1).map(drop)
    })
    .await;
    assert!(desk.commit(|tx| reset_all(tx, &LOGIN)).await);
    assert!(!desk.commit(|tx| reset_all(tx, &LOGIN)).await);
    assert_eq!(desk.rows(&LOGIN).await, []);
    assert_eq!(desk.rows(&OTHER).await.len(), 1);
}

#[tokio::test]
async fn what_began_before_a_time_is_cleared_in_steps() {
    let desk = Desk::open().await;
    desk.commit(|tx| {
        for key in 0..RESET_STEP as u64 + 10 {
            limit(tx, &LOGIN, &key, 1)?;
        }
        limit(tx, &OTHER, "ada", 1).map(drop)
    })
    .await;
    desk.pass(MINUTE);
    desk.take(&OTHER, "late", 1).await;
    assert!(desk.commit(|tx| clear_all(tx, START + Duration::from_secs(1))).await);
    assert!(!desk.commit(|tx| clear_all(tx, START + Duration::from_secs(1))).await);
    assert_eq!(desk.rows(&LOGIN).await, []);
    assert_eq!(desk.rows(&OTHER).await.len(), 1);
}

#[tokio::test]
async fn the_keys_of_a_limit_are_listed_in_order_and_in_pages() {
    let desk = Desk::open().await;
    desk.take(&LOGIN, "bob", 1).await;
    desk.take(&LOGIN, (), 2).await;
    desk.take(&LOGIN, "ada", 3).await;
    desk.take(&OTHER, "eve", 3).await;
    let first = desk.read(|tx| list(tx, &LOGIN, Page::first(2))).await;
    let keys: Vec<_> = first.rows.iter().map(|row| (row.key(), row.value().0)).collect();
    assert_eq!(keys, [(None, 1), (Some("ada"), 0)]);
    let cursor = first.next.expect("there is more");
    let rest = desk.read(move |tx| list(tx, &LOGIN, Page { after: Some(cursor.clone()), size: 2 })).await;
    assert_eq!(rest.rows.iter().map(|row| row.key()).collect::<Vec<_>>(), [Some("bob")]);
}
