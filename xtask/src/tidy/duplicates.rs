//! One version of each package in what users build, except where deny.toml says why not.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::{
    Report, Tree,
    deny::{self, AllowedDuplicate},
    graph,
};
use crate::metadata::Metadata;

pub(super) const LOCK: &str = "Cargo.lock";

/// The versions of a package by name, each with the packages that brought it in.
type Versions = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

pub(super) fn check(tree: &Tree, report: &mut Report) -> Result<()> {
    let lock = tree.read(LOCK)?;
    let versions = versions(&tree.metadata)?;
    for (name, text) in refused(&versions, &tree.deny.duplicates) {
        let right = format!("bring its users to one version, or allow one with its reason in {}", deny::PATH);
        report.find(LOCK, line_in_lock(&lock, name), text, right);
    }
    for allowed in tree.deny.duplicates.iter().filter(|allowed| !is_needed(allowed, &versions)) {
        let wrong = format!("`{}` is no duplicate", allowed.name);
        report.find(deny::PATH, allowed.line, wrong, "remove the entry");
    }
    Ok(())
}

/// Returns the line of Cargo.lock where the package of this name first stands.
pub(super) fn line_in_lock(lock: &str, name: &str) -> usize {
    let line = format!("name = \"{name}\"");
    lock.lines().position(|candidate| candidate == line).map_or(1, |index| index + 1)
}

/// Collects what the published members need, without their tests and build scripts.
fn versions(metadata: &Metadata) -> Result<Versions> {
    let published = metadata.members().filter(|package| package.is_published());
    let mut versions = Versions::new();
    for (user, used) in graph::uses(metadata, published, |kind| kind.is_none())? {
        let of_name = versions.entry(used.name.clone()).or_default();
        of_name.entry(used.version.clone()).or_default().insert(user.name.clone());
    }
    Ok(versions)
}

/// Returns the names with more than one version that nobody allowed, each with what to say.
fn refused<'a>(versions: &'a Versions, allowed: &[AllowedDuplicate]) -> Vec<(&'a str, String)> {
    let mut refused = Vec::new();
    for (name, of_name) in versions {
        let is_allowed = |version: &str| allowed.iter().any(|entry| entry.covers(name, version));
        let left: Vec<_> = of_name.iter().filter(|(version, _)| !is_allowed(version)).collect();
        if left.len() > 1 {
            let each = left.iter().map(|(version, users)| format!("{version} (for {})", join(users)));
            refused.push((
                name.as_str(),
                format!("`{name}` is there as {}", each.collect::<Vec<_>>().join(" and ")),
            ));
        }
    }
    refused
}

fn join(users: &BTreeSet<String>) -> String {
    users.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn is_needed(entry: &AllowedDuplicate, versions: &Versions) -> bool {
    versions.get(&entry.name).is_some_and(|of_name| {
        of_name.len() > 1 && of_name.keys().any(|version| entry.covers(&entry.name, version))
    })
}
