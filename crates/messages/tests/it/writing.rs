//! What becomes of chunks when writers, readers and callers come and go.

use std::sync::{Arc, Barrier};

use loomwork_messages::streams::{self, Chunking, NewStream, StreamError};
use loomwork_messages::{Failure, MessageStatus, NewMessage, Place, Save, UiChunk, settle, threads};
use loomwork_store::{Problem, Result};
use loomwork_testkit::soon;
use serde_json::json;
use tokio::sync::Notify;

use super::house::{Driver, House, beside, fault, look};
use super::streaming::{begin, finish, push_all, read_all, slice_is_due, text, writer};

/// Keeps the store's writer busy until the test lets it go.
async fn busy(house: &House) -> (Arc<Barrier>, tokio::task::JoinHandle<Result<()>>) {
    let (begun, gate) = (Arc::new(Notify::new()), Arc::new(Barrier::new(2)));
    let (told, waits, store) = (begun.clone(), gate.clone(), house.store.clone());
    let busy = beside(async move {
        let held = store.mutate(move |_| {
            told.notify_one();
            waits.wait();
            Ok(())
        });
        held.await
    });
    soon(begun.notified()).await;
    (gate, busy)
}

#[tokio::test]
async fn a_push_that_is_dropped_while_it_waits_for_the_store_loses_nothing() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    push_all(&writer, &["a "]).await;
    writer.flush().await.expect("stored");
    let (gate, busy) = busy(&house).await;
    let large = "b".repeat(streams::SLICE_BYTES);
    {
        let mut push = std::pin::pin!(writer.push(text(&large)));
        assert!(look(push.as_mut()).await.is_pending(), "the store is busy");
    }
    gate.wait();
    soon(busy).await.expect("no panic").expect("committed");
    push_all(&writer, &[" c"]).await;
    writer.flush().await.expect("all is stored");
    let id = writer.opened().expect("open");
    finish(&house, id).await;
    drop(writer);
    let reader = driver.live.read(house.thread, id, 0).await.expect("readable");
    assert_eq!(read_all(reader).await, format!("a {large} c"));
    driver.stop().await;
}

#[tokio::test]
async fn a_push_that_is_dropped_while_it_is_stored_stores_nothing_twice() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    let mut expected = String::new();
    for number in 0..50 {
        let large = format!("{number} {}", "b".repeat(streams::SLICE_BYTES));
        expected.push_str(&large);
        let mut push = std::pin::pin!(writer.push(text(&large)));
        for _ in 0..number {
            if look(push.as_mut()).await.is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        if number == 0 {
            push.await.expect("it takes chunks");
        }
    }
    writer.flush().await.expect("all is stored");
    let id = writer.opened().expect("open");
    finish(&house, id).await;
    drop(writer);
    let reader = driver.live.read(house.thread, id, 0).await.expect("readable");
    assert_eq!(read_all(reader).await, expected);
    driver.stop().await;
}

#[tokio::test]
async fn a_reader_hears_of_the_end_though_the_writer_is_still_there() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    push_all(&writer, &["a"]).await;
    let id = writer.opened().expect("open");
    let reader = driver.live.read(house.thread, id, 0).await.expect("readable");
    writer.flush().await.expect("stored");
    finish(&house, id).await;
    assert_eq!(read_all(reader).await, "a");
    drop(writer);
    driver.stop().await;
}

#[tokio::test]
async fn a_reader_of_what_was_never_stored_comes_to_the_end() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    push_all(&writer, &["a"]).await;
    let id = writer.opened().expect("open");
    let mut reader = driver.live.read(house.thread, id, 0).await.expect("readable");
    soon(reader.next()).await.expect("more").expect("read");
    finish(&house, id).await;
    assert!(writer.flush().await.is_err(), "it was finished before");
    assert_eq!(read_all(reader).await, "");
    driver.stop().await;
}

