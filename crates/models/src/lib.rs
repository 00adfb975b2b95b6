//! Language, embedding and image models over the wire formats that providers speak, and models that need
//! no provider. For programs that ask models and want one shape for all of them.
//!
//! The crate owns messages and their parts, requests and answers, and everything that knows a provider's
//! wire format. It stores nothing and runs no tool.
//!
//! # Example
//!
//! ```
//! use loomwork_models::{Message, Request, from_str};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> loomwork_models::Result<()> {
//! // Or "openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5", "ollama/qwen3"; `detect` finds one by itself.
//! let model = from_str("offline")?;
//! let request = Request::new([Message::system("Be brief."), Message::user("Hello!")]);
//! let reply = model.generate(request).await?;
//! println!("{} ({} tokens)", reply.text(), reply.usage().total());
//! # assert!(!reply.text().is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # Tour
//!
//! - A [`LanguageModel`] takes a [`Request`] of [`Message`]s and answers with a stream of [`Chunk`]s, or with
//!   a whole [`Reply`]. An [`EmbeddingModel`] gives vectors, an [`ImageModel`] images.
//! - [`OpenAi`], [`Ollama`] and [`Anthropic`] are the providers; [`from_str`] gives their models by name, and
//!   [`detect()`] the one that is at hand.
//! - [`Retry`], [`Fallback`] and [`Paced`] are models made of models; so is a [`Cassette`].
//! - [`generate_object`] and [`stream_object`] give values instead of text.
//! - [`OfflineModel`], [`OfflineEmbedder`] and [`OfflineImages`] need no provider; [`MockModel`] follows a
//!   script.
//! - An [`Error`] names provider, model and cause, and [advises](Error::advice) what can help. [`Usage`]
//!   counts each token once, whatever a provider's own report does.
//!
//! # Guarantees
//!
//! - Dropping an answer, or cancelling its request's token, closes the connection.
//! - Nothing is asked again once a part of its answer was handed on.
//! - What only one provider reads, such as signatures, goes back to that provider alone; fields that this
//!   version does not know are kept.
//! - Keys are never shown: not in `Debug`, not in errors, not in spans.
//! - Time and randomness come from [`loomwork_core::Clock`] and [`loomwork_core::Random`], so tests own both.
//!
//! The features, both off by default: `tiktoken` counts tokens with the tables of OpenAI's models; `bench`
//! is for the workspace's benchmarks.

mod anthropic;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod cassette;
mod content;
mod detect;
mod error;
mod fallback;
pub mod history;
mod http;
mod mock;
mod model;
mod object;
mod offline;
mod openai;
mod opening;
mod pacing;
mod playback;
mod reply;
mod request;
mod retry;
mod term;
mod tokens;
mod usage;

pub use anthropic::{
    Anthropic, AnthropicKey, AnthropicOptions, AnthropicVersion, CacheTtl, MessagesOptions, PromptCache,
    ThinkingForm,
};
pub use cassette::{Cassette, CassetteError, CassetteOptions, Matching, Timing};
pub use content::{
    ApprovalRequest, ApprovalResponse, Custom, Data, Extras, File, Image, Message, OutputItem, Part,
    ProviderData, Reasoning, ReasoningFile, RedactedReasoning, Role, Source, SourceKind, Text, ToolCall,
    ToolOutput, ToolResult, guess_media_type,
};
pub use detect::{Detected, Environment, detect, embeddings_from_str, from_str, images_from_str};
pub use error::{Advice, Error, ErrorKind, Result};
pub use fallback::{Fallback, FallbackOptions};
pub use http::{HttpOptions, Proxy};
pub use mock::{Gate, MockEmbeddings, MockImages, MockModel, MockReply};
pub use model::{
    EmbedRequest, EmbeddingModel, Embeddings, GeneratedImage, ImageModel, ImageRequest, Images,
    LanguageModel, ModelName, ReplyStream, SchemaSupport, collect,
};
pub use object::{
    ArrayStream, Mend, Object, ObjectOptions, ObjectStream, PartialJson, PartialJsonError, generate_choice,
    generate_object, generate_value, stream_array, stream_object, stream_value,
};
pub use offline::{OfflineEmbedder, OfflineImages, OfflineModel};
pub use openai::{
    Dialect, EffortForm, EmbeddingLimits, InstructionRole, KeyHeader, MaxTokens, Ollama, OpenAi,
    OpenAiOptions, SchemaError, ThinkTags, drop_filler_nulls, strict_schema,
};
pub use pacing::{Paced, Pacing, PacingOptions};
pub use reply::{Assembly, Chunk, Finish, FinishReason, PartKind, PartNumber, Reply, ReplyInfo, Warning};
pub use request::{Format, OutputSchema, ReasoningEffort, Request, Settings, ToolChoice, ToolSpec};
pub use retry::{Retry, RetryOptions};
#[cfg(feature = "tiktoken")]
pub use tokens::Tiktoken;
pub use tokens::{Estimator, TokenCounter};
pub use usage::{MAX_COUNT, Usage};

#[cfg(doctest)]
#[doc = include_str!("../../../docs/models.md")]
struct Guide;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
