//! What a search asks for, and what it answers.

use loomwork_models::Usage;
use loomwork_search::{RANK_CONSTANT, Recency};
use loomwork_store::Row;
use serde::{Deserialize, Serialize};

use crate::filter::Filter;
use crate::rerank::Reranking;
use crate::tables::{ChunkId, EntryId, EntryRow, Metadata, NamespaceId, Place};
use crate::{Error, Result};

/// The most hits of one search.
pub const MAX_LIMIT: usize = 250;

/// The most chunks that one search returns with what is around its hits.
pub const MAX_CHUNKS: usize = 5_000;

/// The most chunks around a hit, on each side.
pub const MAX_CONTEXT: u32 = 1_000;

/// By what a search finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// By meaning.
    #[default]
    Vector,
    /// By words; no text is embedded.
    Text,
    /// By both.
    Hybrid,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// A text.
    Text(String),
    /// A vector, which finds by meaning alone.
    Vector(Vec<f32>),
}

impl Default for Ask {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl From<&str> for Ask {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Ask {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<f32>> for Ask {
    fn from(vector: Vec<f32>) -> Self {
        Self::Vector(vector)
    }
}

/// What is returned around a hit.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Context {
    /// So many chunks before and after it. Ranges never overlap: what is before a later hit belongs to
    /// that one.
    Chunks {
        /// How many before it.
        before: u32,
        /// How many after it.
        after: u32,
    },
    /// The chunks around it that stand under the same headings, at most so many on each side.
    Section {
        /// How many on each side.
        most: u32,
    },
    /// The whole entry where at least this share of its chunks, from 0 to 1, are hits, and else the hit. Of an
    /// entry of more than [`MAX_CONTEXT`] chunks, the hit.
    Whole {
        /// The share.
        from: f32,
    },
}

impl Default for Context {
    fn default() -> Self {
        Self::Chunks { before: 0, after: 0 }
    }
}

/// In which order results are returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The best first.
    #[default]
    Best,
    /// The best at both ends: models read the middle of a long text with the least attention.
    Edges,
}

/// What a search asks for. New fields may come, so end a literal with `..Query::default()`; a text converts
/// into one.
#[derive(Clone, Debug)]
pub struct Query {
    /// A text or a vector.
    pub ask: Ask,
    /// By what it finds. Default: by meaning.
    pub mode: Mode,
    /// What may be found. Default: everything.
    pub filter: Filter,
    /// How many hits are wanted; with what is around them they become results. Default: 10.
    pub limit: usize,
    /// What is returned around each hit. Default: nothing.
    pub context: Context,
    /// The least score by meaning, importance times cosine, of what is found by meaning. Default: any.
    pub threshold: Option<f32>,
    /// The least score by words, importance times BM25, of what is found by words. Default: any.
    pub text_threshold: Option<f32>,
    /// How much a rank by words counts in a hybrid search. Default: 1.
    pub text_weight: f64,
    /// How much a rank by meaning counts in a hybrid search. Default: 1.
    pub vector_weight: f64,
    /// How little the first ranks differ there. Default: 10.
    pub rank_constant: f64,
    /// Whether newer chunks come first. Default: no.
    pub recency: Option<Recency>,
    /// Puts the hits in another order before they are cut. Default: nothing does.
    pub rerank: Option<Reranking>,
    /// How much it counts, from 0 to 1, that hits differ from those before them. Default: not at all.
    pub diversity: f32,
    /// The order of the results. Default: the best first.
    pub order: Order,
    /// Whom to attribute the embedding of the query to.
    pub user: Option<String>,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            ask: Ask::default(),
            mode: Mode::default(),
            filter: Filter::Everything,
            limit: 10,
            context: Context::default(),
            threshold: None,
            text_threshold: None,
            text_weight: 1.0,
            vector_weight: 1.0,
            rank_constant: RANK_CONSTANT,
            recency: None,
            rerank: None,
            diversity: 0.0,
            order: Order::Best,
            user: None,
        }
    }
}

impl<A: Into<Ask>> From<A> for Query {
    fn from(ask: A) -> Self {
        Self { ask: ask.into(), ..Self::default() }
    }
}

impl Query {
    /// Returns a query by words.
    pub fn words(text: impl Into<String>) -> Self {
        Self { mode: Mode::Text, ..Self::from(text.into()) }
    }

    /// Returns a query by words and meaning.
    pub fn hybrid(text: impl Into<String>) -> Self {
        Self { mode: Mode::Hybrid, ..Self::from(text.into()) }
    }

    /// Returns the way in which it searches: with a vector there are no words.
    pub(crate) fn way(&self) -> Mode {
        match self.ask {
            Ask::Vector(_) => Mode::Vector,
            Ask::Text(_) => self.mode,
        }
    }

