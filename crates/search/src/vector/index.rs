//! The segments of one index, and how rows move between them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::hash::{BuildHasherDefault, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use loomwork_core::{RawId, crash_point};
use loomwork_store::engine::Seq;
use roaring::RoaringBitmap;

use super::graph::{Graph as _, Layers, bytes_of};
use super::manifest::{Listed, Manifest, Stamp};
use super::plan::Costs;
use super::segment::{RowNumber, Segment};
use crate::budget::Budget;
use crate::index::Schema;
use crate::place::Place;
use crate::space::check_vector;
use crate::{Metric, Result, Space, Value};

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
    /// How many vectors a graph finds.
    pub(crate) in_graphs: usize,
    /// How many vectors' codes are read from the disk, since the budget has no room for them.
    pub(crate) on_disk: usize,
    /// About how many bytes of memory are held.
    pub(crate) bytes: usize,
}

/// What vectors are kept with.
#[derive(Clone, Debug)]
pub(crate) struct Keeping {
    /// What all indexes may hold together.
    pub(crate) budget: Budget,
    /// From how many rows on a segment may have a graph.
    pub(crate) graph_rows: usize,
    pub(crate) costs: Costs,
}

/// The vectors of one index, model and dimension.
#[derive(Debug)]
pub(crate) struct VectorIndex {
    pub(super) schema: Schema,
    pub(super) metric: Metric,
    dimension: usize,
    pub(super) keeping: Keeping,
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
    /// The one that grows.
    growing: u64,
    /// The number of the next one: numbers are never used twice.
    next: u64,
    /// Where each living row is.
    rows: HashMap<RawId, (u64, RowNumber), Spread>,
    applied: Seq,
    /// Whether something happened since the last commit.
    is_dirty: bool,
}

/// Hashes ids, most of whose bits are drawn at random already.
type Spread = BuildHasherDefault<SpreadHasher>;

#[derive(Clone, Copy, Debug, Default)]
struct SpreadHasher(u64);

impl Hasher for SpreadHasher {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        // By the golden ratio, each bit comes to the upper half, and from there to the lower one.
        for bytes in bytes.chunks(size_of::<u64>()) {
            let part = bytes.iter().fold(0_u64, |part, byte| part << 8 | u64::from(*byte));
            self.0 = (self.0.rotate_left(29) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }
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

    pub(super) fn living(&self) -> usize {
        self.segment.len() - self.dead.len() as usize
    }
}

impl State {
    fn new(dimension: usize, fields: usize) -> Self {
        let segments = BTreeMap::from([(0, Slot::new(Segment::new(dimension, fields)))]);
        Self {
            segments,
            growing: 0,
            next: 1,
            rows: HashMap::default(),
            applied: Seq::default(),
            is_dirty: true,
        }
    }

    /// Adds a segment that is the one that grows from now on.
    fn grow(&mut self, segment: Segment) {
        self.growing = self.take_number();
        self.segments.insert(self.growing, Slot::new(segment));
    }

    fn take_number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
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
        space: &Space,
        store: RawId,
        keeping: Keeping,
    ) -> Result<(Self, Option<Seq>)> {
        let dimension = space.dimension();
        let stamp = Stamp {
            store: store.to_bytes(),
            table: schema.table.to_owned(),
            declaration: schema.version,
            fields: schema.fields.clone(),
            model: space.model().to_owned(),
            dimension,
            metric: schema.metric,
        };
        let index = Self {
            schema: schema.clone(),
            metric: schema.metric,
            dimension,
            keeping,
            place: place.clone(),
            stamp,
            state: RwLock::new(State::new(dimension, schema.fields.len())),
            writing: Mutex::default(),
        };
        if let Place::Folder(folder) = place {
            fs::create_dir_all(folder)?;
            if let Some(manifest) = Manifest::read(folder, &index.stamp)?
                && let Some(state) = index.read(folder, &manifest)?
            {
                *index.state_mut() = state;
                return Ok((index, Some(Seq(manifest.applied))));
            }
        }
        index.clear()?;
        Ok((index, None))
    }

    fn read(&self, folder: &Path, manifest: &Manifest) -> Result<Option<State>> {
        let fields = self.schema.fields.len();
        let mut state = State::new(self.dimension, fields);
        state.segments.clear();
        (state.applied, state.is_dirty) = (Seq(manifest.applied), false);
        for listed in &manifest.segments {
            let Some(segment) = self.open_segment(folder, listed.number)? else { return Ok(None) };
            let Ok(dead) = RoaringBitmap::deserialize_from(listed.dead.as_slice()) else { return Ok(None) };
            state.rows.reserve(segment.len());
            for (row, id) in (0..).zip(&segment.ids) {
                if !dead.contains(row) {
                    state.rows.insert(*id, (listed.number, row));
                }
            }
            state.next = state.next.max(listed.number + 1);
            state.segments.insert(listed.number, Slot { segment: Arc::new(segment), dead });
        }
        state.grow(Segment::new(self.dimension, fields));
        Ok(Some(state))
    }

