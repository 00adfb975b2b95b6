//! An embedding model for tests.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use loomwork_core::Clock;

use super::{Gate, Script, locked};
use crate::{
    EmbedRequest, EmbeddingModel, Embeddings, Error, ErrorKind, ModelName, OfflineEmbedder, Result, Usage,
};

/// An embedding model that gives the vectors that a test names, and those of [`OfflineEmbedder`] for other
/// texts.
///
/// ```
/// use loomwork_models::{EmbedRequest, EmbeddingModel, MockEmbeddings};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> loomwork_models::Result<()> {
/// let model = MockEmbeddings::new(2).with_vector("north", [0.0, 1.0]);
/// let embedded = model.embed(EmbedRequest::new(["north", "south"])).await?;
/// assert_eq!(embedded.vectors[0], [0.0, 1.0]);
/// assert_eq!(embedded.vectors[1].len(), 2);
/// assert_eq!(model.requests()[0].texts, ["north", "south"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MockEmbeddings {
    name: ModelName,
    vectors: HashMap<String, Vec<f32>>,
    others: OfflineEmbedder,
    clock: Clock,
    wait: Duration,
    gate: Option<Gate>,
    /// Failures of the calls to come; a call for which there is `None`, or nothing, succeeds.
    script: Script<Option<Error>>,
    asked: Mutex<Vec<EmbedRequest>>,
}

impl MockEmbeddings {
    /// Returns a model whose vectors have this length; 1 where it is 0.
    pub fn new(dimensions: usize) -> Self {
        let name = ModelName::new("mock", "mock");
        Self {
            others: OfflineEmbedder::new(dimensions),
            name,
            vectors: HashMap::new(),
            clock: Clock::system(),
            wait: Duration::ZERO,
            gate: None,
            script: Script::always(None),
            asked: Mutex::default(),
        }
    }

    /// Sets the provider and the model that it says it is.
    pub fn with_name(self, provider: impl Into<String>, model: impl Into<String>) -> Self {
        Self { name: ModelName::new(provider, model), ..self }
    }

    /// Sets the vector of a text.
    pub fn with_vector(mut self, text: impl Into<String>, vector: impl Into<Vec<f32>>) -> Self {
        self.vectors.insert(text.into(), vector.into());
        self
    }

    /// Makes each call wait on a clock.
    pub fn with_wait(self, clock: Clock, wait: Duration) -> Self {
        Self { clock, wait, ..self }
    }

    /// Makes each call wait before a gate.
    pub fn with_gate(self, gate: &Gate) -> Self {
        Self { gate: Some(gate.clone()), ..self }
    }

    /// Makes the next call that has no outcome yet fail.
    pub fn fail_next(&self, error: Error) {
        self.script.push(Some(error));
    }

    /// Lets the next call that has no outcome yet succeed, so that a later one can be made to fail.
    pub fn succeed_next(&self) {
        self.script.push(None);
    }

    /// Returns what it was asked, in the order of the calls.
    pub fn requests(&self) -> Vec<EmbedRequest> {
        locked(&self.asked).clone()
    }
}

#[async_trait]
impl EmbeddingModel for MockEmbeddings {
    fn name(&self) -> &ModelName {
        &self.name
    }

    fn dimensions(&self) -> Option<usize> {
        EmbeddingModel::dimensions(&self.others)
    }

    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings> {
        locked(&self.asked).push(request.clone());
        let error = |text| Error::new(ErrorKind::BadRequest, &self.name.provider, &self.name.model, text);
        let failure = self.script.next().map_err(error)?;
        if let Some(gate) = &self.gate {
            gate.pass().await;
        }
        self.clock.sleep(self.wait).await;
        if let Some(error) = failure {
            return Err(error);
        }
        let tokens = request.texts.iter().map(|text| text.split_whitespace().count() as u64).sum();
        let named: Vec<_> = request.texts.iter().map(|text| self.vectors.get(text).cloned()).collect();
        let others = self.others.embed(request).await?.vectors;
        let vectors = named.into_iter().zip(others).map(|(named, other)| named.unwrap_or(other)).collect();
        let usage = Usage { embedding: tokens, ..Usage::default() };
        Ok(Embeddings { vectors, usage, ..Embeddings::default() })
    }
}
