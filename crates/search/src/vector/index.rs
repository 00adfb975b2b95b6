//! The segments of one index, and how rows move between them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use loomwork_core::RawId;
use loomwork_store::engine::Seq;
use roaring::RoaringBitmap;

use super::codes::normalise;
use super::manifest::{Listed, Manifest, Stamp};
use super::segment::{RowNumber, Segment};
use crate::index::Schema;
use crate::place::Place;
use crate::space::check_vector;
use crate::{Result, Value};

/// How many sealed segments there may be before small ones are merged.
pub(super) const MAX_SEGMENTS: usize = 8;

/// The share of dead rows from which a segment is written anew.
const MAX_DEAD: f64 = 0.2;

/// A vector to be found by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VectorPut {
    /// The row that it stands for.
    pub(crate) id: RawId,
    pub(crate) vector: Vec<f32>,
    /// The filter values of that row.
    pub(crate) values: Vec<Vec<Value>>,
}

/// What an index holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct VectorStats {
    /// How many vectors there are.
    pub(crate) vectors: usize,
    /// How many of them are not committed.
    pub(crate) pending: usize,
    /// How many dead rows wait for compaction.
    pub(crate) dead: usize,
    pub(crate) segments: usize,
    /// About how many bytes of memory are held.
    pub(crate) bytes: usize,
}

/// The vectors of one index, model and dimension.
#[derive(Debug)]
pub(crate) struct VectorIndex {
    pub(super) schema: Schema,
    pub(super) dimension: usize,
    place: Place,
    stamp: Stamp,
    state: RwLock<State>,
    /// Held while segments are written, so that there is one who does.
    writing: Mutex<()>,
}

#[derive(Debug)]
pub(super) struct State {
    /// The segments by number.
    pub(super) segments: BTreeMap<u64, Slot>,
    /// The one that grows: the greatest number.
    growing: u64,
    /// Where each living row is.
    rows: HashMap<RawId, (u64, RowNumber)>,
    applied: Seq,
    /// Whether something happened since the last commit.
    is_dirty: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) segment: Arc<Segment>,
    pub(super) dead: RoaringBitmap,
}

impl Slot {
    fn new(segment: Segment) -> Self {
        Self { segment: Arc::new(segment), dead: RoaringBitmap::new() }
    }

    fn living(&self) -> usize {
        self.segment.len() - self.dead.len() as usize
    }
}

impl State {
    fn new(dimension: usize, fields: usize) -> Self {
        let segments = BTreeMap::from([(0, Slot::new(Segment::new(dimension, fields)))]);
        Self { segments, growing: 0, rows: HashMap::new(), applied: Seq::default(), is_dirty: true }
    }

    /// Adds a segment with the next number, which is the one that grows from now on.
    fn grow(&mut self, segment: Segment) {
        self.growing += 1;
        self.segments.insert(self.growing, Slot::new(segment));
    }

    fn bury(&mut self, id: RawId) {
        if let Some((number, row)) = self.rows.remove(&id)
            && let Some(slot) = self.segments.get_mut(&number)
        {
            slot.dead.insert(row);
        }
    }
}

/// The index as it was when the growing segment was frozen, which is what a commit writes.
struct Frozen {
    segments: BTreeMap<u64, Slot>,
    applied: Seq,
}

impl VectorIndex {
    /// Opens the index, and says up to where it has applied the feed; `None` if it has to be filled.
    pub(crate) fn open(
        place: &Place,
        schema: &Schema,
        model: &str,
        dimension: usize,
        store: RawId,
    ) -> Result<(Self, Option<Seq>)> {
        let stamp = Stamp {
            store: store.to_bytes(),
            table: schema.table.to_owned(),
            declaration: schema.version,
            fields: schema.fields.clone(),
            model: model.to_owned(),
            dimension,
        };
        let mut state = State::new(dimension, schema.fields.len());
        let mut applied = None;
        if let Place::Folder(folder) = place {
            fs::create_dir_all(folder)?;
            if let Some(manifest) = Manifest::read(folder, &stamp)? {
                let seq = Seq(manifest.applied);
                if let Some(read) = Self::read(folder, &manifest, schema.fields.len(), dimension)? {
                    (state, applied) = (read, Some(seq));
                }
            }
        }
        let schema = schema.clone();
        let index = Self {
            schema,
            dimension,
            place: place.clone(),
            stamp,
            state: RwLock::new(state),
            writing: Mutex::default(),
        };
        if applied.is_none() {
            index.clear()?;
        }
        Ok((index, applied))
    }

