//! Reading contents, and what is wrong with them.

use futures_util::TryStreamExt as _;
use loomwork_core::{Kind, RawId};
use loomwork_files::{Content, FileError, FileId, MAX_HELD_BYTES};
use loomwork_store::Result;

use super::desk::{Desk, fault};

async fn all(content: Content) -> Result<String> {
    let pieces: Vec<_> = content.try_collect().await?;
    Ok(String::from_utf8(pieces.concat()).expect("these tests store text"))
}

#[tokio::test]
async fn a_range_is_read_alone() {
    let desk = Desk::open().await;
    let file = desk.put("0123456789", ()).await;
    for (range, expected) in [(0..10, "0123456789"), (3..5, "34"), (9..10, "9"), (0..0, ""), (10..10, "")] {
        let content = desk.files.open_range(file.id, range.clone()).await.expect("it opens");
        assert_eq!((content.range(), content.file().id), (range, file.id));
        assert_eq!(all(content).await.expect("it is read"), expected);
    }
}

#[tokio::test]
async fn a_range_that_is_none_is_refused() {
    let desk = Desk::open().await;
    let file = desk.put("0123456789", ()).await;
    #[expect(clippy::reversed_empty_ranges, reason = "it is the mistake that is tested")]
    for range in [0..11, 11..11, 5..4, 0..u64::MAX] {
        let error = desk.files.open_range(file.id, range).await.expect_err("there is no such range");
        assert!(matches!(fault(&error), FileError::BadRange { size: 10, .. }));
        assert_eq!(error.kind(), Kind::Invalid);
    }
}

#[tokio::test]
async fn an_unknown_file_is_not_found() {
    let desk = Desk::open().await;
    let unknown = FileId::from_raw(RawId::from_bytes([7; 16]));
    let error = desk.files.open(unknown).await.expect_err("there is none");
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains(&unknown.to_string()));
    assert_eq!(desk.files.read(unknown).await.expect_err("there is none").kind(), Kind::NotFound);
    assert_eq!(desk.files.open_range(unknown, 0..1).await.expect_err("there is none").kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_missing_content_is_corrupt_and_named() {
    let desk = Desk::open().await;
    let file = desk.put("content", ()).await;
    desk.lose().await;
    for error in [
        desk.files.read(file.id).await.expect_err("it is gone"),
        desk.files.open_range(file.id, 0..1).await.expect_err("it is gone"),
    ] {
        assert_eq!(error.kind(), Kind::Corrupt);
        assert!(error.to_string().contains(&file.id.to_string()), "{error}");
        assert!(matches!(fault(&error), FileError::Missing { hash, .. } if *hash == file.hash));
    }
}

#[tokio::test]
async fn the_last_piece_of_a_damaged_content_never_comes() {
    let desk = Desk::open().await;
    let file = desk.put("content", ()).await;
    desk.damage("CONTENT").await;
    let mut content = desk.files.open(file.id).await.expect("it has the right size");
    let error = content.try_next().await.expect_err("its only piece is the last one");
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(matches!(fault(&error), FileError::Damaged { hash, .. } if *hash == file.hash));
    assert!(error.to_string().contains(&file.id.to_string()));
    assert!(content.try_next().await.expect("the error was the last item").is_none());
    assert_eq!(desk.files.read(file.id).await.expect_err("it is damaged").kind(), Kind::Corrupt);
}

#[tokio::test]
async fn a_content_of_another_size_is_corrupt() {
    let desk = Desk::open().await;
    let file = desk.put("content", ()).await;
    desk.damage("cont").await;
    for error in [
        desk.files.open(file.id).await.expect_err("it is shorter"),
        desk.files.open_range(file.id, 0..1).await.expect_err("it is shorter"),
    ] {
        assert_eq!(error.kind(), Kind::Corrupt);
        assert!(matches!(fault(&error), FileError::WrongSize { size: 7, found: 4, .. }));
    }
}

#[tokio::test]
async fn storing_the_same_bytes_again_mends_a_missing_content() {
    let desk = Desk::open().await;
    let file = desk.put("content", "a.txt").await;
    desk.lose().await;
    assert_eq!(desk.put("content", "a.txt").await.id, file.id);
    assert_eq!(desk.files.read(file.id).await.expect("it is mended"), "content");

    desk.damage("cut").await;
    let mut upload = desk.files.upload("b.txt").await.expect("it begins");
    upload.write("content").await.expect("it is written");
    upload.finish().await.expect("it ends");
    assert_eq!(desk.files.read(file.id).await.expect("it is mended"), "content");
    desk.files.vacuum().await.expect("the vacuum runs");
    desk.holds(2, 1).await;
}

#[tokio::test]
async fn a_large_content_is_not_read_in_one_piece() {
    let desk = Desk::open().await;
    let file = desk.put("content", ()).await.id;
    desk.commit(move |tx| tx.update(file, |file| file.size = MAX_HELD_BYTES + 1)).await;
    let error = desk.files.read(file).await.expect_err("it would fill the memory");
    assert!(matches!(fault(&error), FileError::TooLargeToHold { .. }));
}
