//! Texts of drawn words, and a model whose vectors cost nothing.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use loomwork_core::Random;
use loomwork_models::{EmbedRequest, EmbeddingModel, Embeddings, ModelName, Usage};

/// How long the vectors are.
pub(super) const DIMENSION: usize = 384;

/// How many teams share the documents.
pub(super) const TEAMS: usize = 20;

const VOCABULARY: f64 = 20_000.0;
const WORDS: usize = 40;

/// Draws words, the more frequent the lower their number.
pub(super) struct Words(Random);

impl Words {
    pub(super) fn new(seed: u64) -> Self {
        Self(Random::seeded(seed))
    }

    pub(super) fn document(&self, chunks: usize) -> Vec<String> {
        (0..chunks).map(|_| (0..WORDS).map(|_| self.word()).collect::<Vec<_>>().join(" ")).collect()
    }

    pub(super) fn query(&self) -> String {
        format!("{} {} {} ", self.word(), self.word(), self.word())
    }

    pub(super) fn team(document: usize) -> String {
        format!("team {}", document % TEAMS)
    }

    fn word(&self) -> String {
        format!("word{}", VOCABULARY.powf(self.0.unit()) as u32)
    }
}

/// A model that makes a vector of a text's bytes, and counts the texts.
#[derive(Debug)]
pub(super) struct Free {
    name: ModelName,
    texts: AtomicUsize,
}

impl Default for Free {
    fn default() -> Self {
        Self { name: ModelName::new("bench", "free"), texts: AtomicUsize::new(0) }
    }
}

impl Free {
    pub(super) fn texts(&self) -> usize {
        self.texts.load(Ordering::Relaxed)
    }

    pub(super) fn vector(text: &str, dimension: usize) -> Vec<f32> {
        let seed =
            text.trim().bytes().fold(7_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        let mut state = seed;
        let part = |state: &mut u64| {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..dimension).map(|_| part(&mut state)).collect()
    }
}

#[async_trait]
impl EmbeddingModel for Free {
    fn name(&self) -> &ModelName {
        &self.name
    }

    fn dimensions(&self) -> Option<usize> {
        Some(DIMENSION)
    }

    async fn embed(&self, request: EmbedRequest) -> loomwork_models::Result<Embeddings> {
        self.texts.fetch_add(request.texts.len(), Ordering::Relaxed);
        let vectors = request.texts.iter().map(|text| Self::vector(text, DIMENSION)).collect();
        let usage = Usage { embedding: request.texts.len() as u64, ..Usage::default() };
        Ok(Embeddings { vectors, usage, ..Embeddings::default() })
    }
}
