//! Importance, folded into vectors.
//!
//! A vector is kept with its importance as its length, and the index compares by products. So the score of
//! a chunk is its importance times the cosine, the nearest are ranked by exactly that, and nothing is
//! looked at twice.

use crate::{Error, Result};

/// How much counts of which nobody says it.
pub(crate) const WHOLE: f32 = 1.0;

/// The length of vectors of no importance: not zero, so that they can be given another one.
const LEAST: f64 = 1e-6;

/// Checks that an importance is one.
pub(crate) fn check(importance: f32) -> Result<()> {
    if (0.0..=1.0).contains(&importance) {
        return Ok(());
    }
    Err(Error::bad("an importance of", importance, "it has to be 0 to 1"))
}

/// Returns a vector of any length with the length of its importance; one of zeros stays as it is.
pub(crate) fn folded(vector: &[f32], importance: f32) -> Vec<f32> {
    let length = vector.iter().map(|part| f64::from(*part).powi(2)).sum::<f64>().sqrt();
    let factor = if length > 0.0 { f64::from(importance).max(LEAST) / length } else { 0.0 };
    vector.iter().map(|part| (f64::from(*part) * factor) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(one: &[f32], two: &[f32]) -> f32 {
        one.iter().zip(two).map(|(one, two)| one * two).sum()
    }

    #[test]
    fn a_score_is_importance_times_cosine() {
        let (vector, query) = ([3.0, 4.0, 0.0], folded(&[3.0, 4.0, 0.0], 1.0));
        for importance in [0.0, 0.1, 0.25, 0.5, 0.75, 1.0] {
            let score = product(&folded(&vector, importance), &query);
            assert!((score - importance).abs() < 1e-5, "{importance}: {score}");
        }
    }

    #[test]
    fn an_importance_can_be_changed_from_any_to_any() {
        let vector = [0.6_f32, 0.0, 0.8];
        for before in [0.0, 0.3, 1.0] {
            let again = folded(&folded(&vector, before), 1.0);
            assert!(product(&again, &vector) > 1.0 - 1e-5, "{before}: {again:?}");
        }
        assert_eq!(folded(&[0.0, 0.0], 0.5), [0.0, 0.0]);
    }

    #[test]
    fn what_is_no_importance_is_refused() {
        for wrong in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
        assert!(check(0.0).is_ok() && check(1.0).is_ok());
    }
}
