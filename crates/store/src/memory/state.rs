//! What the in-memory engine holds, as values that a snapshot shares.
//!
//! Rows and index entries lie in one ordered map: a space's five bytes, then the key.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use loomwork_core::RawId;
use rpds::RedBlackTreeMapSync;

use crate::engine::{Changes, Entry, EntryKey, LogEntry, Scan, Seq, Shape, Stored, TableNo};

const PREFIX: usize = 5;

/// The whole store at one moment. Cloning it takes a snapshot.
#[derive(Clone, Default)]
pub(super) struct State {
    entries: RedBlackTreeMapSync<EntryKey, Held>,
    log: RedBlackTreeMapSync<Seq, LogEntry>,
    trimmed: Seq,
    end: Seq,
    layout: Arc<Layout>,
}

#[derive(Clone)]
enum Held {
    Row(Arc<Stored>),
    /// The row that an index entry leads to.
    Entry(RawId),
}

/// Where each index lies. An index keeps its place whatever number the next program gives it.
#[derive(Clone, Default)]
struct Layout {
    places: HashMap<(TableNo, String), u32>,
    by_number: HashMap<TableNo, Vec<u32>>,
    next: u32,
}

fn space(kind: u8, number: u32, key: &[u8]) -> EntryKey {
    let mut bytes = Vec::with_capacity(PREFIX + key.len());
    bytes.push(kind);
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.extend_from_slice(key);
    bytes.into()
}

/// One mutation's changes, owned, so that they can be laid on a newer state.
pub(super) struct Batch {
    removed: Vec<EntryKey>,
    added: Vec<(EntryKey, Held)>,
    /// Entries that stay as they are, of rows that change: whoever read those through them read another row.
    kept: Vec<EntryKey>,
    pub(super) rows: Vec<EntryKey>,
    log: Vec<LogEntry>,
    log_floor: Seq,
    trim: Option<Seq>,
}

impl Batch {
    pub(super) fn touched(&self) -> impl Iterator<Item = EntryKey> {
        let added = self.added.iter().map(|(key, _)| key);
        let entries = self.removed.iter().chain(&self.kept).chain(added).cloned();
        let grown = (!self.log.is_empty()).then(State::log_end_key);
        let trimmed = self.trim.map(|_| State::log_start_key());
        entries.chain(grown).chain(trimmed)
    }
}

impl State {
    pub(super) fn log_bounds(&self) -> (Seq, Seq) {
        (self.trimmed, self.end)
    }

    /// A key that stands for where the log begins; trimming touches it.
    pub(super) fn log_start_key() -> EntryKey {
        space(2, 0, &[0])
    }

    /// A key that stands for where the log ends; what is logged touches it.
    pub(super) fn log_end_key() -> EntryKey {
        space(2, 0, &[1])
    }

    pub(super) fn row_key(table: TableNo, id: RawId) -> EntryKey {
        space(0, table.0, id.as_bytes())
    }

    /// The key of an index entry, or `None` in an index that the table no longer has.
    fn entry_key(&self, table: TableNo, index: usize, key: &[u8]) -> Option<EntryKey> {
        Some(space(1, *self.layout.by_number.get(&table)?.get(index)?, key))
    }

    /// The range of entries that a scan covers.
    pub(super) fn range(&self, scan: &Scan<'_>) -> Option<(EntryKey, EntryKey)> {
        match scan.index {
            None => Some((space(0, scan.table.0, scan.low), space(0, scan.table.0, scan.high))),
            Some(index) => Some((
                self.entry_key(scan.table, index, scan.low)?,
                self.entry_key(scan.table, index, scan.high)?,
            )),
        }
    }

    pub(super) fn get(&self, table: TableNo, id: RawId) -> Option<&Stored> {
        match self.entries.get(&Self::row_key(table, id))? {
            Held::Row(stored) => Some(stored),
            Held::Entry(_) => None,
        }
    }

    /// Shows a range's entries with the keys they have in the map.
    pub(super) fn scan(
        &self,
        scan: &Scan<'_>,
        (low, high): &(EntryKey, EntryKey),
        visit: &mut dyn FnMut(&EntryKey, Entry<'_>) -> ControlFlow<()>,
    ) {
        let bounds = (Bound::Included(&**low), Bound::Excluded(&**high));
        let range = self.entries.range::<[u8], _>(bounds);
        let mut show = |(place, held): (&EntryKey, &Held)| {
            let key = &place[PREFIX..];
            match held {
                Held::Row(stored) => {
                    let id = id_of(key);
                    visit(place, Entry { key, id, version: stored.version, body: &stored.body })
                }
                Held::Entry(id) => match self.get(scan.table, *id) {
                    Some(stored) => {
                        visit(place, Entry { key, id: *id, version: stored.version, body: &stored.body })
                    }
                    None => ControlFlow::Continue(()),
                },
            }
        };
        let _ = if scan.reverse {
            range.rev().try_for_each(&mut show)
        } else {
            range.into_iter().try_for_each(&mut show)
        };
    }

    pub(super) fn log(&self, after: Seq) -> impl Iterator<Item = (Seq, LogEntry)> + '_ {
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        self.log.range::<Seq, _>(behind).map(|(seq, entry)| (*seq, *entry))
    }

