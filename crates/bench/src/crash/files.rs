//! The group `files`: processes that store, own, drop and vacuum files over a SQLite file and a folder
//! are killed, and rows are compared with objects and with what was promised.

mod child;
mod letters;
mod verify;
mod word;

use std::collections::BTreeMap;
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
        Card::Point("files.claimed"),
        Card::Point("files.claimed"),
        Card::Point("files.written"),
        Card::Point("files.written"),
        Card::Point("files.registered"),
        Card::Point("files.removed"),
        Card::Point("files.removed"),
        Card::Point("commit.after"),
    ],
    working: Duration::from_millis(700),
    opening: Duration::from_millis(60),
    times: 12,
};

/// What was promised of the letters, by their numbers, over all processes of a place.
#[derive(Debug, Default)]
struct Promises(BTreeMap<u64, Promise>);

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
    rounds::run::<Promises>("files", &DECK, plan, tally)
}

impl rounds::Ledger for Promises {
    type Word = Word;

    fn hear(&mut self, words: Vec<Word>, _tally: &mut Tally) {
        for word in words {
            match word {
                Word::Opening | Word::Ready => {}
                Word::Sent { number } => drop(self.0.insert(number, Promise::Sent)),
                Word::Leaving { number } => drop(self.0.insert(number, Promise::Leaving)),
                Word::Dropped { number } => drop(self.0.insert(number, Promise::Dropped)),
            }
        }
    }

    async fn between(&mut self, place: &Path, tally: &mut Tally) -> Result<()> {
        verify::between(place, self, tally).await
    }

    async fn at_the_end(&mut self, place: &Path, tally: &mut Tally) -> Result<()> {
        verify::at_the_end(place, tally).await
    }
}
