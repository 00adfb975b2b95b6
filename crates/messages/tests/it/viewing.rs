use std::collections::HashMap;

use loomwork_messages::runs::{NewRun, Step, Then, step};
use loomwork_messages::streams::{NewStream, StreamWriter};
use loomwork_messages::{List, MessageStatus, Save, UiChunk, UiMessage, UiStatus, View, ViewEvent, ViewFollower, view};
use loomwork_testkit::soon;

use super::house::{Driver, House, assistant, call, look, result, user};

fn delta(text: &str) -> UiChunk {
    UiChunk::TextDelta { id: "1".into(), delta: text.into(), provider_metadata: None }
}

async fn writer(house: &House, driver: &Driver, hold: loomwork_messages::runs::Hold) -> StreamWriter {
    let run = house.store.query(move |tx| tx.require(hold.run)).await.expect("the run");
    let new = NewStream { hold: Some(hold), ..NewStream::of(run.pending.expect("pending")) };
    let writer = driver.live.write(new);
    for chunk in [UiChunk::StartStep, UiChunk::TextStart { id: "1".into(), provider_metadata: None }] {
        writer.push(chunk).await.expect("it takes chunks");
    }
    writer
}

async fn seen(house: &House, asked: List) -> View {
    let thread = house.thread;
    house.store.query(move |tx| view(tx, thread, &asked)).await.expect("a view")
}

async fn next(follower: &mut ViewFollower) -> ViewEvent {
    soon(follower.next()).await.expect("open").expect("no error")
}

#[tokio::test]
async fn a_turn_is_one_message_in_the_view_though_it_has_many_rows() {
    let house = House::open().await;
    house.save(Save::all([user("hi"), call("1"), result("1"), assistant("done")])).await;
    let view = seen(&house, List::newest(100)).await;
    assert_eq!(view.messages.len(), 2);
    assert_eq!((view.messages[1].text.as_str(), view.messages[1].status), ("done", UiStatus::Success));
}

#[tokio::test]
async fn no_message_is_cut_by_the_border_of_a_page() {
    let house = House::open().await;
    for _ in 0..3 {
        house.save(Save::all([user("hi"), call("1"), result("1"), assistant("done")])).await;
    }
    let view = seen(&house, List::newest(2)).await;
    assert_eq!(view.messages.len(), 2);
    assert_eq!(view.messages[0].text, "hi");
    let page = seen(&house, List { after: view.next, ..List::newest(2) }).await;
    assert_eq!((page.messages.len(), page.messages[0].order), (2, 1));
}

#[tokio::test]
async fn a_follower_sees_messages_and_each_chunk_once() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let mut follower = driver.live.follow(house.thread, List::newest(100), HashMap::new());
    let ViewEvent::View(empty) = next(&mut follower).await else { panic!("a view comes first") };
    assert!(empty.messages.is_empty());

    let hold = driver.run(&house, NewRun::answering("hi")).await;
    let writer = writer(&house, &driver, hold).await;
    let stream = writer.opened().expect("open");
    let mut words = String::new();
    for number in 0..50 {
        let word = format!("{number} ");
        writer.push(delta(&word)).await.expect("it takes chunks");
        words.push_str(&word);
        if number % 10 == 0 {
            writer.flush().await.expect("stored");
        }
    }
    writer.flush().await.expect("stored");
    let answer = assistant(&words);
    let last = Step { messages: vec![answer], then: Then::End };
    house.store.mutate(move |tx| step(tx, hold, last)).await.expect("the step");
    drop(writer);

    let (mut cursor, mut text, mut views) = (0, String::new(), Vec::new());
    loop {
        match next(&mut follower).await {
            ViewEvent::View(view) => {
                let is_complete = view.messages.last().is_some_and(|message| message.status == UiStatus::Success)
                    && view.messages.len() == 2;
                views.push(view);
                if is_complete {
                    break;
                }
            }
            ViewEvent::Slice { stream: of, slice } => {
                assert_eq!((of, slice.start), (stream, cursor));
                cursor = slice.end;
                for chunk in slice.chunks().expect("chunks") {
                    if let UiChunk::TextDelta { delta, .. } = chunk {
                        text.push_str(&delta);
                    }
                }
            }
        }
    }
    assert!(text.is_empty() || words.starts_with(&text), "{text}");
    assert_eq!(views.last().expect("a view").messages[1].text, words);
    driver.stop().await;
}

#[tokio::test]
async fn a_growing_stream_does_not_run_the_view_again() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    let writer = writer(&house, &driver, hold).await;
    writer.flush().await.expect("stored");
    let runs = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (counted, thread) = (runs.clone(), house.thread);
    let mut views = house.store.watch(move |tx| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        view(tx, thread, &List::newest(100))
    });
    soon(views.next()).await.expect("open").expect("a view");
    for _ in 0..100 {
        writer.push(delta("word ")).await.expect("it takes chunks");
        writer.flush().await.expect("stored");
    }
    let last = Step { messages: vec![assistant("word")], then: Then::End };
    house.store.mutate(move |tx| step(tx, hold, last)).await.expect("the step");
    soon(views.next()).await.expect("open").expect("a view");
    assert_eq!(runs.load(std::sync::atomic::Ordering::Relaxed), 2);
    driver.stop().await;
}

