//! The counts of a test run, and the closing lines of the test programs that they are read from.

use std::{
    fmt,
    ops::AddAssign,
    process::{Command, ExitStatus},
};

use crate::process;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    /// What a run counts as that ended before its summary.
    pub(super) const ONE_FAILURE: Self = Self { passed: 0, failed: 1, skipped: 0 };

    pub(crate) fn ran(self) -> u64 {
        self.passed + self.failed + self.skipped
    }

    /// Takes tests that reported a missing service out of those that passed, as which they ended.
    pub(super) fn reclassify(&mut self, skips: u64, as_failed: bool) {
        self.passed = self.passed.saturating_sub(skips);
        *(if as_failed { &mut self.failed } else { &mut self.skipped }) += skips;
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)?;
        match self.skipped {
            0 => Ok(()),
            skipped => write!(formatter, ", {skipped} skipped"),
        }
    }
}

/// Counts one failure where the run failed and no test did: something did not build, or was killed.
pub(super) fn checked(counts: Option<Counts>, command: &Command, status: ExitStatus) -> Option<Counts> {
    if status.success() || counts.is_some_and(|counts| counts.failed > 0) {
        return Some(counts.unwrap_or_default());
    }
    let command = process::shown(command);
    eprintln!("error: `{command}` failed with {status} outside any test; this counts as one failure");
    counts.map(|counts| Counts { failed: 1, ..counts })
}

/// Reads `Summary [   0.092s] 3 tests run: 2 passed (1 slow), 1 failed, 1 skipped`.
pub(super) fn of_nextest(line: &str) -> Option<Counts> {
    let line = without_colours(line);
    let (_, results) = line.trim().strip_prefix("Summary [")?.split_once(" run: ")?;
    let results = without_parentheses(results);
    let mut counts = Counts::default();
    for (number, word) in results.split(',').filter_map(number_and_word) {
        match word {
            "passed" => counts.passed += number,
            "skipped" => counts.skipped += number,
            // `failed`, `exec failed`, `timed out`, and what a later nextest may add.
            _ => counts.failed += number,
        }
    }
    Some(counts)
}

/// Reads `test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.00s`.
pub(super) fn of_libtest(line: &str) -> Option<Counts> {
    let line = without_colours(line);
    let (_, results) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut counts = Counts::default();
    for (number, word) in results.split(';').filter_map(number_and_word) {
        match word {
            "passed" => counts.passed += number,
            "failed" => counts.failed += number,
            "ignored" => counts.skipped += number,
            _ => {}
        }
    }
    Some(counts)
}

fn number_and_word(part: &str) -> Option<(u64, &str)> {
    let (number, word) = part.trim().split_once(' ')?;
    Some((number.parse().ok()?, word.trim()))
}

fn without_parentheses(text: &str) -> String {
    let mut depth = 0_u32;
    text.chars()
        .filter(|character| {
            match character {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => return depth == 0,
            }
            false
        })
        .collect()
}

/// Drops what a terminal reads as a change of colour: escape, `[`, and all up to a letter.
fn without_colours(line: &str) -> String {
    let mut pieces = line.split('\u{1b}');
    let first = pieces.next().unwrap_or_default();
    let rest = pieces
        .map(|piece| piece.split_once(|end: char| end.is_ascii_alphabetic()).map_or("", |(_, text)| text));
    std::iter::once(first).chain(rest).collect()
}
