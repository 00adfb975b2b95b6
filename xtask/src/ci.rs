//! `cargo xtask ci`: everything that must hold before a change is shared, in one go.

use std::{process::ExitCode, time::Duration};

use anyhow::{Result, bail};

use crate::{
    bench, crash, examples, fmt, process,
    stopwatch::{Spoken, Stopwatch},
    test::{self, Counts},
    tidy,
};

pub(crate) const COMMAND: crate::Command = crate::Command {
    name: "ci",
    summary: "Runs every check that a change has to pass, and stops at the first that fails.",
    help: "\
Usage: cargo xtask ci

In this order:
  format    code is as `cargo xtask fmt` leaves it
  tidy      as `cargo xtask tidy`
  clippy    no warnings in any target, with all features
  test      as `cargo xtask test`
  rustdoc   the documentation builds without warnings, with all features
  examples  every example runs to its end
  simulate  thousands of seeds of the simulation of workflows
  crash     every crash group, a few rounds each

Closes with the time of each step, and the counts of `test` as the last line.",
    run,
};

struct Step {
    name: &'static str,
    run: fn(&mut Option<Counts>) -> Result<()>,
}

const STEPS: [Step; 8] = [
    Step { name: "format", run: |_| fmt::check() },
    Step { name: "tidy", run: |_| tidy::check() },
    Step { name: "clippy", run: |_| clippy() },
    Step { name: "test", run: test },
    Step { name: "rustdoc", run: |_| rustdoc() },
    Step { name: "examples", run: |_| examples::run_all() },
    Step { name: "simulate", run: |_| simulate() },
    Step { name: "crash", run: |_| crash_briefly() },
];

fn run(arguments: &[String]) -> Result<ExitCode> {
    crate::expect_no_arguments("ci", arguments)?;
    let mut counts = None;
    let mut times = Vec::new();
    let mut failure = None;
    for step in STEPS {
        println!("\n== {} ==", step.name);
        let watch = Stopwatch::start();
        let result = (step.run)(&mut counts);
        times.push((step.name, watch.elapsed()));
        if let Err(error) = result {
            failure = Some((step.name, error));
            break;
        }
    }
    print_times(&times);
    if let Some((name, error)) = &failure {
        println!("ci stopped at {name}: {error:#}");
    }
    if let Some(counts) = counts {
        println!("{counts}");
    }
    Ok(if failure.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print_times(times: &[(&str, Duration)]) {
    println!();
    for (name, time) in times {
        println!("{name:<10}{:>14}", Spoken(*time));
    }
    println!("{:<10}{:>14}\n", "together", Spoken(times.iter().map(|(_, time)| time).sum()));
}

fn clippy() -> Result<()> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    process::run(process::cargo().args(arguments))
}

fn test(counts: &mut Option<Counts>) -> Result<()> {
    let result = test::run_selected(&test::Selection::default())?;
    *counts = Some(result);
    match result.failed {
        0 => Ok(()),
        failed => bail!("{failed} failed"),
    }
}

fn rustdoc() -> Result<()> {
    let arguments = ["doc", "--workspace", "--all-features", "--no-deps"];
    process::run(process::cargo().args(arguments).env("RUSTDOCFLAGS", "-D warnings"))
}

/// How many seeds a shared change has to survive.
const SEEDS: &str = "4000";

fn simulate() -> Result<()> {
    let arguments = ["nextest", "run", "--package", "loomwork-workflow", "simulation::whatever"];
    process::run(process::cargo().args(arguments).env("LOOMWORK_SEEDS", SEEDS))
}

fn crash_briefly() -> Result<()> {
    if bench::bench_exists() {
        return crash::run_briefly();
    }
    println!("there is no crates/bench, so there are no crash groups");
    Ok(())
}
