//! Deleting files by hand.

use loomwork_core::{Kind, RawId};
use loomwork_files::{FileError, FileId, IfOwned, attach, delete, files_of};

use super::desk::{Desk, HOUR, fault};

#[tokio::test]
async fn a_file_without_owners_goes_at_once_and_its_content_behind_it() {
    let desk = Desk::open().await;
    let file = desk.put("x", ()).await.id;
    assert_eq!(desk.commit(move |tx| delete(tx, file, IfOwned::Refuse)).await, 0);
    assert_eq!(desk.file(file).await, None);
    assert_eq!(desk.files.read(file).await.expect_err("it is gone").kind(), Kind::NotFound);
    desk.clock.advance(HOUR);
    assert_eq!(desk.files.vacuum().await.expect("the vacuum runs").objects, 1);
    desk.holds(0, 0).await;
}

#[tokio::test]
async fn a_file_with_owners_stays_unless_they_are_to_lose_it() {
    let desk = Desk::open().await;
    let (file, letter) = (desk.put("x", ()).await.id, desk.letter().await);
    desk.commit(move |tx| attach(tx, file, letter)).await;
    let error = desk.store.mutate(move |tx| delete(tx, file, IfOwned::Refuse)).await;
    let error = error.expect_err("it has an owner");
    assert!(matches!(fault(&error), FileError::Owned { owners: 1, .. }));
    assert_eq!(desk.commit(move |tx| delete(tx, file, IfOwned::Detach)).await, 1);
    assert_eq!(desk.read(move |tx| files_of(tx, letter)).await, []);
    assert_eq!(desk.file(file).await, None);
    desk.clock.advance(HOUR);
    desk.files.vacuum().await.expect("the vacuum runs");
    desk.holds(0, 0).await;
}

#[tokio::test]
async fn a_content_goes_with_the_last_file_that_has_it() {
    let desk = Desk::open().await;
    let (one, two) = (desk.put("same", "one").await.id, desk.put("same", "two").await.id);
    desk.commit(move |tx| delete(tx, one, IfOwned::Refuse)).await;
    desk.clock.advance(HOUR);
    desk.files.vacuum().await.expect("the vacuum runs");
    assert_eq!(desk.files.read(two).await.expect("it is still there"), "same");
    desk.holds(1, 1).await;
}

#[tokio::test]
async fn a_file_that_is_not_there_cannot_be_deleted() {
    let desk = Desk::open().await;
    let unknown = FileId::from_raw(RawId::from_bytes([7; 16]));
    let error = desk.store.mutate(move |tx| delete(tx, unknown, IfOwned::Detach)).await;
    assert_eq!(error.expect_err("there is none").kind(), Kind::NotFound);
}
