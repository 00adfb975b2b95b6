//! What a request costs: estimates and weights, in whole numbers.

/// How much a unit of a kind counts, in thousandths: cached tokens may count a tenth, those of an answer five
/// times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Weight(u32);

impl Weight {
    /// Counts not at all.
    pub const FREE: Self = Self(0);
    /// Counts as one.
    pub const ONE: Self = Self::thousandths(1_000);

    /// Counts so many thousandths.
    pub const fn thousandths(thousandths: u32) -> Self {
        Self(thousandths)
    }
}

/// Returns what amounts of several kinds cost together: the exact sum, rounded up once at the end.
///
/// ```
/// use loomwork_rate_limiter::{Weight, weighted};
///
/// let (fresh, cached, output) = (1_200, 8_005, 300);
/// let cost = weighted([
///     (fresh, Weight::ONE),
///     (cached, Weight::thousandths(100)),
///     (output, Weight::thousandths(5_000)),
/// ]);
/// assert_eq!(cost, 1_200 + 801 + 1_500);
/// ```
pub fn weighted(amounts: impl IntoIterator<Item = (u64, Weight)>) -> u64 {
    let cost = |(amount, Weight(thousandths))| u128::from(amount) * u128::from(thousandths);
    let thousandths = amounts.into_iter().map(cost).fold(0, u128::saturating_add);
    u64::try_from(thousandths.div_ceil(1_000)).unwrap_or(u64::MAX)
}

/// Estimates the tokens that answering a question takes, with the context it is asked in: the total of the
/// latest answer in its thread, or one if there is none, a token for four characters of the question, and an
/// answer of three times as many and one more. It is too high where the context was shortened since.
pub fn estimated_tokens(question: &str, latest_total: Option<u64>) -> u64 {
    // A quarter for the question and three quarters for the answer are the whole.
    let characters = u64::try_from(question.chars().count()).unwrap_or(u64::MAX);
    latest_total.unwrap_or(1).saturating_add(characters).saturating_add(1)
}
