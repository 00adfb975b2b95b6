//! Crates depend on crates of lower floors, those that docs/architecture.md names for them.

#[cfg(test)]
mod tests;

use anyhow::Result;

use super::{
    Report, Tree,
    crate_table::{self, Crate, CrateTable, MayUse},
    manifest::Manifest,
};

pub(super) fn check(tree: &Tree, report: &mut Report) -> Result<()> {
    for package in tree.metadata.members_in("crates") {
        let path = format!("{}/Cargo.toml", tree.metadata.folder_of(package));
        let Some(from) = tree.crates.of_package(&package.name) else {
            let right = format!("give it a row with its floor in {}", crate_table::PATH);
            report.find(&path, 1, format!("the crate table does not know `{}`", package.name), right);
            continue;
        };
        let text = tree.read(&path)?;
        let manifest = Manifest::parse(&path, &text)?;
        let edges =
            package.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("dev"));
        for edge in edges {
            if let Some((wrong, right)) = refusal(&tree.crates, from, &edge.name) {
                report.find(&path, manifest.line_of(&edge.name), wrong, right);
            }
        }
    }
    Ok(())
}

/// Says what is wrong with an edge outside tests, and what would be right; absent where it may be.
fn refusal(table: &CrateTable, from: &Crate, to: &str) -> Option<(String, String)> {
    let to = table.of_package(to)?;
    let from_floor = from.floor?;
    let Some(to_floor) = to.floor else {
        let wrong = format!("`{}` is for tests and tools, and `{}` depends on it", to.name, from.name);
        return Some((wrong, "move it to [dev-dependencies]".to_owned()));
    };
    if to_floor >= from_floor {
        let wrong =
            format!("`{}` of floor {from_floor} depends on `{}` of floor {to_floor}", from.name, to.name);
        return Some((wrong, "a crate depends on lower floors only".to_owned()));
    }
    match &from.may_use {
        MayUse::Named(names) if !names.contains(&to.name) => {
            let wrong = format!("`{}` depends on `{}`, which its row does not name", from.name, to.name);
            Some((wrong, format!("remove it, or plan the edge in {}", crate_table::PATH)))
        }
        _ => None,
    }
}
