//! The variables that describe providers, and the models that they give.

use std::collections::BTreeMap;
use std::sync::Arc;

use loomwork_core::Secret;

use super::known::{DETAILS, KEYS, names};
use crate::anthropic::{Anthropic, AnthropicOptions};
use crate::openai::{Ollama, OpenAi, OpenAiOptions, no_key};
use crate::{
    EmbeddingModel, Error, ErrorKind, HttpOptions, ImageModel, LanguageModel, ModelName, OfflineEmbedder,
    OfflineImages, OfflineModel, Result,
};

/// Where LM Studio listens that was told nothing else.
const LM_STUDIO: &str = "http://127.0.0.1:1234";

/// Variables that describe providers: their keys and their addresses. Those that are empty count as absent.
///
/// The functions of this crate that take a model's name read the environment of the process. This type does
/// the same with any variables: with those of a configuration file, or of a test.
///
/// ```
/// use loomwork_models::Environment;
///
/// let environment = Environment::new([("GROQ_API_KEY", "gsk_…")]);
/// let model = environment.language_model("groq/llama-3.3-70b-versatile")?;
/// assert_eq!(model.name().provider, "groq");
/// # Ok::<_, loomwork_models::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Environment {
    /// Any of them may be a key.
    variables: BTreeMap<String, Secret>,
    http: HttpOptions,
}

impl Environment {
    /// Returns an environment of these variables.
    pub fn new<N: Into<String>, V: Into<Secret>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables, http: HttpOptions::default() }
    }

    /// Returns the environment of the process.
    pub fn of_process() -> Self {
        let keys = KEYS.iter().flat_map(|key| key.variables);
        let names = keys.chain(&DETAILS);
        Self::new(names.filter_map(|name| Some((*name, std::env::var(name).ok()?))))
    }

    /// Sets how all providers are reached.
    #[must_use]
    pub fn with_http(self, http: HttpOptions) -> Self {
        Self { http, ..self }
    }

    /// Returns a language model by provider and name; see [`from_str`](super::from_str).
    ///
    /// # Errors
    /// As [`from_str`](super::from_str).
    pub fn language_model(&self, name: &str) -> Result<Arc<dyn LanguageModel>> {
        let ModelName { provider, model } = read(name)?;
        match provider.as_str() {
            "offline" => Ok(Arc::new(OfflineModel::default())),
            "anthropic" => Ok(self.anthropic()?.messages(model)),
            _ => {
                let server = self.openai_like(&provider)?;
                // Few servers have Responses, so those that only call themselves OpenAI are not asked so.
                let is_openai = server.options().provider == "openai";
                Ok(if is_openai { server.responses(model) } else { server.chat(model) })
            }
        }
    }

    /// Returns an embedding model by provider and name; see [`embeddings_from_str`](super::embeddings_from_str).
    ///
    /// # Errors
    /// As [`embeddings_from_str`](super::embeddings_from_str).
    pub fn embedding_model(&self, name: &str) -> Result<Arc<dyn EmbeddingModel>> {
        let ModelName { provider, model } = read(name)?;
        match provider.as_str() {
            "offline" => Ok(Arc::new(OfflineEmbedder::default())),
            "anthropic" => Err(has_none(&provider, &model, "embedding")),
            _ => Ok(self.openai_like(&provider)?.embeddings(model)),
        }
    }

    /// Returns an image model by provider and name; see [`images_from_str`](super::images_from_str).
    ///
    /// # Errors
    /// As [`images_from_str`](super::images_from_str).
    pub fn image_model(&self, name: &str) -> Result<Arc<dyn ImageModel>> {
        let ModelName { provider, model } = read(name)?;
        match provider.as_str() {
            "offline" => Ok(Arc::new(OfflineImages::default())),
            "anthropic" => Err(has_none(&provider, &model, "image")),
            _ => Ok(self.openai_like(&provider)?.images(model)),
        }
    }

    /// Returns the value of a variable, unless it is blank.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let value = self.variables.get(name)?.expose().trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    fn anthropic(&self) -> Result<Anthropic> {
        let options = AnthropicOptions::read(|name| self.variable(name))?;
        Ok(Anthropic::with(AnthropicOptions { http: self.http.clone(), ..options }))
    }

    /// Returns a provider that speaks OpenAI's protocols.
    pub(super) fn openai_like(&self, provider: &str) -> Result<OpenAi> {
        let options = match provider {
            "openai" => OpenAiOptions::read(|name| self.variable(name))?,
            "azure" => self.azure()?,
            "ollama" => Ollama::at(&self.variable("OLLAMA_HOST").unwrap_or_default()).options().clone(),
            "lmstudio" => self.lm_studio(),
            _ => self.known(provider)?,
        };
        Ok(OpenAi::with(OpenAiOptions { http: self.http.clone(), ..options }))
    }

    fn known(&self, provider: &str) -> Result<OpenAiOptions> {
        let Some(known) = KEYS.iter().find(|known| known.provider == provider) else {
            let text = format!("there is no provider of this name; known are {}", names().join(", "));
            return Err(Error::new(ErrorKind::NotFound, provider, "*", text));
        };
        let key = known.variables.iter().find_map(|name| self.variable(name));
        let key = key.ok_or_else(|| no_key(provider, &known.variables.join(" or ")))?;
        Ok(OpenAiOptions { provider: provider.to_owned(), ..OpenAiOptions::compatible(known.address, key) })
    }

    fn azure(&self) -> Result<OpenAiOptions> {
        let needed = |name| self.variable(name).ok_or_else(|| no_key("azure", name));
        let endpoint = self.variable("AZURE_OPENAI_ENDPOINT").ok_or_else(|| {
            let text = "there is no address: set the variable AZURE_OPENAI_ENDPOINT to that of the resource, \
                        like https://NAME.openai.azure.com";
            Error::new(ErrorKind::NotFound, "azure", "*", text)
        })?;
        let version = self.variable("OPENAI_API_VERSION");
        Ok(OpenAiOptions::azure(&endpoint, needed("AZURE_OPENAI_API_KEY")?, version.as_deref()))
    }

    fn lm_studio(&self) -> OpenAiOptions {
        let host = self.variable("LMSTUDIO_HOST").unwrap_or_else(|| LM_STUDIO.to_owned());
        let host = if host.contains("://") { host } else { format!("http://{host}") };
        OpenAiOptions {
            provider: "lmstudio".to_owned(),
            dialect: crate::Dialect::lm_studio(),
            ..OpenAiOptions::compatible(format!("{}/v1", host.trim_end_matches('/')), "lm-studio")
        }
    }
}

/// Reads a model's name. Only `offline` needs no model behind it.
fn read(name: &str) -> Result<ModelName> {
    let name = name.trim();
    let (provider, model) = name.split_once('/').unwrap_or((name, ""));
    if !model.is_empty() || provider == "offline" {
        return Ok(ModelName::new(provider, model));
    }
    let text = format!(
        "{name:?} is no name of a model: write PROVIDER/MODEL, like openai/gpt-4o-mini; known providers are {}",
        names().join(", ")
    );
    Err(Error::new(ErrorKind::BadRequest, if provider.is_empty() { "*" } else { provider }, "*", text))
}

fn has_none(provider: &str, model: &str, sort: &str) -> Error {
    let text = format!("{provider} has no {sort} models; openai, gemini and others have, and so has offline");
    Error::new(ErrorKind::BadRequest, provider, model, text)
}
