//! What only a folder has: half-written objects of a killed process.

use std::path::{Path, PathBuf};

use loomwork_core::Kind;
use loomwork_files::{Blobs, FileError};

use super::sqlite::desk::{DAY, Desk};

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder is read") {
        let path = entry.expect("the entry is read").path();
        if path.is_dir() { found.extend(files_in(&path)) } else { found.push(path) }
    }
    found
}

#[tokio::test]
async fn half_written_objects_go_with_their_rows() {
    let desk = Desk::open().await;
    desk.put("content", ()).await;
    let objects = files_in(&desk.bed.folder());
    assert_eq!(objects.len(), 1);
    // As the object store names what it has not renamed yet.
    for number in 1..=2 {
        let half = format!("{}#{number}", objects[0].display());
        std::fs::write(half, "cont").expect("it is written");
    }
    assert_eq!(files_in(&desk.bed.folder()).len(), 3);
    assert_eq!(desk.keys().await.len(), 1);
    desk.clock.advance(DAY);
    desk.files.vacuum().await.expect("the vacuum runs");
    assert_eq!(files_in(&desk.bed.folder()), [] as [PathBuf; 0]);
}

#[test]
fn a_folder_that_is_a_file_is_refused() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let path = folder.path().join("taken");
    std::fs::write(&path, "a file").expect("it is written");
    let error = Blobs::folder(&path).expect_err("it is no folder");
    assert!(matches!(&error, FileError::Folder { path: named, .. } if *named == path));
    assert_eq!(loomwork_core::Fault::kind(&error), Kind::Invalid);
}
