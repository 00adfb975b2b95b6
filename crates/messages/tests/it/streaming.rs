use std::time::Duration;

use loomwork_messages::streams::{
    self, Chunking, FLUSH_EVERY, KEEP_ENDED, NewStream, STREAM_TIMEOUT, Slice, StreamError, StreamReader,
    StreamWriter,
};
use loomwork_messages::{Failure, MessageStatus, NewMessage, StreamId, StreamStatus, UiChunk};
use loomwork_store::Result;
use loomwork_testkit::soon;

use super::house::{Driver, House, beside, fault};

pub(super) fn text(delta: &str) -> UiChunk {
    UiChunk::TextDelta { id: "1".into(), delta: delta.into(), provider_metadata: None }
}

pub(super) fn begin() -> UiChunk {
    UiChunk::TextStart { id: "1".into(), provider_metadata: None }
}

/// A stream of a message that no run makes.
pub(super) async fn writer(house: &House, driver: &Driver) -> StreamWriter {
    let message = house.save(NewMessage::pending()).await[0].id;
    driver.live.write(NewStream::of(message))
}

pub(super) async fn push_all(writer: &StreamWriter, texts: &[&str]) {
    for delta in texts {
        writer.push(text(delta)).await.expect("it takes chunks");
    }
}

pub(super) async fn finish(house: &House, stream: StreamId) {
    house.store.mutate(move |tx| streams::finish(tx, stream)).await.expect("finished");
}

/// Returns the texts of a slice, joined.
fn texts(slice: &Slice) -> String {
    let chunks = slice.chunks().expect("chunks");
    let deltas = chunks.iter().filter_map(|chunk| match chunk {
        UiChunk::TextDelta { delta, .. } => Some(delta.as_str()),
        _ => None,
    });
    deltas.collect()
}

/// Reads to the end of a stream, and proves on the way that nothing is left out or doubled.
pub(super) async fn read_all(mut reader: StreamReader) -> String {
    let (mut all, mut cursor) = (String::new(), reader.cursor());
    while let Some(slice) = soon(reader.next()).await {
        let slice = slice.expect("a slice");
        assert_eq!(slice.start, cursor, "no gap and no repeat");
        cursor = slice.end;
        all.push_str(&texts(&slice));
    }
    all
}

/// Turns the clock to when what waits is stored.
pub(super) async fn slice_is_due(house: &House) {
    let due = house.clock.clock().now() + FLUSH_EVERY;
    while house.clock.next_timer().is_none_or(|timer| timer > due) {
        tokio::task::yield_now().await;
    }
    house.clock.advance(FLUSH_EVERY);
}

async fn rows(house: &House, stream: StreamId) -> Vec<Slice> {
    let thread = house.thread;
    house.store.query(move |tx| streams::deltas(tx, thread, stream, 0)).await.expect("the deltas are read")
}

#[tokio::test]
async fn a_stream_is_opened_by_its_first_chunk() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    assert_eq!(writer.opened(), None);
    writer.push(begin()).await.expect("it takes chunks");
    let id = writer.opened().expect("it is open");
    assert_eq!(writer.id().await.expect("open"), id);
    let row = house.store.query(move |tx| tx.require(id)).await.expect("the row");
    assert_eq!((row.status, row.thread), (StreamStatus::Streaming, house.thread));
    driver.stop().await;
}

#[tokio::test]
async fn readers_see_chunks_before_they_are_stored() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    push_all(&writer, &["a", "b"]).await;
    let id = writer.opened().expect("open");
    let mut reader = driver.live.read(house.thread, id, 0).await.expect("readable");
    let slice = soon(reader.next()).await.expect("more").expect("read");
    assert_eq!((slice.start, slice.end, texts(&slice)), (0, 2, "ab".to_owned()));
    assert!(rows(&house, id).await.is_empty(), "the clock stands still");
    driver.stop().await;
}

