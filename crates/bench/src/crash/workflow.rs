//! The group `workflow`: processes that run workflows over a SQLite file are killed, and what became of each
//! run is compared with what it is without a kill.

mod child;
mod deck;
mod flows;
mod ledger;
mod verify;
mod word;

use std::path::Path;

use anyhow::Result;
use loomwork_testkit::crash::{kill, this_program};

use super::tally::Tally;
use super::{Plan, folder, within_time};
use deck::{Card, DECK, shuffled};
use ledger::Ledger;
use word::Word;

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

/// Runs all rounds, a new file for each deck, until one fails. Workflows live on from round to round; behind
/// the last one of a file, what is left of them is run to its end.
fn rounds(plan: &Plan, folder: &Path, tally: &mut Tally) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for (file, first) in (0..plan.rounds).step_by(DECK.len()).enumerate() {
        let path = folder.join(format!("{file}.db"));
        let deck = shuffled(&plan.random(&[file as u64]));
        let mut ledger = Ledger::default();
        for (number, card) in (first..plan.rounds).zip(deck) {
            tally.begin_round(plan.rounds, card);
            strike(plan, number, card, &path, &mut ledger, tally)?;
            within_time(&runtime, verify::between(&path, &mut ledger, tally))?;
            if !tally.is_clean() {
                return Ok(());
            }
        }
        within_time(&runtime, verify::at_the_end(&path, &mut ledger, tally))?;
        if !tally.is_clean() {
            return Ok(());
        }
    }
    Ok(())
}

/// Starts a process, kills it at its moment and writes down what it has said.
fn strike(
    plan: &Plan,
    number: u64,
    card: Card,
    path: &Path,
    ledger: &mut Ledger,
    tally: &mut Tally,
) -> Result<()> {
    let mut command = this_program();
    command.args(["crash-child", "workflow"]).arg(path);
    command.args([plan.seed, number].map(|number| number.to_string()));
    // Its last words should be its error, not where that came from.
    command.env("RUST_BACKTRACE", "0");
    let said = kill(&mut command, card.moment(&plan.random(&[number, 1])))?;
    tally.killed();
    let words: Vec<Word> = said.iter().map(|line| line.parse()).collect::<Result<_>>()?;
    tally.count("killed while opening", u64::from(!words.contains(&Word::Ready)));
    ledger.hear(&words, tally);
    Ok(())
}
