//! What makes two vectors near.

use serde::{Deserialize, Serialize};

use crate::vector::kernel;

/// What makes two vectors near: the score of a hit, which is greater the nearer it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Metric {
    /// The cosine of the angle between them, from -1 to 1; how long they are does not count.
    #[default]
    Cosine,
    /// Their product, for models whose vectors say by their lengths how much they count.
    Product,
    /// Their distance, as a negative number: 0 is the same place.
    Distance,
}

impl Metric {
    /// Returns the score of two vectors that [`prepare`](Self::prepare) has seen.
    pub(crate) fn score(self, one: &[f32], two: &[f32]) -> f32 {
        match self {
            Self::Cosine => kernel::product(one, two).clamp(-1.0, 1.0),
            Self::Product => match kernel::product(one, two) {
                product if product.is_finite() => product,
                _ => product_of_large(one, two),
            },
            Self::Distance => match kernel::squared_distance(one, two) {
                squared if squared.is_finite() => -squared.sqrt(),
                _ => -distance_of_large(one, two),
            },
        }
    }

    /// Brings a vector into the form in which it is kept.
    pub(crate) fn prepare(self, vector: &mut [f32]) {
        if self == Self::Cosine {
            normalise(vector);
        }
    }

    /// Brings a score to 0..=1, so that it can be added to that of another ranking.
    pub(crate) fn share(self, score: f64) -> f64 {
        match self {
            Self::Cosine => f64::midpoint(score, 1.0),
            Self::Product => 1.0 / (1.0 + (-score).exp()),
            Self::Distance => 1.0 / (1.0 - score),
        }
    }
}

/// Brings a vector to length 1; one of zeros stays as it is.
pub(crate) fn normalise(vector: &mut [f32]) {
    let length = length(vector);
    if length > 0.0 {
        vector.iter_mut().for_each(|part| *part = (f64::from(*part) / length) as f32);
    }
}

pub(crate) fn length(vector: &[f32]) -> f64 {
    vector.iter().map(|part| f64::from(*part) * f64::from(*part)).sum::<f64>().sqrt()
}

/// Sums of floats may leave the range of a float, while those of doubles do not; the result is cut to it.
fn product_of_large(one: &[f32], two: &[f32]) -> f32 {
    let product: f64 = one.iter().zip(two).map(|(one, two)| f64::from(*one) * f64::from(*two)).sum();
    product.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}

fn distance_of_large(one: &[f32], two: &[f32]) -> f32 {
    let squares = one.iter().zip(two).map(|(one, two)| (f64::from(*one) - f64::from(*two)).powi(2));
    squares.sum::<f64>().sqrt().min(f64::from(f32::MAX)) as f32
}
