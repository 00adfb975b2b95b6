//! Finding near rows of a large segment without a look at each: a hierarchy of graphs, walked from a far
//! view to a near one.
//!
//! `hnsw_rs` builds the graph. It is then kept as plain lists of row numbers: a fraction of the memory, a
//! file that is read whole or not at all, and a walk that knows of no deletions and no filters. Whoever
//! asks drops the rows that may not be found, and scans where too few are left.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fmt;
use std::path::{Path, PathBuf};

use hnsw_rs::prelude::{Distance, Hnsw};
use serde::{Deserialize, Serialize};

use super::codes::score_of_codes;
use super::segment::{RowNumber, Segment};
use crate::place::{read_whole, write_whole};
use crate::{Metric, Result};

/// How many neighbours a row has at most in the graphs of the far view; twice as many in the nearest.
const NEIGHBOURS: usize = 16;

/// How many rows compete for a place among the neighbours of a new one.
const EFFORT: usize = 100;

/// How many graphs there are at most above each other.
const LAYERS: usize = 16;

/// How many rows are added between two looks at whether the graph is still wanted.
const ROWS_A_LOOK: usize = 256;

/// The version of the files; a graph that was written by another is built anew.
const VERSION: u32 = 1;

/// Finds near rows of a segment that does not change any more.
pub(crate) trait Graph: fmt::Debug + Send + Sync {
    /// Returns about the `width` rows with the greatest scores, in no order. Some of the nearest may be
    /// missing, the fewer the wider the walk is.
    fn near(&self, width: usize, score: &mut Scores<'_>) -> Result<Vec<RowNumber>>;

    /// Returns how many bytes of memory are held.
    fn bytes(&self) -> usize;
}

/// Writes the score of each of some rows.
pub(crate) type Scores<'a> = dyn FnMut(&[RowNumber], &mut Vec<f32>) -> Result<()> + 'a;

/// Graphs above each other, each with fewer rows than the one below it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Layers {
    version: u32,
    /// What tells the segment from others.
    segment: u32,
    entry: RowNumber,
    /// The nearest view first.
    layers: Vec<Layer>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Layer {
    /// The rows that are in it, in their order; empty where all are.
    rows: Vec<RowNumber>,
    /// Where the neighbours of each row begin, and where those of the last one end.
    starts: Vec<u32>,
    neighbours: Vec<RowNumber>,
}

impl Layer {
    fn of(&self, row: RowNumber) -> &[RowNumber] {
        let place = if self.rows.is_empty() { Ok(row as usize) } else { self.rows.binary_search(&row) };
        let bounds = place.ok().and_then(|place| self.starts.get(place..place + 2));
        bounds.and_then(|at| self.neighbours.get(at[0] as usize..at[1] as usize)).unwrap_or_default()
    }

    /// Whether each number is one of a row, and each list within its bounds.
    fn is_sound(&self, rows: usize) -> bool {
        let own = if self.rows.is_empty() { rows } else { self.rows.len() };
        let numbers = self.rows.iter().chain(&self.neighbours);
        self.starts.len() == own + 1
            && self.starts.is_sorted()
            && self.starts.last().is_some_and(|end| *end as usize == self.neighbours.len())
            && numbers.into_iter().all(|row| (*row as usize) < rows)
    }
}

/// A row and its score, in the order of scores.
#[derive(Clone, Copy, PartialEq)]
struct Seen(f32, RowNumber);

impl Eq for Seen {}

impl Ord for Seen {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0).then(other.1.cmp(&self.1))
    }
}

impl PartialOrd for Seen {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Graph for Layers {
    fn near(&self, width: usize, score: &mut Scores<'_>) -> Result<Vec<RowNumber>> {
        let Some((nearest, farther)) = self.layers.split_first() else { return Ok(Vec::new()) };
        let mut scores = Vec::new();
        score(&[self.entry], &mut scores)?;
        let mut best = Seen(scores[0], self.entry);
        for layer in farther.iter().rev() {
            loop {
                let neighbours = layer.of(best.1);
                score(neighbours, &mut scores)?;
                let seen = scores.iter().zip(neighbours).map(|(score, row)| Seen(*score, *row));
                match seen.max().filter(|seen| *seen > best) {
                    Some(nearer) => best = nearer,
                    None => break,
                }
            }
        }
        let mut known = vec![0_u64; nearest.starts.len().div_ceil(64)];
        let mut is_new = |row: RowNumber| {
            let (word, bit) = (row as usize / 64, 1 << (row % 64));
            let is_new = known[word] & bit == 0;
            known[word] |= bit;
            is_new
        };
        is_new(best.1);
        let mut open = BinaryHeap::from([best]);
        let mut found = BinaryHeap::from([Reverse(best)]);
        let mut fresh = Vec::new();
        while let Some(here) = open.pop() {
            if found.len() >= width && found.peek().is_some_and(|worst| here < worst.0) {
                break;
            }
            fresh.clear();
            fresh.extend(nearest.of(here.1).iter().copied().filter(|row| is_new(*row)));
            score(&fresh, &mut scores)?;
            for seen in scores.iter().zip(&fresh).map(|(score, row)| Seen(*score, *row)) {
                if found.len() < width || found.peek().is_some_and(|worst| seen > worst.0) {
                    open.push(seen);
                    found.push(Reverse(seen));
                    if found.len() > width {
                        found.pop();
                    }
                }
            }
        }
        Ok(found.into_iter().map(|seen| seen.0.1).collect())
    }

