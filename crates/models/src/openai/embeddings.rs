//! OpenAI Embeddings, which many servers speak.

mod answer;
mod batches;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::{OpenAi, Provider, errors};
use crate::http::{Ask, Body, Call};
use crate::{
    EmbedRequest, EmbeddingModel, Embeddings, Error, ErrorKind, Estimator, ModelName, Result, TokenCounter,
    Usage,
};
use answer::Answer;

/// How much goes into one call for embeddings, and how many calls are made at once.
///
/// New fields may come; `..EmbeddingLimits::default()` is ready for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddingLimits {
    /// The most texts of a call. Default: 2,048.
    pub texts: usize,
    /// The most tokens of a call, as they are estimated. Default: 300,000. A provider that counts more
    /// refuses the call, and it is made again in halves.
    pub tokens: u64,
    /// The most calls at once. Default: 4.
    pub calls: usize,
}

impl Default for EmbeddingLimits {
    fn default() -> Self {
        Self { texts: 2048, tokens: 300_000, calls: 4 }
    }
}

/// An embedding model behind `POST /embeddings`.
#[derive(Clone, Debug)]
struct OpenAiEmbeddings {
    provider: Arc<Provider>,
    name: ModelName,
}

impl OpenAi {
    /// Returns an embedding model: `text-embedding-3-small`.
    ///
    /// It takes any number of texts and splits them into calls, by their count and their tokens; what a
    /// server finds too much still is split further. All vectors are made to have length 1.
    /// [`OpenAiOptions::embedding_limits`](super::OpenAiOptions::embedding_limits) says how much goes into
    /// one call.
    pub fn embeddings(&self, model: impl Into<String>) -> Arc<dyn EmbeddingModel> {
        let name = self.0.name(model.into());
        Arc::new(OpenAiEmbeddings { provider: self.0.clone(), name })
    }
}

impl OpenAiEmbeddings {
    /// Embeds some of the texts; as long as the provider finds them too much, in halves.
    async fn embed_batch(&self, request: &EmbedRequest, batch: Range<usize>) -> Result<Embeddings> {
        let mut embedded = Embeddings::default();
        let mut waiting = vec![batch];
        while let Some(batch) = waiting.pop() {
            match self.embed_once(request, batch.clone()).await {
                Ok(more) => add(&mut embedded, more),
                Err(error) if is_too_much(&error) && batch.len() > 1 => {
                    let middle = batch.start + batch.len() / 2;
                    waiting.push(middle..batch.end);
                    waiting.push(batch.start..middle);
                }
                Err(error) if is_too_much(&error) => return Err(self.about_text(batch.start, &error)),
                Err(error) => return Err(error),
            }
        }
        Ok(embedded)
    }

    async fn embed_once(&self, request: &EmbedRequest, batch: Range<usize>) -> Result<Embeddings> {
        let cancel = CancellationToken::new();
        let call = Call {
            model: &self.name.model,
            settings: &request.settings,
            cancel: &cancel,
            read_error: errors::read,
        };
        let texts = &request.texts[batch];
        let body = self.body(request, texts);
        let headers = self.provider.headers();
        let path = self.provider.path("embeddings", &self.name.model);
        let ask = Ask { path: &path, headers: &headers, body: Body::Json(&body) };
        let (answer, _) = self.provider.http.json::<Answer>(&call, &ask).await?;
        let usage = answer.usage().unwrap_or_else(|| estimate(texts));
        let vectors = answer.into_vectors(texts.len(), request.dimensions);
        let vectors = vectors.map_err(|text| self.error(ErrorKind::Protocol, text))?;
        Ok(Embeddings { vectors, usage })
    }

    fn body(&self, request: &EmbedRequest, texts: &[String]) -> Value {
        let mut body = Map::from_iter([
            ("model".to_owned(), Value::from(self.name.model.as_str())),
            ("input".to_owned(), json!(texts)),
            // A third of the size of decimal numbers; servers that don't know it answer with those.
            ("encoding_format".to_owned(), "base64".into()),
        ]);
        if let Some(dimensions) = request.dimensions {
            body.insert("dimensions".to_owned(), dimensions.into());
        }
        let options = request.provider_options.get(&self.name.provider).and_then(Value::as_object);
        body.extend(options.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        body.into()
    }

    /// Returns the provider's error about one of many texts, with its place.
    fn about_text(&self, index: usize, error: &Error) -> Error {
        let about = self.error(error.kind().clone(), format!("text {index}: {}", error.message()));
        let about = error.status().map_or(about.clone(), |status| about.with_status(status));
        match error.code() {
            Some(code) => about.with_code(code),
            None => about,
        }
    }

    fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::new(kind, &self.name.provider, &self.name.model, message)
    }
}

#[async_trait]
impl EmbeddingModel for OpenAiEmbeddings {
    fn name(&self) -> &ModelName {
        &self.name
    }

    fn dimensions(&self) -> Option<usize> {
        match self.name.model.as_str() {
            "text-embedding-3-small" | "text-embedding-ada-002" => Some(1536),
            "text-embedding-3-large" => Some(3072),
            _ => None,
        }
    }

    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings> {
        if let Some(index) = request.texts.iter().position(String::is_empty) {
            let text = format!("text {index} is empty; every text to embed must have at least one character");
            return Err(self.error(ErrorKind::BadRequest, text));
        }
        let limits = self.provider.options.embedding_limits;
        let batches = batches::split(&request.texts, &limits);
        let calls = batches.into_iter().map(|batch| self.embed_batch(&request, batch));
        let mut calls = futures_util::stream::iter(calls).buffered(limits.calls.max(1));
        let mut embedded = Embeddings::default();
        while let Some(more) = calls.try_next().await? {
            add(&mut embedded, more);
        }
        let width = embedded.vectors.first().map_or(0, Vec::len);
        if let Some(index) = embedded.vectors.iter().position(|vector| vector.len() != width) {
            let other = embedded.vectors[index].len();
            let text =
                format!("the vector of text {index} has {other} dimensions, that of text 0 has {width}");
            return Err(self.error(ErrorKind::Protocol, text));
        }
        Ok(embedded)
    }
}

/// Whether a call with fewer texts may succeed.
fn is_too_much(error: &Error) -> bool {
    matches!(error.status(), Some(400 | 413))
        && matches!(error.kind(), ErrorKind::BadRequest | ErrorKind::ContextTooLong)
}

/// Adds more vectors; the report of a single call stays.
fn add(embedded: &mut Embeddings, more: Embeddings) {
    if embedded.vectors.is_empty() {
        *embedded = more;
        return;
    }
    embedded.vectors.extend(more.vectors);
    embedded.usage += &more.usage;
}

fn estimate(texts: &[String]) -> Usage {
    let tokens = texts.iter().map(|text| Estimator.count(text)).sum();
    Usage { embedding: tokens, estimated: true, ..Usage::default() }
}
