//! Vectors of texts without a model.

use std::collections::HashMap;

use async_trait::async_trait;

use super::words::{self, hash};
use crate::{
    EmbedRequest, EmbeddingModel, Embeddings, Error, ErrorKind, Estimator, ModelName, Result, TokenCounter,
    Usage,
};

/// What a word, a pair of neighbours and a piece of a word weigh.
const WORD: f32 = 1.0;
const PAIR: f32 = 0.5;
const PIECE: f32 = 0.35;

/// Words that say little, such as `the`, weigh this share of others.
const COMMON: f32 = 0.2;

/// The lengths of the pieces of words, in characters.
const PIECES: std::ops::RangeInclusive<usize> = 3..=5;

/// An embedding model that needs no network: it compares letters and words, not meanings.
///
/// A text becomes the words, the pairs of neighbouring words and the pieces of words in it, each hashed to
/// a place of the vector with a weight that grows with the logarithm of how often it occurs. So texts that
/// share words or parts of words are near each other, in any language and also with inflections and typing
/// errors; `car` and `automobile` are strangers to it. That is good enough for tests, demonstrations and
/// search in small collections. The same text always gives the same vector.
///
/// ```
/// use loomwork_models::{EmbedRequest, EmbeddingModel, OfflineEmbedder};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> loomwork_models::Result<()> {
/// let texts = ["How do I weave a carpet?", "weaving carpets", "the price of tea"];
/// let vectors = OfflineEmbedder::default().embed(EmbedRequest::new(texts)).await?.vectors;
/// let nearness = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
/// assert!(nearness(&vectors[0], &vectors[1]) > nearness(&vectors[0], &vectors[2]) + 0.1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct OfflineEmbedder {
    name: ModelName,
    dimensions: usize,
}

impl OfflineEmbedder {
    /// The length of its vectors, unless another one is asked for.
    pub const DEFAULT_DIMENSIONS: usize = 384;

    /// The longest vector that it makes.
    pub const MAX_DIMENSIONS: usize = 65_536;

    /// Returns a model whose vectors have this length, which is brought to 1 to
    /// [`MAX_DIMENSIONS`](Self::MAX_DIMENSIONS). Below a hundred or so, strangers begin to look alike.
    pub fn new(dimensions: usize) -> Self {
        let dimensions = dimensions.clamp(1, Self::MAX_DIMENSIONS);
        Self { name: ModelName::new("offline", "lexical"), dimensions }
    }

    fn error(&self, text: String) -> Error {
        Error::new(ErrorKind::BadRequest, &self.name.provider, &self.name.model, text)
    }
}

impl Default for OfflineEmbedder {
    fn default() -> Self {
        Self::new(Self::DEFAULT_DIMENSIONS)
    }
}

#[async_trait]
impl EmbeddingModel for OfflineEmbedder {
    fn name(&self) -> &ModelName {
        &self.name
    }

    fn dimensions(&self) -> Option<usize> {
        Some(self.dimensions)
    }

    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings> {
        let dimensions = request.dimensions.unwrap_or(self.dimensions);
        if !(1..=Self::MAX_DIMENSIONS).contains(&dimensions) {
            let text = format!("vectors have 1 to {} dimensions, not {dimensions}", Self::MAX_DIMENSIONS);
            return Err(self.error(text));
        }
        if let Some(index) = request.texts.iter().position(String::is_empty) {
            return Err(self.error(format!("text {index} is empty, and there is nothing to embed in it")));
        }
        let tokens = request.texts.iter().map(|text| Estimator.count(text)).sum();
        let vectors = request.texts.iter().map(|text| embed(text, dimensions)).collect();
        let usage = Usage { embedding: tokens, ..Usage::default() };
        Ok(Embeddings { vectors, usage, ..Embeddings::default() })
    }
}

fn embed(text: &str, dimensions: usize) -> Vec<f32> {
    let mut features = Features::default();
    features.read(text);
    // A text without a letter is itself a feature, so that its vector has a length.
    if features.counts.is_empty() {
        features.add(b"text", text, WORD);
    }
    let mut vector = vec![0.0; dimensions];
    for (hash, (count, weight)) in features.counts {
        let weight = weight * (1.0 + count.ln());
        let sign = if hash >> 63 == 0 { weight } else { -weight };
        vector[(hash % dimensions as u64) as usize] += sign;
    }
    normalise(&mut vector);
    vector
}

/// Makes the vector's length 1. Features that cancel each other out leave a vector that points anywhere.
fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length < f32::EPSILON {
        vector[0] = 1.0;
        return;
    }
    vector.iter_mut().for_each(|value| *value /= length);
}

/// What is in a text: how often, and what it weighs, by hash.
#[derive(Default)]
struct Features {
    counts: HashMap<u64, (f32, f32), std::hash::BuildHasherDefault<words::Hashed>>,
}

impl Features {
    fn read(&mut self, text: &str) {
        let mut before: Option<(String, f32)> = None;
        for word in words::words(text) {
            let stem = words::stem(&word);
            let share = if words::is_common(&word) { COMMON } else { 1.0 };
            self.add(b"word", stem, WORD * share);
            if let Some((before, share_before)) = &before {
                self.add(b"pair", &format!("{before} {stem}"), PAIR * share.min(*share_before));
            }
            self.read_pieces(&word, share);
            before = Some((stem.to_owned(), share));
        }
    }

    /// Pieces at the ends of a word differ from the same letters within one.
    fn read_pieces(&mut self, word: &str, share: f32) {
        let framed = format!("<{word}>");
        let starts: Vec<usize> = framed.char_indices().map(|(at, _)| at).chain([framed.len()]).collect();
        for length in PIECES {
            for ends in starts.windows(length + 1) {
                self.add(b"piece", &framed[ends[0]..ends[length]], PIECE * share);
            }
        }
    }

    fn add(&mut self, kind: &[u8], text: &str, weight: f32) {
        let entry = self.counts.entry(hash(&[kind, text.as_bytes()])).or_insert((0.0, weight));
        entry.0 += 1.0;
    }
}
