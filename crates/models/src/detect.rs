//! Models by name, and the model that is at hand.

mod environment;
mod known;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use environment::Environment;

use crate::http::address;
use crate::openai::OpenAi;
use crate::{EmbeddingModel, ImageModel, LanguageModel, ModelName, OfflineModel, Result, Settings};
use known::{KEYS, Key};

/// How long a server is asked which models it has.
const PROBE_TIME: Duration = Duration::from_millis(500);

/// What names of models for embeddings have in common; such models cannot talk.
const EMBEDDERS: [&str; 4] = ["embed", "minilm", "bge-", "e5-"];

/// Returns a language model by provider and name, as the process's environment describes the provider:
/// `openai/gpt-4o-mini`, `anthropic/claude-sonnet-4-5`, `ollama/qwen3`, `openrouter/qwen/qwen3`, `offline`.
///
/// | provider | key | address |
/// |---|---|---|
/// | `anthropic` | `ANTHROPIC_API_KEY` or `ANTHROPIC_AUTH_TOKEN` | `ANTHROPIC_BASE_URL` |
/// | `azure` | `AZURE_OPENAI_API_KEY` | `AZURE_OPENAI_ENDPOINT`, and `OPENAI_API_VERSION` for the older surface |
/// | `deepseek` | `DEEPSEEK_API_KEY` | |
/// | `gemini` | `GEMINI_API_KEY` or `GOOGLE_API_KEY` | |
/// | `groq` | `GROQ_API_KEY` | |
/// | `lmstudio` | | `LMSTUDIO_HOST` |
/// | `offline` | | |
/// | `ollama` | | `OLLAMA_HOST` |
/// | `openai` | `OPENAI_API_KEY` | `OPENAI_BASE_URL` |
/// | `openrouter` | `OPENROUTER_API_KEY` | |
///
/// OpenAI itself is asked by Responses, all that are compatible with it by Chat Completions.
///
/// # Errors
/// `not_found` that lists the providers, for one that is not among them; `bad_request` for a name without a
/// model; `auth` that names the variable, for a provider whose key is missing.
///
/// ```
/// let model = loomwork_models::from_str("ollama/qwen3")?;
/// assert_eq!(model.name().to_string(), "ollama/qwen3");
///
/// let error = loomwork_models::from_str("opnai/gpt-4o-mini").unwrap_err();
/// assert!(error.message().contains("known are anthropic, azure, deepseek"), "{error}");
/// # Ok::<_, loomwork_models::Error>(())
/// ```
pub fn from_str(name: &str) -> Result<Arc<dyn LanguageModel>> {
    Environment::of_process().language_model(name)
}

/// Returns an embedding model by provider and name, as [`from_str`] does for language models:
/// `openai/text-embedding-3-small`, `ollama/nomic-embed-text`, `offline`.
///
/// # Errors
/// As [`from_str`], and `bad_request` for a provider that has no such models.
pub fn embeddings_from_str(name: &str) -> Result<Arc<dyn EmbeddingModel>> {
    Environment::of_process().embedding_model(name)
}

/// Returns an image model by provider and name, as [`from_str`] does for language models:
/// `openai/gpt-image-1`, `offline`.
///
/// # Errors
/// As [`from_str`], and `bad_request` for a provider that has no such models.
pub fn images_from_str(name: &str) -> Result<Arc<dyn ImageModel>> {
    Environment::of_process().image_model(name)
}

/// Returns the language model that is at hand, and says why it is this one.
///
/// That is the one which `LOOMWORK_MODEL` names; else a model of the first provider that has a key in the
/// environment, or of the server that `OPENAI_BASE_URL` names, which may want none; else what an Ollama on
/// this machine has, which is asked for half a second; else the
/// [offline model](OfflineModel).
///
/// # Errors
/// If `LOOMWORK_MODEL` is set to what is no model; see [`from_str`].
///
/// ```
/// use loomwork_models::Environment;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> loomwork_models::Result<()> {
/// // As `detect`, in an environment of these variables.
/// let environment = Environment::new([("LOOMWORK_MODEL", "offline"), ("OPENAI_API_KEY", "sk-…")]);
/// let detected = environment.detect().await?;
/// assert_eq!(detected.model.name().provider, "offline");
/// assert_eq!(detected.reason, "LOOMWORK_MODEL says so");
/// # Ok(())
/// # }
/// ```
pub async fn detect() -> Result<Detected> {
    Environment::of_process().detect().await
}

