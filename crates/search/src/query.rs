//! What a search asks for, and what it answers.

use std::time::Duration;

use loomwork_store::{Row, Table};

use crate::index::Schema;
use crate::{Error, Filling, Filter, Fusion, Metric, Result, Snippet, SnippetOptions, Syntax};

/// The most hits of one search.
pub const MAX_LIMIT: usize = 1_000;

/// How many hits each ranking gives to their fusion at least.
pub const MIN_DEPTH: usize = 50;

/// How many hits each ranking gives to their fusion for each one that is wanted.
pub const DEPTH: usize = 4;

/// What a search asks for: a text, a vector, or both. New fields may come, so end a literal with
/// `..Query::default()`.
#[derive(Clone, Debug)]
pub struct Query {
    /// The words to find.
    pub text: Option<String>,
    /// The vector to be near to, as [`Search::embed`](crate::Search::embed) makes it of a text.
    pub vector: Option<QueryVector>,
    /// Which rows may be found. Default: all.
    pub filter: Filter,
    /// How many hits are wanted, up to [`MAX_LIMIT`]. Default: 10.
    pub limit: usize,
    /// How the text is read. Default: as words.
    pub syntax: Syntax,
    /// How the two rankings become one. Default: by their ranks.
    pub fusion: Fusion,
    /// Whether the nearest vectors shall be proven to be the nearest, which takes longer. Default: no.
    pub exact: bool,
    /// The least score of a hit of the vector, by the index's [`Metric`](crate::Metric): a cosine if it says
    /// nothing else. Default: any.
    pub threshold: Option<f32>,
    /// Whether newer rows come first. Default: no.
    pub recency: Option<Recency>,
    /// The filter field whose number, 0 or more, the scores of texts are multiplied by before they are ranked;
    /// a row without one counts as it is. Default: none.
    pub weigh_by: Option<String>,
    /// Whether hits come with the place of their texts that was found. Default: no.
    pub snippets: Option<SnippetOptions>,
}

/// A vector to be near to.
///
/// While the rows of an index are embedded anew by another model, [`Search::embed`](crate::Search::embed)
/// makes it of two, so that rows are found by whichever model has embedded them.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryVector {
    /// In the space of the index.
    pub vector: Vec<f32>,
    /// In the space of [`Builder::former`](crate::Builder::former), while rows are found by that.
    pub former: Option<Vec<f32>>,
}

impl From<Vec<f32>> for QueryVector {
    fn from(vector: Vec<f32>) -> Self {
        Self { vector, former: None }
    }
}

impl From<&[f32]> for QueryVector {
    fn from(vector: &[f32]) -> Self {
        vector.to_vec().into()
    }
}

impl<const N: usize> From<[f32; N]> for QueryVector {
    fn from(vector: [f32; N]) -> Self {
        vector.to_vec().into()
    }
}

impl Default for Query {
    fn default() -> Self {
        Self {
            text: None,
            vector: None,
            filter: Filter::Everything,
            limit: 10,
            syntax: Syntax::default(),
            fusion: Fusion::default(),
            exact: false,
            threshold: None,
            recency: None,
            weigh_by: None,
            snippets: None,
        }
    }
}

impl Query {
    /// Returns a query for words.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    /// Returns a query for what is near a vector.
    pub fn vector(vector: impl Into<QueryVector>) -> Self {
        Self { vector: Some(vector.into()), ..Self::default() }
    }

    /// Returns a query for words and what is near a vector.
    pub fn hybrid(text: impl Into<String>, vector: impl Into<QueryVector>) -> Self {
        Self { text: Some(text.into()), vector: Some(vector.into()), ..Self::default() }
    }

