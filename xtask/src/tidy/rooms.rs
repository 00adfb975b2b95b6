//! Every crate has the same rooms: README.md, the workspace's lints, and an example once it has users.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{Report, Tree, manifest::Manifest};

pub(super) fn check(tree: &Tree, report: &mut Report) -> Result<()> {
    check_rooms(tree, report)?;
    check_example_names(tree, report);
    Ok(())
}

fn check_rooms(tree: &Tree, report: &mut Report) -> Result<()> {
    for package in tree.metadata.members_in("crates") {
        let folder = tree.metadata.folder_of(package);
        let manifest = format!("{folder}/Cargo.toml");
        if !tree.exists(&format!("{folder}/README.md")) {
            let wrong = format!("`{}` has no README.md", package.name);
            report.find(&manifest, 1, wrong, "open with the problem it solves, and an example");
        }
        if !Manifest::parse(&manifest, &tree.read(&manifest)?)?.inherits_lints() {
            report.find(&manifest, 1, "the workspace's lints are off", "add [lints] with `workspace = true`");
        }
        // Floor 0 is what the other crates are made of; nobody begins with it.
        let floor = tree.crates.of_package(&package.name).and_then(|row| row.floor);
        if floor > Some(0) && package.targets_of_kind("example").next().is_none() {
            let wrong = format!("`{}` has no example", package.name);
            report.find(
                &manifest,
                1,
                wrong,
                format!("add a small, whole program as {folder}/examples/NAME.rs"),
            );
        }
    }
    Ok(())
}

/// Cargo puts the examples of all crates in one folder, where the later of two overwrites the earlier.
fn check_example_names(tree: &Tree, report: &mut Report) {
    let mut owners = BTreeMap::new();
    for package in tree.metadata.members_in("crates") {
        for example in package.targets_of_kind("example") {
            if let Some(owner) = owners.insert(&example.name, &package.name) {
                let path = format!("{}/Cargo.toml", tree.metadata.folder_of(package));
                let wrong = format!("the example `{}` is also one of `{owner}`", example.name);
                report.find(&path, 1, wrong, "give it a name of its own in the workspace");
            }
        }
    }
}
