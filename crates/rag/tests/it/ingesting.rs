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

#[tokio::test]
async fn what_failed_is_tried_again_without_embedding_it_again() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = attempts.clone();
    let yard = Yard::open_with(model(), move |builder| {
        builder.source(NUMBERS, move |_, count| {
            let attempt = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                let broken = || loomwork_rag::Error::Model(ModelError::new(ErrorKind::BadRequest, "m", "m", "cut"));
                let end = (attempt == 0).then(|| Err(broken()));
                let all: Vec<_> = many(count, "part").into_iter().map(Ok).chain(end).collect();
                Ok(Content::Stream(futures_util::stream::iter(all).boxed()))
            }
        })
    })
    .await;
    let _pool = yard.pool().await;
    let entry = later(&yard, NewEntry::key("a"), Input::source(NUMBERS, 450)).await;
    yard.becomes(entry.id, EntryStatus::Failed).await;
    let written = yard.entry(entry.id).await.chunks as usize;
    assert!(written >= 400, "{written}");
    // Upkeep has taken what is there out of the index.
    yard.swept(entry.id, |row, _| serde_json::to_value(row).expect("it is JSON").get("hidden").is_none()).await;
    assert_eq!(yard.chunks(entry.id).await.len(), written);
    assert!(yard.texts(Query::words("part")).await.is_empty());
    let (rag, id, asked) = (yard.rag.clone(), entry.id, yard.asked());
    yard.store.mutate(move |tx| rag.retry(tx, id).map(drop)).await.unwrap();
    yard.becomes(entry.id, EntryStatus::Ready).await;
    assert_eq!(yard.asked() - asked, 450 - written);
    assert_eq!(yard.texts(Query { limit: 250, ..Query::words("part") }).await.len(), 250);
}

#[tokio::test]
async fn a_source_that_gives_the_same_again_makes_no_version() {
    let yard = Yard::open_with(model(), |builder| {
        builder.source(NUMBERS, |_, count| async move {
            let all: Vec<_> = many(count, "part").into_iter().map(Ok).collect();
            Ok(if count < 100 {
                Content::from(many(count, "part"))
            } else {
                Content::Stream(futures_util::stream::iter(all).boxed())
            })
        })
    })
    .await;
    let _pool = yard.pool().await;
    for count in [5, 250] {
        let key = format!("of {count}");
        let first = later(&yard, NewEntry::key(&key), Input::source(NUMBERS, count)).await;
        yard.becomes(first.id, EntryStatus::Ready).await;
        let asked = yard.asked();
        let again = later(&yard, NewEntry::key(&key), Input::source(NUMBERS, count)).await;
        yard.becomes(again.id, EntryStatus::Replaced).await;
        assert_eq!((yard.status(first.id).await, yard.asked()), (EntryStatus::Ready, asked));
        assert_eq!(yard.told().iter().filter(|line| line.starts_with(&key)).count(), 2);
        yard.swept(again.id, |_, known| known == 0).await;
    }
}

#[tokio::test]
async fn a_job_whose_namespace_was_replaced_goes_to_the_one_that_answers() {
    let door = Door::default();
    let made = door.clone();
    let yard = Yard::open_with(model(), move |builder| {
        builder.source(NUMBERS, move |_, count| {
            let door = made.clone();
            async move { Ok(if count > 100 { door.stream(count, "moved", 350) } else { many(count, "moved").into() }) }
        })
    })
    .await;
    let waiting = later(&yard, NewEntry::key("waiting"), Input::source(NUMBERS, 3)).await;
    let promote = async || {
        let pending = yard.rag.namespace(HALL, loomwork_rag::NamespaceStatus::Pending).await.unwrap();
        let (rag, id) = (yard.rag.clone(), pending.id);
        yard.store.mutate(move |tx| rag.promote(tx, id)).await.unwrap();
        id
    };
    let second = promote().await;
    let _pool = yard.pool().await;
    yard.becomes(waiting.id, EntryStatus::Ready).await;
    assert_eq!(yard.entry(waiting.id).await.namespace, second);
    // One that is replaced while it is filled is made again in the other one.
    let filled = later(&yard, NewEntry::key("filled"), Input::source(NUMBERS, 400)).await;
    door.reached().await;
    let third = promote().await;
    let opening = async {
        door.open();
        soon(door.reached()).await;
        door.open();
    };
    let ready = yard.meanwhile(yard.becomes(filled.id, EntryStatus::Ready));
    tokio::join!(soon(opening), soon(ready));
    assert_eq!(yard.entry(filled.id).await.namespace, third);
    assert_eq!(yard.texts(Query { limit: 250, ..Query::words("moved") }).await.len(), 250);
}

