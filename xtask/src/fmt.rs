//! `cargo xtask fmt`.

use std::process::ExitCode;

use anyhow::Result;

use crate::process;

pub(crate) const COMMAND: crate::Command = crate::Command {
    name: "fmt",
    summary: "Formats every crate of the workspace.",
    help: "Usage: cargo xtask fmt\n\n`cargo xtask ci` refuses code that this command would change.",
    run,
};

fn run(arguments: &[String]) -> Result<ExitCode> {
    crate::expect_no_arguments("fmt", arguments)?;
    process::run(process::cargo().args(["fmt", "--all"]))?;
    Ok(ExitCode::SUCCESS)
}

/// Fails where `cargo xtask fmt` would change something.
pub(crate) fn check() -> Result<()> {
    process::run(process::cargo().args(["fmt", "--all", "--check"]))
}
