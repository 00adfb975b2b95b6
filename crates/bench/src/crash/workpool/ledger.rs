//! What was seen of the jobs from outside, over all processes of a file.

use std::collections::{BTreeMap, BTreeSet};

use super::word::Word;
use crate::crash::tally::{Fault, Tally};

#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// How many processes were killed.
    pub(super) kills: u32,
    /// The orders whose enqueuing was answered.
    pub(super) enqueued: BTreeSet<u64>,
    /// The orders whose cancellation found something to cancel.
    pub(super) cancelled: BTreeSet<u64>,
    /// The attempts that began, by order and number, and how they returned.
    pub(super) attempts: BTreeMap<(u64, u32), Option<bool>>,
}

impl Ledger {
    /// Writes one thing down; what happened twice that must not is told of at once.
    pub(super) fn note(&mut self, word: Word, tally: &mut Tally) {
        match word {
            Word::Opening | Word::Ready => {}
            Word::Enqueued { number } => {
                self.enqueued.insert(number);
            }
            Word::Cancelled { number, found } => {
                if found {
                    self.cancelled.insert(number);
                }
            }
            Word::Began { number, attempt } => {
                let is_new = self.attempts.insert((number, attempt), None).is_none();
                tally.fact(is_new, Fault::Doubled, || {
                    format!("attempt {attempt} of order {number} began twice")
                });
            }
            Word::Returned { number, attempt, well } => {
                self.attempts.insert((number, attempt), Some(well));
            }
            Word::Crowded { number, attempt } => {
                tally.broken(format!("attempt {attempt} of order {number} ran beside too many others"));
            }
        }
    }

    /// The attempts of an order that began, by their numbers.
    pub(super) fn of(&self, number: u64) -> BTreeMap<u32, Option<bool>> {
        let range = self.attempts.range((number, 0)..=(number, u32::MAX));
        range.map(|((_, attempt), returned)| (*attempt, *returned)).collect()
    }
}
