//! Who really uses whom in the graph that `cargo metadata` prints.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, Result};

use crate::metadata::{Dependency, Edge, Metadata, Node, Package};

/// A package and one that it uses.
pub(super) type Use<'a> = (&'a Package, &'a Package);

/// Returns every use that can be reached from the roots over edges of these kinds.
pub(super) fn uses<'a>(
    metadata: &'a Metadata,
    roots: impl Iterator<Item = &'a Package>,
    is_followed: fn(Option<&str>) -> bool,
) -> Result<Vec<Use<'a>>> {
    let graph = metadata.resolve.as_ref().context("`cargo metadata` printed no graph")?;
    let packages: HashMap<_, _> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let nodes: HashMap<_, _> = graph.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let mut open: Vec<&Package> = roots.collect();
    let mut seen: BTreeSet<&str> = open.iter().map(|package| package.id.as_str()).collect();
    let mut uses = Vec::new();
    while let Some(user) = open.pop() {
        let Some(node) = nodes.get(user.id.as_str()) else { continue };
        for edge in &node.deps {
            let Some(used) = packages.get(edge.pkg.as_str()).copied() else { continue };
            let has_kind = edge.dep_kinds.iter().any(|kind| is_followed(kind.kind.as_deref()));
            if !has_kind || !is_active(user, node, edge, used) {
                continue;
            }
            uses.push((user, used));
            if seen.insert(&used.id) {
                open.push(used);
            }
        }
    }
    Ok(uses)
}

/// Whether an edge is built: cargo also prints those to optional packages that a feature only
/// mentions, as `package?/feature` does.
fn is_active(user: &Package, node: &Node, edge: &Edge, used: &Package) -> bool {
    let declared = user.dependencies.iter().filter(|declared| is_declaration(declared, edge, used));
    let mut declared = declared.peekable();
    declared.peek().is_none()
        || declared.any(|declared| !declared.optional || is_switched_on(user, node, declared))
}

fn is_declaration(declared: &Dependency, edge: &Edge, used: &Package) -> bool {
    let is_same_name = declared.rename.as_ref().is_none_or(|name| name.replace('-', "_") == edge.name);
    declared.name == used.name && is_same_name
}

fn is_switched_on(user: &Package, node: &Node, declared: &Dependency) -> bool {
    let name = declared.rename.as_ref().unwrap_or(&declared.name);
    let switches_on = |effect: &String| {
        effect.strip_prefix("dep:") == Some(name)
            || effect.split_once('/').is_some_and(|(package, _feature)| package == name)
    };
    let active = node.features.iter().filter_map(|feature| user.features.get(feature));
    active.flatten().any(switches_on)
}