    /// Opens a sealed segment with its graph; `None` if it is not what was written.
    fn open_segment(&self, folder: &Path, number: u64) -> Result<Option<Segment>> {
        let path = path(folder, number);
        let segment = Segment::open(&path, self.schema.fields.len(), &self.keeping.budget)?;
        if let Some(segment) = segment.as_ref().filter(|segment| segment.is_resident())
            && let Some(graph) = Layers::read(&path, segment)?
        {
            self.give_graph(segment, graph);
        }
        Ok(segment)
    }

    /// Brings codes into memory that had no room when they were written, since those of the segments that
    /// theirs replaced were still there.
    fn make_resident(&self, folder: &Path, segments: BTreeMap<u64, Slot>) -> Result<()> {
        let waiting = |segment: &Segment| {
            !segment.is_resident() && self.keeping.budget.has_room(segment.bytes_of_codes())
        };
        for (number, _) in segments.iter().filter(|(_, slot)| waiting(&slot.segment)) {
            if let Some(segment) = self.open_segment(folder, *number)?
                && let Some(live) = self.state_mut().segments.get_mut(number)
            {
                live.segment = Arc::new(segment);
            }
        }
        Ok(())
    }

    /// Gives a segment its graph, if there is room for it.
    fn give_graph(&self, segment: &Segment, graph: Layers) {
        if let Some(held) = self.keeping.budget.take(graph.bytes()) {
            segment.set_graph(Box::new(graph), held);
        }
    }

    /// Builds the graph of one segment that searches want one of, and returns whether there was one.
    ///
    /// It blocks for long; everything else goes on meanwhile. It gives up when `is_wanted` says no.
    pub(crate) fn build_graph(&self, is_wanted: impl Fn() -> bool) -> Result<bool> {
        let Some((number, segment)) = self.next_for_graph() else { return Ok(false) };
        let Some(room) = self.keeping.budget.take(bytes_of(segment.len())) else { return Ok(false) };
        let is_there = || {
            let state = self.state();
            state.segments.get(&number).is_some_and(|slot| Arc::ptr_eq(&slot.segment, &segment))
        };
        let Some(graph) = Layers::build(&segment, self.metric, || is_wanted() && is_there()) else {
            return Ok(is_wanted());
        };
        if let Place::Folder(folder) = &self.place {
            // So that no file is written of a segment whose files are being swept.
            let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            if is_there() {
                crash_point("search.graph");
                graph.write(&path(folder, number))?;
            }
        }
        // Its place is kept for it, or it might be built in vain, again and again.
        segment.set_graph(Box::new(graph), room);
        Ok(true)
    }

