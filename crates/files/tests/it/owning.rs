//! Who owns which file.

use loomwork_core::{Kind, RawId};
use loomwork_files::{FileError, FileId, Owner, attach, detach, detach_all, files_of, hand_over, owners, set_owned};
use loomwork_store::{Error, Page};

use super::desk::{DAY, Desk, fault};

#[tokio::test]
async fn an_owner_counts_once() {
    let desk = Desk::open().await;
    let (file, letter) = (desk.put("x", ()).await.id, desk.letter().await);
    assert!(desk.commit(move |tx| attach(tx, file, letter)).await);
    assert!(!desk.commit(move |tx| attach(tx, file, letter)).await);
    assert!(desk.commit(move |tx| attach(tx, file, Owner::new("streams", "7"))).await);
    assert_eq!(desk.file(file).await.expect("it is there").owners, 2);
    assert!(desk.commit(move |tx| detach(tx, file, letter)).await);
    assert!(!desk.commit(move |tx| detach(tx, file, letter)).await);
    assert_eq!(desk.file(file).await.expect("it is there").owners, 1);
    desk.holds(1, 1).await;
}

#[tokio::test]
async fn owners_and_files_are_listed_both_ways() {
    let desk = Desk::open().await;
    let (one, two) = (desk.put("1", ()).await.id, desk.put("2", ()).await.id);
    let (first, second) = (desk.letter().await, desk.letter().await);
    desk.commit(move |tx| {
        attach(tx, one, first)?;
        attach(tx, two, first)?;
        attach(tx, one, second)
    })
    .await;
    let files = desk.read(move |tx| files_of(tx, first)).await;
    assert_eq!(files.iter().map(|file| file.id).collect::<Vec<_>>(), [one, two]);
    let page = desk.read(move |tx| owners(tx, one, Page::first(1))).await;
    assert_eq!(page.rows[0].owner(), Owner::from(first));
    let cursor = page.next.expect("there is another owner");
    let rest = desk.read(move |tx| owners(tx, one, Page::after(cursor.clone(), 9))).await;
    assert_eq!(rest.rows.iter().map(|row| row.owner()).collect::<Vec<_>>(), [Owner::from(second)]);
    assert_eq!(rest.next, None);
}

#[tokio::test]
async fn a_file_that_is_not_there_has_no_owners() {
    let desk = Desk::open().await;
    let unknown = FileId::from_raw(RawId::from_bytes([7; 16]));
    let error = desk.store.mutate(move |tx| attach(tx, unknown, Owner::new("a", "b"))).await;
    let error = error.expect_err("there is no such file");
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains(&unknown.to_string()));
    assert!(!desk.commit(move |tx| detach(tx, unknown, Owner::new("a", "b"))).await);
    assert_eq!(desk.commit(move |tx| detach_all(tx, Owner::new("a", "b"))).await, 0);
}

#[tokio::test]
async fn an_owner_without_a_name_is_refused() {
    let desk = Desk::open().await;
    let file = desk.put("x", ()).await.id;
    for owner in [Owner::new("", "b"), Owner::new("a", ""), Owner::new("a", "b".repeat(201))] {
        let error = desk.store.mutate(move |tx| attach(tx, file, owner)).await.expect_err("it is refused");
        assert!(matches!(fault(&error), FileError::BadOwner { .. }));
    }
}

#[tokio::test]
async fn a_transaction_that_fails_changes_no_count() {
    let desk = Desk::open().await;
    let (file, letter) = (desk.put("x", ()).await.id, desk.letter().await);
    let refused = desk.store.mutate(move |tx| {
        attach(tx, file, letter)?;
        Err::<(), _>(Error::message(Kind::Cancelled, "changed my mind"))
    });
    refused.await.expect_err("it is undone");
    assert_eq!(desk.file(file).await.expect("it is there").owners, 0);
    assert_eq!(desk.read(move |tx| files_of(tx, letter)).await, []);
}

#[tokio::test]
async fn a_replaced_list_of_files_lets_go_of_the_others() {
    let desk = Desk::open().await;
    let letter = desk.letter().await;
    let [a, b, c] = [desk.put("a", ()).await.id, desk.put("b", ()).await.id, desk.put("c", ()).await.id];
    desk.commit(move |tx| set_owned(tx, letter, &[a, b])).await;
    desk.commit(move |tx| set_owned(tx, letter, &[b, c, c])).await;
    let counts = desk.read(move |tx| Ok([a, b, c].map(|id| tx.require(id).map(|file| file.owners)))).await;
    assert_eq!(counts.map(|count| count.expect("it is there")), [0, 1, 1]);
    // A replacement without files keeps none.
    desk.commit(move |tx| set_owned(tx, letter, &[])).await;
    assert_eq!(desk.read(move |tx| files_of(tx, letter)).await, []);
    desk.clock.advance(DAY);
    assert_eq!(desk.files.vacuum().await.expect("the vacuum runs").files, 3);
    desk.holds(0, 0).await;
}

#[tokio::test]
async fn a_list_with_an_unknown_file_changes_nothing() {
    let desk = Desk::open().await;
    let (letter, file, other) = (desk.letter().await, desk.put("a", ()).await.id, desk.put("b", ()).await.id);
    let unknown = FileId::from_raw(RawId::from_bytes([7; 16]));
    desk.commit(move |tx| {
        attach(tx, file, letter)?;
        set_owned(tx, letter, &[other, unknown]).expect_err("one is unknown");
        Ok(())
    })
    .await;
    let files = desk.read(move |tx| files_of(tx, letter)).await;
    assert_eq!(files.iter().map(|file| file.id).collect::<Vec<_>>(), [file]);
    desk.holds(2, 2).await;
}

#[tokio::test]
async fn files_are_handed_over_without_losing_an_owner() {
    let desk = Desk::open().await;
    let (letter, stream) = (desk.letter().await, Owner::new("streams", "7"));
    let (one, two) = (desk.put("1", ()).await, desk.put("2", ()).await);
    let (a, b) = (one.id, two.id);
    let from = stream.clone();
    desk.commit(move |tx| set_owned(tx, from, &[a, b])).await;
    desk.commit(move |tx| attach(tx, b, letter)).await;
    desk.clock.advance(DAY);
    let from = stream.clone();
    desk.commit(move |tx| hand_over(tx, from, letter)).await;
    desk.commit(move |tx| hand_over(tx, letter, letter)).await;
    let files = desk.read(move |tx| files_of(tx, letter)).await;
    assert_eq!(files.iter().map(|file| (file.id, file.owners)).collect::<Vec<_>>(), [(a, 1), (b, 1)]);
    assert_eq!(files[0].touched, one.touched);
    assert_eq!(desk.read(move |tx| files_of(tx, stream.clone())).await, []);
    desk.holds(2, 2).await;
}

#[tokio::test]
async fn an_owner_that_is_deleted_lets_go_of_all() {
    let desk = Desk::open().await;
    let letter = desk.letter().await;
    let (a, b) = (desk.put("a", ()).await.id, desk.put("b", ()).await.id);
    desk.commit(move |tx| set_owned(tx, letter, &[a, b])).await;
    let released = desk.commit(move |tx| {
        tx.delete(letter)?;
        detach_all(tx, letter)
    });
    assert_eq!(released.await, 2);
    assert_eq!(desk.file(a).await.expect("its grace has begun").owners, 0);
    desk.holds(2, 2).await;
}