#[tokio::test]
async fn a_message_has_the_same_id_while_it_streams_and_when_it_is_saved() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    let writer = writer(&house, &driver, hold).await;
    writer.push(delta("half")).await.expect("it takes chunks");
    writer.flush().await.expect("stored");
    let growing = seen(&house, List::newest(100)).await;
    let streamed = UiMessage::from_stream(&growing.streams[0].row, Vec::new(), Default::default());
    assert_eq!(streamed.id, growing.messages[1].id);
    assert_eq!(streamed.key, growing.messages[1].key);
    let first = Step { messages: vec![call("1"), result("1")], then: Then::GoOn };
    house.store.mutate(move |tx| step(tx, hold, first)).await.expect("a step");
    let last = Step { messages: vec![assistant("whole")], then: Then::End };
    house.store.mutate(move |tx| step(tx, hold, last)).await.expect("the last step");
    let saved = seen(&house, List::newest(100)).await;
    assert_eq!(saved.messages.len(), 2);
    assert_eq!(saved.messages[1].id, streamed.id);
    assert!(saved.streams.is_empty());
    driver.stop().await;
}

#[tokio::test]
async fn a_follower_goes_on_behind_its_cursors() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    let writer = writer(&house, &driver, hold).await;
    writer.push(delta("old ")).await.expect("it takes chunks");
    writer.flush().await.expect("stored");
    let stream = writer.opened().expect("open");
    let mut follower = driver.live.follow(house.thread, List::newest(100), HashMap::from([(stream, 3)]));
    assert!(matches!(next(&mut follower).await, ViewEvent::View(_)));
    writer.push(delta("new")).await.expect("it takes chunks");
    let ViewEvent::Slice { slice, .. } = next(&mut follower).await else { panic!("a slice comes") };
    assert_eq!((slice.start, slice.chunks().expect("chunks")), (3, vec![delta("new")]));
    driver.stop().await;
}

#[tokio::test]
async fn a_view_is_not_skipped_when_a_call_is_dropped() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    let writer = writer(&house, &driver, hold).await;
    writer.flush().await.expect("stored");
    let mut follower = driver.live.follow(house.thread, List::newest(100), HashMap::new());
    let first = soon(async {
        loop {
            // One look a call: whoever follows has other things to do.
            match look(std::pin::pin!(follower.next())).await {
                std::task::Poll::Ready(event) => break event,
                std::task::Poll::Pending => tokio::task::yield_now().await,
            }
        }
    });
    let ViewEvent::View(view) = first.await.expect("open").expect("no error") else { panic!("a view comes first") };
    assert_eq!(view.streams.len(), 1);
    driver.stop().await;
}

#[tokio::test]
async fn an_older_page_shows_no_stream_of_a_later_one() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    house.save(Save::all([user("old"), assistant("done")])).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    let writer = writer(&house, &driver, hold).await;
    let stream = writer.opened().expect("open");
    let newest = seen(&house, List::newest(2)).await;
    assert_eq!(newest.streams.iter().map(|live| live.id).collect::<Vec<_>>(), [stream]);
    let older = seen(&house, List { after: newest.next, ..List::newest(2) }).await;
    assert_eq!((older.messages.len(), older.streams.len()), (2, 0));
    let oldest = seen(&house, List::oldest(2)).await;
    assert_eq!((oldest.messages.len(), oldest.streams.len()), (2, 0));
    let newer = seen(&house, List { after: oldest.next, ..List::oldest(2) }).await;
    assert_eq!((newer.messages.len(), newer.streams.len()), (2, 1));
    let first = house.all().await[0].id;
    let up_to = seen(&house, List { up_to: Some(first), ..List::newest(2) }).await;
    assert_eq!((up_to.messages.len(), up_to.streams.len()), (2, 0));
    driver.stop().await;
}

#[tokio::test]
async fn a_stream_is_shown_though_its_message_is_filtered_out() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    let _writer = writer(&house, &driver, hold).await;
    let success = List { statuses: Some(vec![MessageStatus::Success]), ..List::newest(1) };
    let page = seen(&house, success).await;
    assert_eq!((page.messages.len(), page.streams.len()), (1, 1));
    driver.stop().await;
}

#[tokio::test]
async fn a_follower_ends_with_its_store() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    let writer = writer(&house, &driver, hold).await;
    writer.flush().await.expect("stored");
    let mut follower = driver.live.follow(house.thread, List::newest(100), HashMap::new());
    assert!(matches!(next(&mut follower).await, ViewEvent::View(_)));
    assert!(matches!(next(&mut follower).await, ViewEvent::Slice { .. }));
    drop(writer);
    driver.stop().await;
    house.store.close().await;
    assert!(soon(follower.next()).await.is_none());
}
