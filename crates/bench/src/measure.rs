//! Rounds, medians and targets.

use anyhow::Result;

/// How many interleaved rounds a row is measured in.
pub(crate) const ROUNDS: usize = 5;

/// One figure: ours and the baseline's of each round.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) ours: Vec<f64>,
    /// Empty where the target is an absolute value.
    pub(crate) baseline: Vec<f64>,
    pub(crate) target: Target,
}

/// What a row should reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// Ours over the baseline, at least.
    RatioAtLeast(f64),
    /// Ours over the baseline, at most.
    RatioAtMost(f64),
    /// Our own value, at most.
    ValueAtMost(f64),
    /// Our own value, at least.
    ValueAtLeast(f64),
    /// Shown without a judgement.
    None,
}

impl Row {
    /// Measures both sides in turn, so that a noisy moment hits both.
    pub(crate) fn measured(
        name: &'static str,
        unit: &'static str,
        target: Target,
        mut ours: impl FnMut() -> Result<f64>,
        mut baseline: impl FnMut() -> Result<f64>,
    ) -> Result<Self> {
        let mut row = Self { name, unit, ours: Vec::new(), baseline: Vec::new(), target };
        for _ in 0..ROUNDS {
            row.ours.push(ours()?);
            row.baseline.push(baseline()?);
        }
        Ok(row)
    }

    pub(crate) fn value(&self) -> f64 {
        median(&self.ours)
    }

    pub(crate) fn baseline_value(&self) -> Option<f64> {
        (!self.baseline.is_empty()).then(|| median(&self.baseline))
    }

    pub(crate) fn ratio(&self) -> Option<f64> {
        self.baseline_value().map(|baseline| self.value() / baseline)
    }

    pub(crate) fn target_value(&self) -> Option<f64> {
        match self.target {
            Target::RatioAtLeast(target)
            | Target::RatioAtMost(target)
            | Target::ValueAtMost(target)
            | Target::ValueAtLeast(target) => Some(target),
            Target::None => None,
        }
    }

    pub(crate) fn is_met(&self) -> bool {
        let ratio = self.ratio().unwrap_or(f64::NAN);
        match self.target {
            Target::RatioAtLeast(target) => ratio >= target,
            Target::RatioAtMost(target) => ratio <= target,
            Target::ValueAtMost(target) => self.value() <= target,
            Target::ValueAtLeast(target) => self.value() >= target,
            Target::None => true,
        }
    }
}

pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// The value below which the share `at` of all lie.
pub(crate) fn percentile(values: &[f64], at: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * at).round() as usize).copied().unwrap_or(f64::NAN)
}
