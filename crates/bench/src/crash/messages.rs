//! The group `messages`: processes that answer in threads over a SQLite file are killed, and what is left
//! of each answer is compared with what was said of it.

mod answer;
mod child;
mod ledger;
mod verify;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use loomwork_core::{Clock, Random};
use loomwork_store::Store;
use loomwork_store_sqlite::Sqlite;
use loomwork_testkit::crash::{Mode, Moment, Point, Sign, kill, this_program};
use tempfile::TempDir;

use super::Plan;
use super::tally::Tally;
use ledger::Ledger;

/// So many rounds share a file: what one leaves, the next goes on with.
const ROUNDS_A_FILE: u64 = 10;

/// How long the check of one round may take; a run that is never settled hangs it.
const LONGEST_CHECK: Duration = Duration::from_secs(120);

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
            Self::Working => Moment::at(Sign::Said(ledger::READY)).pause(WORKING.mul_f64(random.unit())),
            Self::Opening => Moment::at(Sign::Said(ledger::OPENING)).pause(OPENED.mul_f64(random.unit())),
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
        let mut command = this_program();
        command.args(["crash-child", "messages"]).arg(&path);
        command.args([plan.seed, round].map(|number| number.to_string()));
        // Its last words should be its error, not where that came from.
        command.env("RUST_BACKTRACE", "0");
        for line in kill(&mut command, card.moment(&random))? {
            ledger.hear(&line)?;
        }
        tally.killed();
        runtime.block_on(async {
            tokio::select! {
                checked = verify::check(&path, &ledger, tally) => checked,
                () = Clock::system().sleep(LONGEST_CHECK) => {
                    bail!("the runs of the killed process are not settled within {LONGEST_CHECK:?}")
                }
            }
        })?;
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

/// A folder on the disk that the project is on: the one of temporary files may be in memory.
fn folder() -> Result<TempDir> {
    let root = std::env::current_dir()?.join("target");
    std::fs::create_dir_all(&root)?;
    tempfile::Builder::new().prefix("crash-").tempdir_in(root).context("failed to make a folder under target")
}
