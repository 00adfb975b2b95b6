//! Entries are made by jobs, which go on, fail and are called off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt as _;
use loomwork_core::Kind;
use loomwork_files::{Blobs, Files, Options, files_of};
use loomwork_models::{Error as ModelError, ErrorKind, Gate, MockEmbeddings};
use loomwork_rag::{
    Content, EntryRow, EntryStatus, Input, MAX_INPUT_BYTES, NewEntry, Query, Rag, Source, bind, entries,
};
use loomwork_store::Row;
use loomwork_testkit::soon;
use loomwork_workpool::Workpool;

use super::yard::{DEADLINE, Door, HALL, Yard, many, model};

const NUMBERS: Source<usize> = Source::new("numbers");

async fn later(yard: &Yard, new: NewEntry, input: Input) -> Row<EntryRow> {
    let rag = yard.rag.clone();
    yard.store.mutate(move |tx| rag.add_later(tx, HALL, &new, input)).await.expect("it is enqueued")
}

#[tokio::test]
async fn a_job_makes_an_entry_and_replaces_the_live_one() {
    let yard = Yard::open().await;
    let _pool = yard.pool().await;
    let first = later(&yard, NewEntry::key("a"), Input::text("old text")).await;
    assert_eq!(first.status, EntryStatus::Pending);
    yard.becomes(first.id, EntryStatus::Ready).await;
    let second = later(&yard, NewEntry::key("a"), Input::text("new text")).await;
    yard.becomes(second.id, EntryStatus::Ready).await;
    assert_eq!(yard.texts(Query::words("text")).await, ["new text"]);
    assert_eq!(yard.status(first.id).await, EntryStatus::Replaced);
    assert_eq!(yard.told(), ["hall Ready over 0", "a ready", "a ready over another"]);
    let again = later(&yard, NewEntry::key("a"), Input::text("new text")).await;
    assert_eq!((again.id, again.status), (second.id, EntryStatus::Ready));
}

#[tokio::test]
async fn what_is_on_its_way_is_not_begun_twice() {
    let yard = Yard::open().await;
    let one = later(&yard, NewEntry::key("a"), Input::text("text")).await;
    let two = later(&yard, NewEntry::key("a"), Input::text("text")).await;
    let three = later(&yard, NewEntry::key("a"), Input::text("other")).await;
    assert_eq!(one.id, two.id);
    assert_ne!(one.id, three.id);
    // What is live is compared with, not what is pending; and its vectors are there.
    let now = yard.key("a", "third").await;
    assert_eq!(now.entry.version, 2);
    assert_eq!(yard.status(three.id).await, EntryStatus::Replaced);
    let _pool = yard.pool().await;
    assert_eq!(yard.texts(Query::words("third")).await, ["third"]);
    let asked = yard.asked();
    let _stuck = later(&yard, NewEntry::key("b"), Input::source(NUMBERS, 1)).await;
    assert_eq!(yard.key("a", "third").await.usage.total(), 0);
    assert_eq!(yard.asked(), asked);
}

#[tokio::test]
async fn a_source_streams_chunks_and_its_progress_is_live() {
    let door = Door::default();
    let made = door.clone();
    let yard = Yard::open_with(model(), move |builder| {
        builder.source(NUMBERS, move |sourcing, count| {
            let door = made.clone();
            async move {
                assert_eq!(sourcing.entry.key.as_deref(), Some("a"));
                Ok(door.stream(count, "sourced", 950))
            }
        })
    })
    .await;
    let _pool = yard.pool().await;
    let entry = later(&yard, NewEntry::key("a"), Input::source(NUMBERS, 1_000)).await;
    door.reached().await;
    let id = entry.id;
    let mut live = yard.store.watch(move |tx| entries::progress(tx, id));
    loop {
        let progress = soon(live.next()).await.unwrap().unwrap();
        if progress.entry.chunks >= 200 && progress.text.is_some() {
            break;
        }
    }
    assert!(yard.texts(Query::words("sourced")).await.is_empty());
    door.open();
    yard.becomes(id, EntryStatus::Ready).await;
    assert_eq!(yard.entry(id).await.chunks, 1_000);
}

#[tokio::test]
async fn a_further_attempt_goes_on_with_the_vectors_of_the_one_before() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = attempts.clone();
    let yard = Yard::open_with(model(), move |builder| {
        builder.source(NUMBERS, move |_, count| {
            let attempt = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                // The first attempt gives more, and breaks off.
                let chunks = many(if attempt == 0 { count + 50 } else { count }, "part").into_iter().map(Ok);
                let broken = || loomwork_rag::Error::Model(ModelError::new(ErrorKind::Network, "m", "m", "cut"));
                let end = (attempt == 0).then(|| Err(broken()));
                let all: Vec<_> = chunks.chain(end).collect();
                Ok(Content::Stream(futures_util::stream::iter(all).boxed()))
            }
        })
    })
    .await;
    let _pool = yard.pool().await;
    let entry = later(&yard, NewEntry::key("a"), Input::source(NUMBERS, 300)).await;
    yard.meanwhile(yard.becomes(entry.id, EntryStatus::Ready)).await;
    let row = yard.entry(entry.id).await;
    assert_eq!((row.chunks, row.attempts, attempts.load(Ordering::SeqCst)), (300, 2, 2));
    // The surplus of the first attempt is gone, and no text was embedded twice.
    assert_eq!(yard.chunks(entry.id).await.len(), 300);
    assert!(yard.asked() <= 350, "{}", yard.asked());
}

