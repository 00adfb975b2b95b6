//! `cargo xtask bench`: spawns the bench program, which owns the groups, options and output.

use std::process::ExitCode;

use anyhow::{Result, bail, ensure};

use crate::process;

pub(crate) const COMMAND: crate::Command = crate::Command {
    name: "bench",
    summary: "Measures a group of workloads against its baselines, in a release build.",
    help: "\
Usage: cargo xtask bench NAME|all [--json] [--full] [--engine sqlite|postgres|memory]

  NAME      one group: store, search, agent, …
  all       every group; also writes docs/benchmarks.md
  --json    print one JSON object instead of a table
  --full    the largest sizes that a group has, which take many minutes: search has some
  --engine  the storage engine to measure

Each figure is a ratio to a baseline measured in the same run. A missed target is
reported, and is no failure.",
    run,
};

const REPORT: &str = "docs/benchmarks.md";

fn run(arguments: &[String]) -> Result<ExitCode> {
    let name = group("bench", arguments)?;
    ensure_bench_exists()?;
    let mut command = process::cargo();
    command.args(["run", "--release", "--package", "loomwork-bench", "--", "bench"]).args(arguments);
    if name == "all" {
        command.args(["--write", REPORT]);
    }
    Ok(process::exit_code(process::status(&mut command)?))
}

/// Returns the group that the first argument names.
pub(crate) fn group<'a>(command: &str, arguments: &'a [String]) -> Result<&'a str> {
    match arguments.first() {
        Some(name) if !name.starts_with('-') => Ok(name),
        Some(option) => {
            bail!("`cargo xtask {command}` takes the name of a group, or `all`, before `{option}`")
        }
        None => bail!("`cargo xtask {command}` needs the name of a group, or `all`"),
    }
}

pub(crate) fn ensure_bench_exists() -> Result<()> {
    ensure!(
        bench_exists(),
        "crates/bench does not exist; it is the crate that holds workloads and crash groups"
    );
    Ok(())
}

pub(crate) fn bench_exists() -> bool {
    process::root().join("crates/bench/Cargo.toml").exists()
}
