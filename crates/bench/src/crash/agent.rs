//! The group `agent`: processes that make durable runs over a SQLite file are killed, and what became of each run is
//! compared with what its tools were seen to do from outside.

mod child;
mod ledger;
mod verify;
mod word;
mod world;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::deck::{Card, Deck};
use super::tally::Tally;
use super::{Plan, rounds};
use ledger::Ledger;
use word::Word;

const DECK: Deck = Deck {
    cards: &[
        Card::Working,
        Card::Working,
        Card::Working,
        Card::Working,
        Card::Opening,
        Card::Opening,
        Card::Point("workpool.taken"),
        Card::Point("workpool.settled"),
        Card::Point("commit.before"),
        Card::Point("commit.before"),
        Card::Point("commit.after"),
        Card::Point("commit.after"),
    ],
    working: Duration::from_millis(600),
    opening: Duration::from_millis(80),
    times: 120,
};

pub(super) fn child(words: &[String]) -> Result<()> {
    child::run(words)
}

pub(super) fn run(plan: &Plan, tally: &mut Tally) -> Result<()> {
    rounds::run::<Ledger>("agent", &DECK, plan, tally)
}

impl rounds::Ledger for Ledger {
    type Word = Word;

    fn hear(&mut self, words: Vec<Word>, tally: &mut Tally) {
        self.kills += 1;
        words.into_iter().for_each(|word| self.note(word, tally));
    }

    async fn between(&mut self, place: &Path, tally: &mut Tally) -> Result<()> {
        verify::between(place, self, tally).await
    }

    /// Has what is left made to its end.
    async fn at_the_end(&mut self, place: &Path, tally: &mut Tally) -> Result<()> {
        verify::at_the_end(place, self, tally).await
    }
}