    /// Returns the largest segment that should have a graph and has none. Products are no distances, so
    /// they have none.
    fn next_for_graph(&self) -> Option<(u64, Arc<Segment>)> {
        if self.metric == Metric::Product {
            return None;
        }
        let state = self.state();
        let is_kept = |segment: &Segment| segment.is_sealed() || self.place == Place::Memory;
        let fitting = state.segments.iter().filter(|(number, slot)| {
            let segment = &slot.segment;
            **number != state.growing
                && segment.len() >= self.keeping.graph_rows
                && is_kept(segment)
                && segment.wants_graph()
        });
        let largest = fitting.max_by_key(|(_, slot)| slot.segment.len())?;
        Some((*largest.0, largest.1.segment.clone()))
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
            self.metric.prepare(&mut vector);
            self.place(&mut state, id, &vector, &values)?;
        }
        state.applied = state.applied.max(seq);
        Ok(())
    }

    /// Takes in new filter values of a row whose vector is the same; a row without a vector has none.
    ///
    /// The position stays: a commit may come before the [`put`](Self::put) of the rest of the step.
    pub(crate) fn set_values(&self, id: RawId, values: &[Vec<Value>]) -> Result<()> {
        let mut state = self.state_mut();
        state.is_dirty = true;
        let Some((number, row)) = state.rows.get(&id).copied() else { return Ok(()) };
        let Some(segment) = state.segments.get(&number).map(|slot| slot.segment.clone()) else {
            return Ok(());
        };
        let mut vector = Vec::new();
        segment.read(row, &mut vector)?;
        drop(segment);
        self.place(&mut state, id, &vector, values)
    }

    fn place(&self, state: &mut State, id: RawId, vector: &[f32], values: &[Vec<Value>]) -> Result<()> {
        state.bury(id);
        let number = state.growing;
        if let Some(slot) = state.segments.get_mut(&number)
            // Only frozen segments are shared.
            && let Some(segment) = Arc::get_mut(&mut slot.segment)
        {
            let row = segment.push(id, vector, values)?;
            state.rows.insert(id, (number, row));
        }
        Ok(())
    }

    /// Checks that a vector has the length of the index, and no part that is not a number.
    pub(crate) fn check(&self, vector: &[f32]) -> Result<()> {
        check_vector(&self.stamp.model, self.dimension, vector)
    }

    /// Writes what came in, and merges segments that are small or mostly dead.
    ///
    /// Returns up to where the feed is applied on disk. It blocks; searches and puts go on meanwhile.
    pub(crate) fn commit(&self) -> Result<Seq> {
        self.write(Merging::Usual)
    }

    /// As [`commit`](Self::commit), and makes one segment of all, so that one graph finds them.
    pub(crate) fn gather(&self) -> Result<Seq> {
        self.state_mut().is_dirty = true;
        self.write(Merging::All)
    }

    /// Writes the index without any dead row, so that what was deleted is gone from the disk.
    pub(crate) fn purge(&self) -> Result<()> {
        self.state_mut().is_dirty = true;
        self.write(Merging::Dead).map(drop)
    }

    fn write(&self, merging: Merging) -> Result<Seq> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(frozen) = self.freeze() else { return Ok(self.state().applied) };
        self.write_frozen(frozen, merging).inspect_err(|_| self.state_mut().is_dirty = true)
    }

    fn write_frozen(&self, mut frozen: Frozen, merging: Merging) -> Result<Seq> {
        if let Some(numbers) = to_merge(&frozen.segments, merging) {
            self.merge(&mut frozen, &numbers)?;
        }
        let Place::Folder(folder) = &self.place else { return Ok(frozen.applied) };
        for (number, slot) in &mut frozen.segments {
            if !slot.segment.is_sealed() {
                let path = path(folder, *number);
                let sealed = Arc::new(slot.segment.seal(&path, &self.keeping.budget)?);
                slot.segment = sealed.clone();
                if let Some(live) = self.state_mut().segments.get_mut(number) {
                    live.segment = sealed;
                }
            }
        }
        crash_point("search.sealed");
        let listed = frozen.segments.iter().map(|(number, slot)| {
            let mut dead = Vec::with_capacity(slot.dead.serialized_size());
            slot.dead.serialize_into(&mut dead)?;
            Ok(Listed { number: *number, dead })
        });
        let listed = listed.collect::<Result<Vec<_>>>()?;
        Manifest::new(self.stamp.clone(), frozen.applied, listed).write(folder)?;
        crash_point("search.listed");
        sweep(folder, &frozen.segments)?;
        self.make_resident(folder, frozen.segments)?;
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
        let number = self.state_mut().take_number();
        let fields = self.schema.fields.len();
        let mut merged = match &self.place {
            Place::Memory => Segment::new(self.dimension, fields),
            Place::Folder(folder) => Segment::writing(self.dimension, fields, &path(folder, number))?,
        };
        let mut moves = Vec::new();
        let mut vector = Vec::new();
        for number in numbers {
            let Some(slot) = frozen.segments.get(number) else { continue };
            let values = slot.segment.columns.values();
            for (row, (id, values)) in (0..).zip(slot.segment.ids.iter().zip(&values)) {
                if !slot.dead.contains(row) {
                    slot.segment.read(row, &mut vector)?;
                    let to = merged.push(*id, &vector, values)?;
                    moves.push((*id, (*number, row), to));
                }
            }
        }
        merged.columns.seal();
        if let Place::Folder(folder) = &self.place {
            let path = path(folder, number);
            merged.finish_vectors(&path)?;
            merged = merged.seal(&path, &self.keeping.budget)?;
            crash_point("search.merged");
        }
        let merged = Slot::new(merged);
        let mut live = merged.clone();
        let mut state = self.state_mut();
        let state = &mut *state;
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
        let next = state.next;
        *state = State::new(self.dimension, self.schema.fields.len());
        // No file is mistaken for another.
        state.segments.clear();
        state.next = next;
        state.grow(Segment::new(self.dimension, self.schema.fields.len()));
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

    /// Returns how many vectors there are.
    pub(crate) fn len(&self) -> usize {
        self.state().rows.len()
    }

    pub(crate) fn stats(&self) -> VectorStats {
        let state = self.state();
        let pending = state.segments.get(&state.growing).map_or(0, Slot::living);
        let living_of = |of: fn(&Segment) -> bool| {
            state.segments.values().filter(|slot| of(&slot.segment)).map(Slot::living).sum()
        };
        VectorStats {
            vectors: state.rows.len(),
            pending,
            dead: state.segments.values().map(|slot| slot.dead.len() as usize).sum(),
            segments: state.segments.len(),
            in_graphs: living_of(|segment| segment.graph().is_some()),
            on_disk: living_of(|segment| !segment.is_resident()),
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

/// Which segments become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Merging {
    /// As few as possible.
    Usual,
    /// Each with a dead row.
    Dead,
    /// All, if there are several.
    All,
}

/// Returns the segments that should become one: those with many dead rows, and the smallest where there
/// are too many. A larger one joins only when the smaller ones together are as large, so that each row
/// is written few times.
fn to_merge(segments: &BTreeMap<u64, Slot>, merging: Merging) -> Option<Vec<u64>> {
    let max_dead = if merging == Merging::Usual { MAX_DEAD } else { 0.0 };
    if merging == Merging::All && segments.len() > 1 {
        return Some(segments.keys().copied().collect());
    }
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
