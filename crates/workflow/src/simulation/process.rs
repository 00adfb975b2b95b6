//! A process of the simulation, and the runs that it has in memory.

use futures_util::FutureExt as _;
use loomwork_store::Id;
use serde_json::value::RawValue;

use crate::end::Ending;
use crate::journal::{Hold, Label};
use crate::machine::{Advance, Machine};
use crate::order::{Note, Noted, Order, TxPart, Work};
use crate::outbox::Outbox;
use crate::tables::{HostRow, StoredOutcome};

/// A process that has runs in memory.
pub(super) struct Process {
    pub(super) id: Id<HostRow>,
    /// Its code is another version, which fits no journal.
    pub(super) is_odd: bool,
    pub(super) runs: Vec<Run>,
}

/// A run in memory, with what is under way for it.
pub(super) struct Run {
    pub(super) hold: Hold,
    pub(super) machine: Machine,
    pub(super) outbox: Outbox,
    pub(super) under_way: Vec<UnderWay>,
    pub(super) does_not_fit: bool,
}

pub(super) enum UnderWay {
    Notes(Vec<Noted>),
    Mutation(u32, Label, Box<dyn TxPart<Box<RawValue>>>),
    /// An action that is to begin, and may begin once.
    Once(u32, Label, StoredOutcome),
    /// An action that has ended, and is not on record yet.
    Acted(u32, Label, StoredOutcome, bool),
    End(Ending, Vec<u32>),
}

impl Run {
    pub(super) fn is_ending(&self) -> bool {
        self.under_way.iter().any(|under_way| matches!(under_way, UnderWay::End(..)))
    }

    /// Runs the code as far as it comes; returns why it is stuck.
    pub(super) fn go_on(&mut self) -> Result<(), String> {
        if self.is_ending() {
            return Ok(());
        }
        if self.does_not_fit {
            self.under_way = vec![UnderWay::End(Ending::Blocked("another version".to_owned()), Vec::new())];
            return Ok(());
        }
        match self.machine.advance() {
            Advance::Waiting => self.take_orders(),
            Advance::Ended(ended) => {
                let unseen = self.machine.desk().unseen();
                self.under_way.push(UnderWay::End(Ending::of(ended), unseen));
            }
            Advance::Stuck(trouble) => return Err(trouble.to_string()),
        }
        Ok(())
    }

    /// Takes what the code has ordered; actions are run at once, and recorded later.
    fn take_orders(&mut self) {
        self.outbox.put(self.machine.orders());
        self.under_way.extend(self.outbox.notes().map(UnderWay::Notes));
        for Order { number, label, work } in self.outbox.works() {
            match work {
                Work::Mutation { part, .. } => self.under_way.push(UnderWay::Mutation(number, label, part)),
                Work::Effect { mut run, options } => {
                    let acted = run().now_or_never().expect("the actions here never wait");
                    let outcome = StoredOutcome::Success(acted.expect("the actions here succeed"));
                    self.under_way.push(match options.once {
                        true => UnderWay::Once(number, label, outcome),
                        false => UnderWay::Acted(number, label, outcome, false),
                    });
                }
                Work::Stop => self.stop(number),
                Work::Note(note) => unreachable!("notes are elsewhere: {}", matches!(note, Note::Patch)),
            }
        }
    }

    /// Stops an action that has not ended.
    fn stop(&mut self, stopped: u32) {
        for under_way in &mut self.under_way {
            if let UnderWay::Acted(number, _, outcome, _) | UnderWay::Once(number, _, outcome) = under_way
                && *number == stopped
            {
                *outcome = StoredOutcome::Withdrawn;
            }
        }
    }
}
