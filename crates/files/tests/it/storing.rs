//! Storing bytes that are at hand.

use loomwork_core::Kind;
use loomwork_files::{About, FileError, Hash, MAX_METADATA_BYTES, Options, attach, find, register};
use loomwork_store::Error;
use serde_json::json;

use super::desk::{Desk, HOUR, START, fault};

const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[tokio::test]
async fn bytes_come_back_as_they_were_put() {
    let desk = Desk::open().await;
    let about = About {
        name: Some("people.csv".into()),
        metadata: Some(json!({"rows": 1})),
        expected: Some(Hash::of(b"id,name\n1,Ada\n")),
        ..About::default()
    };
    let file = desk.put("id,name\n1,Ada\n", about).await;
    assert_eq!(file.hash, Hash::of(b"id,name\n1,Ada\n"));
    assert_eq!((file.size, file.owners, file.created), (14, 0, START));
    assert_eq!(file.media_type.as_deref(), Some("text/csv"));
    assert_eq!(file.name.as_deref(), Some("people.csv"));
    assert_eq!(file.metadata, Some(json!({"rows": 1})));
    assert_eq!(desk.files.read(file.id).await.expect("it is read"), "id,name\n1,Ada\n");
    assert_eq!(desk.file(file.id).await, Some(file));
    desk.holds(1, 1).await;
}

#[tokio::test]
async fn a_file_without_bytes_is_a_file() {
    let desk = Desk::open().await;
    let file = desk.put("", "empty.txt").await;
    assert_eq!((file.size, file.hash.to_string().as_str()), (0, NOTHING));
    assert_eq!(desk.files.read(file.id).await.expect("it is read"), "");
    let uploaded = desk.files.upload("empty.txt").await.expect("it begins").finish().await;
    assert_eq!(uploaded.expect("it ends").id, file.id);
    desk.files.vacuum().await.expect("the vacuum runs");
    desk.holds(1, 1).await;
}

#[tokio::test]
async fn the_same_bytes_are_stored_once_whatever_they_are_called() {
    let desk = Desk::open().await;
    let one = desk.put("same", "one.txt").await;
    let two = desk.put("same", "two.txt").await;
    let nameless = desk.put("same", ()).await;
    let described =
        desk.put("same", About { metadata: Some(json!({"a": 1})), .."one.txt".into() }).await;
    let typed = desk.put("same", About { media_type: Some("text/x-own".into()), .."one.txt".into() }).await;
    let mut ids = [one.id, two.id, nameless.id, described.id, typed.id];
    let found = desk.read(move |tx| find(tx, one.hash)).await;
    assert_eq!(found.iter().map(|file| file.id).collect::<Vec<_>>(), ids);
    ids.sort();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
    desk.holds(5, 1).await;
}

#[tokio::test]
async fn the_same_content_and_name_is_the_same_file() {
    let desk = Desk::open().await;
    let first = desk.put("same", "one.txt").await;
    desk.clock.advance(HOUR);
    let about = About { media_type: Some(" Text/PLAIN ".into()), ..About::from("one.txt") };
    let again = desk.put("same", about).await;
    assert_eq!((again.id, again.created, again.owners), (first.id, START, 0));
    assert_eq!(again.touched, START + HOUR);
    desk.holds(1, 1).await;
}

#[tokio::test]
async fn an_unknown_media_type_fits_any_and_is_learned() {
    let desk = Desk::open().await;
    let unknown = desk.put("\u{1}\u{2}", ()).await;
    assert_eq!(unknown.media_type, None);
    let told = desk.put("\u{1}\u{2}", About { media_type: Some("x/y".into()), ..About::default() }).await;
    assert_eq!((told.id, told.media_type.as_deref()), (unknown.id, Some("x/y")));
    assert_eq!(desk.put("\u{1}\u{2}", ()).await.id, unknown.id);
}

#[tokio::test]
async fn two_uploads_at_once_of_the_same_content_share_one_object() {
    let desk = Desk::open().await;
    let mut first = desk.files.upload("one.txt").await.expect("it begins");
    let mut second = desk.files.upload("two.txt").await.expect("it begins");
    first.write("same").await.expect("it is written");
    second.write("same").await.expect("it is written");
    let (first, second) = (first.stage().await, second.stage().await);
    let (first, second) = (first.expect("it is staged"), second.expect("it is staged"));
    let first = desk.commit(move |tx| register(tx, &first)).await;
    let second = desk.commit(move |tx| register(tx, &second)).await;
    assert_ne!(first.id, second.id);
    desk.files.vacuum().await.expect("the vacuum runs");
    desk.holds(2, 1).await;
    assert_eq!(desk.files.read(second.id).await.expect("it is read"), "same");
}

