//! Vectors as bytes: an eighth of a float's precision and a quarter of its size, for the first look.

use crate::Metric;
use crate::metric::length;

/// The greatest code; codes are symmetric, so that a product has no offset.
const TOP: f32 = 127.0;

/// What sums of floats lose by rounding, at most, between vectors of length 1.
const ROUNDING: f32 = 1e-4;

/// A vector as bytes, and how far it is from what it stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Coded {
    pub(crate) codes: Vec<i8>,
    pub(crate) shape: Shape,
}

/// What is known of a coded vector besides its codes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shape {
    /// What a code of 1 stands for.
    pub(crate) scale: f32,
    /// The length of what the codes stand for.
    pub(crate) length: f32,
    /// The length of the difference to the vector itself.
    pub(crate) error: f32,
}

impl Coded {
    pub(crate) fn of(vector: &[f32]) -> Self {
        let peak = vector.iter().fold(0.0_f32, |peak, part| peak.max(part.abs()));
        let scale = peak / TOP;
        // The least floats have no smaller ones to be scaled by, and are as good as nothing.
        if !scale.is_normal() {
            let error = length(vector) as f32;
            return Self { codes: vec![0; vector.len()], shape: Shape { scale: 0.0, length: 0.0, error } };
        }
        let codes: Vec<i8> =
            vector.iter().map(|part| (part / scale).round().clamp(-TOP, TOP) as i8).collect();
        let apart = vector.iter().zip(&codes).map(|(part, code)| {
            let apart = f64::from(*part) - f64::from(*code) * f64::from(scale);
            apart * apart
        });
        let error = apart.sum::<f64>().sqrt() as f32;
        let squares: i64 = codes.iter().map(|code| i64::from(*code).pow(2)).sum();
        let length = ((squares as f64).sqrt() * f64::from(scale)).min(f64::from(f32::MAX)) as f32;
        Self { codes, shape: Shape { scale, length, error } }
    }
}

/// Returns the score of what two rows of codes stand for, from the product of the codes.
#[inline]
pub(crate) fn score_of_codes(metric: Metric, product: i32, one: Shape, two: Shape) -> f32 {
    match metric {
        Metric::Cosine | Metric::Product => product as f32 * one.scale * two.scale,
        Metric::Distance => {
            // Near vectors have nearly the same three terms, so they are doubles.
            let product = f64::from(product) * f64::from(one.scale) * f64::from(two.scale);
            let squares = f64::from(one.length).powi(2) + f64::from(two.length).powi(2);
            -(squares - 2.0 * product).max(0.0).sqrt() as f32
        }
    }
}

/// Returns how far the score of the codes may be from that of the vectors.
pub(crate) fn error_of_codes(metric: Metric, one: Shape, two: Shape) -> f32 {
    let apart = match metric {
        // |q·v - q'·v'| <= |q||v - v'| + |v'||q - q'|, and |q| <= |q'| + |q - q'|.
        Metric::Cosine | Metric::Product => {
            let of_one = one.length + one.error;
            of_one * two.error + two.length * one.error + ROUNDING * of_one * (two.length + two.error)
        }
        // ||q - v| - |q' - v'|| <= |q - q'| + |v - v'|.
        Metric::Distance => {
            let lengths = one.length + one.error + two.length + two.error;
            one.error + two.error + ROUNDING * lengths
        }
    };
    // Sums of the largest floats are no number to compare with: such a row is always looked at twice.
    if apart.is_nan() { f32::INFINITY } else { apart }
}
