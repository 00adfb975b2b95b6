//! The group `workflow`: processes that run workflows over a SQLite file are killed, and what became of each
//! run is compared with what it is without a kill.

mod child;
mod flows;
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
        Card::Point("workflow.taken"),
        Card::Point("workflow.step"),
        Card::Point("workflow.acted"),
        Card::Point("workflow.recorded"),
        Card::Point("workflow.returned"),
        Card::Point("workflow.ended"),
        Card::Point("workpool.settled"),
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
    rounds::run::<Ledger>("workflow", &DECK, plan, tally)
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