    fn read(folder: &Path, manifest: &Manifest, fields: usize, dimension: usize) -> Result<Option<State>> {
        let mut state = State::new(dimension, fields);
        state.segments.clear();
        (state.applied, state.is_dirty) = (Seq(manifest.applied), false);
        for listed in &manifest.segments {
            let Some(segment) = Segment::open(&path(folder, listed.number), fields)? else { return Ok(None) };
            let Ok(dead) = RoaringBitmap::deserialize_from(listed.dead.as_slice()) else { return Ok(None) };
            for (row, id) in (0..).zip(&segment.ids) {
                if !dead.contains(row) {
                    state.rows.insert(*id, (listed.number, row));
                }
            }
            state.growing = state.growing.max(listed.number);
            state.segments.insert(listed.number, Slot { segment: Arc::new(segment), dead });
        }
        state.grow(Segment::new(dimension, fields));
        Ok(Some(state))
    }

    /// Takes in what happened up to `seq`; searches see it at once.
    pub(crate) fn put(&self, seq: Seq, puts: Vec<VectorPut>, deleted: &[RawId]) -> Result<()> {
        for put in &puts {
            self.check(&put.vector)?;
        }
        let mut state = self.state_mut();
        state.is_dirty |= seq > state.applied || !puts.is_empty() || !deleted.is_empty();
        deleted.iter().for_each(|id| state.bury(*id));
        for VectorPut { id, mut vector, values } in puts {
            normalise(&mut vector);
            self.place(&mut state, id, &vector, &values);
        }
        state.applied = state.applied.max(seq);
        Ok(())
    }

    /// Takes in new filter values of a row whose vector is the same; a row without a vector has none.
    pub(crate) fn set_values(&self, seq: Seq, id: RawId, values: &[Vec<Value>]) -> Result<()> {
        let mut state = self.state_mut();
        state.applied = state.applied.max(seq);
        state.is_dirty = true;
        let Some((number, row)) = state.rows.get(&id).copied() else { return Ok(()) };
        let Some(segment) = state.segments.get(&number).map(|slot| slot.segment.clone()) else {
            return Ok(());
        };
        let mut vector = Vec::new();
        segment.read(row, &mut vector)?;
        drop(segment);
        self.place(&mut state, id, &vector, values);
        Ok(())
    }

    fn place(&self, state: &mut State, id: RawId, vector: &[f32], values: &[Vec<Value>]) {
        state.bury(id);
        let number = state.growing;
        if let Some(slot) = state.segments.get_mut(&number)
            // Only frozen segments are shared.
            && let Some(segment) = Arc::get_mut(&mut slot.segment)
        {
            let row = segment.push(id, vector, values);
            state.rows.insert(id, (number, row));
        }
    }

    /// Checks that a vector has the length of the index, and no part that is not a number.
    pub(crate) fn check(&self, vector: &[f32]) -> Result<()> {
        check_vector(&self.stamp.model, self.dimension, vector)
    }

    /// Writes what came in, and merges segments that are small or mostly dead.
    ///
    /// Returns up to where the feed is applied on disk. It blocks; searches and puts go on meanwhile.
    pub(crate) fn commit(&self) -> Result<Seq> {
        self.write(MAX_DEAD)
    }

    /// Writes the index without any dead row, so that what was deleted is gone from the disk.
    pub(crate) fn purge(&self) -> Result<()> {
        self.state_mut().is_dirty = true;
        self.write(0.0).map(drop)
    }

