use std::time::Duration;

use loomwork_core::Tasks;
use loomwork_files::{Blobs, FileId, Files, Options, files_of};
use loomwork_messages::runs::{Hold, NewRun, Step, Then, abort, step};
use loomwork_messages::streams::{self, Live, NewStream, StreamWriter};
use loomwork_messages::{
    Failure, INLINE_BYTES, MessageId, MessagePatch, MessageStatus, NewMessage, Place, Save, UiChunk, delete, file_of_url, file_part, file_url,
    fork, offload, threads, update,
};
use loomwork_models::{Data, Extras, Message, OutputItem, Part, ReasoningFile, Role, ToolCall, ToolOutput, ToolResult};
use loomwork_store::{Page, Store, Tx};
use loomwork_testkit::GUARD;

use super::house::{Driver, House};

fn large(first: u8) -> Vec<u8> {
    vec![first; INLINE_BYTES + 1]
}

fn files_over(house: &House) -> Files {
    Files::new(&house.store, Blobs::memory(), Options::default())
}

async fn file(files: &Files, content: &'static str) -> FileId {
    files.put(content, ()).await.expect("it is stored").id
}

fn addressing(ids: &[FileId]) -> Message {
    let parts = ids.iter().map(|id| Part::file(Data::Url(file_url(*id)), "text/plain"));
    Message::new(Role::User, parts)
}

async fn owned(house: &House, id: MessageId) -> Vec<FileId> {
    let files = house.store.query(move |tx| files_of(tx, id)).await.expect("the files are read");
    files.iter().map(|file| file.id).collect()
}

#[tokio::test]
async fn large_parts_of_every_kind_go_to_the_file_store() {
    let house = House::open().await;
    let files = files_over(&house);
    let call = ToolCall { id: "c".into(), name: "draw".into(), ..ToolCall::default() };
    let item = |data: Data| OutputItem::File {
        data,
        media_type: "image/png".into(),
        filename: Some("plan.png".into()),
        extras: Extras::default(),
    };
    let output = ToolOutput::Content(vec![item(large(4).into()), item(vec![1].into())]);
    let thought = ReasoningFile {
        data: large(3).into(),
        media_type: "application/pdf".into(),
        extras: Extras::default(),
    };
    let base64 = Data::Bytes(large(2).into()).to_url("image/gif").expect("a data URL");
    let mut message = Message::new(
        Role::Assistant,
        [
            Part::image(large(1)),
            Part::image_url(base64),
            Part::ReasoningFile(thought),
            Part::ToolResult(ToolResult::new(&call, output)),
            Part::file(vec![9; INLINE_BYTES], "text/plain"),
        ],
    );
    offload(&files, &mut message).await.expect("offloaded");
    let row = house.save(NewMessage::new(message)).await.remove(0);
    assert_eq!(row.files.len(), 4);
    assert_eq!(owned(&house, row.id).await.len(), 4);
    let Part::Image(image) = &row.message.parts[1] else { panic!("the image is there") };
    let Data::Url(url) = &image.data else { panic!("it is an address") };
    let stored = files.read(file_of_url(url).expect("of a file")).await.expect("it is read");
    assert_eq!(stored, large(2));
    let Part::File(small) = &row.message.parts[4] else { panic!("the file is there") };
    assert!(matches!(small.data, Data::Bytes(_)), "what fits stays");
}

#[tokio::test]
async fn a_message_owns_what_it_names_and_what_it_addresses() {
    let house = House::open().await;
    let files = files_over(&house);
    let (named, addressed) = (file(&files, "a").await, file(&files, "b").await);
    let new = NewMessage { files: vec![named], ..NewMessage::new(addressing(&[addressed])) };
    let row = house.save(new).await.remove(0);
    assert_eq!(row.files, [named, addressed]);
    assert_eq!(owned(&house, row.id).await.len(), 2);
}

