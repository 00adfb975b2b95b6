//! What was seen of the workflows from outside, over all processes of a file.

use std::collections::{BTreeMap, BTreeSet};

use loomwork_workflow::WorkflowId;

use super::word::Word;
use crate::crash::tally::{Fault, Tally};

#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// How many processes were killed.
    pub(super) kills: u32,
    /// The orders whose start was answered.
    pub(super) started: BTreeSet<u64>,
    /// How many events of an order were answered.
    pub(super) sent: BTreeMap<u64, u64>,
    /// The orders whose cancellation found something to cancel.
    pub(super) cancelled: BTreeSet<u64>,
    /// How often the action of an order has begun.
    pub(super) acted: BTreeMap<u64, u32>,
    /// The orders whose action is on record, so that it must not begin again.
    pub(super) recorded: BTreeSet<u64>,
    /// Each journal as it was last seen: what its chapter's steps came to, by their numbers.
    pub(super) journals: BTreeMap<(WorkflowId, u32), BTreeMap<u32, String>>,
}

impl Ledger {
    /// Writes one thing down; what happened again that was on record is told of at once.
    pub(super) fn note(&mut self, word: Word, tally: &mut Tally) {
        match word {
            Word::Opening | Word::Ready => {}
            Word::Started { number } => {
                self.started.insert(number);
            }
            Word::Sent { number, count } => {
                let sent = self.sent.entry(number).or_default();
                *sent = count.max(*sent);
            }
            Word::Cancelled { number, found } => {
                if found {
                    self.cancelled.insert(number);
                }
            }
            Word::Acted { number } => {
                *self.acted.entry(number).or_default() += 1;
                let is_new = !self.recorded.contains(&number);
                tally.fact(is_new, Fault::Doubled, || {
                    format!("the action of order {number} began again though it was on record")
                });
            }
        }
    }
}