    pub(super) fn batch(&self, changes: &Changes<'_>) -> Batch {
        let mut batch = Batch {
            removed: Vec::new(),
            added: Vec::new(),
            kept: Vec::new(),
            rows: Vec::new(),
            log: changes.log.to_vec(),
            log_floor: changes.log_floor,
            trim: changes.trim,
        };
        for write in changes.writes {
            let row = Self::row_key(write.table, write.id);
            batch.rows.push(row.clone());
            let old = write.old.unwrap_or_default();
            let new = write.new.map_or(&[][..], |stored| &stored.keys);
            for index in 0..old.len().max(new.len()) {
                let key_in = |keys: &[Option<EntryKey>]| keys.get(index)?.clone();
                let place = |key: EntryKey| self.entry_key(write.table, index, &key);
                match (key_in(old), key_in(new)) {
                    (Some(old), Some(new)) if old == new => batch.kept.extend(place(new)),
                    (old, new) => {
                        batch.removed.extend(old.and_then(place));
                        batch.added.extend(new.and_then(place).map(|key| (key, Held::Entry(write.id))));
                    }
                }
            }
            match write.new {
                None => batch.removed.push(row),
                Some(stored) => batch.added.push((row, Held::Row(Arc::new(stored.clone())))),
            }
        }
        batch
    }

    pub(super) fn apply(&mut self, batch: &Batch) {
        for key in &batch.removed {
            self.entries.remove_mut(key);
        }
        for (key, held) in &batch.added {
            self.entries.insert_mut(key.clone(), held.clone());
        }
        for entry in &batch.log {
            self.end = Seq(self.end.max(batch.log_floor).0 + 1);
            self.log.insert_mut(self.end, *entry);
        }
        if let Some(trim) = batch.trim {
            self.trimmed = self.trimmed.max(trim.min(self.end));
            while let Some(first) = self.log.first().map(|(seq, _)| *seq).filter(|seq| *seq <= trim) {
                self.log.remove_mut(&first);
            }
        }
    }

    fn define(&mut self, shape: &Shape) {
        let mut layout = (*self.layout).clone();
        let mut places = Vec::with_capacity(shape.indexes.len());
        for index in &shape.indexes {
            let place = layout.places.entry((shape.table, index.name.clone())).or_insert_with(|| {
                layout.next += 1;
                layout.next
            });
            places.push(*place);
        }
        let dropped = layout
            .places
            .iter()
            .filter(|((table, _), place)| *table == shape.table && !places.contains(place));
        let dropped: Vec<u32> = dropped.map(|(_, place)| *place).collect();
        layout.places.retain(|_, place| !dropped.contains(place));
        layout.by_number.insert(shape.table, places);
        let refilled = shape.indexes.iter().zip(&layout.by_number[&shape.table]);
        let refilled = refilled.filter(|(index, _)| index.refill).map(|(_, place)| *place);
        let emptied: Vec<u32> = refilled.chain(dropped).collect();
        self.layout = Arc::new(layout);
        for place in emptied {
            self.clear(&space(1, place, &[]), &space(1, place + 1, &[]));
        }
    }

    fn clear(&mut self, low: &EntryKey, high: &EntryKey) {
        let bounds = (Bound::Included(&**low), Bound::Excluded(&**high));
        let keys: Vec<EntryKey> = self.entries.range::<[u8], _>(bounds).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.entries.remove_mut(&key);
        }
    }
}

fn id_of(key: &[u8]) -> RawId {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(key);
    RawId::from_bytes(bytes)
}

/// What has been committed, and what running transactions must not have missed.
#[derive(Default)]
pub(super) struct Commits {
    pub(super) state: State,
    /// The state of the newest durable commit.
    pub(super) durable: State,
    version: u64,
    /// The keys of each commit that a running transaction has not seen.
    recent: VecDeque<(u64, Vec<EntryKey>)>,
    running: BTreeMap<u64, usize>,
    /// Rows that a running claim has visited.
    pub(super) claimed: HashSet<(TableNo, RawId)>,
}

impl Commits {
    pub(super) fn of(state: State) -> Self {
        Self { durable: state.clone(), state, ..Self::default() }
    }

    pub(super) fn define(&mut self, tables: &[Shape]) {
        for shape in tables {
            self.state.define(shape);
        }
        self.durable = self.state.clone();
    }

    pub(super) fn begin(&mut self) -> (State, u64) {
        *self.running.entry(self.version).or_default() += 1;
        (self.state.clone(), self.version)
    }

    pub(super) fn end(&mut self, began: u64) {
        if let Some(count) = self.running.get_mut(&began) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(&began);
            }
        }
        let oldest = self.running.keys().next().copied().unwrap_or(u64::MAX);
        while self.recent.front().is_some_and(|(version, _)| *version <= oldest) {
            self.recent.pop_front();
        }
    }

    /// Whether a commit since `began` touched a key that `concerns` it.
    pub(super) fn touched_since(&self, began: u64, concerns: impl Fn(&EntryKey) -> bool) -> bool {
        self.recent.iter().filter(|(version, _)| *version > began).any(|(_, keys)| keys.iter().any(&concerns))
    }

    /// Lays batches over the state; `result` is what they made of the state at `began`.
    pub(super) fn commit(&mut self, began: u64, result: &State, batches: &[Batch]) {
        if batches.is_empty() {
            return;
        }
        if began == self.version {
            self.state = result.clone();
        } else {
            batches.iter().for_each(|batch| self.state.apply(batch));
        }
        self.version += 1;
        let touched = batches.iter().flat_map(Batch::touched).collect();
        self.recent.push_back((self.version, touched));
    }
}
