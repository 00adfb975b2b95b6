//! Queries that depend on more than they read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use loomwork_store::{Store, Table as _};
use loomwork_testkit::soon;
use loomwork_testkit::store::{Note, Shelf};

#[tokio::test]
async fn a_live_query_hears_of_a_span_that_it_depends_on_and_did_not_read() {
    let builder = Store::memory().tables([Note::table(), Shelf::table()]);
    let store = builder.open().await.expect("the store opens");
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let mut live = store.watch(move |tx| {
        tx.depend_on(Note::starred.ge(3))?;
        Ok(counted.fetch_add(1, Ordering::Relaxed))
    });
    assert_eq!(soon(live.next()).await.expect("the store is open").expect("the query runs"), 0);
    for (slug, stars) in [("dull", 1), ("bright", 5)] {
        let note = Note { stars, ..Note::new(slug) };
        store.mutate(move |tx| tx.insert(note)).await.expect("the mutation commits");
    }
    // The first note is outside of the span: had it been news, this would be a third run.
    assert_eq!(soon(live.next()).await.expect("the store is open").expect("the query runs"), 1);
    assert_eq!(runs.load(Ordering::Relaxed), 2);
}
