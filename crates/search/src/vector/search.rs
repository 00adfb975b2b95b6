//! Finding the nearest vectors.

use roaring::RoaringBitmap;

use super::codes::{Coded, error_of_codes, score_of_codes};
use super::index::{Slot, VectorIndex};
use super::plan::{Costs, Plan};
use super::segment::{BLOCK, RowNumber};
use crate::doc::Scored;
use crate::{Filter, Metric, Result};

/// How many rows the second look takes besides those that are wanted, at least: codes put the nearest few
/// in another order, and never far.
const SECOND_LOOK: usize = 20;

/// How the nearest vectors are found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct VectorOptions {
    /// How many to return.
    pub(crate) limit: usize,
    /// The least score.
    pub(crate) threshold: Option<f32>,
    /// Whether the answer shall be proven to be the nearest, which looks at more rows twice.
    pub(crate) exact: bool,
}

/// A vector to be near to.
struct Wanted {
    metric: Metric,
    vector: Vec<f32>,
    coded: Coded,
}

/// A row that may be near.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    segment: u64,
    row: RowNumber,
    /// The score of the codes.
    about: f32,
    /// How far that may be from the score of the vectors; nothing where no proof is asked for.
    error: f32,
}

impl Candidate {
    fn most(&self) -> f32 {
        self.about + self.error
    }

    fn least(&self) -> f32 {
        self.about - self.error
    }
}

/// The rows that the second look takes: those of which fewer than `count` others are surely nearer.
struct Candidates {
    count: usize,
    all: Vec<Candidate>,
    /// What a row has to reach.
    floor: f32,
    /// How many there may be before the next cut.
    room: usize,
}

impl Candidates {
    fn new(count: usize) -> Self {
        Self { count, all: Vec::new(), floor: f32::NEG_INFINITY, room: 2 * count + BLOCK }
    }

    fn push(&mut self, candidate: Candidate) {
        self.all.push(candidate);
        if self.all.len() >= self.room {
            self.cut();
        }
    }

    /// Drops what cannot be among the nearest any more.
    fn cut(&mut self) {
        if self.all.len() <= self.count {
            return;
        }
        let by_least = |one: &Candidate, two: &Candidate| two.least().total_cmp(&one.least());
        let (_, last, _) = self.all.select_nth_unstable_by(self.count - 1, by_least);
        self.floor = self.floor.max(last.least());
        self.all.retain(|candidate| candidate.most() >= self.floor);
        // All that are equally near stay, so the next cut waits until there are twice as many.
        self.room = 2 * self.all.len() + BLOCK;
    }
}

impl VectorIndex {
    /// Returns the nearest rows that meet a filter, nearest first; among equals the newest.
    ///
    /// As many are returned as are wanted, or all that there are: filters come before limits.
    pub(crate) fn find(
        &self,
        vector: &[f32],
        filter: &Filter,
        options: VectorOptions,
    ) -> Result<Vec<Scored>> {
        self.check(vector)?;
        let mut vector = vector.to_vec();
        self.metric.prepare(&mut vector);
        let wanted = Wanted { metric: self.metric, coded: Coded::of(&vector), vector };
        let count = match options.exact {
            true => options.limit,
            false => options.limit + SECOND_LOOK.max(options.limit / 2),
        };
        let state = self.state();
        let mut candidates = Candidates::new(count.max(1));
        for (number, slot) in &state.segments {
            let met = slot.segment.columns.matching(filter, &self.schema).map(|met| met - &slot.dead);
            let (exact, costs) = (options.exact, self.keeping.costs);
            let look = Look { number: *number, slot, met, wanted: &wanted, exact, costs };
            look.add_to(&mut candidates)?;
        }
        candidates.cut();
        let mut second = candidates.all;
        second.sort_unstable_by(|one, two| two.most().total_cmp(&one.most()));
        if !options.exact {
            second.truncate(count);
        }
        let mut best: Vec<Scored> = Vec::new();
        let mut stored = Vec::new();
        for candidate in second {
            // Exact: all that follow are at most as near as this one may be.
            let full = options.exact && best.len() >= options.limit;
            if full && best.last().is_some_and(|last| last.score > candidate.most()) {
                break;
            }
            let Some(slot) = state.segments.get(&candidate.segment) else { continue };
            slot.segment.read(candidate.row, &mut stored)?;
            let score = self.metric.score(&wanted.vector, &stored);
            if options.threshold.is_some_and(|threshold| score < threshold) {
                continue;
            }
            let id = slot.segment.ids[candidate.row as usize];
            let place = best.partition_point(|other| (other.score, other.id) > (score, id));
            if place < options.limit {
                best.insert(place, Scored { id, score });
                best.truncate(options.limit);
            }
        }
        Ok(best)
    }
}