#[tokio::test]
async fn what_waits_is_stored_when_its_time_has_come_though_nothing_follows() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    push_all(&writer, &["a", "b", "c"]).await;
    let id = writer.opened().expect("open");
    let (store, thread) = (house.store.clone(), house.thread);
    let mut stored = store.watch(move |tx| Ok(streams::deltas(tx, thread, id, 0)?.len()));
    assert_eq!(soon(stored.next()).await.expect("open").expect("read"), 0);
    soon(slice_is_due(&house)).await;
    assert_eq!(soon(stored.next()).await.expect("open").expect("read"), 1);
    let slices = rows(&house, id).await;
    assert_eq!(slices.len(), 1);
    assert_eq!((slices[0].start, slices[0].end), (0, 3));
    assert_eq!(slices[0].chunks().expect("chunks"), [text("abc")]);
    driver.stop().await;
}

#[tokio::test]
async fn only_what_makes_the_same_text_grow_is_put_together() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    let other = UiChunk::TextDelta { id: "2".into(), delta: "x".into(), provider_metadata: None };
    let input = |delta: &str| UiChunk::ToolInputDelta {
        tool_call_id: "c".into(),
        input_text_delta: delta.into(),
    };
    let thought = |delta: &str| UiChunk::ReasoningDelta {
        id: "1".into(),
        delta: delta.into(),
        provider_metadata: None,
    };
    let chunks = [
        begin(), text("a"), text("b"), other.clone(), text("c"), thought("d"), thought("e"), input("{"), input("}"),
        UiChunk::FinishStep,
    ];
    for chunk in chunks {
        writer.push(chunk).await.expect("it takes chunks");
    }
    writer.flush().await.expect("stored");
    let slices = rows(&house, writer.opened().expect("open")).await;
    assert_eq!((slices.len(), slices[0].end), (1, 10));
    let stored = slices[0].chunks().expect("chunks");
    assert_eq!(stored, [begin(), text("ab"), other, text("c"), thought("de"), input("{}"), UiChunk::FinishStep]);
    driver.stop().await;
}

#[tokio::test]
async fn a_reader_begins_behind_any_chunk_inside_a_slice_too() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    writer.push(begin()).await.expect("it takes chunks");
    push_all(&writer, &["grün", "e", "", "Wiese"]).await;
    writer.flush().await.expect("stored");
    push_all(&writer, &["n", " und", " Wälder"]).await;
    writer.flush().await.expect("stored");
    let id = writer.opened().expect("open");
    finish(&house, id).await;
    drop(writer);
    let parts = ["", "grün", "e", "", "Wiese", "n", " und", " Wälder"];
    for cursor in 0..=8 {
        let reader = driver.live.read(house.thread, id, cursor as u64).await.expect("readable");
        assert_eq!(read_all(reader).await, parts[cursor..].concat(), "from {cursor}");
    }
    driver.stop().await;
}

#[tokio::test]
async fn many_readers_follow_from_stored_slices_into_the_channel() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    push_all(&writer, &["zero "]).await;
    writer.flush().await.expect("stored");
    let id = writer.opened().expect("open");
    let mut following = Vec::new();
    for _ in 0..8 {
        let reader = driver.live.read(house.thread, id, 0).await.expect("readable");
        following.push(beside(read_all(reader)));
    }
    let mut expected = "zero ".to_owned();
    for number in 1..200 {
        let word = format!("{number} ");
        push_all(&writer, &[&word]).await;
        expected.push_str(&word);
        if number % 17 == 0 {
            writer.flush().await.expect("stored");
        }
        tokio::task::yield_now().await;
    }
    writer.flush().await.expect("stored");
    finish(&house, id).await;
    drop(writer);
    for reader in following {
        assert_eq!(soon(reader).await.expect("no panic"), expected);
    }
    driver.stop().await;
}

#[tokio::test]
async fn a_reader_who_is_far_behind_takes_rows_and_misses_nothing() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    push_all(&writer, &["first "]).await;
    let id = writer.opened().expect("open");
    let mut slow = driver.live.read(house.thread, id, 0).await.expect("readable");
    let first = soon(slow.next()).await.expect("more").expect("read");
    assert_eq!(texts(&first), "first ");
    let line = "x".repeat(1_000);
    for _ in 0..100 {
        push_all(&writer, &[&line]).await;
    }
    writer.flush().await.expect("stored");
    finish(&house, id).await;
    drop(writer);
    assert_eq!(read_all(slow).await.len(), 100_000);
    driver.stop().await;
}

