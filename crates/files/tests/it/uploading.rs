//! Contents that come as streams.

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use loomwork_core::Kind;
use loomwork_files::{About, FileError, Hash, Options};

use super::desk::{Desk, HOUR, fault};

/// More than one part of 8 MiB, in pieces that fit no part.
const PIECES: usize = 10;
const PIECE: usize = 1_000_003;

fn piece(number: usize) -> Bytes {
    let pattern: Vec<u8> = (0..251).map(|at| (at as u8).wrapping_add(number as u8)).collect();
    pattern.into_iter().cycle().take(PIECE).collect::<Vec<_>>().into()
}

#[tokio::test]
async fn a_stream_of_many_parts_comes_back() {
    let desk = Desk::open().await;
    let content = stream::iter((0..PIECES).map(|number| Ok::<_, std::io::Error>(piece(number))));
    let file = desk.files.put_stream(content, "large.bin").await.expect("it is stored");
    assert_eq!(file.size, (PIECES * PIECE) as u64);

    let whole: Vec<u8> = (0..PIECES).flat_map(piece).collect();
    assert_eq!(file.hash, Hash::of(&whole));
    let mut content = desk.files.open(file.id).await.expect("it opens");
    let mut at = 0;
    while let Some(piece) = content.try_next().await.expect("it is read") {
        assert!(piece == whole[at..at + piece.len()], "the bytes behind {at} are others");
        at += piece.len();
    }
    assert_eq!(at, whole.len());
    desk.files.vacuum().await.expect("the vacuum runs");
    assert_eq!(desk.keys().await.len(), 1);
}

#[tokio::test]
async fn a_source_that_fails_stores_nothing() {
    let desk = Desk::open().await;
    let pieces = [Ok(Bytes::from("half")), Err(std::io::Error::other("the line is dead"))];
    let error = desk.files.put_stream(stream::iter(pieces), ()).await.expect_err("it fails");
    assert!(matches!(fault(&error), FileError::Source { bytes: 4, .. }));
    assert_eq!(error.kind(), Kind::Unavailable);
    desk.files.vacuum().await.expect("the vacuum runs");
    desk.holds(0, 0).await;
}

#[tokio::test]
async fn an_upload_cut_half_way_leaves_nothing() {
    let desk = Desk::open().await;
    for count in [1, PIECES] {
        let mut upload = desk.files.upload("cut.bin").await.expect("it begins");
        for number in 0..count {
            upload.write(piece(number)).await.expect("it is written");
        }
        drop(upload);
    }
    assert_eq!(desk.files.vacuum().await.expect("the vacuum runs").objects, 0);
    desk.clock.advance(HOUR);
    assert_eq!(desk.files.vacuum().await.expect("the vacuum runs").objects, 2);
    desk.holds(0, 0).await;
}

#[tokio::test]
async fn a_stream_that_is_too_large_or_not_expected_stores_nothing() {
    let desk = Desk::open().await;
    let small = desk.with(Options { max_bytes: 5, ..Options::default() });
    let pieces = || stream::iter(["abc", "def"].map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece))));
    let error = small.put_stream(pieces(), ()).await.expect_err("it is too large");
    assert!(matches!(fault(&error), FileError::TooLarge { bytes: 6, limit: 5 }));
    let about = About { expected: Some(Hash::of(b"abc")), ..About::default() };
    let error = desk.files.put_stream(pieces(), about).await.expect_err("it is something else");
    assert!(matches!(fault(&error), FileError::Unexpected { .. }));
    desk.files.vacuum().await.expect("the vacuum runs");
    desk.holds(0, 0).await;
}

#[tokio::test]
async fn an_upload_does_not_go_on_behind_a_write_that_failed() {
    let desk = Desk::open().await;
    let small = desk.with(Options { max_bytes: 5, ..Options::default() });
    let mut upload = small.upload(()).await.expect("it begins");
    upload.write("abc").await.expect("it is written");
    upload.write("defg").await.expect_err("it is too large");
    let error = upload.write("d").await.expect_err("there would be a hole");
    assert!(matches!(fault(&error), FileError::Broken));
    let error = upload.finish().await.expect_err("there would be a hole");
    assert!(matches!(fault(&error), FileError::Broken));
    desk.files.vacuum().await.expect("the vacuum runs");
    desk.holds(0, 0).await;
}

#[tokio::test]
async fn an_upload_that_goes_on_outlives_its_lease() {
    let desk = Desk::open().await;
    let mut upload = desk.files.upload(()).await.expect("it begins");
    for _ in 0..5 {
        upload.write("slow ").await.expect("it is written");
        desk.clock.advance(HOUR * 3 / 4);
        desk.files.vacuum().await.expect("the vacuum runs");
    }
    let file = upload.finish().await.expect("it ends");
    assert_eq!(desk.files.read(file.id).await.expect("it is read"), "slow slow slow slow slow ");
}

#[tokio::test]
async fn an_upload_that_stood_still_is_given_up() {
    let desk = Desk::open().await;
    let mut upload = desk.files.upload(()).await.expect("it begins");
    upload.write("still").await.expect("it is written");
    desk.clock.advance(HOUR);
    desk.files.vacuum().await.expect("the vacuum runs");
    let error = upload.write("standing").await.expect_err("it was given up");
    assert!(matches!(fault(&error), FileError::Lapsed { .. }));
    upload.abort().await;
    desk.holds(0, 0).await;
}
