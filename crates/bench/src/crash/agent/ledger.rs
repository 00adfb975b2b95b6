//! What was seen of the runs from outside, over all processes of a file.

use std::collections::{BTreeMap, BTreeSet};

use super::word::Word;
use crate::crash::tally::{Fault, Tally};

#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// How many processes were killed.
    pub(super) kills: u32,
    /// The runs whose start was answered.
    pub(super) started: BTreeSet<u64>,
    /// How often the tool of a step has had its effect.
    pub(super) did: BTreeMap<(u64, u32), u32>,
    /// The steps whose tool is on record as ended: it must not be called again.
    pub(super) recorded: BTreeSet<(u64, u32)>,
}

impl Ledger {
    /// Writes one thing down; what happened again that was on record is told of at once.
    pub(super) fn note(&mut self, word: Word, tally: &mut Tally) {
        match word {
            Word::Opening | Word::Ready => {}
            Word::Started { number } => {
                self.started.insert(number);
            }
            Word::Did { number, step } => {
                *self.did.entry((number, step)).or_default() += 1;
                let is_new = !self.recorded.contains(&(number, step));
                tally.fact(is_new, Fault::Doubled, || {
                    format!("the tool of step {step} of run {number} was called again though its end was on record")
                });
            }
        }
    }
}
