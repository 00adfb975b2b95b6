//! The writes of a running mutation, held above the engine until it ends.
//!
//! Reads see the engine's rows with these laid over them. An error or a panic drops them; a
//! nested scope undoes its own by the undo log.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, RangeBounds};

use loomwork_core::RawId;

use crate::engine::{EntryKey, LogEntry, Op, Stored, TableNo, Touched, Write};
use crate::reads::Space;
use crate::table::Keys;

/// A row that the mutation has written.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    /// The keys under which the engine holds the row; `None` if it holds no such row.
    pub(crate) before: Option<Keys>,
    /// What the row is now; `None` if it is gone.
    pub(crate) now: Option<Stored>,
}

/// What the overlay changes in one index.
#[derive(Debug, Default)]
struct Entries {
    /// The engine's entries that no longer hold.
    hidden: BTreeSet<EntryKey>,
    /// The entries that hold instead.
    added: BTreeMap<EntryKey, RawId>,
}

/// An entry that the overlay adds to a range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) id: RawId,
    pub(crate) stored: &'a Stored,
}

#[derive(Debug, Default)]
pub(crate) struct Overlay {
    rows: BTreeMap<(TableNo, RawId), Pending>,
    indexes: BTreeMap<(TableNo, usize), Entries>,
    /// What each write replaced, newest last; kept only inside nested scopes.
    undo: Vec<(TableNo, RawId, Option<Pending>)>,
    scopes: usize,
}

impl Overlay {
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn row(&self, table: TableNo, id: RawId) -> Option<&Pending> {
        self.rows.get(&(table, id))
    }

    /// Lays a write over the row. `before` is asked only at the row's first write.
    pub(crate) fn write(
        &mut self,
        table: TableNo,
        id: RawId,
        now: Option<Stored>,
        before: impl FnOnce() -> Option<Keys>,
    ) {
        let replaced = self.rows.remove(&(table, id));
        let before = replaced.as_ref().map_or_else(before, |pending| pending.before.clone());
        if let Some(pending) = &replaced {
            self.remove_entries(table, pending);
        }
        if self.scopes > 0 {
            self.undo.push((table, id, replaced));
        }
        self.place(table, id, Pending { before, now });
    }

    fn place(&mut self, table: TableNo, id: RawId, pending: Pending) {
        for (number, key) in keyed(pending.before.as_deref()) {
            self.indexes.entry((table, number)).or_default().hidden.insert(key.clone());
        }
        for (number, key) in keyed(pending.now.as_ref().map(|stored| stored.keys.as_slice())) {
            self.indexes.entry((table, number)).or_default().added.insert(key.clone(), id);
        }
        self.rows.insert((table, id), pending);
    }

    fn remove_entries(&mut self, table: TableNo, pending: &Pending) {
        for (number, key) in keyed(pending.before.as_deref()) {
            self.indexes.entry((table, number)).or_default().hidden.remove(key);
        }
        for (number, key) in keyed(pending.now.as_ref().map(|stored| stored.keys.as_slice())) {
            self.indexes.entry((table, number)).or_default().added.remove(key);
        }
    }

    /// Opens a nested scope; give its mark to [`end_scope`](Self::end_scope).
    pub(crate) fn begin_scope(&mut self) -> usize {
        self.scopes += 1;
        self.undo.len()
    }

    /// Closes the newest scope and keeps its writes, or undoes them.
    pub(crate) fn end_scope(&mut self, mark: usize, keep: bool) {
        self.scopes -= 1;
        if !keep {
            for (table, id, replaced) in self.undo.split_off(mark).into_iter().rev() {
                if let Some(pending) = self.rows.remove(&(table, id)) {
                    self.remove_entries(table, &pending);
                }
                if let Some(pending) = replaced {
                    self.place(table, id, pending);
                }
            }
        }
        if self.scopes == 0 {
            self.undo.clear();
        }
    }

    /// Whether the engine's entry of this space is replaced or removed.
    pub(crate) fn hides(&self, space: Space, key: &[u8], id: RawId) -> bool {
        match space {
            Space::Rows(table) => self.rows.contains_key(&(table, id)),
            Space::Index(table, index) => {
                self.indexes.get(&(table, index)).is_some_and(|entries| entries.hidden.contains(key))
            }
            Space::Log | Space::Commits => false,
        }
    }

