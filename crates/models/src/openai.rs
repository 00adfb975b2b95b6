//! OpenAI, and the many servers that speak its protocols.

pub(crate) mod chat;
mod dialect;
mod embeddings;
mod errors;
mod images;
mod list;
mod ollama;
mod options;
pub(crate) mod responses;
mod schema;
mod usage;

use std::sync::Arc;

use loomwork_core::Secret;

pub use dialect::{Dialect, EffortForm, InstructionRole, MaxTokens, ThinkTags};
pub use embeddings::EmbeddingLimits;
pub use ollama::Ollama;
pub use options::{KeyHeader, OpenAiOptions};
pub use schema::{SchemaError, drop_filler_nulls, strict_schema};

use crate::http::Http;
use crate::{Error, ErrorKind, LanguageModel, ModelName, Result};
use chat::Chat;

/// OpenAI, or a server that speaks one of its protocols. Clones share its connections.
///
/// ```
/// use loomwork_models::{Dialect, LanguageModel as _, OpenAi, OpenAiOptions};
///
/// // Servers that are known by their address get the dialect that they speak.
/// let model = OpenAi::compatible("https://api.deepseek.com", "sk-…").chat("deepseek-chat");
/// assert_eq!(model.name().to_string(), "deepseek/deepseek-chat");
///
/// // Any other is told what it is.
/// let options = OpenAiOptions {
///     provider: "cluster".to_owned(),
///     dialect: Dialect::vllm(),
///     ..OpenAiOptions::compatible("http://10.0.0.7:8000/v1", "none")
/// };
/// let model = OpenAi::with(options).chat("Qwen/Qwen3-32B");
/// assert_eq!(model.name().to_string(), "cluster/Qwen/Qwen3-32B");
/// ```
#[derive(Clone, Debug)]
pub struct OpenAi(Arc<Provider>);

/// What the models of one provider share.
#[derive(Debug)]
struct Provider {
    http: Http,
    options: OpenAiOptions,
}

impl OpenAi {
    /// Returns OpenAI with this key.
    pub fn new(key: impl Into<Secret>) -> Self {
        Self::with(OpenAiOptions::new(key))
    }

    /// Returns OpenAI as the environment describes it: `OPENAI_API_KEY`, and where they are set
    /// `OPENAI_BASE_URL`, `OPENAI_ORG_ID` and `OPENAI_PROJECT_ID`.
    ///
    /// # Errors
    /// `auth` if there is no key, unless the address is that of another server, which may want none.
    pub fn from_env() -> Result<Self> {
        OpenAiOptions::read(|name| std::env::var(name).ok()).map(Self::with)
    }

    /// Returns a server that speaks OpenAI's protocols at this address, such as `http://10.0.0.7:8000/v1`.
    /// Its [name and its dialect](Dialect::of) follow from the address.
    pub fn compatible(base_url: impl Into<String>, key: impl Into<Secret>) -> Self {
        Self::with(OpenAiOptions::compatible(base_url, key))
    }

    /// Returns Azure OpenAI at the address of a resource, such as `https://NAME.openai.azure.com`. Models
    /// are named by their deployments. With an API version it is the older surface that takes one.
    pub fn azure(endpoint: &str, key: impl Into<Secret>, api_version: Option<&str>) -> Self {
        Self::with(OpenAiOptions::azure(endpoint, key, api_version))
    }

    /// Returns the provider that these options describe.
    pub fn with(options: OpenAiOptions) -> Self {
        let http = Http::new(&options.provider, &options.url(), options.http.clone());
        Self(Arc::new(Provider { http, options }))
    }

    /// Returns what describes the provider.
    pub fn options(&self) -> &OpenAiOptions {
        &self.0.options
    }

    /// Returns a model that is asked by Chat Completions, which all compatible servers have.
    pub fn chat(&self, model: impl Into<String>) -> Arc<dyn LanguageModel> {
        Arc::new(Chat::new(self.0.clone(), model.into()))
    }
}

impl Provider {
    fn name(&self, model: String) -> ModelName {
        ModelName::new(self.options.provider.clone(), model)
    }

    /// Returns the path behind the base URL; the older surface of Azure names the model in it.
    fn path(&self, endpoint: &str, model: &str) -> String {
        if self.options.model_in_path {
            format!("deployments/{model}/{endpoint}")
        } else {
            endpoint.to_owned()
        }
    }

    fn headers(&self) -> Vec<(String, String)> {
        self.options.all_headers()
    }
}

/// Returns the error for a provider that has no key.
pub(crate) fn no_key(provider: &str, variable: &str) -> Error {
    let text = format!("there is no key: set the variable {variable}, or give one to the constructor");
    Error::new(ErrorKind::Auth, provider, "*", text)
}
