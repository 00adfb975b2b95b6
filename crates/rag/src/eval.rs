//! How well a knowledge base finds what is known to answer.
//!
//! ```
//! use loomwork_rag::eval::{self, Case};
//!
//! let case = Case::new("who punched the cards?", ["jacquard"]);
//! let scores = eval::score(&["carpets", "jacquard"], &case.relevant, 10);
//! assert_eq!((scores.recall, scores.mrr), (1.0, 0.5));
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::query::{Ask, Context, Found, MAX_LIMIT, Order, Query};
use crate::rag::Rag;
use crate::{Error, Result};

/// A question, and what answers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// The question.
    pub query: String,
    /// The keys of the entries that answer it, and how well each does: 1 is the usual.
    pub relevant: BTreeMap<String, f64>,
}

impl Case {
    /// Returns a question that these entries answer equally well.
    pub fn new<K: Into<String>>(query: impl Into<String>, keys: impl IntoIterator<Item = K>) -> Self {
        let relevant = keys.into_iter().map(|key| (key.into(), 1.0)).collect();
        Self { query: query.into(), relevant }
    }
}

/// How good a ranking is, each from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Which part of what is relevant was found.
    pub recall: f64,
    /// One over the rank of the first that is relevant.
    pub mrr: f64,
    /// The gain discounted by ranks, over that of the best ranking.
    pub ndcg: f64,
}

/// What an evaluation came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How many ranks were looked at.
    pub k: usize,
    /// The means over all questions.
    pub mean: Scores,
    /// Each question with its scores and what was found for it.
    pub cases: Vec<Outcome>,
}

/// What one question came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The question.
    pub query: String,
    /// Its scores.
    pub scores: Scores,
    /// The keys that were found, best first.
    pub found: Vec<String>,
}

/// Scores the first `k` of a ranking. What is found twice counts once.
pub fn score(ranked: &[impl AsRef<str>], relevant: &BTreeMap<String, f64>, k: usize) -> Scores {
    let mut seen: Vec<&str> = Vec::new();
    for key in ranked.iter().map(AsRef::as_ref) {
        if !seen.contains(&key) && seen.len() < k {
            seen.push(key);
        }
    }
    let gain = |key: &str| relevant.get(key).copied().unwrap_or_default();
    let discounted = |gain: f64, rank: usize| gain / (rank as f64 + 2.0).log2();
    let hits = seen.iter().filter(|key| gain(key) > 0.0).count();
    let of = relevant.values().filter(|gain| **gain > 0.0).count();
    let first = seen.iter().position(|key| gain(key) > 0.0);
    let found: f64 = seen.iter().enumerate().map(|(rank, key)| discounted(gain(key), rank)).sum();
    let mut best: Vec<f64> = relevant.values().copied().collect();
    best.sort_by(|one, two| two.total_cmp(one));
    let best: f64 = best.into_iter().take(k).enumerate().map(|(rank, gain)| discounted(gain, rank)).sum();
    Scores {
        recall: if of == 0 { 0.0 } else { hits as f64 / of as f64 },
        mrr: first.map_or(0.0, |rank| 1.0 / (rank as f64 + 1.0)),
        ndcg: if best == 0.0 { 0.0 } else { found / best },
    }
}

impl Rag {
    /// Asks each question as `query` says and scores the keys of the first `k` entries that are found, best first.
    /// Comparing two queries over the same questions tells which settings are better. A limit counts chunks, so it is
    /// raised, up to [`MAX_LIMIT`], until there are `k` entries or all that there are; what is around hits is not read.
    ///
    /// # Errors
    /// Without questions; as [`search`](Self::search).
    pub async fn evaluate(&self, namespace: &str, cases: &[Case], query: &Query, k: usize) -> Result<Report> {
        if cases.is_empty() {
            return Err(Error::bad("an evaluation of", "no questions", "give it at least one"));
        }
        let mut report = Report { k, ..Report::default() };
        for case in cases {
            let asked = Query {
                ask: Ask::Text(case.query.clone()),
                order: Order::Best,
                context: Context::default(),
                ..query.clone()
            };
            let found = self.find_entries(namespace, asked, k).await?;
            let keys = found.entries.iter().filter_map(|found| found.entry.key.clone());
            let found: Vec<String> = keys.take(k).collect();
            let scores = score(&found, &case.relevant, k);
            let share = 1.0 / cases.len() as f64;
            report.mean.recall += scores.recall * share;
            report.mean.mrr += scores.mrr * share;
            report.mean.ndcg += scores.ndcg * share;
            report.cases.push(Outcome { query: case.query.clone(), scores, found });
        }
        Ok(report)
    }

    /// Searches until there are so many entries, or all that there are.
    async fn find_entries(&self, namespace: &str, mut query: Query, count: usize) -> Result<Found> {
        query.limit = query.limit.max(count).min(MAX_LIMIT);
        loop {
            let found = self.search(namespace, query.clone()).await?;
            let is_all = found.results.len() < query.limit || query.limit == MAX_LIMIT;
            if is_all || found.entries.len() >= count {
                return Ok(found);
            }
            query.limit = (2 * query.limit).min(MAX_LIMIT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ranked: &[&str], relevant: &[(&str, f64)], k: usize, right: (f64, f64, f64)) {
        let relevant = relevant.iter().map(|(key, gain)| ((*key).to_owned(), *gain)).collect();
        let Scores { recall, mrr, ndcg } = score(ranked, &relevant, k);
        let near = |one: f64, two: f64| (one - two).abs() < 1e-3;
        assert!(near(recall, right.0) && near(mrr, right.1) && near(ndcg, right.2), "{recall} {mrr} {ndcg}");
    }

    #[test]
    fn scores_are_those_of_the_textbook() {
        check(&["a", "b"], &[("a", 1.0)], 10, (1.0, 1.0, 1.0));
        check(&["b", "a"], &[("a", 1.0)], 10, (1.0, 0.5, 0.631));
        check(&["x", "a", "b"], &[("a", 1.0), ("b", 1.0)], 3, (1.0, 0.5, 0.693));
        check(&["x", "a", "b"], &[("a", 1.0), ("b", 1.0)], 2, (0.5, 0.5, 0.387));
        check(&["b", "a"], &[("a", 3.0), ("b", 1.0)], 2, (1.0, 1.0, 0.797));
        check(&["x", "x", "a"], &[("a", 1.0)], 2, (1.0, 0.5, 0.631));
        check(&[], &[("a", 1.0)], 10, (0.0, 0.0, 0.0));
        check(&["a"], &[], 10, (0.0, 0.0, 0.0));
    }
}
