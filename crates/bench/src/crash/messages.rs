//! The group `messages`: processes that answer in threads over a SQLite file are killed, and what is left
//! of each answer is compared with what was said of it.

mod answer;
mod child;
mod ledger;
mod verify;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use loomwork_core::Random;
use loomwork_store::Store;
use loomwork_store_sqlite::Sqlite;
use loomwork_testkit::crash::{Mode, Moment, Point, Sign};

use super::deck::{OPENING, READY};
use super::rounds::strike;
use super::tally::Tally;
use super::{Plan, folder, within_time};
use ledger::Ledger;

/// So many rounds share a file: what one leaves, the next goes on with.
const ROUNDS_A_FILE: u64 = 10;

/// The longest pause behind the sign, at random.
const WORKING: Duration = Duration::from_millis(500);
const OPENED: Duration = Duration::from_millis(80);

/// A crash point of the store is awaited up to this many times.
const TIMES: u64 = 200;

/// When a process is killed.
#[derive(Clone, Copy, Debug)]
enum Card {
    /// At some moment while it answers.
    Working,
    /// While it opens the file, or settles what the process before has left.
    Opening,
    /// Just before or behind a commit.
    Commit(&'static str),
}

impl Card {
    fn draw(random: &Random) -> Self {
        match random.below(6) {
            0..=2 => Self::Working,
            3 => Self::Opening,
            4 => Self::Commit("commit.before"),
            _ => Self::Commit("commit.after"),
        }
    }

    fn moment(self, random: &Random) -> Moment {
        match self {
            Self::Working => Moment::at(Sign::Said(READY)).pause(WORKING.mul_f64(random.unit())),
            Self::Opening => Moment::at(Sign::Said(OPENING)).pause(OPENED.mul_f64(random.unit())),
            Self::Commit(name) => {
                let point = Point { name, count: 1 + random.below(TIMES), mode: Mode::Park };
                Moment::at(Sign::Point(point))
            }
        }
    }
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

fn rounds(plan: &Plan, folder: &Path, tally: &mut Tally) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut ledger = Ledger::default();
    for round in 0..plan.rounds {
        if round % ROUNDS_A_FILE == 0 {
            ledger = Ledger::default();
        }
        let path = folder.join(format!("{}.db", round / ROUNDS_A_FILE));
        let random = plan.random(&[round]);
        let card = Card::draw(&random);
        tally.begin_round(plan.rounds, card);
        for line in strike("messages", plan, round, &path, card.moment(&random), tally)? {
            ledger.hear(&line)?;
        }
        within_time(&runtime, verify::check(&path, &ledger, tally))?;
        if !tally.is_clean() {
            return Ok(());
        }
    }
    Ok(())
}

async fn open(path: &Path) -> Result<Store> {
    let tables = loomwork_messages::tables().into_iter().chain(loomwork_search::tables());
    Ok(Store::builder(Sqlite::open(path)?).tables(tables).open().await?)
}
