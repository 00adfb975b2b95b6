//! Copies, and whether they are sound.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::program::{Folder, KEY};

/// Returns the files in a folder, however deep.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] }).collect()
}

#[test]
fn a_database_in_use_is_copied_with_its_files_and_the_copy_is_sound() {
    let folder = Folder::new();
    fs::write(folder.path("hours.txt"), "We are closed on Sundays.").expect("a file");
    let served = folder.serve();
    let mut command = folder.command(&["ingest", "hours.txt", "--server", &served.address]);
    assert!(command.env("LOOMWORK_KEY", KEY).output().expect("it runs").status.success());

    let told = folder.run(&["backup", "copy.db", "--json"]).json();
    assert_eq!(told["files"], 1, "{told}");
    assert_eq!(files_in(&folder.path("copy.db-files")).len(), 1);
    let said = folder.run(&["backup", "copy.db"]).failed(2);
    assert!(said.contains("never overwrites"), "{said}");
    served.end();

    assert!(folder.run(&["check", "--db", "copy.db", "--contents"]).done().contains("copy.db is sound."));
    // The copy is an app of its own: what is searched is made again.
    let found =
        folder.run(&["knowledge", "search", "handbook", "closed on Sundays", "--db", "copy.db"]).done();
    assert!(found.contains("closed on Sundays"), "{found}");
}

#[test]
fn a_check_finds_contents_that_are_gone_and_mends_what_it_can() {
    let folder = Folder::with_database();
    folder.run(&["check"]).done();
    let contents = files_in(&folder.path("loomwork.db-files"));
    fs::write(&contents[0], "Looms weave cl0th.").expect("a file");
    folder.run(&["check"]).done();
    let found = folder.run(&["check", "--contents"]);
    assert_eq!(found.code, 6, "{found:?}");
    assert!(
        found.out.contains("wrong files") && found.out.contains("not the one that was stored"),
        "{found:?}"
    );
    fs::remove_file(&contents[0]).expect("it was there");
    let found = folder.run(&["check", "--json"]);
    let told: Value = serde_json::from_str(&found.out).expect("JSON");
    assert_eq!((found.code, &told["ok"]), (6, &Value::Bool(false)));
    assert!(told["parts"].to_string().contains("is missing"), "{told}");
    // The same bytes again are the content that was lost.
    folder.run(&["check", "--mend"]).failed(6);
    folder.run(&["ingest", "note.txt", "--namespace", "notes"]).done();
    folder.run(&["check", "--contents"]).done();
}

#[test]
fn a_file_that_is_none_of_ours_is_refused() {
    let folder = Folder::new();
    fs::write(folder.path("loomwork.db"), "This is a letter, and no database at all. ".repeat(100))
        .expect("a file");
    for command in [&["threads"][..], &["check"], &["backup", "copy.db"]] {
        let said = folder.run(command).failed(1);
        assert!(said.contains("is not a SQLite database"), "{said}");
    }
    let found = folder.run(&["doctor"]);
    assert_eq!(found.code, 6);
    assert!(found.out.contains("wrong   database"), "{found:?}");
}
