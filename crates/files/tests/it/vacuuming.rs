//! What nobody owns is given up, and nothing else.

use loomwork_core::{Kind, Tasks};
use loomwork_files::{Blob, VACUUM_STEP, attach, detach};
use loomwork_store::Table as _;
use loomwork_testkit::{GUARD, soon};

use super::desk::{DAY, Desk, HOUR};

#[tokio::test]
async fn a_file_without_owners_goes_after_its_grace() {
    let desk = Desk::open().await;
    let file = desk.put("x", ()).await.id;
    desk.clock.advance(DAY - std::time::Duration::from_millis(1));
    assert_eq!(desk.files.vacuum().await.expect("the vacuum runs").files, 0);
    desk.clock.advance(std::time::Duration::from_millis(1));
    let vacuumed = desk.files.vacuum().await.expect("the vacuum runs");
    assert_eq!((vacuumed.files, vacuumed.objects), (1, 1));
    assert_eq!(desk.file(file).await, None);
    assert_eq!(desk.read(|tx| tx.count(Blob::all())).await, 0);
    desk.holds(0, 0).await;
}

#[tokio::test]
async fn an_owned_file_stays_for_ever_and_its_grace_begins_with_the_last_loss() {
    let desk = Desk::open().await;
    let (file, letter) = (desk.put("x", ()).await.id, desk.letter().await);
    desk.commit(move |tx| attach(tx, file, letter)).await;
    desk.clock.advance(DAY * 1000);
    assert_eq!(desk.files.vacuum().await.expect("the vacuum runs").files, 0);
    desk.commit(move |tx| detach(tx, file, letter)).await;
    desk.clock.advance(DAY - HOUR);
    assert_eq!(desk.files.vacuum().await.expect("the vacuum runs").files, 0);
    assert_eq!(desk.files.read(file).await.expect("it is read"), "x");
    desk.clock.advance(HOUR);
    assert_eq!(desk.files.vacuum().await.expect("the vacuum runs").files, 1);
    desk.holds(0, 0).await;
}

#[tokio::test]
async fn storing_a_file_again_renews_its_grace() {
    let desk = Desk::open().await;
    let file = desk.put("x", "a").await.id;
    desk.clock.advance(DAY - HOUR);
    assert_eq!(desk.put("x", "a").await.id, file);
    desk.clock.advance(DAY - HOUR);
    assert_eq!(desk.files.vacuum().await.expect("the vacuum runs").files, 0);
    desk.holds(1, 1).await;
}

#[tokio::test]
async fn a_content_stays_while_one_file_has_it() {
    let desk = Desk::open().await;
    let (one, two) = (desk.put("same", "one").await.id, desk.put("same", "two").await.id);
    let letter = desk.letter().await;
    desk.commit(move |tx| attach(tx, two, letter)).await;
    desk.clock.advance(DAY);
    let vacuumed = desk.files.vacuum().await.expect("the vacuum runs");
    assert_eq!((vacuumed.files, vacuumed.objects), (1, 0));
    assert_eq!(desk.file(one).await, None);
    assert_eq!(desk.files.read(two).await.expect("it is read"), "same");
    desk.holds(1, 1).await;
}

#[tokio::test]
async fn attaching_comes_before_the_vacuum_or_fails() {
    let desk = Desk::open().await;
    let (kept, lost) = (desk.put("kept", ()).await.id, desk.put("lost", ()).await.id);
    let letter = desk.letter().await;
    desk.clock.advance(DAY);
    desk.commit(move |tx| attach(tx, kept, letter)).await;
    desk.files.vacuum().await.expect("the vacuum runs");
    let late = desk.store.mutate(move |tx| attach(tx, lost, letter)).await;
    assert_eq!(late.expect_err("it is gone").kind(), Kind::NotFound);
    assert_eq!(desk.files.read(kept).await.expect("it is read"), "kept");
    desk.holds(1, 1).await;
}

#[tokio::test]
async fn more_than_one_step_is_given_up() {
    let desk = Desk::open().await;
    let count = VACUUM_STEP + 3;
    let files = (0..count).map(|number| desk.files.put(number.to_string(), ()));
    futures_util::future::try_join_all(files).await.expect("they are stored");
    desk.clock.advance(DAY);
    let vacuumed = desk.files.vacuum().await.expect("the vacuum runs");
    assert_eq!((vacuumed.files, vacuumed.objects), (count, count));
    desk.holds(0, 0).await;
}

#[tokio::test]
async fn the_vacuum_runs_by_itself_when_a_grace_is_over() {
    let desk = Desk::open().await;
    let tasks = Tasks::new();
    desk.files.start_vacuum(&tasks);
    desk.put("x", ()).await;
    soon(async {
        while desk.read(|tx| tx.count(Blob::all())).await > 0 {
            // The upkeep waits for a lease or a grace, whichever it has seen last.
            if desk.clock.next_timer().is_some() {
                desk.clock.advance_to_next_timer();
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(desk.clock.clock().now() >= super::desk::START + DAY);
    tasks.shutdown(GUARD).await.expect("they end");
    desk.holds(0, 0).await;
}