#[tokio::test]
async fn a_line_without_an_end_is_kept_however_long_it_is() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let message = house.save(NewMessage::pending()).await[0].id;
    let writer = driver.live.write(NewStream::of(message)).chunking(Chunking::Lines);
    let half = "x".repeat(streams::MAX_CHUNK_BYTES / 2);
    push_all(&writer, &[&half, &half, &half]).await;
    writer.flush().await.expect("stored");
    let id = writer.opened().expect("open");
    finish(&house, id).await;
    drop(writer);
    let reader = driver.live.read(house.thread, id, 0).await.expect("readable");
    assert_eq!(read_all(reader).await.len(), 3 * half.len());
    driver.stop().await;
}

#[tokio::test]
async fn a_writer_that_was_dropped_is_forgotten_when_its_rest_is_stored() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    push_all(&writer, &["kept"]).await;
    let id = writer.opened().expect("open");
    drop(writer);
    let (store, thread) = (house.store.clone(), house.thread);
    let mut stored = store.watch(move |tx| Ok(streams::deltas(tx, thread, id, 0)?.len()));
    soon(stored.next()).await.expect("open").expect("read");
    soon(slice_is_due(&house)).await;
    soon(stored.next()).await.expect("open").expect("read");
    soon(async {
        while driver.live.writing() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    driver.stop().await;
}

#[tokio::test]
async fn a_stream_without_a_run_that_is_aborted_ends_its_message_too() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let message = house.save(NewMessage::pending()).await[0].id;
    let writer = driver.live.write(NewStream::of(message));
    for chunk in [UiChunk::StartStep, begin(), text("half")] {
        writer.push(chunk).await.expect("it takes chunks");
    }
    writer.flush().await.expect("stored");
    let id = writer.opened().expect("open");
    let failure = Failure::new("stopped", "stop");
    assert!(house.store.mutate(move |tx| streams::abort(tx, id, failure)).await.expect("aborted"));
    let row = house.message(message).await;
    assert_eq!((row.status, row.message.text()), (MessageStatus::Aborted, "half".to_owned()));
    driver.stop().await;
}

#[tokio::test]
async fn a_chunking_that_panics_harms_no_other_stream() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let message = house.save(NewMessage::pending()).await[0].id;
    let panics = Chunking::Custom(Arc::new(|_: &str| panic!("a fault of the application")));
    let bad = driver.live.write(NewStream::of(message)).chunking(panics);
    let id = bad.id().await.expect("open");
    assert!(beside(async move { bad.push(text("a")).await }).await.is_err(), "it panics");
    let good = writer(&house, &driver).await;
    push_all(&good, &["b"]).await;
    let (store, thread, other) = (house.store.clone(), house.thread, good.opened().expect("open"));
    let mut stored = store.watch(move |tx| Ok(streams::deltas(tx, thread, other, 0)?.len()));
    assert_eq!(soon(stored.next()).await.expect("open").expect("read"), 0);
    soon(slice_is_due(&house)).await;
    assert_eq!(soon(stored.next()).await.expect("open").expect("read"), 1);
    finish(&house, id).await;
    let reader = driver.live.read(house.thread, id, 0).await.expect("readable");
    assert_eq!(read_all(reader).await, "");
    driver.stop().await;
}

#[tokio::test]
async fn the_rest_of_a_stream_without_a_run_is_in_its_message_too() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let prompt = house.save("hi").await[0].id;
    let pending = Save::from(NewMessage::pending()).at(Place::Reply(prompt));
    let message = house.save(pending).await[0].id;
    let writer = driver.live.write(NewStream::of(message));
    let call = |id: &str| UiChunk::ToolInputAvailable {
        tool_call_id: id.into(),
        tool_name: "look".into(),
        input: json!({}),
        dynamic: false,
        provider_executed: false,
        title: None,
        tool_metadata: None,
        provider_metadata: None,
    };
    let seen = |id: &str| UiChunk::ToolOutputAvailable {
        tool_call_id: id.into(),
        output: json!("seen"),
        preliminary: false,
        dynamic: false,
        provider_executed: false,
        provider_metadata: None,
    };
    for chunk in [UiChunk::StartStep, call("1"), seen("1"), UiChunk::FinishStep, UiChunk::StartStep] {
        writer.push(chunk).await.expect("it takes chunks");
    }
    writer.flush().await.expect("stored");
    for chunk in [begin(), text("the rest")] {
        writer.push(chunk).await.expect("it takes chunks");
    }
    let (id, failure) = (writer.opened().expect("open"), Failure::new("stopped", "stop"));
    house.commit(move |tx| streams::abort(tx, id, failure)).await;
    assert_eq!(house.positions().await, [(0, 0), (0, 1), (0, 2)], "the call and its result");
    assert!(writer.flush().await.is_err(), "it was cut before");
    let rows = house.all().await;
    assert_eq!(house.positions().await, [(0, 0), (0, 1), (0, 2), (0, 3)]);
    assert_eq!((rows[1].id, rows[3].message.text()), (message, "the rest".to_owned()));
    for row in &rows[1..] {
        assert_eq!((row.status, row.prompt), (MessageStatus::Aborted, Some(prompt)));
    }
    driver.stop().await;
}

