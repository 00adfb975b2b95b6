//! Finding the nearest vectors.

use roaring::RoaringBitmap;

use super::codes::{Coded, normalise};
use super::index::{Slot, VectorIndex};
use super::kernel;
use super::segment::RowNumber;
use crate::doc::Scored;
use crate::{Filter, Result};

/// How many rows the second look takes for each one that is wanted.
const SECOND_LOOK: usize = 3;

/// How many rows the second look takes at least.
const MIN_SECOND_LOOK: usize = 30;

/// How the nearest vectors are found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct VectorOptions {
    /// How many to return.
    pub(crate) limit: usize,
    /// The least cosine.
    pub(crate) threshold: Option<f32>,
    /// Whether the answer shall be proven to be the nearest, which looks at more rows twice.
    pub(crate) exact: bool,
}

/// A row that may be near.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    segment: u64,
    row: RowNumber,
    /// The product of the codes.
    about: f32,
    /// How far that may be from the product of the vectors.
    error: f32,
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
        let mut query = vector.to_vec();
        normalise(&mut query);
        let coded = Coded::of(&query);
        let state = self.state();
        let mut candidates = Vec::new();
        for (number, slot) in &state.segments {
            let met = slot.segment.columns.matching(filter, &self.schema);
            look(*number, slot, met, &coded, &mut candidates);
        }
        let mut second = candidates;
        if !options.exact {
            let wanted = (options.limit * SECOND_LOOK).max(MIN_SECOND_LOOK);
            if second.len() > wanted {
                second.select_nth_unstable_by(wanted, |one, two| two.about.total_cmp(&one.about));
                second.truncate(wanted);
            }
        } else {
            second.sort_unstable_by(|one, two| (two.about + two.error).total_cmp(&(one.about + one.error)));
        }
        let mut best: Vec<Scored> = Vec::new();
        let mut stored = Vec::new();
        for candidate in second {
            // Exact: all that follow are at most as near as this one may be.
            let full = options.exact && best.len() >= options.limit;
            if full && best.last().is_some_and(|last| last.score > candidate.about + candidate.error) {
                break;
            }
            let Some(slot) = state.segments.get(&candidate.segment) else { continue };
            slot.segment.read(candidate.row, &mut stored)?;
            let score = kernel::product(&query, &stored).clamp(-1.0, 1.0);
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

/// Adds the rows of a segment that meet a filter, with the products of their codes.
fn look(
    number: u64,
    slot: &Slot,
    met: Option<RoaringBitmap>,
    query: &Coded,
    candidates: &mut Vec<Candidate>,
) {
    let segment = &slot.segment;
    let mut products = Vec::new();
    let mut add = |row: RowNumber, product: i32| {
        let (scale, error) = (segment.scales[row as usize], segment.errors[row as usize]);
        // |q·v - q'·v'| <= |q||v - v'| + |v'||q - q'|, and lengths are 1 and at most 1 + error.
        let error = error + query.error * (1.0 + error) + ROUNDING;
        candidates.push(Candidate {
            segment: number,
            row,
            about: product as f32 * query.scale * scale,
            error,
        });
    };
    match met.map(|met| met - &slot.dead) {
        None => {
            products.resize(segment.len(), 0);
            kernel::products_of_codes(&query.codes, &segment.codes, &mut products);
            let rows =
                (0..).zip(&products).filter(|(row, _)| slot.dead.is_empty() || !slot.dead.contains(*row));
            rows.for_each(|(row, product)| add(row, *product));
        }
        Some(met) => {
            let rows: Vec<RowNumber> = met.iter().collect();
            kernel::products_of_chosen_codes(&query.codes, &segment.codes, &rows, &mut products);
            rows.iter().zip(&products).for_each(|(row, product)| add(*row, *product));
        }
    }
}

/// What sums of floats lose by rounding, at most, between vectors of length 1.
const ROUNDING: f32 = 1e-4;