#[tokio::test]
async fn a_reader_of_another_process_follows_the_rows() {
    let house = House::open().await;
    let (writing, reading) = (Driver::start(&house).await, Driver::start(&house).await);
    let writer = writer(&house, &writing).await;
    push_all(&writer, &["a"]).await;
    let id = writer.opened().expect("open");
    let reader = reading.live.read(house.thread, id, 0).await.expect("readable");
    let following = beside(read_all(reader));
    for word in ["b", "c", "d"] {
        push_all(&writer, &[word]).await;
        writer.flush().await.expect("stored");
        tokio::task::yield_now().await;
    }
    finish(&house, id).await;
    assert_eq!(soon(following).await.expect("no panic"), "abcd");
    writing.stop().await;
    reading.stop().await;
}

#[tokio::test]
async fn a_stream_is_read_after_a_restart_from_where_its_reader_was() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    push_all(&writer, &["a", "b", "c"]).await;
    writer.flush().await.expect("stored");
    let id = writer.opened().expect("open");
    finish(&house, id).await;
    drop(writer);
    driver.stop().await;
    let house = house.reopen().await;
    let driver = Driver::start(&house).await;
    let thread = house.store.query(move |tx| tx.require(id)).await.expect("the row").thread;
    let reader = driver.live.read(thread, id, 2).await.expect("readable");
    assert_eq!(read_all(reader).await, "c");
    driver.stop().await;
}

#[tokio::test]
async fn a_stream_is_read_by_its_thread_only() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    push_all(&writer, &["secret"]).await;
    writer.flush().await.expect("stored");
    let stream = writer.opened().expect("open");
    let other = house
        .store
        .mutate(|tx| loomwork_messages::threads::create(tx, loomwork_messages::threads::NewThread::for_user("bob")))
        .await
        .expect("a thread")
        .id;
    let refused = driver.live.read(other, stream, 0).await;
    assert_eq!(fault::<_, StreamError>(refused), StreamError::Elsewhere { stream, thread: other });
    let refused = house.store.query(move |tx| streams::deltas(tx, other, stream, 0)).await;
    assert_eq!(fault::<_, StreamError>(refused), StreamError::Elsewhere { stream, thread: other });
    driver.stop().await;
}

#[tokio::test]
async fn a_cursor_behind_the_end_is_refused() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    push_all(&writer, &["a"]).await;
    let stream = writer.opened().expect("open");
    let mut ahead = driver.live.read(house.thread, stream, 7).await.expect("readable");
    let error: StreamError = fault(soon(ahead.next()).await.expect("an error"));
    assert_eq!(error, StreamError::Ahead { stream, end: 1, cursor: 7 });
    writer.flush().await.expect("stored");
    finish(&house, stream).await;
    drop(writer);
    let error: StreamError = fault(soon(ahead.next()).await.expect("an error"));
    assert_eq!(error, StreamError::Ahead { stream, end: 1, cursor: 7 });
    driver.stop().await;
}

#[tokio::test]
async fn what_was_pushed_is_stored_though_the_writer_is_dropped() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    push_all(&writer, &["kept"]).await;
    let id = writer.opened().expect("open");
    drop(writer);
    let (store, thread) = (house.store.clone(), house.thread);
    let mut stored = store.watch(move |tx| Ok(streams::deltas(tx, thread, id, 0)?.len()));
    assert_eq!(soon(stored.next()).await.expect("open").expect("read"), 0);
    soon(slice_is_due(&house)).await;
    assert_eq!(soon(stored.next()).await.expect("open").expect("read"), 1);
    assert_eq!(texts(&rows(&house, id).await[0]), "kept");
    driver.stop().await;
}