    /// Returns what it asks for in words.
    pub(crate) fn text(&self) -> &str {
        match &self.ask {
            Ask::Text(text) => text,
            Ask::Vector(_) => "",
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.limit > MAX_LIMIT {
            return Err(Error::bad("a limit of", self.limit, format!("the most is {MAX_LIMIT}")));
        }
        if self.mode == Mode::Text && matches!(self.ask, Ask::Vector(_)) {
            return Err(Error::bad("a search by words with", "a vector", "give it a text"));
        }
        let (weights, range) = ([self.text_weight, self.vector_weight], 0.0..f64::INFINITY);
        if let Some(wrong) = weights.into_iter().find(|weight| !range.contains(weight)) {
            return Err(Error::bad("a weight of", wrong, "it has to be 0 or more"));
        }
        if !(self.rank_constant > 0.0 && self.rank_constant.is_finite()) {
            return Err(Error::bad("a rank constant of", self.rank_constant, "it has to be above 0"));
        }
        if !(0.0..=1.0).contains(&self.diversity) {
            return Err(Error::bad("a diversity of", self.diversity, "it has to be 0 to 1"));
        }
        for threshold in [self.threshold, self.text_threshold].into_iter().flatten() {
            if !threshold.is_finite() {
                return Err(Error::bad("a threshold of", threshold, "it has to be a number"));
            }
        }
        match self.context {
            Context::Chunks { before, after } if before.max(after) > MAX_CONTEXT => {
                let found = before.max(after);
                Err(Error::bad(
                    "a context of",
                    format!("{found} chunks"),
                    format!("the most is {MAX_CONTEXT}"),
                ))
            }
            Context::Section { most } if most > MAX_CONTEXT => Err(Error::bad(
                "a context of",
                format!("{most} chunks"),
                format!("the most is {MAX_CONTEXT}"),
            )),
            Context::Whole { from } if !(0.0..=1.0).contains(&from) => {
                Err(Error::bad("a share of", from, "it has to be 0 to 1"))
            }
            _ => Ok(()),
        }
    }
}

/// How good a hit is, each in its own measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scores {
    /// Importance times cosine, if it was found by meaning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector: Option<f32>,
    /// Importance times BM25, if it was found by words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<f32>,
    /// What both ranks come to, in a hybrid search.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fused: Option<f64>,
    /// What the reranker says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reranked: Option<f32>,
}

/// A chunk that is returned.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundChunk {
    /// The chunk, by an id that stays as long as this version of its entry.
    pub id: ChunkId,
    /// Its place in the entry.
    pub order: u32,
    /// Its text.
    pub text: String,
    /// What the application keeps with it.
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// Where it is in its source.
    #[serde(flatten)]
    pub place: Place,
}

/// A hit with what is around it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundRange {
    /// The namespace.
    pub namespace: NamespaceId,
    /// The entry.
    pub entry: EntryId,
    /// The place of the hit in it.
    pub order: u32,
    /// The place of the first chunk that is returned.
    pub start_order: u32,
    /// The chunks, in their order.
    pub content: Vec<FoundChunk>,
    /// By meaning in one namespace, the score by meaning. By words, by both, from several namespaces or with a
    /// reranker, how far in front it is: 1 for the first of N, 1/N for the last. `scores` has all of them.
    pub score: f64,
    /// How good the hit is, in each measure.
    pub scores: Scores,
}

/// An entry that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundEntry {
    /// The entry.
    pub entry: Row<EntryRow>,
    /// Its ranges as one text.
    pub text: String,
}

/// Something that did not go as asked, and did not stop the search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Note {
    /// A hybrid search with a vector found by meaning alone.
    NoWords,
    /// The reranker failed or took too long, so the hits are as they were.
    NotReranked(String),
    /// What is searched is being made anew: some may be missing.
    Filling,
    /// Entries were replaced or deleted so fast that some hits may be missing.
    Late,
    /// The text was cut to its beginning before words were looked for.
    TextCut,
    /// What is around the hits came to more than [`MAX_CHUNKS`], so the last of them come alone.
    ContextCut,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// The hits with what is around them.
    pub results: Vec<FoundRange>,
    /// Their entries, in the order of their best hits.
    pub entries: Vec<FoundEntry>,
    /// All of it as one text.
    pub text: String,
    /// What the query used.
    pub usage: Usage,
    /// What did not go as asked.
    pub notes: Vec<Note>,
}

impl Found {
    /// Returns an entry that was found.
    pub fn entry(&self, id: EntryId) -> Option<&Row<EntryRow>> {
        self.entries.iter().map(|found| &found.entry).find(|entry| entry.id == id)
    }
}
