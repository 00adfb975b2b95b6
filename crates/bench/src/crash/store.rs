//! The group `store`: processes that write to a SQLite store are killed, and the file is checked.

mod backups;
mod child;
mod contents;
mod deck;
mod fill;
mod job;
mod promises;
mod step;
mod subject;
mod tables;
mod torn;
mod verify;
mod word;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use loomwork_testkit::crash::kill;
use tokio::runtime::Runtime;

use super::deck::shuffled;
use super::tally::Tally;
use super::{Plan, folder, within_time};
use deck::{Card, DECK, Strike};
use job::Task;
use subject::Subject;
use torn::Copy;
use word::Word;

pub(super) fn child(words: &[String]) -> Result<()> {
    child::run(&Task::parse(words)?)
}

pub(super) fn run(plan: &Plan, tally: &mut Tally) -> Result<()> {
    let folder = folder()?;
    let rounds = rounds(plan, folder.path(), tally);
    if rounds.is_err() || !tally.is_clean() {
        println!("the files are kept in {}", folder.keep().display());
    }
    rounds
}

/// Runs all rounds, a new file for each deck, until one fails.
fn rounds(plan: &Plan, folder: &Path, tally: &mut Tally) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (file, first) in (0..plan.rounds).step_by(DECK.len()).enumerate() {
        let deck = shuffled(&DECK, &plan.random(&[file as u64]));
        let mut subject = Subject::new(folder.join(format!("{file}.db")));
        for (number, card) in (first..plan.rounds).zip(deck) {
            tally.begin_round(plan.rounds, card);
            Round { plan, number, card, runtime: &runtime }.run(&mut subject, tally)?;
            if !tally.is_clean() {
                return Ok(());
            }
        }
        remove(folder)?;
    }
    Ok(())
}

struct Round<'a> {
    plan: &'a Plan,
    number: u64,
    card: Card,
    runtime: &'a Runtime,
}

impl Round<'_> {
    fn run(&self, subject: &mut Subject, tally: &mut Tally) -> Result<()> {
        match self.card {
            Card::NewFile => self.strike_and_check(&mut Subject::new(self.own_file(subject)), tally),
            Card::Fill(_) => self.fill(&self.own_file(subject), tally),
            _ => self.strike_and_check(subject, tally),
        }
    }

    /// A file for this round alone.
    fn own_file(&self, subject: &Subject) -> PathBuf {
        subject.path.with_file_name(format!("round-{}.db", self.number))
    }

    fn strike_and_check(&self, subject: &mut Subject, tally: &mut Tally) -> Result<()> {
        let path = subject.path.clone();
        let random = self.plan.random(&[self.number, 1]);
        let mut words = Vec::new();
        for (number, strike) in (0..).zip(self.card.strikes(&path, &random)) {
            let (job, began_epoch) = (strike.job, strike.began_epoch);
            words = self.strike(number, strike, &path, tally)?;
            subject.hear(&words, job, began_epoch, tally);
        }
        let copy = match self.card {
            Card::Torn(damage) => Some(Copy::of(&path, damage, &random)?),
            _ => None,
        };
        within_time(self.runtime, async {
            let contents = subject.check(tally).await?;
            if let Some(copy) = copy {
                copy.check(&contents, tally).await?;
            }
            if let Card::Backup(_) = self.card {
                let id = subject.id().context("an open store has an id")?;
                backups::check(&path, &words, id, &contents, tally).await?;
            }
            Ok(())
        })
    }

    fn fill(&self, path: &Path, tally: &mut Tally) -> Result<()> {
        within_time(self.runtime, fill::prepare(path))?;
        let random = self.plan.random(&[self.number, 1]);
        for (number, strike) in (0..).zip(self.card.strikes(path, &random)) {
            self.strike(number, strike, path, tally)?;
        }
        within_time(self.runtime, fill::check(path, tally))
    }

    /// Starts a process, kills it at its moment and returns what it has said.
    fn strike(&self, number: u64, strike: Strike, path: &Path, tally: &mut Tally) -> Result<Vec<Word>> {
        let task = Task::new(path, self.plan.seed, self.number, number, strike.job);
        let said = kill(&mut task.command(), strike.moment)?;
        tally.killed();
        let words: Vec<Word> = said.iter().map(|line| line.parse()).collect::<Result<_>>()?;
        let is_open = words.iter().any(|word| matches!(word, Word::Ready { .. }));
        tally.count("killed while opening", u64::from(!is_open));
        Ok(words)
    }
}

/// Empties the folder for the next file.
fn remove(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        ensure!(path.starts_with(folder), "only what is in the folder is removed");
        if path.is_dir() { std::fs::remove_dir_all(path)? } else { std::fs::remove_file(path)? }
    }
    Ok(())
}