#[tokio::test]
async fn a_stream_that_was_cut_takes_no_more_than_the_rest_in_hand() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    push_all(&writer, &["a"]).await;
    let id = writer.opened().expect("open");
    let failure = Failure::new("stopped", "stop");
    assert!(house.store.mutate(move |tx| streams::abort(tx, id, failure)).await.expect("aborted"));
    let error: StreamError = fault(writer.flush().await);
    assert_eq!(error, StreamError::Ended { stream: id, why: "stop (stopped)".into() });
    assert!(writer.push(text("b")).await.is_err());
    let reader = driver.live.read(house.thread, id, 0).await.expect("readable");
    assert_eq!(read_all(reader).await, "a");
    driver.stop().await;
}

#[tokio::test]
async fn a_stream_that_has_finished_is_not_cut_and_not_finished_again() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    push_all(&writer, &["a"]).await;
    writer.flush().await.expect("stored");
    let id = writer.opened().expect("open");
    finish(&house, id).await;
    let again = house.store.mutate(move |tx| streams::finish(tx, id)).await.expect("no error");
    let cut = house.store.mutate(move |tx| streams::abort(tx, id, Failure::default())).await.expect("no error");
    assert!(!again && !cut);
    driver.stop().await;
}

#[tokio::test]
async fn a_silent_stream_is_aborted_and_its_message_settled_with_what_came() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let message = house.save(NewMessage::pending()).await[0].id;
    let writer = driver.live.write(NewStream::of(message));
    for chunk in [UiChunk::StartStep, begin(), text("half")] {
        writer.push(chunk).await.expect("it takes chunks");
    }
    writer.flush().await.expect("stored");
    let id = writer.opened().expect("open");
    let tasks = loomwork_core::Tasks::new();
    house.store.start_upkeep(&tasks, streams::upkeep());
    house.clock.advance(STREAM_TIMEOUT);
    let store = house.store.clone();
    soon(async move {
        let mut stream = store.watch(move |tx| Ok(tx.require(id)?.status));
        while stream.next().await.expect("open").expect("read") == StreamStatus::Streaming {}
    })
    .await;
    let row = house.message(message).await;
    assert_eq!((row.status, row.message.text()), (MessageStatus::Aborted, "half".to_owned()));
    assert_eq!(row.error.as_ref().map(|error| error.code.as_str()), Some("timeout"));
    tasks.shutdown(Duration::from_secs(30)).await.expect("the tasks end");
    driver.stop().await;
}

#[tokio::test]
async fn a_stream_that_is_written_to_does_not_time_out() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    let tasks = loomwork_core::Tasks::new();
    house.store.start_upkeep(&tasks, streams::upkeep());
    for _ in 0..5 {
        push_all(&writer, &["a"]).await;
        writer.flush().await.expect("it is still open");
        house.clock.advance(STREAM_TIMEOUT / 2);
    }
    let id = writer.opened().expect("open");
    house.store.mutate(move |tx| streams::refresh(tx, id)).await.expect("it is still open");
    tasks.shutdown(Duration::from_secs(30)).await.expect("the tasks end");
    driver.stop().await;
}

#[tokio::test]
async fn a_stream_that_has_ended_is_deleted_after_a_while_however_long_it_is() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    let large = "y".repeat(200_000);
    for _ in 0..4 {
        push_all(&writer, &[&large]).await;
    }
    writer.flush().await.expect("stored");
    let id = writer.opened().expect("open");
    finish(&house, id).await;
    drop(writer);
    assert!(!rows(&house, id).await.is_empty());
    let tasks = loomwork_core::Tasks::new();
    house.store.start_upkeep(&tasks, streams::upkeep());
    house.clock.advance(KEEP_ENDED);
    let store = house.store.clone();
    soon(async move {
        let mut stream = store.watch(move |tx| Ok(tx.get(id)?.is_some()));
        while stream.next().await.expect("open").expect("read") {}
    })
    .await;
    let left = house
        .store
        .query(move |tx| tx.count(loomwork_messages::DeltaRow::by_stream.eq(id)))
        .await
        .expect("counted");
    assert_eq!(left, 0);
    tasks.shutdown(Duration::from_secs(30)).await.expect("the tasks end");
    driver.stop().await;
}

