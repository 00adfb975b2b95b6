//! OpenAI Embeddings, which many servers speak.

mod answer;
mod batches;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::{OpenAi, Provider, errors};
use crate::http::{Ask, Body, Call};
use crate::term::Term;
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

/// One request for vectors, which may take many calls.
struct Work<'a> {
    model: &'a OpenAiEmbeddings,
    request: &'a EmbedRequest,
    /// All calls have one time.
    term: Term,
    done: Mutex<Done>,
}

/// What the calls that were answered have used and said.
#[derive(Default)]
struct Done {
    usage: Usage,
    headers: BTreeMap<String, String>,
}

impl Work<'_> {
    /// Embeds some of the texts; as long as the provider finds them too much, in halves.
    async fn embed_batch(&self, batch: Range<usize>) -> Result<Vec<Vec<f32>>> {
        let mut vectors = Vec::new();
        let mut waiting = vec![batch];
        let mut is_about_texts = false;
        while let Some(batch) = waiting.pop() {
            let error = match self.embed_once(batch.clone()).await {
                Ok(more) => {
                    vectors.extend(more);
                    continue;
                }
                Err(error) if is_refused(&error) => error,
                Err(error) => return Err(error),
            };
            if !is_about_texts && !is_too_much(&error) {
                match self.culprit(batch.clone()).await? {
                    Culprit::Texts => is_about_texts = true,
                    Culprit::Text(index) => return Err(self.about_text(index, error)),
                    Culprit::Request => return Err(error),
                }
            }
            if batch.len() == 1 {
                return Err(self.about_text(batch.start, error));
            }
            let middle = batch.start + batch.len() / 2;
            waiting.push(middle..batch.end);
            waiting.push(batch.start..middle);
        }
        Ok(vectors)
    }

    /// Finds out what a refusal is about that does not say so itself: what concerns no text is refused
    /// with any of them, so the shortest ones are tried alone.
    async fn culprit(&self, batch: Range<usize>) -> Result<Culprit> {
        let texts = &self.request.texts;
        // A text that stands alone is compared with one of another batch.
        let lone = (batch.len() == 1).then_some(batch.start);
        let among = if lone.is_some() { 0..texts.len() } else { batch };
        let mut shortest: Vec<usize> = among.filter(|index| Some(*index) != lone).collect();
        shortest.sort_by_key(|index| texts[*index].len());
        let mut refused = lone;
        for index in shortest.into_iter().take(2) {
            match (self.embed_once(index..index + 1).await, refused) {
                (Ok(_), None) => return Ok(Culprit::Texts),
                (Ok(_), Some(refused)) => return Ok(Culprit::Text(refused)),
                (Err(other), _) if !is_refused(&other) => return Err(other),
                (Err(_), Some(_)) => return Ok(Culprit::Request),
                (Err(_), None) => refused = Some(index),
            }
        }
        Ok(Culprit::Request)
    }

    async fn embed_once(&self, batch: Range<usize>) -> Result<Vec<Vec<f32>>> {
        let Self { model: OpenAiEmbeddings { provider, name }, request, .. } = self;
        let call = Call { term: &self.term, settings: &request.settings, read_error: errors::read };
        let texts = &request.texts[batch];
        let body = self.model.body(request, texts);
        let headers = provider.headers();
        let path = provider.path("embeddings", &name.model);
        let ask = Ask { path: &path, headers: &headers, body: Body::Json(&body) };
        let (answer, headers) = provider.http.json::<Answer>(&call, &ask).await?;
        let reported = answer.usage();
        let vectors = answer.into_vectors(texts.len(), request.dimensions);
        let usage = reported.or_else(|| vectors.is_ok().then(|| estimate(texts))).unwrap_or_default();
        let mut done = self.done();
        done.usage.join(&usage);
        done.headers = headers;
        vectors.map_err(|text| self.model.error(ErrorKind::Protocol, text))
    }

    /// Returns the provider's error about one of many texts, with its place.
    fn about_text(&self, index: usize, error: Error) -> Error {
        let text = format!("text {index}: {}", error.message());
        error.with_message(text)
    }

    /// What is summed up is whole even if a thread panicked beside it.
    fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a refusal is about.
enum Culprit {
    /// One or more of the texts, or their number.
    Texts,
    /// This text.
    Text(usize),
    /// What all calls have in common.
    Request,
}

impl OpenAiEmbeddings {
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
        let cancel = CancellationToken::new();
        let term = self.provider.http.term(&self.name.model, &request.settings, &cancel);
        let work = Work { model: self, request: &request, term, done: Mutex::default() };
        let calls = batches.into_iter().map(|batch| work.embed_batch(batch));
        let mut calls = futures_util::stream::iter(calls).buffered(limits.calls.max(1));
        let mut vectors: Vec<Vec<f32>> = Vec::new();
        let outcome = async {
            while let Some(more) = calls.try_next().await? {
                vectors.extend(more);
            }
            self.check_widths(&vectors)
        }
        .await;
        let Done { usage, headers } = std::mem::take(&mut *work.done());
        match outcome {
            Ok(()) => Ok(Embeddings { vectors, usage, headers }),
            // The calls that were answered are paid for.
            Err(error) => Err(error.with_more_usage(&usage)),
        }
    }
}

impl OpenAiEmbeddings {
    fn check_widths(&self, vectors: &[Vec<f32>]) -> Result<()> {
        let width = vectors.first().map_or(0, Vec::len);
        match vectors.iter().position(|vector| vector.len() != width) {
            None => Ok(()),
            Some(index) => {
                let other = vectors[index].len();
                let text =
                    format!("the vector of text {index} has {other} dimensions, that of text 0 has {width}");
                Err(self.error(ErrorKind::Protocol, text))
            }
        }
    }
}

/// Whether the provider blames the request for the failure.
fn is_refused(error: &Error) -> bool {
    matches!(error.status(), Some(400 | 413))
        && matches!(error.kind(), ErrorKind::BadRequest | ErrorKind::ContextTooLong)
}

/// Whether it says that there is too much text.
fn is_too_much(error: &Error) -> bool {
    error.status() == Some(413) || *error.kind() == ErrorKind::ContextTooLong
}

fn estimate(texts: &[String]) -> Usage {
    let tokens = texts.iter().map(|text| Estimator.count(text)).sum();
    Usage { embedding: tokens, estimated: true, ..Usage::default() }
}