/// The first look at one segment.
struct Look<'a> {
    number: u64,
    slot: &'a Slot,
    /// The living rows that meet the filter; `None` if all that live do.
    met: Option<RoaringBitmap>,
    wanted: &'a Wanted,
    exact: bool,
    costs: Costs,
}

impl Look<'_> {
    fn add_to(&self, candidates: &mut Candidates) -> Result<()> {
        let matches = self.met.as_ref().map_or(self.slot.living(), |met| met.len() as usize);
        let segment = &self.slot.segment;
        if matches == 0 {
            return Ok(());
        }
        let plan = self.costs.plan(segment.len(), matches, candidates.count);
        match plan {
            Plan::Walk { width } if !self.exact && self.walk(width, matches, candidates)? => Ok(()),
            _ => self.scan(matches, candidates),
        }
    }

    /// Walks the graph, and returns whether that gave enough rows.
    fn walk(&self, width: usize, matches: usize, candidates: &mut Candidates) -> Result<bool> {
        let segment = &self.slot.segment;
        let Some(graph) = segment.graph() else {
            segment.want_graph();
            return Ok(false);
        };
        let mut products = Vec::new();
        let mut score = |rows: &[RowNumber], scores: &mut Vec<f32>| {
            segment.products_of(&self.wanted.coded.codes, rows, &mut products)?;
            scores.clear();
            scores.extend(rows.iter().zip(&products).map(|(row, product)| self.score(*row, *product)));
            Ok(())
        };
        let mut near = graph.near(width, &mut score)?;
        near.retain(|row| self.may_be_found(*row));
        if near.len() < candidates.count.min(matches) {
            return Ok(false);
        }
        segment.products_of(&self.wanted.coded.codes, &near, &mut products)?;
        near.iter().zip(&products).for_each(|(row, product)| self.offer(*row, *product, candidates));
        Ok(true)
    }

    /// Looks at each row that may be found.
    fn scan(&self, matches: usize, candidates: &mut Candidates) -> Result<()> {
        let (segment, codes) = (&self.slot.segment, &self.wanted.coded.codes);
        match &self.met {
            Some(met) if matches * SCATTERED < segment.len() => {
                let (mut rows, mut products) = (met.iter(), Vec::new());
                let mut some = Vec::with_capacity(BLOCK);
                loop {
                    some.clear();
                    some.extend(rows.by_ref().take(BLOCK));
                    if some.is_empty() {
                        return Ok(());
                    }
                    segment.products_of(codes, &some, &mut products)?;
                    let found = some.iter().zip(&products);
                    found.for_each(|(row, product)| self.offer(*row, *product, candidates));
                }
            }
            _ => segment.products(codes, 0, segment.len(), |row, product| {
                // Most rows are too far, which is cheaper to see than whether they may be found.
                if self.is_near(row, product, candidates.floor) && self.may_be_found(row) {
                    self.offer(row, product, candidates);
                }
            }),
        }
    }

    fn may_be_found(&self, row: RowNumber) -> bool {
        match &self.met {
            Some(met) => met.contains(row),
            None => self.slot.dead.is_empty() || !self.slot.dead.contains(row),
        }
    }

    fn score(&self, row: RowNumber, product: i32) -> f32 {
        let shape = self.slot.segment.shapes[row as usize];
        score_of_codes(self.wanted.metric, product, self.wanted.coded.shape, shape)
    }

    fn error(&self, row: RowNumber) -> f32 {
        if !self.exact {
            return 0.0;
        }
        let shape = self.slot.segment.shapes[row as usize];
        error_of_codes(self.wanted.metric, self.wanted.coded.shape, shape)
    }

    fn is_near(&self, row: RowNumber, product: i32, floor: f32) -> bool {
        self.score(row, product) + self.error(row) >= floor
    }

    fn offer(&self, row: RowNumber, product: i32, candidates: &mut Candidates) {
        let (about, error) = (self.score(row, product), self.error(row));
        if about + error >= candidates.floor {
            candidates.push(Candidate { segment: self.number, row, about, error });
        }
    }
}

/// How many rows that follow each other are looked at in the time that one somewhere takes.
const SCATTERED: usize = 8;
