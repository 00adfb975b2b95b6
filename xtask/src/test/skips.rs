//! Tests that could not run because a service is missing, and say so.
//!
//! They call `loomwork_testkit::skip`, which appends a line `test: reason` to a file.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Tells tests the file to append to.
pub(super) const VARIABLE: &str = "LOOMWORK_SKIPS";

pub(super) struct Record(PathBuf);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Skip {
    pub(super) test: String,
    pub(super) reason: String,
}

impl Record {
    /// Begins an empty record in the folder.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let path = folder.join("skips.txt");
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, ""))
            .with_context(|| format!("{} could not be emptied", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn read(&self) -> Result<BTreeSet<Skip>> {
        let text =
            fs::read_to_string(&self.0).with_context(|| format!("{} could not be read", self.0.display()))?;
        Ok(parse(&text))
    }
}

/// Reads the record; a test that says the same thing twice has said it once.
pub(super) fn parse(text: &str) -> BTreeSet<Skip> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let (test, reason) = line.split_once(": ").unwrap_or((line, "no reason given"));
            Skip { test: test.to_owned(), reason: reason.to_owned() }
        })
        .collect()
}

pub(super) fn distinct_tests(skips: &BTreeSet<Skip>) -> u64 {
    skips.iter().map(|skip| &skip.test).collect::<BTreeSet<_>>().len() as u64
}

pub(super) fn print(skips: &BTreeSet<Skip>, is_failure: bool) {
    if skips.is_empty() {
        return;
    }
    println!("\nskipped, because something they need is missing:");
    for skip in skips {
        println!("  {}: {}", skip.test, skip.reason);
    }
    if is_failure {
        println!("LOOMWORK_NO_SKIPS is set, so each of them counts as failed");
    }
    println!();
}
