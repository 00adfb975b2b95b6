//! The group `workpool`: processes that run jobs over a SQLite file are killed, and what became of
//! each job is compared with what was seen of it from outside.

mod child;
mod jobs;
mod ledger;
mod verify;
mod word;

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
        Card::Opening,
        Card::Opening,
        Card::Point("workpool.taken"),
        Card::Point("workpool.taken"),
        Card::Point("workpool.ended"),
        Card::Point("workpool.ended"),
        Card::Point("workpool.settled"),
        Card::Point("workpool.settled"),
        Card::Point("workpool.confirmed"),
        Card::Point("commit.before"),
        Card::Point("commit.after"),
    ],
    working: Duration::from_millis(500),
    opening: Duration::from_millis(80),
    times: 60,
};

pub(super) fn child(words: &[String]) -> Result<()> {
    child::run(words)
}

pub(super) fn run(plan: &Plan, tally: &mut Tally) -> Result<()> {
    rounds::run::<Ledger>("workpool", &DECK, plan, tally)
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

    /// Runs what is left to its end.
    async fn at_the_end(&mut self, place: &Path, tally: &mut Tally) -> Result<()> {
        verify::at_the_end(place, self, tally).await
    }
}
