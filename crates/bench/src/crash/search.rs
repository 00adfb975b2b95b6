//! The group `search`: processes that write rows and index them are killed, and what the next one finds is
//! compared with a look at all rows.

mod child;
mod deck;
mod verify;
mod world;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use loomwork_core::{Clock, Random};
use loomwork_testkit::crash::{kill, this_program};
use tempfile::TempDir;

use super::Plan;
use super::tally::{Fault, Tally};
use deck::{Before, Card, DECK, shuffled};

/// What a process says before it is killed.
const OPENING: &str = "opening";
const READY: &str = "ready";
/// A search did not find what was written before it; what follows says what.
const MISSED: &str = "missed";

/// How long the check of one round may take; an index that never catches up hangs it.
const LONGEST_CHECK: Duration = Duration::from_secs(120);

pub(super) fn child(words: &[String]) -> Result<()> {
    child::run(words)
}

pub(super) fn run(plan: &Plan, tally: &mut Tally) -> Result<()> {
    let folder = folder()?;
    let rounds = rounds(plan, folder.path(), tally);
    if rounds.is_err() || !tally.is_clean() {
        println!("the files are kept in {}", folder.keep().display());
    }
    rounds
}

/// Runs all rounds, a new store for each deck, until one fails.
fn rounds(plan: &Plan, folder: &Path, tally: &mut Tally) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for (number, first) in (0..plan.rounds).step_by(DECK.len()).enumerate() {
        let place = folder.join(number.to_string());
        fs::create_dir_all(&place)?;
        for (round, card) in (first..plan.rounds).zip(shuffled(&plan.random(&[number as u64]))) {
            tally.begin_round(plan.rounds, card);
            let random = plan.random(&[round, 1]);
            prepare(card.before(), &place)?;
            strike(plan, round, card, &place, &random, tally)?;
            runtime.block_on(async {
                tokio::select! {
                    checked = verify::check(&place, &random, tally) => checked,
                    () = Clock::system().sleep(LONGEST_CHECK) => {
                        bail!("the index does not catch up: that takes longer than {LONGEST_CHECK:?}")
                    }
                }
            })?;
            if !tally.is_clean() {
                return Ok(());
            }
            keep(&place, &random)?;
        }
    }
    Ok(())
}

/// Brings the files into the state in which the process finds them.
fn prepare(before: Before, place: &Path) -> Result<()> {
    match before {
        Before::AsLeft => Ok(()),
        Before::NoIndex => world::remove(&world::index(place)),
        Before::OlderIndex => put_back(&world::index(place)),
        Before::OlderStore => put_back(&world::rows(place)),
    }
}

/// Puts back the copy of a folder that was made after an earlier round, if one was.
fn put_back(folder: &Path) -> Result<()> {
    let copy = folder.with_extension("copy");
    if copy.exists() {
        world::remove(folder)?;
        world::copy(&copy, folder)?;
    }
    Ok(())
}

/// Makes copies now and then, while nobody has the files open, for a later round.
fn keep(place: &Path, random: &Random) -> Result<()> {
    for folder in [world::index(place), world::rows(place)] {
        let copy = folder.with_extension("copy");
        if !copy.exists() || random.below(3) == 0 {
            world::remove(&copy)?;
            world::copy(&folder, &copy)?;
        }
    }
    Ok(())
}

/// Starts a process, kills it at its moment and hears what it has said.
fn strike(
    plan: &Plan,
    round: u64,
    card: Card,
    place: &Path,
    random: &Random,
    tally: &mut Tally,
) -> Result<()> {
    let mut command = this_program();
    command.args(["crash-child", "search"]).arg(place);
    command.args([plan.seed, round].map(|number| number.to_string()));
    // Its last words should be its error, not where that came from.
    command.env("RUST_BACKTRACE", "0");
    let said = kill(&mut command, card.moment(random))?;
    tally.killed();
    tally.count("killed while opening", u64::from(!said.iter().any(|line| line == READY)));
    for line in said.iter().filter(|line| line.starts_with(MISSED)) {
        tally.fact(false, Fault::Lost, || format!("a search {line}"));
    }
    Ok(())
}

/// A folder on the disk that the project is on: the one of temporary files may be in memory.
fn folder() -> Result<TempDir> {
    let root = std::env::current_dir()?.join("target");
    fs::create_dir_all(&root)?;
    tempfile::Builder::new().prefix("crash-").tempdir_in(root).context("failed to make a folder under target")
}
