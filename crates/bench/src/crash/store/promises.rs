//! What a file must hold by what was said about it.

use std::collections::BTreeMap;

use loomwork_store::engine::Lane;

use super::contents::Contents;
use super::word::Word;
use crate::crash::tally::{Fault, Tally};

/// What is known of each caller's numbers, and the answers that are still to be checked.
#[derive(Debug, Default)]
pub(super) struct Promises {
    callers: BTreeMap<u64, Bounds>,
    acks: Vec<Ack>,
}

/// The last number that a caller can have.
#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    /// What it was when the file was last checked.
    checked: u64,
    least: u64,
    most: u64,
}

#[derive(Clone, Copy, Debug)]
struct Ack {
    caller: u64,
    number: u64,
    lane: Lane,
}

impl Promises {
    /// Takes in what one process has said before it was killed.
    pub(super) fn hear(&mut self, words: &[Word], callers: u64, tally: &mut Tally) {
        for caller in 0..callers {
            // Its first mutation may have been committed without an answer.
            self.callers.entry(caller).or_default().most += 1;
        }
        for word in words {
            if let Word::Ack { caller, number, lane } = *word {
                self.acknowledge(Ack { caller, number, lane }, tally);
            }
        }
    }

    fn acknowledge(&mut self, ack: Ack, tally: &mut Tally) {
        let Ack { caller, number, lane } = ack;
        let bounds = self.callers.entry(caller).or_default();
        let (least, most) = (bounds.least + 1, bounds.most);
        tally.fact(number >= least, Fault::Doubled, || {
            format!("caller {caller} was given the number {number} after {}", least - 1)
        });
        tally.fact(number <= most, Fault::Broken, || {
            format!("caller {caller} was given the number {number}, and had asked for {most} at most")
        });
        // The next one may be on its way.
        (bounds.least, bounds.most) = (number, number + 1);
        self.acks.push(ack);
        tally.count(
            match lane {
                Lane::Durable => "acknowledged durable",
                Lane::Relaxed => "acknowledged relaxed",
            },
            1,
        );
    }

    /// Checks that what was answered is there, and nothing that nobody asked for. What is there now
    /// has to be there from now on.
    pub(super) fn check(&mut self, contents: &Contents, tally: &mut Tally) {
        let last = contents.last_numbers();
        let last_of = |caller| last.get(&caller).copied().unwrap_or_default();
        for Ack { caller, number, lane } in self.acks.drain(..) {
            let is_there = last_of(caller) >= number;
            tally.fact(is_there, Fault::Lost, || {
                format!(
                    "caller {caller}'s mutation {number} was answered, in the {lane:?} lane, and is not there"
                )
            });
            if !is_there && lane == Lane::Relaxed {
                tally.count("lost relaxed", 1);
            }
        }
        for (caller, bounds) in &mut self.callers {
            let (last, Bounds { checked, most, .. }) = (last_of(*caller), *bounds);
            tally.fact(last >= checked, Fault::Lost, || {
                format!("caller {caller} has {last} events, and had {checked} before")
            });
            tally.fact(last <= most, Fault::Doubled, || {
                format!("caller {caller} has {last} events, and asked for {most} at most")
            });
            *bounds = Bounds { checked: last, least: last, most: last };
        }
    }
}
