//! Anthropic, and the servers that speak its Messages protocol.

mod blocks;
mod cache;
mod continued;
mod errors;
mod event;
mod family;
mod model;
mod options;
mod request;
mod schema;
mod stream;
mod thinking;
mod tools;
mod usage;

use std::sync::Arc;

use loomwork_core::Secret;

pub use options::{
    AnthropicKey, AnthropicOptions, AnthropicVersion, CacheTtl, MessagesOptions, PromptCache, ThinkingForm,
};

#[cfg(feature = "bench")]
pub(crate) use stream::lone_reader;

use crate::http::Http;
use crate::{LanguageModel, Result};
use model::Messages;

/// The name under which parts and requests keep what concerns this protocol.
const BAG: &str = "anthropic";

/// Anthropic, or a server that speaks its protocol. Clones share its connections.
///
/// ```
/// use loomwork_models::{Anthropic, AnthropicVersion, LanguageModel as _, MessagesOptions};
///
/// let anthropic = Anthropic::new("sk-ant-…");
/// let model = anthropic.messages("claude-sonnet-4-5");
/// assert_eq!(model.name().to_string(), "anthropic/claude-sonnet-4-5");
///
/// let options = MessagesOptions { version: AnthropicVersion::V2026_10_21, ..MessagesOptions::default() };
/// let model = anthropic.messages_with("claude-opus-4-6", options);
/// ```
#[derive(Clone, Debug)]
pub struct Anthropic(Arc<Provider>);

/// What the models of one provider share.
#[derive(Debug)]
struct Provider {
    http: Http,
    options: AnthropicOptions,
}

impl Anthropic {
    /// Returns Anthropic with this key.
    pub fn new(key: impl Into<Secret>) -> Self {
        Self::with(AnthropicOptions::new(key))
    }

    /// Returns Anthropic as the environment describes it: `ANTHROPIC_API_KEY` or `ANTHROPIC_AUTH_TOKEN`,
    /// and `ANTHROPIC_BASE_URL` where it is set.
    ///
    /// # Errors
    /// `auth` if there is neither a key nor a token.
    pub fn from_env() -> Result<Self> {
        AnthropicOptions::read(|name| std::env::var(name).ok()).map(Self::with)
    }

    /// Returns the provider that these options describe.
    pub fn with(options: AnthropicOptions) -> Self {
        let http = Http::new(&options.provider, &options.base_url, options.http.clone());
        Self(Arc::new(Provider { http, options }))
    }

    /// Returns what describes the provider.
    pub fn options(&self) -> &AnthropicOptions {
        &self.0.options
    }

    /// Returns a model with default options.
    pub fn messages(&self, model: impl Into<String>) -> Arc<dyn LanguageModel> {
        self.messages_with(model, MessagesOptions::default())
    }

    /// Returns a model.
    pub fn messages_with(
        &self,
        model: impl Into<String>,
        options: MessagesOptions,
    ) -> Arc<dyn LanguageModel> {
        Arc::new(Messages::new(self.0.clone(), model.into(), options))
    }
}