#[tokio::test]
async fn what_fails_says_why_and_can_be_tried_again() {
    let yard = Yard::open().await;
    let pool = yard.pool().await;
    yard.model.fail_next(ModelError::new(ErrorKind::BadRequest, "mock", "mock", "no such language"));
    let entry = later(&yard, NewEntry::key("a"), Input::text("north")).await;
    yard.becomes(entry.id, EntryStatus::Failed).await;
    let row = yard.entry(entry.id).await;
    assert!(row.error.clone().unwrap().contains("no such language"));
    assert_eq!(row.attempts, 1);
    let failed = entries::Listed { status: EntryStatus::Failed, ..entries::Listed::default() };
    let listed = yard.store.query(move |tx| entries::list(tx, failed, loomwork_store::Page::first(9))).await.unwrap();
    assert_eq!(listed.rows.len(), 1);
    let (rag, id) = (yard.rag.clone(), entry.id);
    yard.store.mutate(move |tx| rag.retry(tx, id).map(drop)).await.unwrap();
    yard.becomes(entry.id, EntryStatus::Ready).await;
    assert_eq!(yard.texts("north").await, ["north"]);
    let rag = yard.rag.clone();
    let refused = yard.store.mutate(move |tx| rag.retry(tx, id).map(drop)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Invalid);
    assert_eq!(yard.told(), ["hall Ready over 0", "a failed", "a ready"]);
    pool.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn what_is_called_off_is_never_found() {
    let gate = Gate::new();
    let yard = Yard::open_with(model().with_gate(&gate), |builder| builder).await;
    let _pool = yard.pool().await;
    let entry = later(&yard, NewEntry::key("a"), Input::text("north")).await;
    soon(gate.reached()).await;
    let (rag, id) = (yard.rag.clone(), entry.id);
    assert!(yard.store.mutate(move |tx| rag.cancel(tx, id)).await.unwrap());
    gate.open();
    assert_eq!(yard.status(id).await, EntryStatus::Cancelled);
    let rag = yard.rag.clone();
    assert!(!yard.store.mutate(move |tx| rag.cancel(tx, id)).await.unwrap());
    assert!(yard.texts(Query::words("north")).await.is_empty());
    assert_eq!(yard.told(), ["hall Ready over 0", "a cancelled"]);
}

#[tokio::test]
async fn a_job_for_another_model_or_an_unknown_source_fails_instead_of_succeeding_with_nothing() {
    let yard = Yard::open().await;
    let unknown = later(&yard, NewEntry::key("b"), Input::source(NUMBERS, 1)).await;
    let other = Rag::builder(&yard.store, MockEmbeddings::new(8).with_name("mock", "other")).start().await.unwrap();
    let entry = later(&yard, NewEntry::key("a"), Input::text("north")).await;
    let pool = other.bind(Workpool::builder(&yard.store)).start().await.unwrap();
    yard.becomes(entry.id, EntryStatus::Failed).await;
    let error = yard.entry(entry.id).await.record.error.unwrap();
    assert!(error.contains("mock/mock") && error.contains("mock/other"), "{error}");
    yard.becomes(unknown.id, EntryStatus::Failed).await;
    pool.shutdown(DEADLINE).await.unwrap();
    // Both in one pool: each makes what is its own.
    let pool = bind(Workpool::builder(&yard.store), [other.clone(), yard.rag.clone()]).start().await.unwrap();
    let (rag, id) = (yard.rag.clone(), entry.id);
    yard.store.mutate(move |tx| rag.retry(tx, id).map(drop)).await.unwrap();
    yard.becomes(entry.id, EntryStatus::Ready).await;
    let (rag, id) = (yard.rag.clone(), unknown.id);
    yard.store.mutate(move |tx| rag.retry(tx, id).map(drop)).await.unwrap();
    yard.becomes(unknown.id, EntryStatus::Failed).await;
    assert!(yard.entry(unknown.id).await.record.error.unwrap().contains("no source \"numbers\""));
    pool.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_file_is_read_by_what_it_is_and_kept_while_its_entry_is() {
    let yard = Yard::open().await;
    let files = Files::new(&yard.store, Blobs::memory(), Options::default());
    let rag = Rag::builder_with(&yard.store, yard.model.clone()).files(files.clone()).start().await.unwrap();
    let _pool = rag.bind(Workpool::builder(&yard.store)).start().await.unwrap();
    let file = files.put("# Looms\n\nThey weave.\n", "looms.md").await.unwrap();
    let (adding, id) = (rag.clone(), file.id);
    let add = yard.store.mutate(move |tx| adding.add_later(tx, HALL, &NewEntry::key("looms"), Input::file(id)));
    let entry = add.await.unwrap();
    yard.becomes(entry.id, EntryStatus::Ready).await;
    let chunks = yard.chunks(entry.id).await;
    assert_eq!(chunks[0].place.section, ["Looms"]);
    let owner = entry.id;
    assert_eq!(yard.store.query(move |tx| files_of(tx, owner)).await.unwrap().len(), 1);
    let deleting = rag.clone();
    yard.store.mutate(move |tx| deleting.delete(tx, owner)).await.unwrap();
    soon(rag.gone(owner)).await.unwrap();
    assert!(yard.store.query(move |tx| files_of(tx, owner)).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_input_that_no_row_can_hold_is_refused() {
    let yard = Yard::open().await;
    let (rag, text) = (yard.rag.clone(), "x".repeat(MAX_INPUT_BYTES + 1));
    let refused = yard.store.mutate(move |tx| rag.add_later(tx, HALL, &NewEntry::key("a"), Input::text(text)));
    assert_eq!(refused.await.unwrap_err().kind(), Kind::Invalid);
    assert_eq!(yard.counts().await.0, 0);
}