#[tokio::test]
async fn a_failed_job_is_told_to_the_one_whose_it_is() {
    let yard = Yard::open().await;
    let told = super::yard::Told::default();
    let model = Arc::new(MockEmbeddings::new(8).with_name("mock", "other"));
    let other = super::yard::start(&yard.store, &model, &told, |builder| builder).await;
    let _pool = bind(Workpool::builder(&yard.store), [other.clone(), yard.rag.clone()]).start().await.unwrap();
    let unknown = later(&yard, NewEntry::key("a"), Input::source(NUMBERS, 1)).await;
    yard.becomes(unknown.id, EntryStatus::Failed).await;
    assert_eq!(yard.told(), ["hall Ready over 0", "a failed"]);
    assert!(told.lock().unwrap().is_empty());
}

#[tokio::test]
async fn of_two_attempts_the_later_one_alone_writes() {
    let (door, attempts) = (Door::default(), Arc::new(AtomicUsize::new(0)));
    let (made, counted) = (door.clone(), attempts.clone());
    let yard = Yard::open_with(model(), move |builder| {
        builder.source(NUMBERS, move |_, count| {
            let (door, attempt) = (made.clone(), counted.fetch_add(1, Ordering::SeqCst));
            async move { Ok(if attempt == 0 { door.stream(count, "early", 450) } else { many(count / 2, "late").into() }) }
        })
    })
    .await;
    let _pool = yard.pool().await;
    let entry = later(&yard, NewEntry::key("a"), Input::source(NUMBERS, 500)).await;
    door.reached().await;
    let (rag, id) = (yard.rag.clone(), entry.id);
    let again = yard.store.mutate(move |tx| {
        rag.cancel(tx, id)?;
        rag.retry(tx, id).map(drop)
    });
    again.await.unwrap();
    door.open();
    yard.becomes(id, EntryStatus::Ready).await;
    let texts: Vec<_> = yard.chunks(id).await.into_iter().map(|chunk| chunk.record.text).collect();
    assert_eq!((texts.len(), texts.iter().all(|text| text.starts_with("late"))), (250, true));
}

#[tokio::test]
async fn a_file_that_is_too_large_is_not_even_read() {
    let yard = Yard::open().await;
    let files = Files::new(&yard.store, Blobs::memory(), Options::default());
    let reader = loomwork_rag::Reader::default().max_bytes(10);
    let rag =
        Rag::builder_with(&yard.store, yard.model.clone()).files(files.clone()).reader(reader).start().await.unwrap();
    let _pool = rag.bind(Workpool::builder(&yard.store)).start().await.unwrap();
    let file = files.put("more than ten bytes", "long.txt").await.unwrap();
    let (adding, id) = (rag.clone(), file.id);
    let add = yard.store.mutate(move |tx| adding.add_later(tx, HALL, &NewEntry::key("long"), Input::file(id)));
    let entry = add.await.unwrap();
    yard.becomes(entry.id, EntryStatus::Failed).await;
    assert!(yard.entry(entry.id).await.record.error.unwrap().contains("long.txt has 19 bytes; the most is 10"));
}

