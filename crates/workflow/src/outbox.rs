//! The outbox: what the code of a run has ordered and is not set in motion yet, in the order that counts.

#[cfg(test)]
mod tests;

use std::mem;

use crate::order::{Note, Noted, Order, Work};

/// How many notes one transaction writes down: a fan-out has any number of them.
pub(crate) const NOTES_STEP: usize = 256;

/// The orders of a run on their way.
#[derive(Default)]
pub(crate) struct Outbox {
    /// What is to be written down.
    notes: Vec<Noted>,
    /// Notes are being written down: what comes meanwhile waits, so that notes are carried out in their order.
    writing: bool,
    /// What else is to be done.
    works: Vec<Order>,
    /// The mark of a patch is being written down.
    patching: bool,
}

impl Outbox {
    /// Takes orders in.
    pub(crate) fn put(&mut self, orders: Vec<Order>) {
        for Order { number, label, work } in orders {
            match work {
                Work::Note(note) => self.notes.push((number, label, note)),
                work => self.works.push(Order { number, label, work }),
            }
        }
    }

    /// Takes out what is to be written down now, in one transaction; what is more stays for the next one.
    pub(crate) fn notes(&mut self) -> Option<Vec<Noted>> {
        if self.writing || self.notes.is_empty() {
            return None;
        }
        let rest = self.notes.split_off(self.notes.len().min(NOTES_STEP));
        let notes = mem::replace(&mut self.notes, rest);
        self.writing = true;
        self.patching = has_patch(&notes);
        Some(notes)
    }

    /// Says that this is written down.
    pub(crate) fn written(&mut self) {
        (self.writing, self.patching) = (false, false);
    }

    /// Takes out what is to be done now. A patch's mark is on record before any step that follows from it.
    pub(crate) fn works(&mut self) -> Vec<Order> {
        if self.patching || has_patch(&self.notes) { Vec::new() } else { mem::take(&mut self.works) }
    }
}

fn has_patch(notes: &[Noted]) -> bool {
    notes.iter().any(|(_, _, note)| matches!(note, Note::Patch))
}
