//! The rounds: what is killed, when, and what is looked at afterwards.

use std::path::Path;
use std::time::{Duration, SystemTime};

use loomwork_core::Random;
use loomwork_store_sqlite::{CHECKPOINT_PAGES, SqliteOptions};
use loomwork_testkit::crash::{Mode, Moment, Point, Sign};

use super::child::backup_path;
use super::job::Job;
use super::subject::{beside, length};
use super::torn::Damage;
use super::word::{OPENING, READY};

/// One kind of round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Card {
    /// At some moment while callers write.
    Writing,
    /// At a crash point of the writer.
    Commit(&'static str),
    /// While the file is opened: at some moment, or at a crash point.
    Opening(Option<&'static str>),
    /// While a file is opened whose last process left a long log.
    LongLog,
    /// While a new file is made.
    NewFile,
    /// While indexes are filled: at some moment, or at a crash point.
    Fill(Option<&'static str>),
    /// While a backup is made: inside the copying, or at a crash point.
    Backup(Option<&'static str>),
    /// While the log is emptied in a pause.
    IdleCheckpoint,
    /// While SQLite checkpoints because the log is full.
    FullCheckpoint,
    /// While the writer restarts a log that a reader has held for long.
    HeldCheckpoint,
    /// At some moment; the log of a copy is damaged then.
    Torn(Damage),
}

/// Every file sees each of these once, in an order of its own.
pub(super) const DECK: [Card; 26] = [
    Card::Writing,
    Card::Writing,
    Card::Writing,
    Card::Commit("commit.before"),
    Card::Commit("commit.before"),
    Card::Commit("commit.after"),
    Card::Commit("commit.after"),
    Card::Opening(None),
    Card::Opening(Some("open.epoch")),
    Card::Opening(Some("open.defined")),
    Card::LongLog,
    Card::LongLog,
    Card::NewFile,
    Card::Fill(None),
    Card::Fill(Some("fill.step")),
    Card::Fill(Some("fill.step")),
    Card::Fill(Some("fill.end")),
    Card::Backup(None),
    Card::Backup(Some("backup.copied")),
    Card::Backup(Some("backup.synced")),
    Card::IdleCheckpoint,
    Card::FullCheckpoint,
    Card::HeldCheckpoint,
    Card::Torn(Damage::Cut),
    Card::Torn(Damage::Flipped),
    Card::Torn(Damage::Followed),
];

/// One process that is started and killed.
#[derive(Debug)]
pub(super) struct Strike {
    pub(super) job: Job,
    pub(super) moment: Moment,
    /// Whether the process has surely begun an epoch by then, though it may not have said so.
    pub(super) began_epoch: bool,
}

impl Strike {
    fn new(job: Job, sign: Sign, random: &Random, longest_pause: Duration) -> Self {
        let pause = longest_pause.mul_f64(random.unit());
        Self { job, moment: Moment::at(sign).pause(pause), began_epoch: false }
    }
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// How many processes of a round are killed while they open the file, at most.
const OPENINGS: u64 = 3;

impl Card {
    /// Draws the processes of a round, which are killed one after the other over the file at `path`.
    pub(super) fn strikes(self, path: &Path, random: &Random) -> Vec<Strike> {
        match self {
            Self::Writing | Self::Torn(_) => {
                vec![Strike::new(Job::Mixed, Sign::Said(READY), random, millis(400))]
            }
            Self::Commit(name) => vec![at(Job::Mixed, name, 1 + random.below(80), random)],
            Self::Opening(None) | Self::NewFile => openings(Job::Mixed, random),
            Self::Opening(Some(name)) => {
                vec![Strike { began_epoch: true, ..at(Job::Mixed, name, 1, random) }]
            }
            Self::LongLog => {
                let mut strikes = vec![Strike::new(Job::Heavy, log_reaches(path, 0.7), random, millis(20))];
                strikes.extend(openings(Job::Mixed, random));
                strikes
            }
            Self::Fill(None) => vec![Strike::new(Job::Fill, Sign::Said(OPENING), random, millis(600))],
            Self::Fill(Some("fill.step")) => vec![at(Job::Fill, "fill.step", 1 + random.below(12), random)],
            Self::Fill(Some(name)) => vec![at(Job::Fill, name, 1 + random.below(2), random)],
            Self::Backup(None) => {
                let sign = backup_begins(path, random.below(3));
                vec![Strike::new(Job::Backup, sign, random, millis(20))]
            }
            Self::Backup(Some(name)) => vec![at(Job::Backup, name, 1 + random.below(3), random)],
            // The log is first copied and then cut.
            Self::IdleCheckpoint => vec![at(Job::Burst, "checkpoint", 1 + random.below(2), random)],
            Self::FullCheckpoint => {
                vec![Strike::new(Job::Heavy, checkpoint_begins(path), random, millis(60))]
            }
            Self::HeldCheckpoint => vec![at(Job::Held, "checkpoint", 1, random)],
        }
    }
}

/// A kill at a crash point, or shortly behind it.
fn at(job: Job, name: &'static str, count: u64, random: &Random) -> Strike {
    let mode = if random.below(2) == 0 { Mode::Park } else { Mode::Go };
    let longest = match mode {
        // The other threads go on for a moment.
        Mode::Park => millis(5),
        Mode::Go => millis(50),
    };
    // Most kills should hit soon behind the point.
    let longest = longest.mul_f64(random.unit());
    Strike::new(job, Sign::Point(Point { name, count, mode }), random, longest)
}

/// Some processes, each killed while it opens the file.
fn openings(job: Job, random: &Random) -> Vec<Strike> {
    let one = |_| Strike::new(job, Sign::Said(OPENING), random, millis(60));
    (0..=random.below(OPENINGS)).map(one).collect()
}

/// How large the log is when SQLite checkpoints it.
fn full_log() -> f64 {
    f64::from(CHECKPOINT_PAGES) * f64::from(SqliteOptions::default().page_bytes)
}

/// The log reaches this share of the size at which it is checkpointed.
fn log_reaches(path: &Path, share: f64) -> Sign {
    let log = beside(path, "-wal");
    Sign::Seen("a long log", Box::new(move || length(&log) as f64 >= full_log() * share))
}

/// The file itself is written to, which only a checkpoint does once the log is half full.
fn checkpoint_begins(path: &Path) -> Sign {
    let (file, log) = (path.to_owned(), beside(path, "-wal"));
    let mut before: Option<SystemTime> = None;
    let begins = move || {
        if (length(&log) as f64) < full_log() / 2.0 {
            return false;
        }
        let changed = std::fs::metadata(&file).and_then(|file| file.modified()).ok();
        changed.is_some_and(|changed| *before.get_or_insert(changed) != changed)
    };
    Sign::Seen("a checkpoint of a full log", Box::new(begins))
}

/// The `number`-th backup has begun.
fn backup_begins(path: &Path, number: u64) -> Sign {
    let unfinished = beside(&backup_path(path, number), ".unfinished");
    Sign::Seen("the beginning of a backup", Box::new(move || unfinished.exists()))
}
