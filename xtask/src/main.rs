//! The one door for developers of Loomwork: `cargo xtask` lists what is behind it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program talks to the person who runs it"
)]

mod bench;
mod ci;
mod crash;
mod examples;
mod fmt;
mod metadata;
mod process;
mod stopwatch;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};

/// One word behind `cargo xtask`.
struct Command {
    name: &'static str,
    /// One line, for the list of all commands.
    summary: &'static str,
    /// What `--help` prints below the summary.
    help: &'static str,
    run: fn(&[String]) -> Result<ExitCode>,
}

const COMMANDS: [Command; 6] =
    [fmt::COMMAND, test::COMMAND, ci::COMMAND, tidy::COMMAND, bench::COMMAND, crash::COMMAND];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    dispatch(&arguments).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn dispatch(arguments: &[String]) -> Result<ExitCode> {
    let Some((name, rest)) = arguments.split_first().filter(|(name, _)| !asks_for_help(name)) else {
        print_commands();
        return Ok(ExitCode::SUCCESS);
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        bail!("there is no command `{name}`; `cargo xtask --help` lists all");
    };
    if rest.iter().any(|argument| asks_for_help(argument)) {
        println!("{}\n\n{}", command.summary, command.help.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    (command.run)(rest)
}

fn asks_for_help(argument: &str) -> bool {
    matches!(argument, "--help" | "-h")
}

fn print_commands() {
    println!("Usage: cargo xtask COMMAND [ARGUMENT…]\n\nCommands:");
    for command in &COMMANDS {
        println!("  {:<6} {}", command.name, command.summary);
    }
    println!("\n`cargo xtask COMMAND --help` tells more about one of them.");
}

/// Refuses arguments, for the commands that take none.
fn expect_no_arguments(command: &str, arguments: &[String]) -> Result<()> {
    match arguments.first() {
        None => Ok(()),
        Some(argument) => bail!("`cargo xtask {command}` takes no arguments, but was given `{argument}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_says_in_its_help_how_it_is_called() {
        for command in &COMMANDS {
            let usage = format!("Usage: cargo xtask {}", command.name);
            assert!(command.help.starts_with(&usage), "{}: {}", command.name, command.help);
            assert!(!command.summary.is_empty(), "{}", command.name);
        }
    }

    #[test]
    fn unknown_commands_and_arguments_are_named() {
        let refused = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            dispatch(&words).expect_err("it is refused").to_string()
        };
        assert!(refused(&["tset"]).contains("no command `tset`"));
        assert!(refused(&["tidy", "now"]).contains("given `now`"));
    }
}
