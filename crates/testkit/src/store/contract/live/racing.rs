//! No commit is lost on a live query, however they race.

use loomwork_store::{Result, Store, Tx, Watch};

use crate::soon;
use crate::store::probe::{add, together};
use crate::store::{Bench, Note, Place};

fn count(tx: &Tx) -> Result<usize> {
    tx.count(Note::by_author.eq(None))
}

async fn write(store: Store, number: usize) {
    let slug = number.to_string();
    store.mutate(move |tx| add(tx, &slug, number as i64)).await.expect("the commit succeeds");
}

/// Waits until a live count has come to `target`; on its way it may only grow.
async fn counts_to(mut watch: Watch<usize>, target: usize) -> usize {
    let (mut deliveries, mut last) = (0, None);
    while last != Some(target) {
        let next = watch.next().await.expect("the store is open").expect("the query succeeds");
        assert!(last < Some(next), "{next} was delivered after {last:?}");
        last = Some(next);
        deliveries += 1;
    }
    deliveries
}

/// Every watcher comes to see the last of many racing commits.
pub async fn racing_commits_reach_every_watcher(place: &dyn Place) {
    const WATCHERS: usize = 50;
    const COMMITS: usize = 20;
    const ROUNDS: usize = 5;
    let bench = Bench::open(place).await;
    for round in 0..ROUNDS {
        let target = (round + 1) * COMMITS;
        let watching = (0..WATCHERS).map(|_| {
            let watch = bench.store.watch(count);
            async move {
                counts_to(watch, target).await;
            }
        });
        let writes = (round * COMMITS..target).map(|number| write(bench.store.clone(), number));
        let (_, _) = tokio::join!(together(watching), together(writes));
    }
    assert_eq!(bench.store.live_queries(), 0);
}

/// A watcher that begins in the middle of racing commits misses none behind its first result.
pub async fn a_watcher_may_begin_among_racing_commits(place: &dyn Place) {
    const COMMITS: usize = 100;
    let bench = Bench::open(place).await;
    let steps = (0..COMMITS).map(|number| {
        let store = bench.store.clone();
        async move {
            write(store.clone(), number).await;
            counts_to(store.watch(count), COMMITS).await
        }
    });
    together(steps).await;
}

/// One commit wakes all who have read the same range, a thousand as well as one.
pub async fn one_commit_wakes_a_thousand(place: &dyn Place) {
    const WATCHERS: usize = 1000;
    let bench = Bench::open(place).await;
    let mut watches: Vec<_> = (0..WATCHERS).map(|_| bench.store.watch(count)).collect();
    for watch in &mut watches {
        soon(watch.next()).await.expect("the store is open").expect("the query succeeds");
    }
    assert_eq!(bench.store.live_queries(), WATCHERS);
    let waiting = watches.into_iter().map(|watch| counts_to(watch, 1));
    let (deliveries, ()) = tokio::join!(together(waiting), write(bench.store.clone(), 0));
    assert_eq!(deliveries, [1; WATCHERS]);
    assert_eq!(bench.store.live_queries(), 0);
}
