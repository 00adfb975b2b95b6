use super::*;
use crate::engine::TableNo;

const SPACE: Space = Space::Rows(TableNo(1));

fn live() -> Arc<Live> {
    Arc::new(Live::default())
}

fn read(low: u8, high: u8) -> Vec<ReadRange> {
    vec![ReadRange { space: SPACE, low: Arc::from([low]), high: Arc::from([high]) }]
}

/// A commit that writes the key `[key]`.
fn commit(live: &Live, key: u8) -> (u64, Hits) {
    let mut hits = Hits::new();
    let position = live.publish(vec![Touch { space: SPACE, key: Arc::from([key]) }], &mut hits);
    (position, hits)
}

fn is_stale(watcher: &Watcher) -> bool {
    watcher.poll_stale(Waker::noop())
}

#[test]
fn a_watcher_is_stale_until_it_has_read() {
    let live = live();
    let watcher = live.watcher();
    assert!(is_stale(&watcher));
    live.settle(&watcher, read(3, 5), &live.mark(), None);
    assert!(!is_stale(&watcher));
}

#[test]
fn a_commit_hits_whom_it_touches_once() {
    let live = live();
    let watcher = live.watcher();
    live.settle(&watcher, read(3, 5), &live.mark(), None);
    for beside in [2, 5] {
        assert!(commit(&live, beside).1.is_empty());
    }
    assert!(!is_stale(&watcher));
    assert_eq!(commit(&live, 3).1.len(), 1);
    assert!(is_stale(&watcher));
    assert!(commit(&live, 4).1.is_empty(), "it is stale already");
}

#[test]
fn a_commit_during_the_read_is_not_missed() {
    let live = live();
    let watcher = live.watcher();
    let mark = live.mark();
    commit(&live, 4);
    live.settle(&watcher, read(3, 5), &mark, None);
    assert!(is_stale(&watcher));
}

#[test]
fn a_commit_before_the_read_is_no_news() {
    let live = live();
    let watcher = live.watcher();
    let _older = live.mark();
    commit(&live, 4);
    live.settle(&watcher, read(3, 5), &live.mark(), None);
    assert!(!is_stale(&watcher));
}

#[test]
fn the_commit_that_read_is_no_news() {
    let live = live();
    let watcher = live.watcher();
    let mark = live.mark();
    let (own, _) = commit(&live, 4);
    live.settle(&watcher, read(3, 5), &mark, Some(own));
    assert!(!is_stale(&watcher));
}

/// Two writers: the other one commits second, unseen, and is the first to publish.
#[test]
fn a_commit_that_was_published_out_of_order_is_not_missed() {
    let live = live();
    let watcher = live.watcher();
    let mark = live.mark();
    commit(&live, 4);
    let (own, _) = commit(&live, 9);
    live.settle(&watcher, read(3, 5), &mark, Some(own));
    assert!(is_stale(&watcher));
}

#[test]
fn a_removed_watcher_leaves_nothing_behind() {
    let live = live();
    let (settled, reading) = (live.watcher(), live.watcher());
    live.settle(&settled, read(3, 5), &live.mark(), None);
    let mark = live.mark();
    live.remove(&settled);
    live.remove(&reading);
    live.settle(&reading, read(3, 5), &mark, None);
    assert_eq!(live.registered(), 0);
    assert!(live.state().spaces.is_empty());
}

#[test]
fn new_ranges_replace_the_old_ones() {
    let live = live();
    let watcher = live.watcher();
    live.settle(&watcher, read(3, 5), &live.mark(), None);
    live.settle(&watcher, read(7, 9), &live.mark(), None);
    assert!(commit(&live, 4).1.is_empty());
    assert_eq!(commit(&live, 8).1.len(), 1);
}

#[test]
fn commits_are_kept_only_for_reads_under_way() {
    let live = live();
    commit(&live, 1);
    assert!(live.state().recent.is_empty());
    let first = live.mark();
    commit(&live, 1);
    let second = live.mark();
    commit(&live, 1);
    assert_eq!(live.state().recent.len(), 2);
    drop(first);
    assert_eq!(live.state().recent.len(), 1);
    drop(second);
    assert!(live.state().recent.is_empty());
}
