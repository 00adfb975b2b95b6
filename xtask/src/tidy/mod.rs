//! `cargo xtask tidy`: what lints cannot see.
//!
//! Each rule is a file of its own that reads the [`Tree`] and writes to the [`Report`].

mod clocks;
mod contracts;
mod coverage;
mod crate_table;
mod deny;
mod deny_tool;
mod duplicates;
mod edges;
mod graph;
mod licences;
mod manifest;
mod markdown;
mod rooms;
mod sizes;
mod source;
mod test_files;
mod toml_file;
mod versions;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

use crate::{metadata::Metadata, process};
use crate_table::CrateTable;
use deny::Deny;

pub(crate) const COMMAND: crate::Command = crate::Command {
    name: "tidy",
    summary: "Checks what lints cannot see: crate edges, file sizes, coverage pages, licences, …",
    help: "\
Usage: cargo xtask tidy

  edges       a crate depends on crates of lower floors that docs/architecture.md names for it
  versions    every dependency is declared in the root manifest
  rooms       every crate has its README.md and the workspace's lints, and an example from floor 1 on
  test files  every file in tests/it is a module of its main.rs
  contracts   every promise of the engine contract is one that every engine runs
  sizes       no Rust file is above 1,000 lines; those above 600 are noted
  coverage    every row of docs/coverage/*.md names a test that exists, or says `open: why`
  clocks      no wall clock, timer or randomness but core's
  licences    every package has a licence that deny.toml allows
  duplicates  no package is there in two versions, unless deny.toml says why
  deny        cargo-deny agrees, where it is installed

Prints each finding as `path:line: what is wrong; what would be right`.",
    run,
};

/// One promise about the tree. Adds what breaks it to the report; an error means that it could not look.
type Rule = fn(&Tree, &mut Report) -> Result<()>;

const RULES: [Rule; 11] = [
    edges::check,
    versions::check,
    rooms::check,
    test_files::check,
    contracts::check,
    sizes::check,
    coverage::check,
    clocks::check,
    licences::check,
    duplicates::check,
    deny_tool::check,
];

fn run(arguments: &[String]) -> Result<ExitCode> {
    crate::expect_no_arguments("tidy", arguments)?;
    check()?;
    Ok(ExitCode::SUCCESS)
}

/// Prints all findings, and fails if there are any.
pub(crate) fn check() -> Result<()> {
    let tree = Tree::load()?;
    let mut report = Report::default();
    for rule in RULES {
        rule(&tree, &mut report)?;
    }
    for note in &report.notes {
        println!("note: {note}");
    }
    for finding in &report.findings {
        println!("{finding}");
    }
    match report.findings.len() {
        0 => println!("tidy: {} rules hold", RULES.len()),
        1 => bail!("tidy has 1 finding"),
        count => bail!("tidy has {count} findings"),
    }
    Ok(())
}

/// The workspace as the rules see it.
struct Tree {
    root: PathBuf,
    /// All files that git tracks or would track, from the root, in order.
    files: Vec<String>,
    metadata: Metadata,
    crates: CrateTable,
    deny: Deny,
}

impl Tree {
    fn load() -> Result<Self> {
        let root = process::root();
        let deny = Deny::parse(&read(&root, deny::PATH)?)?;
        Ok(Self {
            files: files(&root)?,
            metadata: Metadata::of_graph(&deny.targets)?,
            crates: CrateTable::parse(&read(&root, crate_table::PATH)?)?,
            deny,
            root,
        })
    }

    fn read(&self, path: &str) -> Result<String> {
        read(&self.root, path)
    }

    fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// Returns the files below a folder whose names end so.
    fn files_in(&self, folder: &str, end: &str) -> impl Iterator<Item = &str> {
        let inside = move |path: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        self.files.iter().map(String::as_str).filter(move |path| inside(path) && path.ends_with(end))
    }
}

fn read(root: &Path, path: &str) -> Result<String> {
    fs::read_to_string(root.join(path)).with_context(|| format!("{path} could not be read"))
}

fn files(root: &Path) -> Result<Vec<String>> {
    let mut command = Command::new("git");
    // In a container the checkout often belongs to another user, which git refuses by default.
    command.arg("-c").arg(format!("safe.directory={}", root.display()));
    command.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let names = process::output(&mut command)?;
    let mut files: Vec<String> = names.split_terminator('\0').map(str::to_owned).collect();
    // A deleted file stays tracked until the next commit.
    files.retain(|path| root.join(path).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}

/// What the rules found.
#[derive(Default)]
struct Report {
    findings: Vec<Finding>,
    /// Worth a look, and no failure.
    notes: Vec<Finding>,
}

#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    wrong: String,
    right: String,
}

impl Report {
    fn find(&mut self, path: &str, line: usize, wrong: impl Into<String>, right: impl Into<String>) {
        self.findings.push(Finding { path: path.to_owned(), line, wrong: wrong.into(), right: right.into() });
    }

    fn note(&mut self, path: &str, line: usize, wrong: impl Into<String>, right: impl Into<String>) {
        self.notes.push(Finding { path: path.to_owned(), line, wrong: wrong.into(), right: right.into() });
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}; {}", self.path, self.line, self.wrong, self.right)
    }
}