    /// How many of the engine's entries in the range are replaced or removed.
    pub(crate) fn hidden_in(&self, space: Space, low: &[u8], high: &[u8]) -> usize {
        match space {
            Space::Rows(table) => self.rows.range(ids_between(table, low, high)).count(),
            Space::Index(table, index) => self
                .indexes
                .get(&(table, index))
                .map_or(0, |entries| entries.hidden.range::<[u8], _>(between(low, high)).count()),
            Space::Log | Space::Commits => 0,
        }
    }

    /// The overlay's own entries in the range `low < high`, in the order asked for.
    pub(crate) fn added_in<'a>(
        &'a self,
        space: Space,
        low: &'a [u8],
        high: &'a [u8],
        reverse: bool,
    ) -> Box<dyn Iterator<Item = Own<'a>> + 'a> {
        match space {
            Space::Rows(table) => {
                let rows = self.rows.range(ids_between(table, low, high));
                directed(
                    reverse,
                    rows.filter_map(|((_, id), pending)| {
                        Some(Own { key: id.as_bytes(), id: *id, stored: pending.now.as_ref()? })
                    }),
                )
            }
            Space::Index(table, index) => {
                let added = self.indexes.get(&(table, index)).map(|entries| &entries.added);
                let entries = added.into_iter().flat_map(|added| added.range::<[u8], _>(between(low, high)));
                directed(
                    reverse,
                    entries.filter_map(move |(key, id)| {
                        Some(Own { key, id: *id, stored: self.rows.get(&(table, *id))?.now.as_ref()? })
                    }),
                )
            }
            Space::Log | Space::Commits => Box::new(std::iter::empty()),
        }
    }

    /// The rows as the engine has to write them; what was made and deleted again leaves no trace.
    pub(crate) fn writes(&self) -> Vec<Write<'_>> {
        self.rows
            .iter()
            .filter(|(_, pending)| pending.before.is_some() || pending.now.is_some())
            .map(|((table, id), pending)| Write {
                table: *table,
                id: *id,
                old: pending.before.as_deref(),
                new: pending.now.as_ref(),
            })
            .collect()
    }
}

impl Write<'_> {
    /// The write as the change log tells it.
    pub(crate) fn log_entry(&self) -> LogEntry {
        let op = match (self.old, self.new) {
            (None, _) => Op::Insert,
            (Some(_), Some(_)) => Op::Update,
            (Some(_), None) => Op::Delete,
        };
        LogEntry { table: self.table, id: self.id, op }
    }

    /// The keys that the write adds, removes or leaves in place with another body.
    pub(crate) fn touched(&self) -> impl Iterator<Item = Touched> + '_ {
        let new = self.new.map(|stored| stored.keys.as_slice());
        let stays =
            move |number: usize, key: &EntryKey| new.is_some_and(|new| new[number].as_ref() == Some(key));
        let gone = keyed(self.old).filter(move |(number, key)| !stays(*number, key));
        let entries = keyed(new).chain(gone);
        let entries = entries.map(|(number, key)| Touched::Entry(self.table, number, key.clone()));
        std::iter::once(Touched::Row(self.table, self.id)).chain(entries)
    }
}

fn keyed(keys: Option<&[Option<EntryKey>]>) -> impl Iterator<Item = (usize, &EntryKey)> {
    keys.unwrap_or_default().iter().enumerate().filter_map(|(number, key)| Some((number, key.as_ref()?)))
}

fn directed<'a, T: 'a>(
    reverse: bool,
    items: impl DoubleEndedIterator<Item = T> + 'a,
) -> Box<dyn Iterator<Item = T> + 'a> {
    if reverse { Box::new(items.rev()) } else { Box::new(items) }
}

fn between<'a>(low: &'a [u8], high: &'a [u8]) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
    (Bound::Included(low), Bound::Excluded(high))
}

/// The ids whose 16 bytes are in `[low, high)`, bounds of any length.
fn ids_between(table: TableNo, low: &[u8], high: &[u8]) -> impl RangeBounds<(TableNo, RawId)> {
    let padded = |bound: &[u8]| {
        let mut bytes = [0; 16];
        let shared = bound.len().min(16);
        bytes[..shared].copy_from_slice(&bound[..shared]);
        (table, RawId::from_bytes(bytes))
    };
    // A bound longer than an id lies just behind the id that it begins with.
    let from = if low.len() > 16 { Bound::Excluded(padded(low)) } else { Bound::Included(padded(low)) };
    let to = if high.len() > 16 { Bound::Included(padded(high)) } else { Bound::Excluded(padded(high)) };
    (from, to)
}

#[cfg(test)]
mod tests;
