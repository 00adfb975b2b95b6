//! `cargo xtask crash`: spawns the crash groups of the bench program.

use std::process::{self as std_process, ExitCode};

use anyhow::{Result, ensure};

use crate::{bench, process};

pub(crate) const COMMAND: crate::Command = crate::Command {
    name: "crash",
    summary: "Kills working processes again and again, and checks what they left behind.",
    help: "\
Usage: cargo xtask crash NAME|all [--rounds N] [--seed S]

  NAME      one group: files, messages, rag, search, store, usage, workflow, workpool
  all       every group
  --rounds  how many rounds, 50 if not given; each kills a working process, some
            kill several, and then checks what they left behind
  --seed    draws the same rounds as the run that printed this seed

A round kills with SIGKILL, at a random moment or at a named point of the program.
Closes with `kills: N, facts checked: N, lost: N, doubled: N`. Exits with 0 where
everything promised was kept; else says what was not, which round to repeat with
which seed, and where the files are.",
    run,
};

/// Enough to notice a broken promise, short enough for every push.
const ROUNDS_IN_CI: &str = "3";

fn run(arguments: &[String]) -> Result<ExitCode> {
    bench::group("crash", arguments)?;
    bench::ensure_bench_exists()?;
    Ok(process::exit_code(process::status(command().args(arguments))?))
}

/// Runs every group for a few rounds.
pub(crate) fn run_briefly() -> Result<()> {
    let status = process::status(command().args(["all", "--rounds", ROUNDS_IN_CI]))?;
    ensure!(status.success(), "a crash group failed; the seed above repeats it");
    Ok(())
}

fn command() -> std_process::Command {
    let mut command = process::cargo();
    command.args(["run", "--package", "loomwork-bench", "--", "crash"]);
    command
}
