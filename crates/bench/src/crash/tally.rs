//! What was checked, and what did not hold.

use std::collections::BTreeMap;
use std::fmt;

use super::PROGRESS_EVERY;

/// The most faults that are told of; one broken file can break thousands of facts.
const FAULTS_TOLD: usize = 20;

/// How a fact can fail to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Something promised is not there.
    Lost,
    /// Something is there twice.
    Doubled,
    /// Two things do not fit each other.
    Broken,
}

/// Counts kills and facts, and keeps what did not hold.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// How many rounds have begun, and of what kind the last one is.
    rounds: u64,
    kind: String,
    kills: u64,
    facts: u64,
    lost: u64,
    doubled: u64,
    broken: u64,
    told: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Counts one fact, which holds or is told of.
    pub(super) fn fact(&mut self, holds: bool, fault: Fault, otherwise: impl FnOnce() -> String) {
        self.facts += 1;
        if !holds {
            self.fail(fault, otherwise());
        }
    }

    /// As [`fact`](Self::fact), of two things that should be the same.
    pub(super) fn same<T: PartialEq + fmt::Debug>(&mut self, what: impl fmt::Display, found: T, right: T) {
        let holds = found == right;
        self.fact(holds, Fault::Broken, || format!("{what} is {found:?}, and should be {right:?}"));
    }

    /// As [`same`](Self::same), of each row of two lists; tells of their first difference.
    pub(super) fn same_list<T: PartialEq + fmt::Debug>(
        &mut self,
        what: impl fmt::Display,
        found: &[T],
        right: &[T],
    ) {
        self.same(format_args!("the length of {what}"), found.len(), right.len());
        self.facts += found.len() as u64;
        let place = found.iter().zip(right).find(|(found, right)| found != right);
        if let Some((found, right)) = place {
            self.fail(Fault::Broken, format!("{what} have {found:?} in place of {right:?}"));
        }
    }

    /// Notes something that does not hold and is no fact that was counted.
    pub(super) fn broken(&mut self, what: String) {
        self.fail(Fault::Broken, what);
    }

    fn fail(&mut self, fault: Fault, what: String) {
        let (count, name) = match fault {
            Fault::Lost => (&mut self.lost, "lost"),
            Fault::Doubled => (&mut self.doubled, "doubled"),
            Fault::Broken => (&mut self.broken, "broken"),
        };
        *count += 1;
        if self.told.len() < FAULTS_TOLD {
            self.told.push(format!("  {name}: {what}"));
        }
    }

    /// Counts a process that was killed.
    pub(super) fn killed(&mut self) {
        self.kills += 1;
    }

    /// Counts something that readers of the closing lines may want to know.
    pub(super) fn count(&mut self, what: &'static str, more: u64) {
        *self.counts.entry(what).or_default() += more;
    }

    /// Begins a round of a kind, and now and then tells how far the run is.
    pub(super) fn begin_round(&mut self, of: u64, kind: impl fmt::Debug) {
        if self.rounds.is_multiple_of(PROGRESS_EVERY) && self.rounds > 0 {
            println!("round {} of {of}: {} kills, {} facts checked", self.rounds, self.kills, self.facts);
        }
        self.rounds += 1;
        self.kind = format!("{kind:?}");
    }

    /// Returns the number of the last round, from 1.
    pub(super) fn round(&self) -> u64 {
        self.rounds
    }

    pub(super) fn is_clean(&self) -> bool {
        self.lost + self.doubled + self.broken == 0
    }

    /// Returns what did not hold in the last round, a line each.
    pub(super) fn faults(&self) -> String {
        format!("round {}, of the kind {}, failed:\n{}", self.rounds, self.kind, self.told.join("\n"))
    }

    /// Returns what was counted beside the facts, in one line.
    pub(super) fn counts(&self) -> String {
        let counts: Vec<_> = self.counts.iter().map(|(what, count)| format!("{what}: {count}")).collect();
        counts.join(", ")
    }
}

/// The closing line.
impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, facts, lost, doubled, .. } = self;
        write!(formatter, "kills: {kills}, facts checked: {facts}, lost: {lost}, doubled: {doubled}")?;
        if self.broken > 0 {
            write!(formatter, ", otherwise broken: {}", self.broken)?;
        }
        Ok(())
    }
}
