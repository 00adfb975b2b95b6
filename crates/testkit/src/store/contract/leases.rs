//! Leases: one holder at a time, told from those before by its fence.

use std::time::Duration;

use loomwork_core::Kind;
use loomwork_store::lease::{self, Lease};
use loomwork_store::{Result, Store, Tx};

use crate::store::probe::together;
use crate::store::{Account, Bench, Place};

const TERM: Duration = Duration::from_secs(30);

async fn commit<T: Send + 'static>(
    store: &Store,
    change: impl FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
) -> T {
    store.mutate(change).await.expect("the mutation commits")
}

async fn acquire(store: &Store, name: &'static str, holder: &'static str) -> Option<Lease> {
    commit(store, move |tx| lease::acquire(tx, name, holder, TERM)).await
}

/// Asserts that a lease fails whatever its holder does with it.
async fn check_lost(store: &Store, lease: &Lease) {
    let uses: [fn(&mut Tx, &Lease) -> Result<()>; 3] = [
        |tx, lease| lease::renew(tx, lease, TERM).map(drop),
        |tx, lease| lease::check(tx, lease),
        |tx, lease| lease::release(tx, lease),
    ];
    let lost = lease::Lost { name: lease.name.clone(), holder: lease.holder.clone(), fence: lease.fence };
    for attempt in uses {
        let lease = lease.clone();
        let error = store.mutate(move |tx| attempt(tx, &lease)).await.expect_err("the lease is lost");
        assert_eq!(error.kind(), Kind::NotFound);
        assert_eq!(error.downcast_ref(), Some(&lost));
    }
}

async fn check_held(store: &Store, lease: &Lease) {
    let lease = lease.clone();
    store.query(move |tx| lease::check(tx, &lease)).await.expect("the lease is held");
}

/// A lease has one holder; others wait, also a second request of the same holder.
pub async fn a_lease_has_one_holder(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let ada = acquire(&bench.store, "pool", "ada").await.expect("the lease is free");
    assert_eq!((ada.name.as_str(), ada.holder.as_str()), ("pool", "ada"));
    assert_eq!(ada.expires, bench.clock.clock().now() + TERM);
    assert_eq!(acquire(&bench.store, "pool", "bob").await, None);
    assert_eq!(acquire(&bench.store, "pool", "ada").await, None);
    let other = acquire(&bench.store, "another pool", "bob").await.expect("names are apart");
    check_held(&bench.store, &ada).await;
    check_held(&bench.store, &other).await;
}

/// A lease ends when the store's clock reaches its expiry, not before.
pub async fn a_lease_expires_by_the_clock(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let ada = acquire(&bench.store, "pool", "ada").await.expect("the lease is free");
    bench.clock.set(ada.expires - Duration::from_millis(1));
    check_held(&bench.store, &ada).await;
    assert_eq!(acquire(&bench.store, "pool", "bob").await, None);
    bench.clock.set(ada.expires);
    check_lost(&bench.store, &ada).await;
    let bob = acquire(&bench.store, "pool", "bob").await.expect("the lease has expired");
    check_held(&bench.store, &bob).await;
    check_lost(&bench.store, &ada).await;
}

/// Renewing moves the expiry and keeps the fence.
pub async fn a_renewed_lease_keeps_its_fence(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let first = acquire(&bench.store, "pool", "ada").await.expect("the lease is free");
    bench.clock.advance(TERM / 2);
    let old = first.clone();
    let renewed = commit(&bench.store, move |tx| lease::renew(tx, &old, TERM)).await;
    let expires = bench.clock.clock().now() + TERM;
    assert_eq!(renewed, Lease { expires, ..first.clone() });
    bench.clock.set(first.expires);
    check_held(&bench.store, &renewed).await;
    bench.clock.set(renewed.expires);
    check_lost(&bench.store, &renewed).await;
}

/// A released lease is free at once and stays released, even if the clock goes back.
pub async fn a_released_lease_is_free(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let ada = acquire(&bench.store, "pool", "ada").await.expect("the lease is free");
    let released = ada.clone();
    commit(&bench.store, move |tx| lease::release(tx, &released)).await;
    bench.clock.set(bench.clock.clock().now() - TERM);
    check_lost(&bench.store, &ada).await;
    let bob = acquire(&bench.store, "pool", "bob").await.expect("the lease is free");
    check_held(&bench.store, &bob).await;
}

/// Every grant of a name has a greater fence, whatever ended the one before.
pub async fn fences_grow(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let mut last = 0;
    for round in 0..6 {
        let lease = acquire(&bench.store, "pool", "ada").await.expect("the lease is free");
        assert!(lease.fence > last, "fence {} follows {last}", lease.fence);
        last = lease.fence;
        if round % 2 == 0 {
            bench.clock.advance(TERM);
        } else {
            commit(&bench.store, move |tx| lease::release(tx, &lease)).await;
        }
    }
}

/// Where one process owns the store, opening it again frees what the dead one held; where several
/// share it, the lease runs on.
pub async fn reopening_frees_an_unshared_store(place: &dyn Place) {
    let shared = place.engine().profile().shared;
    let bench = Bench::open(place).await;
    let before = acquire(&bench.store, "pool", "ada").await.expect("the lease is free");
    bench.store.close().await;
    let bench = Bench::open(place).await;
    if shared {
        check_held(&bench.store, &before).await;
        assert_eq!(acquire(&bench.store, "pool", "bob").await, None);
        return;
    }
    check_lost(&bench.store, &before).await;
    let after = acquire(&bench.store, "pool", "bob").await.expect("the lease is free");
    assert!(after.fence > before.fence);
    check_lost(&bench.store, &before).await;
}

/// Of many who race for a lease exactly one gets it.
pub async fn one_of_the_racing_gets_the_lease(place: &dyn Place) {
    let bench = Bench::open(place).await;
    for _ in 0..20 {
        let racing = ["ada", "bob", "eve", "joe", "kim", "lea"].map(|holder| {
            let store = bench.store.clone();
            async move { acquire(&store, "pool", holder).await }
        });
        let granted: Vec<Lease> = together(racing).await.into_iter().flatten().collect();
        assert_eq!(granted.len(), 1, "one has it, not {granted:?}");
        check_held(&bench.store, &granted[0]).await;
        bench.clock.advance(TERM);
    }
}

/// A holder that lost its lease and checks it where it settles its work changes nothing.
pub async fn a_stale_holder_settles_nothing(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let work = commit(&bench.store, |tx| tx.insert(Account { owner: "work".into(), balance: 0 })).await.id;
    let settle = |lease: &Lease, result: i64| {
        let (store, lease) = (bench.store.clone(), lease.clone());
        async move {
            // The check may well come last: an error undoes what was written before it.
            let settled = store.mutate(move |tx| {
                tx.update(work, |account| account.balance = result)?;
                lease::check(tx, &lease)
            });
            settled.await
        }
    };
    let ada = acquire(&bench.store, "work", "ada").await.expect("the lease is free");
    bench.clock.advance(TERM);
    let bob = acquire(&bench.store, "work", "bob").await.expect("the lease has expired");
    let (late, fresh) = tokio::join!(settle(&ada, 1), settle(&bob, 2));
    assert!(late.expect_err("the lease is lost").downcast_ref::<lease::Lost>().is_some());
    fresh.expect("the lease is held");
    settle(&ada, 3).await.expect_err("the lease is lost");
    let result = bench.store.query(move |tx| tx.require(work)).await.expect("the row is there");
    assert_eq!(result.balance, 2);
}