    pub(crate) fn check(&self, schema: &Schema) -> Result<()> {
        let limits = format!("1 to {MAX_LIMIT}");
        check_number("limit", self.limit, (1..=MAX_LIMIT).contains(&self.limit), &limits)?;
        if self.text.is_none() && self.vector.is_none() {
            return Err(Error::EmptyQuery { index: schema.name.clone() });
        }
        if let Some(threshold) = self.threshold {
            let (is_right, right) = match schema.metric {
                Metric::Cosine => ((-1.0..=1.0).contains(&threshold), "a cosine, -1 to 1"),
                Metric::Product => (threshold.is_finite(), "a product, any finite number"),
                Metric::Distance => {
                    (threshold <= 0.0 && threshold.is_finite(), "a distance as a negative number")
                }
            };
            check_number("threshold", threshold, is_right, right)?;
        }
        if let Some(recency) = &self.recency {
            let weight = recency.weight;
            check_number("weight of recency", weight, (0.0..=1.0).contains(&weight), "0 to 1")?;
            let half_life = recency.half_life;
            check_number("half-life", format!("{half_life:?}"), !half_life.is_zero(), "above 0")?;
            recency.field.as_deref().map_or(Ok(0), |field| schema.field(field))?;
        }
        self.weigh_by.as_deref().map_or(Ok(0), |field| schema.field(field))?;
        match self.fusion {
            Fusion::Ranks { k, text, vector } => {
                check_number("constant of the ranks", k, k.is_finite() && k > 0.0, "above 0")?;
                for weight in [text, vector] {
                    let is_right = weight.is_finite() && weight >= 0.0;
                    check_number("weight of a ranking", weight, is_right, "0 or more")?;
                }
            }
            Fusion::Scores { vector } => {
                check_number("weight of the vector", vector, (0.0..=1.0).contains(&vector), "0 to 1")?;
            }
        }
        self.filter.check(schema)
    }
}

fn check_number(what: &'static str, found: impl ToString, is_right: bool, right: &str) -> Result<()> {
    if is_right {
        return Ok(());
    }
    Err(Error::BadNumber { what, found: found.to_string(), right: right.to_owned() })
}

/// How newer rows come first: a score is multiplied by `1 - weight + weight * 2^(-age / half_life)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Recency {
    /// The filter field with the time of a row; where it is `None`, or a row has no time in it, the
    /// row's id says when it was made.
    pub field: Option<String>,
    /// The age at which half of the weighted part is gone.
    pub half_life: Duration,
    /// Which part of the score ages, from 0 to 1. Default: a half.
    pub weight: f64,
}

impl Recency {
    /// Returns the recency of rows by when they were made.
    pub fn new(half_life: Duration) -> Self {
        Self { field: None, half_life, weight: 0.5 }
    }

    pub(crate) fn factor(&self, age: Duration) -> f64 {
        let halves = age.as_secs_f64() / self.half_life.as_secs_f64();
        1.0 - self.weight + self.weight * (-halves).exp2()
    }
}

/// Where a hit stands in one of the rankings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Its rank, from 0.
    pub rank: usize,
    /// Its score there: BM25 of a text, times what [`Query::weigh_by`] says; of a vector its cosine, or what the index's [`Metric`](crate::Metric)
    /// says.
    pub score: f32,
}

/// A row that was found.
#[derive(Clone, Debug)]
pub struct Hit<T: Table> {
    /// The row, as it is in the store.
    pub row: Row<T>,
    /// Its score after fusion and recency; that of its ranking where there is only one.
    pub score: f64,
    /// Where it stands among those found by their texts.
    pub text: Option<Standing>,
    /// Where it stands among those found by their vectors.
    pub vector: Option<Standing>,
    /// The places of its texts that were found, by field.
    pub snippets: Vec<(String, Snippet)>,
}

/// What a search found, best first.
#[derive(Clone, Debug)]
pub struct Hits<T: Table> {
    /// The hits.
    pub hits: Vec<Hit<T>>,
    /// How far the index is filled while it is made anew: rows may be missing then. `None`: it is whole.
    pub filling: Option<Filling>,
}

impl<T: Table> IntoIterator for Hits<T> {
    type Item = Hit<T>;
    type IntoIter = std::vec::IntoIter<Hit<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.hits.into_iter()
    }
}