#[tokio::test]
async fn a_stored_file_is_a_part_of_a_message() {
    let house = House::open().await;
    let files = files_over(&house);
    let note = files.put("a note", "note.txt").await.expect("it is stored");
    let png: &[u8] = b"\x89PNG\r\n\x1a\n and so on";
    let picture = files.put(png, ()).await.expect("it is stored");
    let unknown = files.put(&[0xff, 0xfe, 0x00][..], ()).await.expect("it is stored");
    let parts = [file_part(&note), file_part(&picture), file_part(&unknown)];
    let row = house.save(NewMessage::new(Message::new(Role::User, parts))).await.remove(0);
    assert_eq!(row.files, [note.id, picture.id, unknown.id]);
    let Part::File(part) = &row.message.parts[0] else { panic!("it is a file: {row:?}") };
    assert_eq!((part.media_type.as_str(), part.filename.as_deref()), ("text/plain", Some("note.txt")));
    let Part::Image(part) = &row.message.parts[1] else { panic!("it is an image: {row:?}") };
    assert_eq!(part.media_type.as_deref(), Some("image/png"));
    let Part::File(part) = &row.message.parts[2] else { panic!("it is a file: {row:?}") };
    assert_eq!(part.media_type, "application/octet-stream");
}

#[tokio::test]
async fn a_named_file_must_be_there_and_an_addressed_one_may_be_gone() {
    let house = House::open().await;
    let files = files_over(&house);
    let gone = file(&files, "a").await;
    house
        .store
        .mutate(move |tx| loomwork_files::delete(tx, gone, loomwork_files::IfOwned::Refuse))
        .await
        .expect("deleted");
    let named = NewMessage { files: vec![gone], .."see".into() };
    assert!(house.try_save(named).await.is_err());
    let row = house.save(NewMessage::new(addressing(&[gone]))).await.remove(0);
    assert!(row.files.is_empty());
}

#[tokio::test]
async fn what_takes_the_place_of_a_message_takes_its_files_too() {
    let house = House::open().await;
    let files = files_over(&house);
    let (old, new) = (file(&files, "a").await, file(&files, "b").await);
    let pending = NewMessage { files: vec![old], ..NewMessage::pending() };
    let pending = house.save(pending).await[0].id;
    house.save(Save::from(NewMessage::new(addressing(&[new]))).at(Place::Fill(pending))).await;
    assert_eq!(owned(&house, pending).await, [new]);
    let none = NewMessage::new(Message::assistant("no files"));
    let pending = house.save(NewMessage { files: vec![old], ..NewMessage::pending() }).await[0].id;
    house.save(Save::from(none).at(Place::Fill(pending))).await;
    assert!(owned(&house, pending).await.is_empty(), "none is leaked");
}

#[tokio::test]
async fn an_edit_lets_go_of_what_is_no_longer_addressed_and_keeps_what_was_named() {
    let house = House::open().await;
    let files = files_over(&house);
    let (named, old, new) = (file(&files, "a").await, file(&files, "b").await, file(&files, "c").await);
    let message = NewMessage { files: vec![named], ..NewMessage::new(addressing(&[old])) };
    let id = house.save(message).await[0].id;
    let patch = MessagePatch { message: Some(addressing(&[new])), ..MessagePatch::default() };
    let row = house.store.mutate(move |tx| update(tx, id, patch)).await.expect("changed");
    assert_eq!(row.files, [named, new]);
    assert_eq!(owned(&house, id).await.len(), 2);
}

#[tokio::test]
async fn deleted_messages_and_threads_let_go_of_their_files_and_forks_hold_them() {
    let house = House::open().await;
    let files = files_over(&house);
    let id = file(&files, "a").await;
    let rows = house.save(Save::all([NewMessage::new(addressing(&[id])), NewMessage::new(addressing(&[id]))])).await;
    let thread = house.thread;
    let copy = house
        .store
        .mutate(move |tx| fork::start(tx, thread, fork::At::End, fork::Options::default()))
        .await
        .expect("forked");
    let owners = move |tx: &Tx| {
        Ok(loomwork_files::owners(tx, id, Page::first(100))?.rows.len())
    };
    assert_eq!(house.store.query(owners).await.expect("counted"), 4);
    let first = rows[0].id;
    house.store.mutate(move |tx| delete(tx, &[first])).await.expect("deleted");
    assert_eq!(house.store.query(owners).await.expect("counted"), 3);
    threads::delete_now(&house.store, thread).await.expect("deleted");
    assert_eq!(house.store.query(owners).await.expect("counted"), 2);
    threads::delete_now(&house.store, copy.id).await.expect("deleted");
    assert_eq!(house.store.query(owners).await.expect("counted"), 0);
}

