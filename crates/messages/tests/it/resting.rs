//! What a writer has in hand, stored with what else a transaction writes; and streams that a transaction opens.

use loomwork_messages::runs::{self, NewRun, Step, Then};
use loomwork_messages::streams::{self, NewStream, OpenStream, StreamError, StreamReader, StreamWriter};
use loomwork_messages::{RunId, UiChunk};
use loomwork_core::Kind;
use loomwork_store::{Error, Result};
use loomwork_testkit::soon;

use super::house::{Driver, House, assistant, beside, fault, look};
use super::streaming::{push_all, read_all, slice_is_due, text, writer};

async fn reader(house: &House, driver: &Driver, writer: &StreamWriter) -> StreamReader {
    let id = writer.id().await.expect("open");
    driver.live.read(house.thread, id, 0).await.expect("readable")
}

/// Returns the text of the next slice.
async fn next(reader: &mut StreamReader) -> String {
    let slice = soon(reader.next()).await.expect("a slice").expect("read");
    let chunks = slice.chunks().expect("chunks").into_iter();
    chunks.map(|chunk| if let UiChunk::TextDelta { delta, .. } = chunk { delta } else { String::new() }).collect()
}

#[tokio::test]
async fn what_comes_behind_is_seen_when_it_is_committed_and_not_before() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let mut writer = writer(&house, &driver).await;
    push_all(&writer, &["a "]).await;
    let mut reader = reader(&house, &driver, &writer).await;
    assert_eq!(next(&mut reader).await, "a ");
    let id = writer.opened().expect("open");
    let rest = writer.rest(vec![text("b "), text("c")]).await.expect("it takes more").expect("there is some");
    let slice = rest.slice();
    assert!(look(std::pin::pin!(reader.next())).await.is_pending(), "nobody has seen it");
    let stored = house.store.mutate(move |tx| {
        slice.store(tx)?;
        streams::finish(tx, id)
    });
    assert!(stored.await.expect("committed"));
    rest.is_stored();
    assert_eq!(soon(read_all(reader)).await, "b c");
    drop(writer);
    let late = driver.live.read(house.thread, id, 0).await.expect("readable");
    assert_eq!(soon(read_all(late)).await, "a b c");
    driver.stop().await;
}

#[tokio::test]
async fn what_is_not_committed_is_the_writers_again() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let mut writer = writer(&house, &driver).await;
    assert!(writer.rest(Vec::new()).await.expect("open").is_none(), "there is nothing");
    push_all(&writer, &["a "]).await;
    let rest = writer.rest(vec![text("b ")]).await.expect("open").expect("there is some");
    let slice = rest.slice();
    let failed: Result<()> = house
        .store
        .mutate(move |tx| {
            slice.store(tx)?;
            Err(Error::message(Kind::Invalid, "it is not to be"))
        })
        .await;
    failed.expect_err("nothing is committed");
    drop(rest);
    // It is committed, and nobody says so.
    let rest = writer.rest(vec![text("c ")]).await.expect("open").expect("there is some");
    let slice = rest.slice();
    assert!(house.store.mutate(move |tx| slice.store(tx)).await.expect("committed"));
    drop(rest);
    push_all(&writer, &["d"]).await;
    writer.flush().await.expect("all is stored");
    let id = writer.opened().expect("open");
    house.store.mutate(move |tx| streams::finish(tx, id)).await.expect("finished");
    drop(writer);
    let reader = driver.live.read(house.thread, id, 0).await.expect("readable");
    assert_eq!(soon(read_all(reader)).await, "a b c d", "nothing is lost or doubled");
    driver.stop().await;
}

async fn opened(house: &House, host: &runs::Host, run: RunId) -> (runs::Hold, OpenStream) {
    let host = host.id();
    let opened = house.store.mutate(move |tx| {
        let hold = runs::take(tx, host, run)?.expect("nobody has it");
        let first = tx.require(run)?.first;
        Ok((hold, streams::begin(tx, NewStream { hold: Some(hold), ..NewStream::of(first) })?))
    });
    opened.await.expect("it is taken")
}

#[tokio::test]
async fn a_run_is_taken_and_streamed_in_two_commits() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let thread = house.thread;
    let run = house.store.mutate(move |tx| Ok(runs::begin(tx, thread, NewRun::answering("hi"))?.run.id));
    let run = run.await.expect("it begins");
    let (hold, open) = opened(&house, &driver.host, run).await;
    assert!(open.is_new());
    let id = house.store.query(move |tx| Ok(tx.require(run)?.stream)).await.expect("read").expect("open");
    // Whoever reads it before it has a writer hears of the first word at once.
    let reader = driver.live.read(thread, id, 0).await.expect("readable");
    let reading = beside(read_all(reader));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let mut writer = driver.live.go_on(open);
    push_all(&writer, &["a "]).await;
    let rest = writer.rest(vec![text("b")]).await.expect("open").expect("there is some");
    let slice = rest.slice();
    let step = Step { messages: vec![assistant("a b")], then: Then::End };
    let ended = house.store.mutate(move |tx| {
        slice.store(tx)?;
        runs::step(tx, hold, step)
    });
    ended.await.expect("it ends");
    rest.is_stored();
    assert_eq!(soon(reading).await.expect("no panic"), "a b");
    driver.stop().await;
}

#[tokio::test]
async fn a_writer_whose_run_is_taken_again_stores_nothing_and_is_told() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let thread = house.thread;
    let run = house.store.mutate(move |tx| Ok(runs::begin(tx, thread, NewRun::answering("hi"))?.run.id));
    let run = run.await.expect("it begins");
    let (hold, open) = opened(&house, &driver.host, run).await;
    let mut former = driver.live.go_on(open);
    push_all(&former, &["never"]).await;
    house.store.mutate(move |tx| runs::give_back(tx, hold)).await.expect("given back");
    let (hold, open) = opened(&house, &driver.host, run).await;
    assert!(!open.is_new());
    let writer = driver.live.go_on(open);
    let error: StreamError = fault(former.rest(vec![text("more")]).await.map(drop));
    assert!(matches!(error, StreamError::Ended { .. }), "{error}");
    former.push(text("more")).await.expect_err("another writes");
    drop(former);
    push_all(&writer, &["anew"]).await;
    slice_is_due(&house).await;
    writer.flush().await.expect("stored");
    let step = Step { messages: vec![assistant("anew")], then: Then::End };
    house.store.mutate(move |tx| runs::step(tx, hold, step)).await.expect("it ends");
    let id = writer.opened().expect("open");
    drop(writer);
    let reader = driver.live.read(thread, id, 0).await.expect("readable");
    assert_eq!(soon(read_all(reader)).await, "anew");
    driver.stop().await;
}
