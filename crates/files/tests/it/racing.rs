//! Saving, attaching and the vacuum at once, with object stores that fail or stop half way.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use loomwork_core::{Clock, Kind, Tasks};
use loomwork_files::{Blob, Blobs, CheckOptions, FileError, IfOwned, VACUUM_PAUSE, attach, delete};
use loomwork_store::Table as _;
use loomwork_testkit::{GUARD, soon};

use super::faulty::{Faulty, Shared};
use super::memory::Bed;
use super::memory::desk::{DAY, Desk, HOUR, START, fault};

async fn open(faulty: &Arc<Faulty>) -> Desk {
    open_over(&Bed::new(), faulty, Clock::manual(START)).await
}

async fn open_over(bed: &Bed, faulty: &Arc<Faulty>, clock: loomwork_core::ManualClock) -> Desk {
    Desk::open_with(bed, Blobs::over(Arc::new(Shared(faulty.clone()))), clock).await
}

async fn is_sound(desk: &Desk) {
    let options = CheckOptions { contents: true, ..CheckOptions::default() };
    assert_eq!(desk.files.check(options).await.expect("the check runs").findings, []);
}

#[tokio::test]
async fn a_content_is_stored_anew_while_the_vacuum_removes_it() {
    let faulty = Faulty::new();
    let desk = open(&faulty).await;
    desk.put("same", ()).await;
    desk.clock.advance(DAY);
    for gate in [&faulty.before_delete, &faulty.after_delete] {
        gate.close();
        let vacuum = tokio::join!(soon(desk.files.vacuum()), async {
            soon(gate.arrival()).await;
            let again = desk.put("same", ()).await;
            gate.open();
            again
        });
        assert_eq!(vacuum.0.expect("the vacuum runs").objects, 1);
        assert_eq!(desk.files.read(vacuum.1.id).await.expect("it is there"), "same");
        assert_eq!(faulty.count().await, 1);
        is_sound(&desk).await;
        desk.clock.advance(DAY);
    }
}

#[tokio::test]
async fn a_content_that_is_being_written_is_not_given_up() {
    let faulty = Faulty::new();
    let desk = open(&faulty).await;
    for gate in [&faulty.before_put, &faulty.after_put] {
        gate.close();
        let (file, ()) = tokio::join!(soon(desk.files.put("slow", ())), async {
            soon(gate.arrival()).await;
            desk.clock.advance(HOUR / 2);
            assert_eq!(desk.files.vacuum().await.expect("the vacuum runs").objects, 0);
            gate.open();
        });
        let file = file.expect("it is stored");
        assert_eq!(desk.files.read(file.id).await.expect("it is read"), "slow");
        desk.commit(move |tx| delete(tx, file.id, IfOwned::Refuse)).await;
        desk.clock.advance(HOUR);
        desk.files.vacuum().await.expect("the vacuum runs");
    }
}

#[tokio::test]
async fn a_writer_that_comes_too_late_takes_its_object_away_again() {
    let faulty = Faulty::new();
    let desk = open(&faulty).await;
    faulty.before_put.close();
    let (late, ()) = tokio::join!(soon(desk.files.put("zombie", ())), async {
        soon(faulty.before_put.arrival()).await;
        desk.clock.advance(HOUR);
        desk.files.vacuum().await.expect("the vacuum runs");
        faulty.before_put.open();
    });
    let error = late.expect_err("it was given up");
    assert!(matches!(fault(&error), FileError::Lapsed { .. }));
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(faulty.count().await, 0);
    is_sound(&desk).await;
}

#[tokio::test]
async fn a_write_that_fails_behind_its_lease_is_a_conflict() {
    let faulty = Faulty::new();
    let desk = open(&faulty).await;
    faulty.before_put.close();
    let (late, ()) = tokio::join!(soon(desk.files.put("zombie", ())), async {
        soon(faulty.before_put.arrival()).await;
        desk.clock.advance(HOUR);
        faulty.puts_fail.store(true, Ordering::SeqCst);
        faulty.before_put.open();
    });
    assert_eq!(late.expect_err("it was given up").kind(), Kind::Conflict);
}