/// A chunk with a file in it, as a model sends it.
fn sent(url: String) -> UiChunk {
    let (media_type, filename) = ("text/plain".into(), Some("note.txt".into()));
    UiChunk::File { url, media_type, filename, provider_metadata: None }
}

/// What a tool has returned so far.
fn so_far(file: FileId) -> UiChunk {
    let items = vec![OutputItem::File {
        data: Data::Url(file_url(file)),
        media_type: "text/plain".into(),
        filename: None,
        extras: Extras::default(),
    }];
    UiChunk::ToolOutputAvailable {
        tool_call_id: "c".into(),
        output: serde_json::to_value(ToolOutput::Content(items)).expect("an output is JSON"),
        preliminary: true,
        dynamic: false,
        provider_executed: false,
        provider_metadata: None,
    }
}

/// A run that streams chunks, all of them stored.
async fn streaming(house: &House, driver: &Driver, chunks: impl IntoIterator<Item = UiChunk>) -> (Hold, StreamWriter) {
    let hold = driver.run(house, NewRun::answering("draw me something")).await;
    let run = house.read(move |tx| tx.require(hold.run)).await;
    let writer = driver.live.write(NewStream { hold: Some(hold), ..NewStream::of(run.first) });
    for chunk in std::iter::once(UiChunk::StartStep).chain(chunks) {
        writer.push(chunk).await.expect("it takes chunks");
    }
    writer.flush().await.expect("stored");
    (hold, writer)
}

async fn owners_of(house: &House, file: FileId) -> Vec<String> {
    let owners = house.read(move |tx| loomwork_files::owners(tx, file, Page::first(100))).await;
    owners.rows.iter().map(|reference| reference.owner().table).collect()
}

async fn end(house: &House, hold: Hold, message: Message) {
    let last = Step { messages: vec![NewMessage::new(message)], then: Then::End };
    house.commit(move |tx| step(tx, hold, last)).await;
}

/// Longer than a file without owners stays.
const LONG: Duration = Duration::from_secs(25 * 60 * 60);

#[tokio::test]
async fn a_stream_owns_the_files_that_it_addresses_until_its_message_does() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let files = files_over(&house);
    let (kept, passing) = (file(&files, "kept").await, file(&files, "passing").await);
    let chunks = [sent(file_url(kept)), so_far(passing), so_far(passing)];
    let (hold, writer) = streaming(&house, &driver, chunks).await;
    assert_eq!(owners_of(&house, kept).await, ["streams"]);
    assert_eq!(owners_of(&house, passing).await, ["streams"], "it counts once");
    house.pass(LONG);
    assert_eq!(files.vacuum().await.expect("swept").files, 0, "the stream is open");
    end(&house, hold, addressing(&[kept])).await;
    drop(writer);
    assert_eq!(owners_of(&house, kept).await, ["messages"]);
    assert!(owners_of(&house, passing).await.is_empty(), "no message has it");
    house.pass(LONG);
    assert_eq!(files.vacuum().await.expect("swept").files, 1);
    assert_eq!(files.read(kept).await.expect("it is read"), "kept");
    driver.stop().await;
}

#[tokio::test]
async fn what_is_kept_of_an_aborted_stream_has_its_files() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let files = files_over(&house);
    let (first, late) = (file(&files, "first").await, file(&files, "late").await);
    let (hold, writer) = streaming(&house, &driver, [sent(file_url(first))]).await;
    writer.push(sent(file_url(late))).await.expect("it takes chunks");
    house.commit(move |tx| abort(tx, hold.run, Failure::new("stopped", "stop"))).await;
    let message = house.read(move |tx| tx.require(hold.run)).await.first;
    assert_eq!(house.message(message).await.files, [first]);
    assert_eq!(owners_of(&house, first).await, ["messages"]);
    assert!(writer.flush().await.is_err(), "it was cut before");
    assert_eq!(house.message(message).await.files, [first, late]);
    assert_eq!(owners_of(&house, late).await, ["messages"]);
    driver.stop().await;
}

