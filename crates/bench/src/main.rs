//! The program behind `cargo xtask bench` and `cargo xtask crash`.
#![expect(clippy::print_stdout, reason = "printing what was found is this program's purpose")]

mod agent;
mod app;
mod crash;
mod machine;
mod measure;
mod messages;
mod models;
mod rag;
mod rate_limiter;
mod report;
mod search;
mod store;
mod usage;
mod workflow;
mod workpool;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use measure::Row;
use report::Group;

/// A group of rows, and the function that measures them.
type Measure = fn(&Options) -> Result<Vec<Row>>;

const GROUPS: &[(&str, Measure)] = &[
    ("agent", agent::measure),
    ("app", app::measure),
    ("messages", messages::measure),
    ("models", models::measure),
    ("rag", rag::measure),
    ("rate-limiter", rate_limiter::measure),
    ("search", search::measure),
    ("store", store::measure),
    ("usage", usage::measure),
    ("workflow", workflow::measure),
    ("workpool", workpool::measure),
];

/// What the command line asks for.
#[derive(Debug, Default)]
pub(crate) struct Options {
    json: bool,
    engine: Option<String>,
    /// The largest sizes that a group has, which take long.
    full: bool,
    write: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some("bench") => bench(words)?,
        Some("crash") => return crash::run(words),
        Some("crash-child") => crash::child(words)?,
        Some("app-child") => app::child(&words.collect::<Vec<_>>())?,
        other => {
            bail!("expected `bench NAME|all` or `crash NAME|all`, found {other:?}; see `cargo xtask --help`")
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn bench(mut words: impl Iterator<Item = String>) -> Result<()> {
    let name = words.next().context("`bench` needs the name of a group, or `all`")?;
    let options = options(words)?;
    let wanted: Vec<_> = GROUPS.iter().filter(|(group, _)| name == "all" || name == *group).collect();
    if wanted.is_empty() {
        let known: Vec<_> = GROUPS.iter().map(|(group, _)| *group).collect();
        bail!("there is no group {name:?}; there are {}", known.join(", "));
    }
    let mut groups = Vec::new();
    for (name, measure) in wanted {
        let group = Group { bench: name, rows: measure(&options)? };
        println!("{}", if options.json { report::json(&group)? } else { report::table(&group) });
        groups.push(group);
    }
    if let Some(path) = &options.write {
        std::fs::write(path, report::page(&groups))
            .with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options::default();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => options.json = true,
            "--full" => options.full = true,
            "--engine" => options.engine = Some(words.next().context("`--engine` needs a name")?),
            "--write" => options.write = Some(words.next().context("`--write` needs a path")?.into()),
            _ => bail!("`bench` has no option {word:?}; see `cargo xtask bench --help`"),
        }
    }
    Ok(options)
}
