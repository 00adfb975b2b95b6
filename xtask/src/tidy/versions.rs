//! One version and one set of features per dependency: members take them from the root manifest.

#[cfg(test)]
mod tests;

use anyhow::Result;

use super::{Report, Tree, manifest::Manifest};

pub(super) fn check(tree: &Tree, report: &mut Report) -> Result<()> {
    for package in tree.metadata.members() {
        let path = format!("{}/Cargo.toml", tree.metadata.folder_of(package));
        check_manifest(&path, &tree.read(&path)?, report)?;
    }
    Ok(())
}

fn check_manifest(path: &str, text: &str, report: &mut Report) -> Result<()> {
    for dependency in Manifest::parse(path, text)?.dependencies {
        if !dependency.is_inherited {
            report.find(
                path,
                dependency.line,
                format!("`{}` is declared here", dependency.name),
                "declare it in [workspace.dependencies] of the root, and say `workspace = true` here",
            );
        }
    }
    Ok(())
}