#[tokio::test]
async fn a_deleted_thread_lets_go_of_the_files_of_its_streams() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let files = files_over(&house);
    let id = file(&files, "a").await;
    let _streaming = streaming(&house, &driver, [sent(file_url(id))]).await;
    assert_eq!(owners_of(&house, id).await, ["streams"]);
    threads::delete_now(&house.store, house.thread).await.expect("deleted");
    assert!(owners_of(&house, id).await.is_empty());
    driver.stop().await;
}

#[tokio::test]
async fn large_parts_go_to_the_file_store_before_they_are_streamed() {
    let house = House::open().await;
    let mut driver = Driver::start(&house).await;
    let files = files_over(&house);
    driver.live = driver.live.clone().with_files(files.clone());
    let data = |first| Data::Bytes(large(first).into()).to_url("text/plain").expect("a data URL");
    let thought = UiChunk::ReasoningFile { url: data(2), media_type: "text/plain".into(), provider_metadata: None };
    let item = |data: Data| OutputItem::File {
        data,
        media_type: "text/plain".into(),
        filename: None,
        extras: Extras::default(),
    };
    let output = ToolOutput::Content(vec![item(large(3).into()), item(vec![1].into())]);
    let call = ToolCall { id: "c".into(), name: "draw".into(), ..ToolCall::default() };
    let called = UiChunk::ToolInputAvailable {
        tool_call_id: "c".into(),
        tool_name: "draw".into(),
        input: serde_json::json!({}),
        dynamic: false,
        provider_executed: false,
        title: None,
        tool_metadata: None,
        provider_metadata: None,
    };
    let returned = UiChunk::tool_result(&ToolResult::new(&call, output));
    let (hold, _writer) = streaming(&house, &driver, [sent(data(1)), thought, called, returned]).await;
    house.commit(move |tx| abort(tx, hold.run, Failure::new("stopped", "stop"))).await;
    let rows = house.all().await;
    let Part::File(sent) = &rows[1].message.parts[0] else { panic!("the file is there: {rows:?}") };
    let Data::Url(url) = &sent.data else { panic!("it is an address") };
    assert_eq!(files.read(file_of_url(url).expect("of a file")).await.expect("it is read"), large(1));
    assert_eq!(rows[1].files.len(), 2, "what the model sent, and what it thought");
    assert_eq!(rows[2].files.len(), 1, "what the tool drew; what is small stays in the row");
    driver.stop().await;
}

#[tokio::test]
async fn an_address_says_nothing_to_a_program_without_files() {
    let store = Store::memory().tables(loomwork_messages::tables()).tables(loomwork_search::tables());
    let store = store.open().await.expect("the store opens");
    let tasks = Tasks::new();
    let live = Live::start(&store, &tasks);
    let pending = |tx: &mut Tx| {
        let thread = threads::create(tx, threads::NewThread::default())?.id;
        Ok(loomwork_messages::save(tx, thread, NewMessage::pending())?.remove(0))
    };
    let message = store.mutate(pending).await.expect("saved");
    let writer = live.write(NewStream::of(message.id));
    let nowhere: FileId = "file_00000000000000000000000000".parse().expect("an id");
    writer.push(sent(file_url(nowhere))).await.expect("it takes chunks");
    writer.flush().await.expect("stored");
    drop(writer);
    tasks.shutdown(GUARD).await.expect("the tasks end");
}

#[tokio::test]
async fn a_stream_that_times_out_lets_go_of_its_files() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let files = files_over(&house);
    let (kept, passing) = (file(&files, "kept").await, file(&files, "passing").await);
    let message = house.save(NewMessage::pending()).await[0].id;
    let writer = driver.live.write(NewStream::of(message));
    for chunk in [UiChunk::StartStep, sent(file_url(kept)), so_far(passing)] {
        writer.push(chunk).await.expect("it takes chunks");
    }
    writer.flush().await.expect("stored");
    assert_eq!(owners_of(&house, passing).await, ["streams"]);
    house.start(streams::upkeep());
    house.pass(streams::STREAM_TIMEOUT);
    house.until(move |tx| Ok(tx.require(message)?.status == MessageStatus::Aborted)).await;
    assert!(owners_of(&house, passing).await.is_empty());
    house.rest().await;
    driver.stop().await;
}
