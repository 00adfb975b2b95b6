//! Files and folders into knowledge.

use std::fs;

use serde_json::Value;

use super::program::{Folder, KEY};

#[test]
fn files_and_folders_are_added_once_and_found() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path("docs/inner/.hidden")).expect("folders");
    fs::write(folder.path("docs/looms.md"), "Looms weave cloth.").expect("a file");
    fs::write(folder.path("docs/inner/knots.txt"), "Carpets have knots.").expect("a file");
    fs::write(folder.path("docs/inner/.hidden/secret.txt"), "Nobody reads this.").expect("a file");
    fs::write(folder.path("docs/noise.bin"), [0, 159, 146, 150].repeat(100)).expect("a file");

    let added = folder.run(&["ingest", "docs", "--namespace", "shop"]);
    assert_eq!(added.code, 1, "one cannot be read: {added:?}");
    assert!(
        added.out.contains("added     looms.md") && added.out.contains("added     inner/knots.txt"),
        "{added:?}"
    );
    assert!(added.out.contains("failed    noise.bin: ") && added.out.contains("reader"), "{added:?}");
    assert!(added.out.ends_with("2 added, 0 unchanged, 1 failed, in \"shop\".\n"), "{added:?}");
    assert!(!added.err.contains('\u{1b}'), "no bar is drawn where nobody sees it: {added:?}");

    fs::remove_file(folder.path("docs/noise.bin")).expect("it was there");
    fs::write(folder.path("docs/looms.md"), "Looms weave cloth, and tapestries.").expect("a file");
    let again = folder.run(&["ingest", "docs", "--namespace", "shop", "--json"]).done();
    let mut became: Vec<_> = again
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .map(|line| format!("{} {}", line["key"], line["became"]))
        .collect();
    became.sort();
    assert_eq!(became, ["\"inner/knots.txt\" \"unchanged\"", "\"looms.md\" \"added\""]);

    let found = folder.run(&["knowledge", "search", "shop", "tapestries"]).done();
    assert!(found.contains("and tapestries."), "{found}");
    let entries = folder.run(&["knowledge", "entries", "shop", "--json"]).json();
    assert_eq!(entries["items"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_server_takes_files_too() {
    let folder = Folder::new();
    let served = folder.serve();
    fs::write(folder.path("hours.txt"), "We are closed on Sundays.").expect("a file");
    let mut command =
        folder.command(&["ingest", "hours.txt", "--prefix", "shop/", "--server", &served.address]);
    let output = command.env("LOOMWORK_KEY", KEY).output().expect("it runs");
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && out.starts_with("added     shop/hours.txt\n"), "{output:?}");
    let entries = folder.run(&["knowledge", "entries", "handbook"]).done();
    assert!(entries.contains("shop/hours.txt"), "{entries}");
}

#[test]
fn what_is_not_there_or_has_one_name_twice_is_told_before_anything_is_added() {
    let folder = Folder::new();
    let said = folder.run(&["ingest", "nowhere"]).failed(3);
    assert!(said.contains("nowhere"), "{said}");
    for name in ["one", "two"] {
        fs::create_dir_all(folder.path(name)).expect("a folder");
        fs::write(folder.path(&format!("{name}/a.txt")), name).expect("a file");
    }
    let said = folder.run(&["ingest", "one", "two"]).failed(2);
    assert!(said.contains("have one key, \"a.txt\""), "{said}");
    assert!(!folder.path("loomwork.db").exists());
}
