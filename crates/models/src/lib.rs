//! Language, embedding and image models over the wire formats that providers speak, and models that need
//! no provider. For programs that ask models and want one shape for all of them.
//!
//! The crate owns messages and their parts, requests and answers, and everything that knows a provider's
//! wire format. It stores nothing and runs no tool.

mod anthropic;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod cassette;
mod content;
mod error;
mod fallback;
pub mod history;
mod http;
mod mock;
mod model;
mod object;
mod offline;
mod playback;
mod openai;
mod opening;
mod pacing;
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
pub use error::{Advice, Error, ErrorKind, Result};
pub use fallback::{Fallback, FallbackOptions};
pub use http::{HttpOptions, Proxy};
pub use mock::{Gate, MockEmbeddings, MockImages, MockModel, MockReply};
pub use model::{
    EmbedRequest, EmbeddingModel, Embeddings, GeneratedImage, ImageModel, ImageRequest, Images,
    LanguageModel, ModelName, ReplyStream, SchemaSupport, collect,
};
pub use object::{
    ArrayStream, Object, ObjectOptions, ObjectStream, PartialJson, PartialJsonError, generate_choice,
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
pub use usage::Usage;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/models.md")]
struct Guide;