    fn write(&self, max_dead: f64) -> Result<Seq> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(frozen) = self.freeze() else { return Ok(self.state().applied) };
        self.write_frozen(frozen, max_dead).inspect_err(|_| self.state_mut().is_dirty = true)
    }

    fn write_frozen(&self, mut frozen: Frozen, max_dead: f64) -> Result<Seq> {
        if let Some(numbers) = to_merge(&frozen.segments, max_dead) {
            self.merge(&mut frozen, &numbers)?;
        }
        let Place::Folder(folder) = &self.place else { return Ok(frozen.applied) };
        for (number, slot) in &mut frozen.segments {
            if !slot.segment.is_sealed() {
                let path = path(folder, *number);
                let sealed = Arc::new(slot.segment.seal(&path)?);
                slot.segment = sealed.clone();
                if let Some(live) = self.state_mut().segments.get_mut(number) {
                    live.segment = sealed;
                }
            }
        }
        let listed = frozen.segments.iter().map(|(number, slot)| {
            let mut dead = Vec::with_capacity(slot.dead.serialized_size());
            slot.dead.serialize_into(&mut dead)?;
            Ok(Listed { number: *number, dead })
        });
        let listed = listed.collect::<Result<Vec<_>>>()?;
        Manifest::new(self.stamp.clone(), frozen.applied, listed).write(folder)?;
        sweep(folder, &frozen.segments)?;
        Ok(frozen.applied)
    }

    /// Begins a new growing segment, and returns all others; `None` if nothing happened since.
    fn freeze(&self) -> Option<Frozen> {
        let mut state = self.state_mut();
        let state = &mut *state;
        if !std::mem::take(&mut state.is_dirty) {
            return None;
        }
        if state.segments.get(&state.growing).is_some_and(|slot| slot.segment.len() > 0) {
            state.grow(Segment::new(self.dimension, self.schema.fields.len()));
        }
        let mut segments = state.segments.clone();
        segments.remove(&state.growing);
        Some(Frozen { segments, applied: state.applied })
    }

    /// Makes one segment of several, without their dead rows.
    fn merge(&self, frozen: &mut Frozen, numbers: &[u64]) -> Result<()> {
        let mut merged = Segment::new(self.dimension, self.schema.fields.len());
        let mut moves = Vec::new();
        let mut vector = Vec::new();
        for number in numbers {
            let Some(slot) = frozen.segments.get(number) else { continue };
            let values = slot.segment.columns.values();
            for (row, (id, values)) in (0..).zip(slot.segment.ids.iter().zip(&values)) {
                if !slot.dead.contains(row) {
                    slot.segment.read(row, &mut vector)?;
                    let to = merged.push(*id, &vector, values);
                    moves.push((*id, (*number, row), to));
                }
            }
        }
        merged.columns.seal();
        let mut state = self.state_mut();
        let state = &mut *state;
        // The growing segment keeps the greatest number, so that it is the last.
        let (number, growing) = (state.growing, state.growing + 1);
        if let Some(slot) = state.segments.remove(&number) {
            state.segments.insert(growing, slot);
            state.growing = growing;
            state.rows.values_mut().filter(|(at, _)| *at == number).for_each(|(at, _)| *at = growing);
        }
        let merged = Slot::new(merged);
        let mut live = merged.clone();
        for (id, from, to) in moves {
            match state.rows.get_mut(&id) {
                Some(place) if *place == from => *place = (number, to),
                // It was changed or deleted while the merge ran.
                _ => drop(live.dead.insert(to)),
            }
        }
        for number in numbers {
            state.segments.remove(number);
            frozen.segments.remove(number);
        }
        state.segments.insert(number, live);
        frozen.segments.insert(number, merged);
        Ok(())
    }

    /// Forgets everything, on disk too.
    pub(crate) fn clear(&self) -> Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state_mut();
        let first = state.growing + 1;
        *state = State::new(self.dimension, self.schema.fields.len());
        // Numbers are never used twice, so no file is mistaken for another.
        let growing = state.segments.remove(&0);
        state.growing = first;
        state.segments.extend(growing.map(|slot| (first, slot)));
        if let Place::Folder(folder) = &self.place {
            Manifest::delete(folder)?;
            sweep(folder, &BTreeMap::new())?;
        }
        Ok(())
    }

    /// Returns up to where the feed is applied.
    #[cfg(test)]
    pub(super) fn applied(&self) -> Seq {
        self.state().applied
    }

    pub(crate) fn stats(&self) -> VectorStats {
        let state = self.state();
        let pending = state.segments.get(&state.growing).map_or(0, Slot::living);
        VectorStats {
            vectors: state.rows.len(),
            pending,
            dead: state.segments.values().map(|slot| slot.dead.len() as usize).sum(),
            segments: state.segments.len(),
            bytes: state.segments.values().map(|slot| slot.segment.bytes()).sum::<usize>()
                + state.rows.capacity() * size_of::<(RawId, (u64, RowNumber))>(),
        }
    }

    pub(super) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the segments that should become one: those with many dead rows, and the smallest where there
/// are too many. A larger one joins only when the smaller ones together are as large, so that each row
/// is written few times.
fn to_merge(segments: &BTreeMap<u64, Slot>, max_dead: f64) -> Option<Vec<u64>> {
    let mostly_dead = |slot: &Slot| slot.dead.len() as f64 > slot.segment.len() as f64 * max_dead;
    let mut chosen: Vec<u64> =
        segments.iter().filter(|(_, slot)| mostly_dead(slot)).map(|(number, _)| *number).collect();
    if segments.len() > MAX_SEGMENTS {
        let mut by_size: Vec<_> = segments.iter().map(|(number, slot)| (slot.living(), *number)).collect();
        by_size.sort_unstable();
        let mut rows = 0;
        for (place, (living, number)) in by_size.into_iter().enumerate() {
            if place > segments.len() - MAX_SEGMENTS && living > rows {
                break;
            }
            rows += living;
            if !chosen.contains(&number) {
                chosen.push(number);
            }
        }
    }
    (!chosen.is_empty()).then_some(chosen)
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:012}.segment"))
}

/// Deletes the files of segments that the manifest no longer names.
fn sweep(folder: &Path, segments: &BTreeMap<u64, Slot>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if number.is_some_and(|number| !segments.contains_key(&number)) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