#[tokio::test]
async fn the_rest_of_a_stream_changes_no_message_that_had_ended_before() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let message = house.save(NewMessage::pending()).await[0].id;
    let writer = driver.live.write(NewStream::of(message));
    for chunk in [UiChunk::StartStep, begin(), text("half")] {
        writer.push(chunk).await.expect("it takes chunks");
    }
    let (id, failure) = (writer.id().await.expect("open"), Failure::new("stopped", "stop"));
    let broken = Failure::new("broken", "the application says so");
    house.commit(move |tx| settle(tx, message, MessageStatus::Failed, Some(broken))).await;
    house.commit(move |tx| streams::abort(tx, id, failure)).await;
    assert!(writer.flush().await.is_err(), "it was cut before");
    let row = house.message(message).await;
    assert_eq!((row.status, row.message.text()), (MessageStatus::Failed, String::new()));
    driver.stop().await;
}

#[tokio::test]
async fn a_restart_ends_the_stream_of_an_answer_that_it_gives_up() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let prompt = house.save("hi").await[0].id;
    let pending = || Save::from(NewMessage::pending()).at(Place::Reply(prompt));
    let message = house.save(pending()).await[0].id;
    let writer = driver.live.write(NewStream::of(message));
    for chunk in [UiChunk::StartStep, begin(), text("half")] {
        writer.push(chunk).await.expect("it takes chunks");
    }
    writer.flush().await.expect("stored");
    house.save(Save { restart: true, ..pending() }).await;
    let row = house.message(message).await;
    assert_eq!((row.status, row.message.text()), (MessageStatus::Aborted, "half".to_owned()));
    writer.push(text("more")).await.expect("it does not know yet");
    let error: StreamError = fault(writer.flush().await);
    assert!(matches!(error, StreamError::Ended { .. }), "{error}");
    driver.stop().await;
}

#[tokio::test]
async fn a_stream_that_grows_is_not_deleted() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    push_all(&writer, &["a"]).await;
    let id = writer.opened().expect("open");
    let refused: StreamError = house.refused(move |tx| streams::delete(tx, id)).await;
    assert_eq!(refused, StreamError::Grows { stream: id });
    writer.flush().await.expect("stored");
    finish(&house, id).await;
    assert!(house.commit(move |tx| streams::delete(tx, id)).await, "it is gone");
    driver.stop().await;
}

#[tokio::test]
async fn a_reader_is_told_of_a_store_that_closes_before_the_end() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    push_all(&writer, &["a"]).await;
    let id = writer.opened().expect("open");
    let mut reader = driver.live.read(house.thread, id, 0).await.expect("readable");
    soon(reader.next()).await.expect("more").expect("read");
    drop(writer);
    driver.stop().await;
    house.store.close().await;
    let error: Problem = fault(soon(reader.next()).await.expect("it is not the end"));
    assert!(matches!(error, Problem::Closed), "{error}");
}

#[tokio::test]
async fn nothing_is_streamed_to_a_thread_that_is_being_deleted() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    let thread = house.thread;
    house.commit(move |tx| threads::delete(tx, thread)).await;
    let error: threads::Error = fault(writer.push(text("late")).await);
    assert_eq!(error, threads::Error::NotFound { thread });
    driver.stop().await;
}
