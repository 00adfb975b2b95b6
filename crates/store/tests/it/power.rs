//! What a power failure leaves of the two lanes.

use loomwork_store::{Memory, Store, Table as _, feed};
use loomwork_testkit::store::Note;

async fn open(memory: Memory) -> Store {
    Store::builder(memory).tables([Note::table()]).open().await.expect("the store opens")
}

/// The numbers of the notes that are there.
async fn numbers(store: &Store) -> Vec<i64> {
    let notes = store.query(|tx| tx.scan(Note::by_author.all())).await.expect("the query runs");
    notes.iter().map(|note| note.stars).collect()
}

async fn insert(store: &Store, number: i64, is_durable: bool) {
    let mutation = store
        .mutate(move |tx| tx.insert(Note { stars: number, ..Note::new(number.to_string()) }).map(|_| ()));
    let mutation = if is_durable { mutation } else { mutation.relaxed() };
    mutation.await.expect("the mutation commits");
}

/// Every order of durable and relaxed mutations; after each of them the power fails.
async fn check(memory: impl Fn() -> Memory) {
    const COUNT: i64 = 6;
    for lanes in 0..1_u32 << COUNT {
        let is_durable = |number: i64| lanes >> number & 1 == 1;
        let memory = memory();
        let store = open(memory.clone()).await;
        let mut safe = 0;
        for number in 0..COUNT {
            insert(&store, number, is_durable(number)).await;
            if is_durable(number) {
                safe = number + 1;
            }
            let left = open(memory.after_power_failure()).await;
            let expected: Vec<_> = (0..safe).collect();
            assert_eq!(numbers(&left).await, expected, "lanes {lanes:06b}, after {number}");
            assert!(left.check().await.expect("the check runs").is_clean());
        }
        assert_eq!(numbers(&store).await, (0..COUNT).collect::<Vec<_>>(), "without a failure all are there");
    }
}

#[tokio::test]
async fn a_power_failure_takes_only_relaxed_commits_behind_the_newest_durable_one() {
    check(Memory::new).await;
}

#[tokio::test]
async fn writers_side_by_side_lose_no_more() {
    check(|| Memory::strict(3)).await;
}

#[tokio::test]
async fn what_is_left_is_a_store_of_its_own() {
    let memory = Memory::new();
    let store = open(memory.clone()).await;
    insert(&store, 0, true).await;
    insert(&store, 1, false).await;
    let left = open(memory.after_power_failure()).await;
    insert(&left, 7, true).await;
    insert(&store, 2, true).await;
    assert_eq!(numbers(&left).await, [0, 7]);
    assert_eq!(numbers(&store).await, [0, 1, 2]);
    assert_eq!((left.id(), left.epoch()), (store.id(), store.epoch() + 1));
}

#[tokio::test]
async fn a_position_that_was_lost_is_not_given_again() {
    let memory = Memory::new();
    let store = open(memory.clone()).await;
    let start = store.mutate(|tx| feed::subscribe(tx, "search")).await.expect("the mutation commits");
    insert(&store, 1, false).await;
    let seen = store.query(move |tx| feed::changes(tx, start, 10)).await.expect("the query runs");
    let at = seen[0].seq;

    let left = open(memory.after_power_failure()).await;
    assert!(left.committed() < at, "who kept {at:?} sees that the store has gone back");
    insert(&left, 2, true).await;
    let later = left.query(move |tx| feed::changes(tx, at, 10)).await.expect("the log reaches back");
    assert_eq!(later.len(), 1, "who kept {at:?} outside the store hears of the next row");
}
