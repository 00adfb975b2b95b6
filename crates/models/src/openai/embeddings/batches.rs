//! Which texts go together into one call.

use std::ops::Range;

use super::EmbeddingLimits;
use crate::{Estimator, TokenCounter};

/// Splits texts into runs that keep the limits. A text that has too many tokens by itself goes alone:
/// the estimate may be wrong, and the provider knows.
pub(super) fn split(texts: &[String], limits: &EmbeddingLimits) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut sum) = (0, 0);
    for (index, text) in texts.iter().enumerate() {
        let tokens = Estimator.count(text);
        let is_full = index - start >= limits.texts.max(1) || sum + tokens > limits.tokens;
        if is_full && index > start {
            batches.push(start..index);
            (start, sum) = (index, 0);
        }
        sum += tokens;
    }
    if start < texts.len() {
        batches.push(start..texts.len());
    }
    batches
}
