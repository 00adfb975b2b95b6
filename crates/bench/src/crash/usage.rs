//! The group `usage`: processes that record, correct and bill usage over a SQLite file are killed, and events,
//! lines, totals, budgets and invoices are compared with each other and with what was promised.

mod child;
mod verify;
mod word;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::deck::{Card, Deck};
use super::tally::Tally;
use super::{Plan, rounds};
use word::Word;

const DECK: Deck = Deck {
    cards: &[
        Card::Working,
        Card::Working,
        Card::Working,
        Card::Opening,
        Card::Point("usage.checked"),
        Card::Point("usage.checked"),
        Card::Point("usage.closed"),
        Card::Point("usage.closed"),
        Card::Point("commit.before"),
        Card::Point("commit.after"),
    ],
    working: Duration::from_millis(700),
    opening: Duration::from_millis(60),
    times: 12,
};

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
    rounds::run::<Promises>("usage", &DECK, plan, tally)
}

impl rounds::Ledger for Promises {
    type Word = Word;

    fn hear(&mut self, words: Vec<Word>, _tally: &mut Tally) {
        for word in words {
            match word {
                Word::Opening | Word::Ready => {}
                Word::Recorded { number } => drop(self.recorded.insert(number)),
                Word::Reversed { number } => drop(self.reversed.insert(number)),
                Word::Billed { number, hash } => drop(self.billed.insert(number, hash)),
            }
        }
    }

    async fn between(&mut self, place: &Path, tally: &mut Tally) -> Result<()> {
        verify::between(place, self, tally).await
    }

    /// Bills all that is left.
    async fn at_the_end(&mut self, place: &Path, tally: &mut Tally) -> Result<()> {
        verify::at_the_end(place, self, tally).await
    }
}
