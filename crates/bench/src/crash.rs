//! `crash NAME|all`: groups of rounds, each of which kills working processes and checks what they
//! left behind.

mod agent;
mod app;
mod deck;
mod files;
mod messages;
mod rag;
mod rounds;
mod search;
mod store;
mod tally;
mod usage;
mod workflow;
mod working;
mod workpool;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use loomwork_core::{Clock, Random};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use tally::Tally;

/// How many rounds there are if nobody says.
const ROUNDS: u64 = 50;

/// Seeds that are drawn stay below this, so that a person can type them.
const SEEDS: u64 = 1_000_000;

/// How many rounds pass between two lines of progress.
const PROGRESS_EVERY: u64 = 10;

/// How long the check of one round may take, or the run of what is left; what is stuck hangs it.
const LONGEST_CHECK: Duration = Duration::from_secs(120);

struct Group {
    name: &'static str,
    /// Runs one round after the other, each begun with `Tally::begin_round`, until one fails.
    run: fn(&Plan, &mut Tally) -> Result<()>,
    /// What a process that is to be killed does, by the words behind the group's name.
    child: fn(&[String]) -> Result<()>,
}

const GROUPS: &[Group] = &[
    Group { name: "agent", run: agent::run, child: agent::child },
    Group { name: "app", run: app::run, child: app::child },
    Group { name: "files", run: files::run, child: files::child },
    Group { name: "messages", run: messages::run, child: messages::child },
    Group { name: "rag", run: rag::run, child: rag::child },
    Group { name: "search", run: search::run, child: search::child },
    Group { name: "store", run: store::run, child: store::child },
    Group { name: "usage", run: usage::run, child: usage::child },
    Group { name: "workflow", run: workflow::run, child: workflow::child },
    Group { name: "workpool", run: workpool::run, child: workpool::child },
];

/// What the command line asks for.
#[derive(Debug)]
struct Plan {
    rounds: u64,
    seed: u64,
}

impl Plan {
    /// Returns a stream of numbers for a part of the run: the same in every run of this seed.
    fn random(&self, parts: &[u64]) -> Random {
        random(self.seed, parts)
    }
}

fn random(seed: u64, parts: &[u64]) -> Random {
    let own = parts.iter().fold(Random::seeded(seed).u64(), |mixed, part| {
        // Each part is mixed by a draw of its own, so that neighbouring seeds share no round.
        Random::seeded(mixed.wrapping_add(*part)).u64()
    });
    Random::seeded(own)
}

/// Runs the groups that the words name; fails if one promised fact is lost or doubled.
pub(crate) fn run(mut words: impl Iterator<Item = String>) -> Result<ExitCode> {
    let name = words.next().context("`crash` needs the name of a group, or `all`")?;
    let plan = plan(words)?;
    let wanted: Vec<_> = GROUPS.iter().filter(|group| name == "all" || name == group.name).collect();
    if wanted.is_empty() {
        let known: Vec<_> = GROUPS.iter().map(|group| group.name).collect();
        bail!("there is no crash group {name:?}; there are {}", known.join(", "));
    }
    let mut is_kept = true;
    for group in wanted {
        is_kept &= run_group(group, &plan);
    }
    Ok(if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn plan(mut words: impl Iterator<Item = String>) -> Result<Plan> {
    let mut plan = Plan { rounds: ROUNDS, seed: Random::system().below(SEEDS) };
    while let Some(word) = words.next() {
        let mut number = || {
            let value = words.next().with_context(|| format!("`{word}` needs a number"))?;
            value.parse().with_context(|| format!("`{word}` needs a number, not {value:?}"))
        };
        match word.as_str() {
            "--rounds" => plan.rounds = number()?,
            "--seed" => plan.seed = number()?,
            _ => bail!("`crash` has no option {word:?}; see `cargo xtask crash --help`"),
        }
    }
    Ok(plan)
}

/// Says whether everything promised was kept.
fn run_group(group: &Group, plan: &Plan) -> bool {
    println!("{}: {} rounds, seed {}", group.name, plan.rounds, plan.seed);
    let mut tally = Tally::default();
    if let Err(error) = (group.run)(plan, &mut tally) {
        tally.broken(format!("{error:#}"));
    }
    if !tally.is_clean() {
        let (name, seed, round) = (group.name, plan.seed, tally.round());
        println!("{}", tally.faults());
        println!("repeat with: cargo xtask crash {name} --seed {seed} --rounds {round}");
    }
    println!("{}", tally.counts());
    println!("{tally}");
    tally.is_clean()
}

/// What a process that is to be killed does.
pub(crate) fn child(mut words: impl Iterator<Item = String>) -> Result<()> {
    let name = words.next().context("`crash-child` needs the name of a group")?;
    let group = GROUPS.iter().find(|group| group.name == name);
    let group = group.with_context(|| format!("there is no crash group {name:?}"))?;
    loomwork_testkit::crash::end_with_parent();
    (group.child)(&words.collect::<Vec<_>>())
}

fn within_time<T>(runtime: &Runtime, check: impl Future<Output = Result<T>>) -> Result<T> {
    runtime.block_on(async {
        tokio::select! {
            checked = check => checked,
            () = Clock::system().sleep(LONGEST_CHECK) => {
                bail!("the check does not end: it takes longer than {LONGEST_CHECK:?}")
            }
        }
    })
}

/// A folder on the disk that the project is on: the one of temporary files may be in memory.
fn folder() -> Result<TempDir> {
    let root = std::env::current_dir()?.join("target");
    std::fs::create_dir_all(&root)?;
    tempfile::Builder::new().prefix("crash-").tempdir_in(root).context("failed to make a folder under target")
}
