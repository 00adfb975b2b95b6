//! The group `usage`: processes that record, correct and bill usage over a SQLite file are killed, and events,
//! lines, totals, budgets and invoices are compared with each other and with what was promised.

mod child;
mod deck;
mod verify;
mod word;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use loomwork_testkit::crash::{kill, this_program};

use super::tally::Tally;
use super::{Plan, folder, within_time};
use deck::{Card, DECK, shuffled};
use word::Word;

/// What was promised over all processes of a file.
#[derive(Debug, Default)]
struct Promises {
    /// Sales that were recorded.
    recorded: BTreeSet<u64>,
    /// Sales that were taken back.
    reversed: BTreeSet<u64>,
    /// Hashes of invoices, by their numbers.
    billed: BTreeMap<String, String>,
}

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

/// Runs all rounds, a new file for each deck, until one fails; behind the last one of a file, all is billed.
fn rounds(plan: &Plan, folder: &Path, tally: &mut Tally) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for (file, first) in (0..plan.rounds).step_by(DECK.len()).enumerate() {
        let path = folder.join(format!("{file}.db"));
        let deck = shuffled(&plan.random(&[first]));
        let mut promises = Promises::default();
        for (number, card) in (first..plan.rounds).zip(deck) {
            tally.begin_round(plan.rounds, card);
            strike(plan, number, card, &path, &mut promises, tally)?;
            within_time(&runtime, verify::between(&path, &promises, tally))?;
            if !tally.is_clean() {
                return Ok(());
            }
        }
        within_time(&runtime, verify::at_the_end(&path, &promises, tally))?;
        if !tally.is_clean() {
            return Ok(());
        }
    }
    Ok(())
}

/// Starts a process, kills it at its moment and writes down what it has promised.
fn strike(
    plan: &Plan,
    number: u64,
    card: Card,
    path: &Path,
    promises: &mut Promises,
    tally: &mut Tally,
) -> Result<()> {
    let mut command = this_program();
    command.args(["crash-child", "usage"]).arg(path);
    command.args([plan.seed, number].map(|number| number.to_string()));
    // Its last words should be its error, not where that came from.
    command.env("RUST_BACKTRACE", "0");
    let said = kill(&mut command, card.moment(&plan.random(&[number, 1])))?;
    tally.killed();
    let words: Vec<Word> = said.iter().map(|line| line.parse()).collect::<Result<_>>()?;
    tally.count("killed while opening", u64::from(!words.contains(&Word::Ready)));
    for word in words {
        match word {
            Word::Opening | Word::Ready => {}
            Word::Recorded { number } => drop(promises.recorded.insert(number)),
            Word::Reversed { number } => drop(promises.reversed.insert(number)),
            Word::Billed { number, hash } => drop(promises.billed.insert(number, hash)),
        }
    }
    Ok(())
}
