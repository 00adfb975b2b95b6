//! Counting everything again, and finding damage.

use loomwork_files::object_store::{ObjectStoreExt as _, path::Path};
use loomwork_files::{Blob, CheckOptions, Finding, Owner, Report, attach};
use loomwork_store::Table as _;

use super::desk::{DAY, Desk};

async fn check(desk: &Desk, contents: bool, mend: bool) -> Report {
    desk.files.check(CheckOptions { contents, mend }).await.expect("the check runs")
}

#[tokio::test]
async fn a_sound_store_has_no_findings() {
    let desk = Desk::open().await;
    let (file, letter) = (desk.put("x", ()).await.id, desk.letter().await);
    desk.commit(move |tx| attach(tx, file, letter)).await;
    desk.put("x", "other").await;
    desk.files.stage("staged", ()).await.expect("it is staged");
    let report = check(&desk, true, true).await;
    let expected = Report { files: 2, references: 1, contents: 1, objects: 2, ..Report::default() };
    assert_eq!(report, expected);
}

#[tokio::test]
async fn a_wrong_count_of_owners_is_found_and_set_right() {
    let desk = Desk::open().await;
    let (file, letter) = (desk.put("x", ()).await.id, desk.letter().await);
    desk.commit(move |tx| attach(tx, file, letter)).await;
    desk.commit(move |tx| tx.update(file, |file| file.owners = 7)).await;
    let report = check(&desk, false, false).await;
    assert_eq!(report.findings, [Finding::OwnersMiscounted { file, counted: 7, found: 1 }]);
    assert_eq!(desk.file(file).await.expect("nothing was mended").owners, 7);
    assert_eq!(check(&desk, false, true).await.found, 1);
    assert_eq!(desk.file(file).await.expect("it is there").owners, 1);
    desk.holds(1, 1).await;
}

#[tokio::test]
async fn a_file_row_that_vanished_is_found_and_what_hung_on_it_let_go() {
    let desk = Desk::open().await;
    let (file, letter) = (desk.put("x", ()).await.id, desk.letter().await);
    desk.commit(move |tx| attach(tx, file, letter)).await;
    desk.commit(move |tx| tx.delete(file)).await;
    let report = check(&desk, false, true).await;
    assert_eq!(report.found, 2);
    let is_dangling =
        |finding: &Finding| matches!(finding, Finding::Dangling { owner, .. } if *owner == Owner::from(letter));
    assert!(report.findings.iter().any(is_dangling));
    let is_miscounted = |finding: &Finding| matches!(finding, Finding::FilesMiscounted { counted: 1, found: 0, .. });
    assert!(report.findings.iter().any(is_miscounted));
    desk.clock.advance(DAY);
    desk.files.vacuum().await.expect("the vacuum runs");
    desk.holds(0, 0).await;
}

#[tokio::test]
async fn a_file_whose_content_has_no_row_is_found() {
    let desk = Desk::open().await;
    let file = desk.put("x", ()).await.id;
    desk.commit(|tx| {
        let blob = tx.first(Blob::all())?.expect("there is one");
        tx.delete(blob.id)
    })
    .await;
    let report = check(&desk, false, true).await;
    assert_eq!(report.findings[0], Finding::Unbacked { file });
    assert!(matches!(report.findings[1], Finding::Stray { .. }));
    assert_eq!(desk.keys().await.len(), 0);
}

#[tokio::test]
async fn a_missing_content_is_found_and_mended_by_the_same_bytes() {
    let desk = Desk::open().await;
    let file = desk.put("content", ()).await;
    desk.lose().await;
    let report = check(&desk, false, true).await;
    let [finding] = &report.findings[..] else { panic!("one finding: {report:?}") };
    assert!(matches!(finding, Finding::Damaged { found: None, size: 7, hash, files, .. }
        if *hash == file.hash && files[..] == [file.id]));
    assert!(finding.to_string().ends_with("is missing"), "{finding}");
    desk.put("content", ()).await;
    desk.holds(1, 1).await;
}

#[tokio::test]
async fn a_content_with_other_bytes_is_found_when_contents_are_read() {
    let desk = Desk::open().await;
    let file = desk.put("content", ()).await;
    desk.damage("CONTENT").await;
    assert_eq!(check(&desk, false, false).await.found, 0);
    let report = check(&desk, true, true).await;
    assert!(matches!(&report.findings[..], [Finding::Damaged { found: Some(7), .. }]));
    // Its size is right, so without the mark storing it again would leave it as it is.
    desk.put("content", ()).await;
    assert_eq!(desk.files.read(file.id).await.expect("it is mended"), "content");
    desk.holds(1, 1).await;
}

#[tokio::test]
async fn objects_without_a_row_are_found_and_those_of_others_left_alone() {
    let desk = Desk::open().await;
    desk.put("mine", ()).await;
    let stray = desk.put("stray", ()).await;
    desk.commit(move |tx| {
        let blob = tx.scan(Blob::all())?.pop().expect("there are two");
        tx.delete(blob.id)?;
        tx.delete(stray.id)
    })
    .await;
    let foreign = Path::from("notes/todo.txt");
    desk.bed.objects().put(&foreign, "not ours".into()).await.expect("it is written");
    let report = check(&desk, true, true).await;
    assert_eq!((report.objects, report.found), (3, 2));
    assert!(report.findings.contains(&Finding::Foreign { key: "notes/todo.txt".into() }));
    assert_eq!(desk.keys().await.len(), 2);
    assert!(desk.keys().await.contains(&foreign));
}
