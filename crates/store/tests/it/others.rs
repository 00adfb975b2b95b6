//! Several stores over the same rows, as processes over one database server are.

use loomwork_core::Tasks;
use loomwork_store::Table as _;
use loomwork_store::{Memory, MemoryOptions, Store, feed};
use loomwork_testkit::soon;
use loomwork_testkit::store::{Note, Shelf};

async fn open(memory: &Memory) -> Store {
    let builder = Store::builder(memory.clone()).tables([Note::table(), Shelf::table()]);
    builder.open().await.expect("the store opens")
}

#[tokio::test]
async fn live_queries_hear_of_other_processes() {
    let memory = Memory::with(MemoryOptions { shared: true, ..MemoryOptions::default() });
    let (here, there) = (open(&memory).await, open(&memory).await);
    let mut live = here.watch(|tx| tx.count(Note::starred.ge(3)));
    assert_eq!(soon(live.next()).await.expect("the store is open").expect("the query runs"), 0);

    let note = Note { stars: 5, ..Note::new("a") };
    let id = there.mutate(|tx| tx.insert(note)).await.expect("the mutation commits").id;
    assert_eq!(soon(live.next()).await.expect("the store is open").expect("the query runs"), 1);

    let dull = move |tx: &mut loomwork_store::Tx| tx.update(id, |note| note.stars = 1);
    there.mutate(dull).await.expect("the mutation commits");
    assert_eq!(soon(live.next()).await.expect("the store is open").expect("the query runs"), 0);
}

#[tokio::test]
async fn the_feed_and_upkeep_hear_of_other_processes() {
    let memory = Memory::with(MemoryOptions { shared: true, ..MemoryOptions::default() });
    let (here, there) = (open(&memory).await, open(&memory).await);
    let start = here.mutate(|tx| feed::subscribe(tx, "here")).await.expect("the mutation commits");
    let mut changes = here.follow(start, |tx, at| {
        let changes = feed::changes(tx, *at, 10)?;
        let end = changes.last().map_or(*at, |change| change.seq);
        Ok((changes, end))
    });
    let tasks = Tasks::new();
    here.start_upkeep(&tasks, feed::upkeep());
    there.mutate(|tx| tx.insert(Note::new("a"))).await.expect("the mutation commits");
    let heard = soon(changes.next()).await.expect("the store is open").expect("the query runs");
    assert_eq!(heard.len(), 1);
    assert!(here.committed() >= heard[0].seq);

    // Moving the consumer on over there lets the upkeep over here forget the log.
    let end = heard[0].seq;
    there.mutate(move |tx| feed::advance(tx, "here", end)).await.expect("the mutation commits");
    let forgotten = async {
        while here.query(move |tx| feed::changes(tx, start, 1)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    soon(forgotten).await;
}
