//! The group `files`: processes that store, own, drop and vacuum files over a SQLite file and a folder
//! are killed, and rows are compared with objects and with what was promised.

mod child;
mod deck;
mod letters;
mod verify;
mod word;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use loomwork_testkit::crash::{kill, this_program};

use super::tally::Tally;
use super::{Plan, folder, within_time};
use deck::{Card, DECK, shuffled};
use word::Word;

/// What was promised of the letters, by their numbers, over all processes of a file.
type Promises = BTreeMap<u64, Promise>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    /// It is there, with its enclosure.
    Sent,
    /// Its deletion has begun, so it may be there or not.
    Leaving,
    /// It is not there.
    Dropped,
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

/// Runs all rounds, a new place for each deck, until one fails. What a process left half done is met by
/// those after it; behind the last one of a place, all that is left of it is given up.
fn rounds(plan: &Plan, folder: &Path, tally: &mut Tally) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for (place, first) in (0..plan.rounds).step_by(DECK.len()).enumerate() {
        let place = folder.join(place.to_string());
        std::fs::create_dir(&place)?;
        let deck = shuffled(&plan.random(&[first]));
        let mut promises = Promises::new();
        for (number, card) in (first..plan.rounds).zip(deck) {
            tally.begin_round(plan.rounds, card);
            strike(plan, number, card, &place, &mut promises, tally)?;
            within_time(&runtime, verify::between(&place, &promises, tally))?;
            if !tally.is_clean() {
                return Ok(());
            }
        }
        within_time(&runtime, verify::at_the_end(&place, tally))?;
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
    place: &Path,
    promises: &mut Promises,
    tally: &mut Tally,
) -> Result<()> {
    let mut command = this_program();
    command.args(["crash-child", "files"]).arg(place);
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
            Word::Sent { number } => drop(promises.insert(number, Promise::Sent)),
            Word::Leaving { number } => drop(promises.insert(number, Promise::Leaving)),
            Word::Dropped { number } => drop(promises.insert(number, Promise::Dropped)),
        }
    }
    Ok(())
}
