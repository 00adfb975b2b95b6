use loomwork_files::{Blobs, FileId, Files, Options, files_of};
use loomwork_messages::{
    INLINE_BYTES, MessageId, MessagePatch, NewMessage, Place, Save, delete, file_of_url, file_url, fork, offload,
    threads, update,
};
use loomwork_models::{Data, Extras, Message, OutputItem, Part, ReasoningFile, Role, ToolCall, ToolOutput, ToolResult};

use super::house::House;

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
    let owners = move |tx: &loomwork_store::Tx| {
        Ok(loomwork_files::owners(tx, id, loomwork_store::Page::first(100))?.rows.len())
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