#[tokio::test]
async fn what_a_later_attempt_found_is_what_the_entry_is() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = attempts.clone();
    let yard = Yard::open_with(model(), move |builder| {
        builder.source(NUMBERS, move |_, _: usize| {
            let attempt = counted.fetch_add(1, Ordering::SeqCst);
            async move { Ok(Content::from(if attempt == 1 { "the second text" } else { "the first text" })) }
        })
    })
    .await;
    let _pool = yard.pool().await;
    yard.model.fail_next(ModelError::new(ErrorKind::BadRequest, "mock", "mock", "too hot"));
    let entry = later(&yard, NewEntry::key("a"), Input::source(NUMBERS, 1)).await;
    yard.becomes(entry.id, EntryStatus::Failed).await;
    let (rag, id) = (yard.rag.clone(), entry.id);
    yard.store.mutate(move |tx| rag.retry(tx, id).map(drop)).await.unwrap();
    yard.becomes(id, EntryStatus::Ready).await;
    assert_eq!(yard.texts(Query::words("text")).await, ["the second text"]);
    let again = later(&yard, NewEntry::key("a"), Input::source(NUMBERS, 1)).await;
    yard.becomes(again.id, EntryStatus::Ready).await;
    assert_eq!(yard.texts(Query::words("text")).await, ["the first text"]);
}

#[tokio::test]
async fn what_a_newer_version_came_before_is_not_tried_again() {
    let yard = Yard::open().await;
    let _pool = yard.pool().await;
    yard.model.fail_next(ModelError::new(ErrorKind::BadRequest, "mock", "mock", "too hot"));
    let entry = later(&yard, NewEntry::key("a"), Input::text("old")).await;
    yard.becomes(entry.id, EntryStatus::Failed).await;
    yard.key("a", "new").await;
    let (rag, id, asked) = (yard.rag.clone(), entry.id, yard.asked());
    let refused = yard.store.mutate(move |tx| rag.retry(tx, id).map(drop)).await.unwrap_err();
    assert!(refused.to_string().contains("a newer version is live"), "{refused}");
    assert_eq!((yard.asked(), yard.status(id).await), (asked, EntryStatus::Failed));
}

#[tokio::test]
async fn an_image_is_read_once_for_all_attempts() {
    let told: Arc<AtomicUsize> = Arc::default();
    let heard = told.clone();
    let yard = Yard::open().await;
    let files = Files::new(&yard.store, Blobs::memory(), Options::default());
    let reader = loomwork_rag::Reader::default().images(loomwork_models::MockModel::always("A moth."));
    let builder = Rag::builder_with(&yard.store, yard.model.clone()).files(files.clone()).reader(reader);
    let rag = builder.on_used(move |_, used| {
        heard.fetch_add(usize::from(used.task == loomwork_rag::Task::Read), Ordering::SeqCst);
        Ok(())
    });
    let rag = rag.start().await.unwrap();
    let _pool = rag.bind(Workpool::builder(&yard.store)).start().await.unwrap();
    let file = files.put(&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], "moth.png").await.unwrap();
    for kind in [ErrorKind::Network, ErrorKind::BadRequest] {
        yard.model.fail_next(ModelError::new(kind, "mock", "mock", "too hot"));
    }
    let (adding, id) = (rag.clone(), file.id);
    let add = yard.store.mutate(move |tx| adding.add_later(tx, HALL, &NewEntry::key("moth"), Input::file(id)));
    let entry = add.await.unwrap();
    yard.meanwhile(yard.becomes(entry.id, EntryStatus::Failed)).await;
    let (retrying, id) = (rag.clone(), entry.id);
    yard.store.mutate(move |tx| retrying.retry(tx, id).map(drop)).await.unwrap();
    yard.becomes(entry.id, EntryStatus::Ready).await;
    assert_eq!((yard.asked(), told.load(Ordering::SeqCst)), (3, 1));
}
