//! What a run has read: the byte ranges that decide which commits concern it.

use std::sync::Arc;

use loomwork_core::RawId;

use crate::engine::{Seq, TableNo, Touched};

/// One ordered set of keys that commits touch and reads cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Space {
    /// A table's rows, by id.
    Rows(TableNo),
    /// An index of a table.
    Index(TableNo, usize),
    /// The change log, by position.
    Log,
    /// All commits, whatever they touch: one key, the empty one.
    Commits,
}

/// A range `[low, high)` of a space.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReadRange {
    pub(crate) space: Space,
    pub(crate) low: Arc<[u8]>,
    pub(crate) high: Arc<[u8]>,
}

impl ReadRange {
    /// Any commit: what a read covers that the engine has kept from being read.
    pub(crate) fn every_commit() -> Self {
        Self { space: Space::Commits, low: Arc::from([]), high: Arc::from([0]) }
    }

    /// Whether one of `ranges`, which are in order and apart from each other, holds the touched key.
    pub(crate) fn any_contains(ranges: &[Self], touch: &Touch) -> bool {
        let behind = ranges.partition_point(|range| (range.space, &*range.low) <= (touch.space, &*touch.key));
        ranges[..behind].last().is_some_and(|range| range.contains(touch))
    }

    pub(crate) fn contains(&self, touch: &Touch) -> bool {
        self.space == touch.space && *self.low <= *touch.key && *touch.key < *self.high
    }
}

/// A key that a commit wrote or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Touch {
    pub(crate) space: Space,
    pub(crate) key: Arc<[u8]>,
}

impl Touch {
    pub(crate) fn row(table: TableNo, id: RawId) -> Self {
        Self { space: Space::Rows(table), key: Arc::from(id.as_bytes().as_slice()) }
    }

    /// The log has grown. Positions are given by the engine, so this is a key that every range
    /// with an open end holds.
    pub(crate) fn log_end() -> Self {
        Self { space: Space::Log, key: Arc::from([0xff; 8]) }
    }
}

impl From<Touched> for Touch {
    fn from(touched: Touched) -> Self {
        match touched {
            Touched::Row(table, id) => Self::row(table, id),
            Touched::Entry(table, index, key) => Self { space: Space::Index(table, index), key },
            Touched::Log => Self::log_end(),
        }
    }
}

/// The range of the log behind a position. Its end is open: whoever reads the log waits for more.
pub(crate) fn log_behind(after: Seq) -> ([u8; 8], [u8; 9]) {
    (after.0.saturating_add(1).to_be_bytes(), [0xff; 9])
}

/// The ranges that a run has read so far.
#[derive(Debug, Default)]
pub(crate) struct ReadSet(Vec<ReadRange>);

impl ReadSet {
    /// Adds `[low, high)`; an empty range adds nothing.
    pub(crate) fn add(&mut self, space: Space, low: &[u8], high: &[u8]) {
        if low < high {
            self.0.push(ReadRange { space, low: low.into(), high: high.into() });
        }
    }

    /// The ranges, ordered, those that overlap or meet made one.
    pub(crate) fn into_ranges(self) -> Vec<ReadRange> {
        let mut ranges = self.0;
        ranges.sort();
        let mut merged: Vec<ReadRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last) if last.space == range.space && range.low <= last.high => {
                    if last.high < range.high {
                        last.high = range.high;
                    }
                }
                _ => merged.push(range),
            }
        }
        merged
    }
}

#[cfg(test)]
mod tests;