/// A model that was at hand, and why it is this one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Detected {
    /// The model.
    pub model: Arc<dyn LanguageModel>,
    /// What was found, in words for a person: `OPENAI_API_KEY is set`.
    pub reason: String,
    /// The models of the other providers that have a key; any of them can be had by its name.
    pub others: Vec<ModelName>,
}

/// Writes the model and the reason: `openai/gpt-4o-mini, since OPENAI_API_KEY is set`.
impl fmt::Display for Detected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, since {}", self.model.name(), self.reason)
    }
}

impl Environment {
    /// Returns the language model that is at hand in this environment; see [`detect`].
    ///
    /// # Errors
    /// If `LOOMWORK_MODEL` is set to what is no model.
    pub async fn detect(&self) -> Result<Detected> {
        if let Some(name) = self.variable("LOOMWORK_MODEL") {
            let model = self.language_model(&name).map_err(|error| {
                let text = format!("the variable LOOMWORK_MODEL: {}", error.message());
                error.with_message(text)
            })?;
            return Ok(Detected { model, reason: "LOOMWORK_MODEL says so".to_owned(), others: Vec::new() });
        }
        // What is found but cannot be used is part of the reason.
        let mut remarks = Vec::new();
        let mut found = Vec::new();
        for key in KEYS {
            // Another server in OpenAI's place may want no key.
            let address = (key.provider == "openai").then_some(&"OPENAI_BASE_URL");
            let mut variables = key.variables.iter().chain(address);
            let Some(variable) = variables.find(|name| self.variable(name).is_some()) else {
                continue;
            };
            match self.model_of(key).await {
                Ok(model) => found.push((ModelName::new(key.provider, model), variable)),
                Err(why) => remarks.push(format!("{variable} is set, but {why}")),
            }
        }
        let mut found = found.into_iter();
        if let Some((name, variable)) = found.next() {
            remarks.insert(0, format!("{variable} is set"));
            let model = self.language_model(&name.to_string())?;
            let others = found.map(|(name, _)| name).collect();
            return Ok(Detected { model, reason: remarks.join("; "), others });
        }
        remarks.extend(remarks.is_empty().then(|| "no key of a provider is set".to_owned()));
        let ollama = self.openai_like("ollama")?;
        let at = address(&ollama.options().base_url);
        let model = match first_that_talks(&ollama).await {
            Ok(Some(name)) => {
                remarks.push(format!("an Ollama answers at {at}"));
                ollama.chat(name)
            }
            Ok(None) => {
                remarks.push(format!("the Ollama at {at} has no model that talks"));
                Arc::new(OfflineModel::default())
            }
            Err(_) => {
                remarks.push(format!("no Ollama answers at {at}"));
                Arc::new(OfflineModel::default())
            }
        };
        Ok(Detected { model, reason: remarks.join(" and "), others: Vec::new() })
    }

    /// Returns the names of the variables that may hold the keys of providers, for whoever says which are set.
    pub fn key_names() -> impl Iterator<Item = &'static str> {
        KEYS.iter().flat_map(|key| key.variables).copied()
    }

    /// Returns the models of the Ollama that this environment names, or of this machine's; it is asked for half a
    /// second.
    ///
    /// # Errors
    /// When none answers.
    pub async fn ollama_models(&self) -> Result<Vec<String>> {
        self.openai_like("ollama")?.models(&probing()).await
    }

    /// Returns the model to take of a provider whose key is set, or why there is none.
    async fn model_of(&self, key: &Key) -> Result<String, String> {
        let Some(model) = key.model else {
            return Err(format!("a model has to be named, as in LOOMWORK_MODEL={}/NAME", key.provider));
        };
        if key.provider != "openai" {
            return Ok(model.to_owned());
        }
        let server = self.openai_like(key.provider).map_err(|error| error.message().to_owned())?;
        if server.options().provider == "openai" {
            return Ok(model.to_owned());
        }
        // Another server has other models, which most can list.
        let at = address(&server.options().base_url);
        match first_that_talks(&server).await {
            Ok(Some(model)) => Ok(model),
            Ok(None) => Err(format!("{at} has no model that talks")),
            Err(error) => Err(format!("{at} does not say which models it has: {}", error.message())),
        }
    }
}

/// How a server is asked that may not be there.
fn probing() -> Settings {
    Settings { timeout: Some(PROBE_TIME), max_retries: Some(0), ..Settings::default() }
}

/// Returns the first of a server's models that is none for embeddings.
async fn first_that_talks(server: &OpenAi) -> Result<Option<String>> {
    let models = server.models(&probing()).await?;
    let embeds = |name: &str| EMBEDDERS.iter().any(|mark| name.to_ascii_lowercase().contains(mark));
    Ok(models.into_iter().find(|name| !embeds(name)))
}