#[tokio::test]
async fn attaching_while_objects_are_removed_keeps_what_is_attached() {
    let faulty = Faulty::new();
    let desk = open(&faulty).await;
    desk.put("old", ()).await;
    desk.clock.advance(HOUR);
    let (young, letter) = (desk.put("young", ()).await.id, desk.letter().await);
    desk.clock.advance(DAY - HOUR);
    faulty.before_delete.close();
    let (vacuumed, ()) = tokio::join!(soon(desk.files.vacuum()), async {
        soon(faulty.before_delete.arrival()).await;
        desk.clock.advance(HOUR);
        desk.commit(move |tx| attach(tx, young, letter)).await;
        faulty.before_delete.open();
    });
    assert_eq!(vacuumed.expect("the vacuum runs").objects, 1);
    desk.files.vacuum().await.expect("the vacuum runs");
    assert_eq!(desk.files.read(young).await.expect("it is read"), "young");
    is_sound(&desk).await;
}

#[tokio::test]
async fn a_write_that_fails_leaves_no_row_behind() {
    let faulty = Faulty::new();
    let desk = open(&faulty).await;
    faulty.puts_fail.store(true, Ordering::SeqCst);
    let error = desk.files.put("x", ()).await.expect_err("the disk is full");
    assert_eq!(error.kind(), Kind::Unavailable);
    let mut upload = desk.files.upload(()).await.expect("it begins");
    upload.write("x").await.expect("it is gathered");
    upload.finish().await.expect_err("the disk is full");
    desk.files.vacuum().await.expect("the vacuum runs");
    assert_eq!(desk.read(|tx| tx.count(Blob::all())).await, 0);
}

#[tokio::test]
async fn an_object_that_cannot_be_removed_is_tried_again() {
    let faulty = Faulty::new();
    let desk = open(&faulty).await;
    desk.put("x", ()).await;
    desk.clock.advance(DAY);
    faulty.deletes_fail.store(true, Ordering::SeqCst);
    assert_eq!(desk.files.vacuum().await.expect_err("it cannot be removed").kind(), Kind::Unavailable);
    assert_eq!(desk.read(|tx| tx.count(Blob::all())).await, 1);

    let tasks = Tasks::new();
    desk.files.start_vacuum(&tasks);
    let mut blobs = desk.store.watch(|tx| tx.count(Blob::all()));
    soon(async {
        while desk.clock.next_timer().is_none() {
            tokio::task::yield_now().await;
        }
        faulty.deletes_fail.store(false, Ordering::SeqCst);
        desk.clock.advance(VACUUM_PAUSE);
        while blobs.next().await.expect("the store is open").expect("it is read") > 0 {}
    })
    .await;
    tasks.shutdown(GUARD).await.expect("they end");
    assert_eq!(faulty.count().await, 0);
    is_sound(&desk).await;
}

/// A future that is dropped where a process would have died, and a store that is opened again.
#[tokio::test]
async fn what_a_dead_process_was_doing_is_known_and_removed_by_the_next() {
    let faulty = Faulty::new();
    let bed = Bed::new();
    let desk = open_over(&bed, &faulty, Clock::manual(START)).await;
    desk.put("kept", ()).await;
    // Between the row and the object, and between the object and its file.
    for gate in [&faulty.before_put, &faulty.after_put] {
        gate.close();
        soon(async {
            tokio::select! {
                _ = desk.files.put("cut", ()) => panic!("it waits at the gate"),
                () = gate.arrival() => {}
            }
        })
        .await;
        gate.open();
    }
    assert_eq!(faulty.count().await, 2);
    desk.store.close().await;

    let desk = open_over(&bed, &faulty, desk.clock).await;
    is_sound(&desk).await;
    desk.clock.advance(HOUR);
    assert_eq!(desk.files.vacuum().await.expect("the vacuum runs").objects, 2);
    assert_eq!((faulty.count().await, desk.read(|tx| tx.count(Blob::all())).await), (1, 1));

    // Between removing an object and its row.
    desk.clock.advance(DAY);
    faulty.after_delete.close();
    soon(async {
        tokio::select! {
            _ = desk.files.vacuum() => panic!("it waits at the gate"),
            () = faulty.after_delete.arrival() => {}
        }
    })
    .await;
    faulty.after_delete.open();
    assert_eq!((faulty.count().await, desk.read(|tx| tx.count(Blob::all())).await), (0, 1));
    desk.store.close().await;

    let desk = open_over(&bed, &faulty, desk.clock).await;
    is_sound(&desk).await;
    assert_eq!(desk.files.vacuum().await.expect("the vacuum runs").objects, 1);
    assert_eq!(desk.read(|tx| tx.count(Blob::all())).await, 0);
}

#[test]
fn handles_go_to_any_thread() {
    fn is_sent<T: Send>() {}
    fn is_shared<T: Send + Sync>() {}
    is_shared::<loomwork_files::Files>();
    is_shared::<loomwork_files::Staged>();
    is_sent::<loomwork_files::Upload>();
    is_sent::<loomwork_files::Content>();
}
