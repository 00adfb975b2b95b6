//! What a process does until it is killed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use loomwork_core::Random;
use loomwork_store_sqlite::LARGEST_LOG;
use loomwork_testkit::crash::this_program;

use crate::crash::random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Several callers write small mutations.
    Mixed,
    /// They write much, so that the log fills up.
    Heavy,
    /// They write much, and then rest.
    Burst,
    /// One caller writes much while a reader holds an old snapshot, so that the log grows and grows.
    Held,
    /// As `Mixed`, beside one backup after the other.
    Backup,
    /// The file of the back-fill is opened with the new tables.
    Fill,
}

const NAMES: [(&str, Job); 6] = [
    ("mixed", Job::Mixed),
    ("heavy", Job::Heavy),
    ("burst", Job::Burst),
    ("held", Job::Held),
    ("backup", Job::Backup),
    ("fill", Job::Fill),
];

/// How many callers a process has at most.
pub(super) const CALLERS: u64 = 8;

/// After so many steps of all callers, a burst fills about half of what a checkpoint waits for.
const BURST: u64 = 5;

impl Job {
    pub(super) fn callers(self) -> u64 {
        if self == Self::Held { 1 } else { CALLERS }
    }

    /// How many mutations a caller makes before it rests.
    pub(super) fn steps(self) -> u64 {
        if self == Self::Burst { BURST } else { u64::MAX }
    }

    /// How long the next ballast is.
    pub(super) fn ballast(self, random: &Random) -> Option<u64> {
        match self {
            Self::Mixed | Self::Backup | Self::Fill => {
                (random.below(100) == 0).then(|| random.below(100_000))
            }
            Self::Heavy | Self::Burst => Some(300_000 + random.below(400_000)),
            // The log's size is looked at every 256 commits; by then it should be beyond its limit.
            Self::Held => Some(LARGEST_LOG / 220),
        }
    }

    /// Whether the feed is consumed. Those commits would come between the large ones of `Held`.
    pub(super) fn has_upkeep(self) -> bool {
        self != Self::Held
    }
}

/// A process to be started: its job, its file and its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) path: PathBuf,
    pub(super) seed: u64,
    pub(super) round: u64,
    /// Which of the round's processes it is.
    pub(super) strike: u64,
    pub(super) job: Job,
    /// Whether the change log is trimmed behind its consumer.
    pub(super) trims: bool,
}

impl Task {
    pub(super) fn new(path: &Path, seed: u64, round: u64, strike: u64, job: Job) -> Self {
        let trims = job.has_upkeep() && round % 2 == 1;
        Self { path: path.to_owned(), seed, round, strike, job, trims }
    }

    /// Reads the words that [`command`](Self::command) gives to the process.
    pub(super) fn parse(words: &[String]) -> Result<Self> {
        let [path, seed, round, strike, job] = words else {
            bail!("expected PATH SEED ROUND STRIKE JOB, found {words:?}");
        };
        let named = NAMES.iter().find(|(name, _)| name == job);
        let (_, job) = named.with_context(|| format!("there is no job {job:?}"))?;
        Ok(Self::new(Path::new(path), seed.parse()?, round.parse()?, strike.parse()?, *job))
    }

    pub(super) fn command(&self) -> Command {
        let Self { seed, round, strike, job, .. } = self;
        let name = NAMES.iter().find(|(_, named)| named == job).map(|(name, _)| *name);
        let mut command = this_program();
        command.args(["crash-child", "store"]).arg(&self.path);
        command.args([seed, round, strike].map(u64::to_string)).arg(name.expect("every job has a name"));
        // Its last words should be its error, not where that came from.
        command.env("RUST_BACKTRACE", "0");
        command
    }

    /// The numbers of one of its callers.
    pub(super) fn random(&self, caller: u64) -> Random {
        random(self.seed, &[self.round, self.strike, caller])
    }
}
