//! The group `search`: processes that write rows and index them are killed, and what the next one finds is
//! compared with a look at all rows.

mod child;
mod deck;
mod verify;
mod world;

use std::fs;
use std::path::Path;

use anyhow::Result;
use loomwork_core::Random;

use super::deck::shuffled;
use super::rounds::strike;
use super::tally::{Fault, Tally};
use super::{Plan, folder, within_time};
use deck::{Before, DECK};

/// A search did not find what was written before it; what follows says what.
const MISSED: &str = "missed";

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
        for (round, card) in (first..plan.rounds).zip(shuffled(&DECK, &plan.random(&[number as u64]))) {
            tally.begin_round(plan.rounds, card);
            let random = plan.random(&[round, 1]);
            prepare(card.before(), &place)?;
            let said = strike("search", plan, round, &place, card.moment(&random), tally)?;
            for line in said.iter().filter(|line| line.starts_with(MISSED)) {
                tally.fact(false, Fault::Lost, || format!("a search {line}"));
            }
            within_time(&runtime, verify::check(&place, &random, tally))?;
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
