//! What cargo knows of the workspace: the part of `cargo metadata` that is read here.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: Vec<String>,
    pub(crate) workspace_root: PathBuf,
    pub(crate) target_directory: PathBuf,
    /// Absent where only the members were asked for.
    pub(crate) resolve: Option<Graph>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    /// Where it was downloaded from; absent for packages of this workspace.
    pub(crate) source: Option<String>,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    /// What each feature switches on: `feature`, `dep:package`, `package/feature`, `package?/feature`.
    pub(crate) features: BTreeMap<String, Vec<String>>,
    pub(crate) targets: Vec<Target>,
    /// The registries it may go to; an empty list is `publish = false`.
    pub(crate) publish: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `dev`, `build`, or absent for a normal one.
    pub(crate) kind: Option<String>,
    pub(crate) optional: bool,
    pub(crate) rename: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
    #[serde(default)]
    pub(crate) doctest: bool,
    #[serde(default, rename = "required-features")]
    pub(crate) required_features: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    /// The features that are on.
    pub(crate) features: Vec<String>,
    pub(crate) deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Edge {
    /// The name by which the code of the user knows it.
    pub(crate) name: String,
    pub(crate) pkg: String,
    pub(crate) dep_kinds: Vec<EdgeKind>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct EdgeKind {
    pub(crate) kind: Option<String>,
}

impl Metadata {
    /// Reads the packages of the workspace, without what they depend on.
    pub(crate) fn of_members() -> Result<Self> {
        Self::read(&["--no-deps".to_owned()])
    }

    /// Reads the whole graph with all features, as far as it is built for these targets.
    pub(crate) fn of_graph(targets: &[String]) -> Result<Self> {
        let platforms = targets.iter().flat_map(|target| ["--filter-platform".to_owned(), target.clone()]);
        Self::read(&std::iter::once("--all-features".to_owned()).chain(platforms).collect::<Vec<_>>())
    }

    fn read(arguments: &[String]) -> Result<Self> {
        let json =
            process::output(process::cargo().args(["metadata", "--format-version", "1"]).args(arguments))?;
        serde_json::from_str(&json).context("`cargo metadata` printed something unknown")
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// Returns the members one level below a folder of the root, such as `crates`.
    pub(crate) fn members_in(&self, folder: &str) -> impl Iterator<Item = &Package> {
        let parent = self.workspace_root.join(folder);
        self.members().filter(move |package| package.folder().parent() == Some(&parent))
    }

    /// Returns the member's folder from the root, such as `crates/store`.
    pub(crate) fn folder_of(&self, package: &Package) -> String {
        let folder = package.folder();
        folder.strip_prefix(&self.workspace_root).unwrap_or(folder).display().to_string()
    }
}

impl Package {
    pub(crate) fn folder(&self) -> &Path {
        self.manifest_path.parent().expect("a manifest lies in a folder")
    }

    pub(crate) fn targets_of_kind(&self, kind: &str) -> impl Iterator<Item = &Target> {
        self.targets.iter().filter(move |target| target.kind.iter().any(|own| own == kind))
    }

    pub(crate) fn is_published(&self) -> bool {
        self.publish.as_ref().is_none_or(|registries| !registries.is_empty())
    }
}
