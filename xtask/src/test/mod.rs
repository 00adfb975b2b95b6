//! `cargo xtask test`: every test and doc test, with one line of counts at the end.

mod skips;
mod summary;
#[cfg(test)]
mod tests;

use std::{
    env,
    io::IsTerminal,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    metadata::Metadata,
    process::{self, Stream},
};
pub(crate) use summary::Counts;

pub(crate) const COMMAND: crate::Command = crate::Command {
    name: "test",
    summary: "Runs all tests and doc tests, or those whose names contain a word.",
    help: "\
Usage: cargo xtask test [--package NAME]… [FILTER…]

  FILTER         run only tests whose name contains one of these words
  -p, --package  test only this package: loomwork-store, xtask, …

Uses cargo-nextest where it is installed, else `cargo test`; then come the doc tests.
The last line sums up both: `N passed, N failed` or `N passed, N failed, N skipped`.
A target that does not build counts as one failure. Skipped are ignored tests, and
tests that found a service missing; the latter are listed with their reasons.

Environment:
  LOOMWORK_NO_SKIPS=1  a test that finds a service missing is a failure",
    run,
};

/// Which tests to run; by default all of the workspace but `bench`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    packages: Vec<String>,
    filters: Vec<String>,
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let selection = Selection::parse(arguments)?;
    let counts = run_selected(&selection)?;
    let nothing_matched = counts.ran() == 0 && !selection.filters.is_empty();
    if nothing_matched {
        eprintln!("error: no test has a name that contains `{}`", selection.filters.join("` or `"));
    }
    println!("{counts}");
    Ok(if counts.failed > 0 || nothing_matched { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs the tests in front of the user and returns how many did what.
pub(crate) fn run_selected(selection: &Selection) -> Result<Counts> {
    let metadata = Metadata::of_members()?;
    let has_doc_tests = selection.has_doc_tests(&metadata)?;
    let record = skips::Record::start(&metadata.target_directory.join("xtask"))?;
    let Some(mut counts) = run_tests(selection, record.path())? else {
        // What does not build would only say so again as doc tests.
        return Ok(Counts::ONE_FAILURE);
    };
    if has_doc_tests {
        counts += run_libtest(selection, "--doc", record.path())?.unwrap_or(Counts::ONE_FAILURE);
    }
    let skipped = record.read()?;
    let is_failure = env::var_os("LOOMWORK_NO_SKIPS").is_some_and(|value| value == "1");
    skips::print(&skipped, is_failure);
    counts.reclassify(skips::distinct_tests(&skipped), is_failure);
    Ok(counts)
}

/// Returns the counts, or nothing where the run ended before its summary.
fn run_tests(selection: &Selection, skips: &Path) -> Result<Option<Counts>> {
    if !nextest_is_installed() {
        return run_libtest(selection, "--tests", skips);
    }
    let mut command = process::cargo();
    command.args(["nextest", "run", "--no-fail-fast", "--no-tests=pass"]).env(skips::VARIABLE, skips);
    command.args(selection.package_arguments()).args(&selection.filters);
    keep_colours(&mut command);
    let mut counts = None;
    // The last summary counts: the output of a failed test may hold a line that looks like one.
    let status = process::watch(&mut command, Stream::Stderr, |line| {
        counts = summary::of_nextest(line).or(counts);
    })?;
    if let Some(counts) = counts.as_mut().filter(|_| !selection.filters.is_empty()) {
        // Then nextest's count mixes ignored tests with all that the filters left out.
        counts.skipped = 0;
    }
    Ok(summary::checked(counts, &command, status))
}

fn run_libtest(selection: &Selection, targets: &str, skips: &Path) -> Result<Option<Counts>> {
    let mut command = process::cargo();
    command.args(["test", targets, "--no-fail-fast"]).env(skips::VARIABLE, skips);
    command.args(selection.package_arguments());
    if !selection.filters.is_empty() {
        command.arg("--").args(&selection.filters);
    }
    keep_colours(&mut command);
    let mut counts: Option<Counts> = None;
    // One summary for each test binary and each crate with doc tests.
    let status = process::watch(&mut command, Stream::Stdout, |line| {
        if let Some(more) = summary::of_libtest(line) {
            *counts.get_or_insert_default() += more;
        }
    })?;
    Ok(summary::checked(counts, &command, status))
}

fn nextest_is_installed() -> bool {
    let mut command = process::cargo();
    command.args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Programs drop their colours when a pipe reads them, though a person reads that pipe.
fn keep_colours(command: &mut Command) {
    if std::io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none() {
        command.env("CARGO_TERM_COLOR", "always");
    }
}

impl Selection {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut selection = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--package" | "-p" => {
                    let name = arguments.next().with_context(|| format!("`{argument}` needs a package"))?;
                    selection.packages.push(name.clone());
                }
                option if option.starts_with('-') => {
                    bail!("`cargo xtask test` has no option `{option}`; see `cargo xtask test --help`")
                }
                filter => selection.filters.push(filter.to_owned()),
            }
        }
        Ok(selection)
    }

    fn package_arguments(&self) -> Vec<&str> {
        if self.packages.is_empty() {
            // `bench` holds baselines and workloads; `cargo xtask bench` builds it on its own.
            return vec!["--workspace", "--exclude", "loomwork-bench"];
        }
        self.packages.iter().flat_map(|package| ["--package", package]).collect()
    }

    /// Cargo refuses to run the doc tests of packages that have no library, so they are not asked for.
    fn has_doc_tests(&self, metadata: &Metadata) -> Result<bool> {
        if self.packages.is_empty() {
            return Ok(true);
        }
        let mut has_doc_tests = false;
        for name in &self.packages {
            let package = metadata.members().find(|package| package.name == *name);
            let package = package.with_context(|| format!("the workspace has no package `{name}`"))?;
            has_doc_tests |= package.targets.iter().any(|target| target.doctest);
        }
        Ok(has_doc_tests)
    }
}