    fn bytes(&self) -> usize {
        let numbers = |layer: &Layer| layer.rows.len() + layer.starts.len() + layer.neighbours.len();
        self.layers.iter().map(numbers).sum::<usize>() * size_of::<RowNumber>()
    }
}

/// How far two rows of a segment are apart, as its builder wants to know it: never below 0.
struct Apart<'a> {
    segment: &'a Segment,
    metric: Metric,
}

impl Distance<RowNumber> for Apart<'_> {
    fn eval(&self, one: &[RowNumber], two: &[RowNumber]) -> f32 {
        let (one, two) = (one[0], two[0]);
        let (Some(ones), Some(twos)) = (self.segment.codes(one), self.segment.codes(two)) else {
            return 0.0;
        };
        let product = super::kernel::product_of_codes(ones, twos);
        let shapes = &self.segment.shapes;
        let score = score_of_codes(self.metric, product, shapes[one as usize], shapes[two as usize]);
        let apart = if self.metric == Metric::Cosine { 1.0 - score } else { -score };
        // Rounding may put a row beyond itself, and the builder panics at what is no number.
        if apart > 0.0 { apart } else { 0.0 }
    }
}

/// Returns about how many bytes the graph of so many rows will hold.
pub(crate) fn bytes_of(rows: usize) -> usize {
    rows * (2 * NEIGHBOURS + 4) * size_of::<RowNumber>()
}

impl Layers {
    /// Builds the graph of a segment, which takes one to two milliseconds a row; `None` if `is_wanted` says
    /// no meanwhile.
    pub(crate) fn build(segment: &Segment, metric: Metric, is_wanted: impl Fn() -> bool) -> Option<Self> {
        let rows = segment.len();
        let built = Hnsw::new(NEIGHBOURS, rows, LAYERS, EFFORT, Apart { segment, metric });
        for row in 0..rows {
            if row % ROWS_A_LOOK == 0 && !is_wanted() {
                return None;
            }
            built.insert((&[row as RowNumber], row));
        }
        let mut layers: Vec<Layer> = Vec::new();
        let mut entry = (0, 0);
        let mut links = vec![Vec::new(); rows];
        for point in built.get_point_indexation() {
            let (row, level) = (point.get_origin_id(), point.get_point_id().0);
            entry = entry.max((level, row as RowNumber));
            let mut of_row: Vec<Vec<RowNumber>> = point
                .get_neighborhood_id()
                .iter()
                .map(|layer| layer.iter().map(|neighbour| neighbour.d_id as RowNumber).collect())
                .collect();
            // A point knows where it comes from in layers above its own, in which nobody finds it.
            of_row.truncate(usize::from(level) + 1);
            links[row] = of_row;
        }
        for level in 0..=usize::from(entry.0) {
            let mut layer = Layer { starts: vec![0], ..Layer::default() };
            for (row, links) in (0..).zip(&links) {
                let neighbours = links.get(level);
                if level > 0 && neighbours.is_some() {
                    layer.rows.push(row);
                }
                if level == 0 || neighbours.is_some() {
                    layer.neighbours.extend(neighbours.into_iter().flatten());
                    layer.starts.push(layer.neighbours.len() as u32);
                }
            }
            layers.push(layer);
        }
        Some(Self { version: VERSION, segment: segment.sum(), entry: entry.1, layers })
    }

    /// Writes the graph beside its segment.
    pub(crate) fn write(&self, segment: &Path) -> Result<()> {
        let bytes = postcard::to_allocvec(self).map_err(std::io::Error::other)?;
        Ok(write_whole(&graph_of(segment), &bytes)?)
    }

    /// Reads the graph of a segment; `None` if there is none that fits.
    pub(crate) fn read(path: &Path, segment: &Segment) -> Result<Option<Self>> {
        let Some(bytes) = read_whole(&graph_of(path))? else { return Ok(None) };
        let graph = postcard::from_bytes::<Self>(&bytes).ok();
        let rows = segment.len();
        Ok(graph.filter(|graph| {
            graph.version == VERSION
                && graph.segment == segment.sum()
                && (graph.entry as usize) < rows
                && graph.layers.iter().all(|layer| layer.is_sound(rows))
        }))
    }
}

fn graph_of(segment: &Path) -> PathBuf {
    segment.with_extension("graph")
}
