//! What a model is: the seams that providers, wrappers and offline models implement.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::str::FromStr;

use async_trait::async_trait;
use futures_core::Stream;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};

use crate::{Assembly, Chunk, Data, ProviderData, Reply, Request, Result, Settings, Usage, Warning};

/// An answer as it comes. Dropping it calls the answer off and closes the connection.
pub type ReplyStream = Pin<Box<dyn Stream<Item = Result<Chunk>> + Send>>;

/// A model's provider and name: `openai/gpt-4o-mini`.
///
/// ```
/// use loomwork_models::ModelName;
///
/// let name: ModelName = "openrouter/qwen/qwen3".parse()?;
/// assert_eq!((name.provider.as_str(), name.model.as_str()), ("openrouter", "qwen/qwen3"));
/// # Ok::<_, std::convert::Infallible>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ModelName {
    /// The provider; what it says of parts goes back to it only.
    pub provider: String,
    /// The model, as the provider names it.
    pub model: String,
}

impl ModelName {
    /// Returns the name of a provider's model.
    pub fn new(provider: impl Into<String>, model: impl Into<String>) -> Self {
        Self { provider: provider.into(), model: model.into() }
    }
}

impl FromStr for ModelName {
    type Err = std::convert::Infallible;

    /// The provider is what stands before the first slash; a text without one is both.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (provider, model) = text.split_once('/').unwrap_or((text, text));
        Ok(Self::new(provider, model))
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.provider, self.model)
    }
}

/// How a model gives an answer that fits a schema: what a later way needs, each model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SchemaSupport {
    /// It takes the schema with the request.
    Native,
    /// It takes tools, so a tool that it must call has the schema.
    Tool,
    /// It reads the schema in the prompt.
    Prompt,
}

/// A language model.
///
/// Only [`name`](Self::name) and [`stream`](Self::stream) are required. An implementation hands each
/// chunk on when it comes, ends with [`Chunk::Finish`] or an error, and stops its work when the stream is
/// dropped or the request's token is cancelled.
#[async_trait]
pub trait LanguageModel: Send + Sync + fmt::Debug {
    /// Returns the provider and the model.
    fn name(&self) -> &ModelName;

    /// Returns how this model gives an answer that fits a schema.
    fn schema_support(&self) -> SchemaSupport {
        SchemaSupport::Tool
    }

    /// Asks the model, and returns its answer as it comes.
    ///
    /// An error before the first chunk is returned here or as the stream's first item.
    async fn stream(&self, request: Request) -> Result<ReplyStream>;

    /// Asks the model, and returns its whole answer. An answer that breaks off is an error that holds
    /// [what came](crate::Error::partial).
    async fn generate(&self, request: Request) -> Result<Reply> {
        collect(self.stream(request).await?).await
    }
}

/// Returns the whole answer of a stream; an error holds [what came](crate::Error::partial).
pub async fn collect(mut stream: ReplyStream) -> Result<Reply> {
    let mut assembly = Assembly::default();
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => assembly.push(chunk)?,
            Err(error) => return Err(assembly.fail(error)),
        }
    }
    assembly.finish()
}

/// What an embedding model is asked.
#[derive(Clone, Debug, Default)]
pub struct EmbedRequest {
    /// The texts; none may be empty.
    pub texts: Vec<String>,
    /// The length of the vectors; `None` leaves it to the model.
    pub dimensions: Option<usize>,
    /// Headers, time-out and retries; sampling means nothing here.
    pub settings: Settings,
    /// What single providers shall do with the call.
    pub provider_options: ProviderData,
}

impl EmbedRequest {
    /// Returns a request to embed these texts.
    pub fn new<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self { texts: texts.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

/// Vectors of texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embeddings {
    /// One vector for each text, in the order of the texts, each of length 1.
    pub vectors: Vec<Vec<f32>>,
    /// What the call used.
    pub usage: Usage,
    /// The headers of the last answer that say more than transport: request ids, rate limits.
    pub headers: BTreeMap<String, String>,
}

/// A model that turns texts into vectors.
#[async_trait]
pub trait EmbeddingModel: Send + Sync + fmt::Debug {
    /// Returns the provider and the model.
    fn name(&self) -> &ModelName;

    /// Returns the length of the vectors that the model gives where the request asks for none, if that
    /// is known before the first call.
    fn dimensions(&self) -> Option<usize>;

    /// Turns texts into vectors; as many as one likes, the model splits them into calls.
    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings>;
}

/// What an image model is asked.
#[derive(Clone, Debug, Default)]
pub struct ImageRequest {
    /// What the images shall show.
    pub prompt: String,
    /// Images to start from; an edit instead of a new image where there are any.
    pub images: Vec<Data>,
    /// Where the first image may be changed: its transparent pixels.
    pub mask: Option<Data>,
    /// Width and height in pixels.
    pub size: Option<(u32, u32)>,
    /// How many images to make; 1 where it is 0.
    pub count: u32,
    /// Makes the images repeatable where a provider can.
    pub seed: Option<i64>,
    /// Headers, time-out and retries; sampling means nothing here.
    pub settings: Settings,
    /// What single providers shall do with the call.
    pub provider_options: ProviderData,
}

/// Images that a model made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Images {
    /// The images.
    pub images: Vec<GeneratedImage>,
    /// What the call used.
    pub usage: Usage,
    /// What was asked for and could not be done.
    pub warnings: Vec<Warning>,
    /// The headers of the answer that say more than transport: request ids, rate limits.
    pub headers: BTreeMap<String, String>,
}

/// An image that a model made.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratedImage {
    /// Its bytes, or its address.
    pub data: Data,
    /// Its media type, if that is known.
    pub media_type: Option<String>,
    /// The prompt as the provider rewrote it.
    pub revised_prompt: Option<String>,
}

/// A model that makes images.
#[async_trait]
pub trait ImageModel: Send + Sync + fmt::Debug {
    /// Returns the provider and the model.
    fn name(&self) -> &ModelName;

    /// Makes images.
    async fn generate(&self, request: ImageRequest) -> Result<Images>;
}