#[tokio::test]
async fn a_chunk_that_is_too_large_is_refused_with_its_size() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let writer = writer(&house, &driver).await;
    let error = writer.push(text(&"z".repeat(streams::MAX_CHUNK_BYTES))).await;
    assert!(matches!(fault::<_, StreamError>(error), StreamError::ChunkTooLarge { .. }));
    writer.push(text("fits")).await.expect("it goes on");
    driver.stop().await;
}

#[tokio::test]
async fn streams_of_a_thread_are_listed_by_status_and_turn() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let mut ids = Vec::new();
    for turn in 0..3 {
        house.save("next").await;
        let writer = writer(&house, &driver).await;
        push_all(&writer, &["a"]).await;
        ids.push(writer.id().await.expect("open"));
        if turn == 0 {
            writer.flush().await.expect("stored");
            finish(&house, ids[0]).await;
        }
    }
    let thread = house.thread;
    let list = move |from: u64, statuses: &'static [StreamStatus]| {
        let store = house.store.clone();
        async move {
            let listed: Result<Vec<_>> = store
                .query(move |tx| Ok(streams::list(tx, thread, from, statuses)?.iter().map(|row| row.id).collect()))
                .await;
            listed.expect("listed")
        }
    };
    assert_eq!(list(0, &[StreamStatus::Streaming]).await, [ids[2], ids[1]]);
    assert_eq!(list(2, &[StreamStatus::Streaming]).await, [ids[2]]);
    assert_eq!(list(0, &[StreamStatus::Streaming, StreamStatus::Finished]).await, [ids[2], ids[1], ids[0]]);
    driver.stop().await;
}

/// Returns the texts of the chunks that a chunking makes of these deltas.
async fn cut(chunking: Chunking, deltas: &[&str]) -> Vec<String> {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let message = house.save(NewMessage::pending()).await[0].id;
    let writer = driver.live.write(NewStream::of(message)).chunking(chunking);
    push_all(&writer, deltas).await;
    writer.push(UiChunk::TextEnd { id: "1".into(), provider_metadata: None }).await.expect("it takes chunks");
    let id = writer.opened().expect("open");
    let mut reader = driver.live.read(house.thread, id, 0).await.expect("readable");
    let slice = soon(reader.next()).await.expect("more").expect("read");
    let chunks = slice.chunks().expect("chunks");
    driver.stop().await;
    let texts = chunks.into_iter().filter_map(|chunk| match chunk {
        UiChunk::TextDelta { delta, .. } => Some(delta),
        _ => None,
    });
    texts.collect()
}

#[tokio::test]
async fn texts_are_cut_where_the_chunking_says() {
    let deltas = ["On", "e two, thr", "ee.\nFo", "ur"];
    assert_eq!(cut(Chunking::AsSent, &deltas).await, deltas);
    assert_eq!(cut(Chunking::Words, &deltas).await, ["One ", "two, ", "three.\n", "Four"]);
    assert_eq!(cut(Chunking::Lines, &deltas).await, ["One two, three.\n", "Four"]);
    assert_eq!(cut(Chunking::Punctuation, &deltas).await, ["One ", "two,", " ", "three.", "\n", "Four"]);
    let regex = Chunking::Regex(regex::Regex::new("e").expect("a pattern"));
    assert_eq!(cut(regex, &deltas).await, ["One", " two, thre", "e", ".\nFour"]);
    let three = Chunking::Custom(std::sync::Arc::new(|text: &str| (text.len() >= 3).then_some(3)));
    assert_eq!(cut(three, &["abcd", "efgh"]).await, ["abc", "def", "gh"]);
}

#[tokio::test]
async fn a_word_without_an_end_is_not_held_back_for_ever() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let message = house.save(NewMessage::pending()).await[0].id;
    let writer = driver.live.write(NewStream::of(message)).chunking(Chunking::Words);
    push_all(&writer, &["unfin"]).await;
    let id = writer.opened().expect("open");
    let mut reader = driver.live.read(house.thread, id, 0).await.expect("readable");
    writer.flush().await.expect("stored");
    let slice = soon(reader.next()).await.expect("more").expect("read");
    assert_eq!(texts(&slice), "unfin");
    driver.stop().await;
}
