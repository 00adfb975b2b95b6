//! How the rankings of several searches become one.

use std::collections::HashMap;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use crate::Metric;

/// The constant of reciprocal rank fusion: how little the first ranks differ.
pub const RANK_CONSTANT: f64 = 10.0;

/// How the rankings of text and vectors become one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Fusion {
    /// By ranks: a hit counts `weight / (k + rank)` in each ranking that has it, with ranks from 0, and
    /// nothing in the others.
    Ranks {
        /// The constant `k`.
        k: f64,
        /// The weight of the text ranking.
        text: f64,
        /// The weight of the vector ranking.
        vector: f64,
    },
    /// By scores: each ranking's scores are brought to 0..=1 and added. Text scores are divided by the
    /// best one; what [`Metric`] says is moved: a cosine from -1..=1, a distance `d` to `1 / (1 + d)`, a
    /// product `p` to `1 / (1 + e^-p)`.
    Scores {
        /// The weight of the vector ranking; that of the text ranking is the rest to 1.
        vector: f64,
    },
}

impl Default for Fusion {
    fn default() -> Self {
        Self::Ranks { k: RANK_CONSTANT, text: 1.0, vector: 1.0 }
    }
}

/// Merges rankings by reciprocal ranks: a thing counts `weight / (k + rank)` in each that has it, with
/// ranks from 0. A missing weight is 1; what counts less than `cutoff` is left out.
///
/// What comes out is ordered by its count; equals stay in the order in which they were first seen.
///
/// ```
/// use loomwork_search::fuse_ranks;
///
/// let fused = fuse_ranks([vec![1, 2, 3], vec![2, 3, 1]], &[], 10.0, 0.0);
/// assert_eq!(fused.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 1, 3]);
/// ```
pub fn fuse_ranks<T: Clone + Eq + Hash>(
    rankings: impl IntoIterator<Item = Vec<T>>,
    weights: &[f64],
    k: f64,
    cutoff: f64,
) -> Vec<(T, f64)> {
    let weights = weights.iter().copied().chain(std::iter::repeat(1.0));
    let counted = rankings.into_iter().zip(weights).flat_map(|(ranking, weight)| {
        ranking.into_iter().enumerate().map(move |(rank, thing)| (thing, weight / (k + rank as f64)))
    });
    let mut sums = sum(counted);
    sums.retain(|(_, count)| *count >= cutoff);
    sums
}

/// Adds up what each thing counts and orders by the sums, the first seen first among equals.
pub(crate) fn sum<T: Clone + Eq + Hash>(counted: impl Iterator<Item = (T, f64)>) -> Vec<(T, f64)> {
    let mut places = HashMap::new();
    let mut sums: Vec<(T, f64)> = Vec::new();
    for (thing, count) in counted {
        let place = *places.entry(thing.clone()).or_insert(sums.len());
        match sums.get_mut(place) {
            Some((_, sum)) => *sum += count,
            None => sums.push((thing, count)),
        }
    }
    sums.sort_by(|one, two| two.1.total_cmp(&one.1));
    sums
}

impl Fusion {
    /// Merges the two rankings, best first.
    pub(crate) fn fuse<T: Clone + Eq + Hash>(
        &self,
        metric: Metric,
        text: &[(T, f32)],
        vector: &[(T, f32)],
    ) -> Vec<(T, f64)> {
        let things =
            |ranking: &[(T, f32)]| ranking.iter().map(|(thing, _)| thing.clone()).collect::<Vec<_>>();
        match *self {
            Self::Ranks { k, text: text_weight, vector: vector_weight } => {
                // Equals go by the vector's order first, as the weights are given.
                fuse_ranks([things(vector), things(text)], &[vector_weight, text_weight], k, 0.0)
            }
            Self::Scores { vector: weight } => {
                let best = text.iter().map(|(_, score)| f64::from(*score)).fold(0.0, f64::max);
                let scale = if best > 0.0 { (1.0 - weight) / best } else { 0.0 };
                let shares = vector
                    .iter()
                    .map(|(thing, score)| (thing.clone(), weight * metric.share(f64::from(*score))));
                let scores = text.iter().map(|(thing, score)| (thing.clone(), scale * f64::from(*score)));
                sum(shares.chain(scores))
            }
        }
    }
}