#[tokio::test]
async fn what_is_too_large_or_not_expected_is_refused() {
    let desk = Desk::open().await;
    let small = desk.with(Options { max_bytes: 4, ..Options::default() });
    let error = small.put("12345", ()).await.expect_err("it is too large");
    assert!(matches!(fault(&error), FileError::TooLarge { bytes: 5, limit: 4 }));
    let own = About { max_bytes: Some(3), ..About::default() };
    let error = small.put("1234", own).await.expect_err("it is too large");
    assert!(matches!(fault(&error), FileError::TooLarge { bytes: 4, limit: 3 }));
    let expected = About { expected: Some(Hash::of(b"abc")), ..About::default() };
    let error = desk.files.put("abd", expected).await.expect_err("it is something else");
    assert!(matches!(fault(&error), FileError::Unexpected { .. }));
    assert_eq!(error.kind(), Kind::Invalid);
    small.put("1234", ()).await.expect("it is just small enough");
    desk.holds(1, 1).await;
}

#[tokio::test]
async fn bad_descriptions_are_refused_before_anything_is_stored() {
    let desk = Desk::open().await;
    let named = |name: &str| About::from(name);
    let typed = |media_type: &str| About { media_type: Some(media_type.into()), ..About::default() };
    let metadata = About { metadata: Some("x".repeat(MAX_METADATA_BYTES).into()), ..About::default() };
    let long = "n".repeat(256);
    let bad = [named(""), named("a\nb"), named(&long), typed("png"), typed("a/b\r\nx: y"), typed("/"), metadata];
    for about in bad {
        let error = desk.files.put("x", about.clone()).await.expect_err("it is refused");
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        let error = desk.files.upload(about).await.expect_err("it is refused");
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
    }
    assert!("ABC".parse::<Hash>().is_err());
    assert!(NOTHING.to_uppercase().parse::<Hash>().is_err());
    desk.holds(0, 0).await;
}

#[tokio::test]
async fn a_name_chooses_no_path() {
    let desk = Desk::open().await;
    for name in ["../../etc/passwd", "/etc/passwd", "..", "C:\\x", "a/../../b", "%2e%2e%2f"] {
        let file = desk.put("x", name).await;
        assert_eq!(file.name.as_deref(), Some(name));
    }
    let keys = desk.keys().await;
    let key = keys[0].as_ref();
    assert_eq!((keys.len(), key.len()), (1, 29));
    assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'/'), "{key}");
    desk.holds(6, 1).await;
}

#[tokio::test]
async fn staged_bytes_become_a_file_in_the_callers_transaction() {
    let desk = Desk::open().await;
    let letter = desk.letter().await;
    let staged = desk.files.stage("enclosure", "a.txt").await.expect("it is staged");
    assert_eq!((staged.size(), staged.media_type()), (9, Some("text/plain")));
    assert_eq!(staged.hash(), Hash::of(b"enclosure"));
    let again = staged.clone();
    let refused = desk.store.mutate(move |tx| {
        let file = register(tx, &again)?;
        attach(tx, file.id, letter)?;
        Err::<(), _>(Error::message(Kind::Cancelled, "changed my mind"))
    });
    refused.await.expect_err("it is undone");
    assert_eq!(desk.read(|tx| find(tx, Hash::of(b"enclosure"))).await, []);
    let file = desk
        .commit(move |tx| {
            let file = register(tx, &staged)?;
            attach(tx, file.id, letter)?;
            tx.require(file.id)
        })
        .await;
    assert_eq!(file.owners, 1);
    assert_eq!(desk.files.read(file.id).await.expect("it is read"), "enclosure");
    desk.holds(1, 1).await;
}

#[tokio::test]
async fn a_staged_content_that_waited_too_long_is_a_conflict() {
    let desk = Desk::open().await;
    let staged = desk.files.stage("late", ()).await.expect("it is staged");
    desk.clock.advance(HOUR);
    assert_eq!(desk.files.vacuum().await.expect("the vacuum runs").objects, 1);
    let late = staged.clone();
    let error = desk.store.mutate(move |tx| register(tx, &late)).await.expect_err("it is gone");
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(matches!(fault(&error), FileError::Lapsed { .. }));
    // Somebody else's copy of it will do.
    let file = desk.put("late", ()).await;
    assert_eq!(desk.commit(move |tx| register(tx, &staged)).await.id, file.id);
    desk.holds(1, 1).await;
}

#[tokio::test]
async fn a_content_that_is_staged_again_is_kept_for_its_registration() {
    let desk = Desk::open().await;
    let file = desk.put("again", ()).await;
    desk.clock.advance(HOUR * 24 - HOUR / 4);
    let staged = desk.files.stage("again", ()).await.expect("it is staged");
    desk.clock.advance(HOUR / 4);
    let vacuumed = desk.files.vacuum().await.expect("the vacuum runs");
    assert_eq!((vacuumed.files, vacuumed.objects), (1, 0));
    let next = desk.commit(move |tx| register(tx, &staged)).await;
    assert_ne!(next.id, file.id);
    assert_eq!(desk.files.read(next.id).await.expect("it is read"), "again");
    desk.holds(1, 1).await;
}
