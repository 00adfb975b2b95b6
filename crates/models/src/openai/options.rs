//! Where a provider is, who asks it, and what goes with each request.

use std::collections::BTreeMap;
use std::fmt;

use loomwork_core::Secret;
use serde_json::{Map, Value};

use super::{Dialect, EmbeddingLimits, no_key};
use crate::http::{Names, address};
use crate::{HttpOptions, Result};

/// The name of OpenAI itself.
const OPENAI_NAME: &str = "openai";

/// Where OpenAI itself is.
const OPENAI: &str = "https://api.openai.com/v1";

/// Where a provider is, who asks it, and what goes with each request.
///
/// New fields may come; `..OpenAiOptions::new(key)` and `..OpenAiOptions::compatible(url, key)` are ready
/// for them.
#[derive(Clone)]
pub struct OpenAiOptions {
    /// The provider's name in errors, in usage and in the bags of parts: `openai`.
    pub provider: String,
    /// The address in front of `/chat/completions`; a query in it goes with each request.
    pub base_url: String,
    /// The key; servers on one's own machine often want none.
    pub key: Option<Secret>,
    /// The header that carries the key. Default: [`KeyHeader::Bearer`].
    pub key_header: KeyHeader,
    /// The organization that pays, where a key has several.
    pub organization: Option<String>,
    /// The project that pays, where a key has several.
    pub project: Option<String>,
    /// More headers for each request.
    pub headers: BTreeMap<String, String>,
    /// More fields for the address's query, such as `api-version`.
    pub query: BTreeMap<String, String>,
    /// More fields for the body of each request to a language model.
    pub body: Map<String, Value>,
    /// Whether the address names the model, as `deployments/MODEL/`. Default: no.
    pub model_in_path: bool,
    /// What the server takes, and how it says it.
    pub dialect: Dialect,
    /// How much goes into one call for embeddings.
    pub embedding_limits: EmbeddingLimits,
    /// Waits, limits and the proxy.
    pub http: HttpOptions,
}

/// Shows names alone of what may hold a key: headers, and the fields of queries.
impl fmt::Debug for OpenAiOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OpenAiOptions")
            .field("provider", &self.provider)
            .field("base_url", &address(&self.base_url))
            .field("key", &self.key)
            .field("key_header", &self.key_header)
            .field("organization", &self.organization)
            .field("project", &self.project)
            .field("headers", &Names(&self.headers))
            .field("query", &Names(&self.query))
            .field("body", &self.body)
            .field("model_in_path", &self.model_in_path)
            .field("dialect", &self.dialect)
            .field("embedding_limits", &self.embedding_limits)
            .field("http", &self.http)
            .finish()
    }
}

/// The header that carries a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyHeader {
    /// `authorization: Bearer KEY`.
    #[default]
    Bearer,
    /// `api-key: KEY`, as Azure has it.
    ApiKey,
}

impl OpenAiOptions {
    /// Returns OpenAI with this key.
    pub fn new(key: impl Into<Secret>) -> Self {
        Self::compatible(OPENAI, key)
    }

    /// Returns a server that speaks OpenAI's protocols at this address; its name and its dialect
    /// [follow](Dialect::of) from the address.
    pub fn compatible(base_url: impl Into<String>, key: impl Into<Secret>) -> Self {
        let base_url = base_url.into();
        let (provider, dialect) = Dialect::of(&base_url);
        Self {
            provider,
            base_url,
            key: Some(key.into()),
            key_header: KeyHeader::Bearer,
            organization: None,
            project: None,
            headers: BTreeMap::new(),
            query: BTreeMap::new(),
            body: Map::new(),
            model_in_path: false,
            dialect,
            embedding_limits: EmbeddingLimits::default(),
            http: HttpOptions::default(),
        }
    }

    /// Returns Azure OpenAI at the address of a resource; with an API version, its older surface.
    pub fn azure(endpoint: &str, key: impl Into<Secret>, api_version: Option<&str>) -> Self {
        let endpoint = endpoint.trim_end_matches('/');
        let surface = if api_version.is_some() { "openai" } else { "openai/v1" };
        let query = api_version.map(|version| ("api-version".to_owned(), version.to_owned()));
        Self {
            provider: "azure".to_owned(),
            key_header: KeyHeader::ApiKey,
            query: query.into_iter().collect(),
            model_in_path: api_version.is_some(),
            dialect: Dialect::azure(),
            ..Self::compatible(format!("{endpoint}/{surface}"), key)
        }
    }

    /// Returns OpenAI as these variables describe it.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let variable =
            |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let base_url = variable("OPENAI_BASE_URL").unwrap_or_else(|| OPENAI.to_owned());
        let options = Self::compatible(base_url, "");
        let key = variable("OPENAI_API_KEY").map(Secret::from);
        // Servers on one's own machine often want none.
        if key.is_none() && options.provider == OPENAI_NAME {
            return Err(no_key(OPENAI_NAME, "OPENAI_API_KEY"));
        }
        Ok(Self {
            key,
            organization: variable("OPENAI_ORG_ID"),
            project: variable("OPENAI_PROJECT_ID"),
            ..options
        })
    }

    /// Returns the address with the query.
    pub(super) fn url(&self) -> String {
        let mut url = self.base_url.clone();
        for (name, value) in &self.query {
            let sign = if url.contains('?') { '&' } else { '?' };
            url = format!("{url}{sign}{name}={value}");
        }
        url
    }

    pub(super) fn all_headers(&self) -> Vec<(String, String)> {
        let key = self.key.as_ref().map(|key| match self.key_header {
            KeyHeader::Bearer => ("authorization", format!("Bearer {}", key.expose())),
            KeyHeader::ApiKey => ("api-key", key.expose().to_owned()),
        });
        let organization = self.organization.clone().map(|id| ("openai-organization", id));
        let project = self.project.clone().map(|id| ("openai-project", id));
        let own = [key, organization, project].into_iter().flatten();
        let own = own.map(|(name, value)| (name.to_owned(), value));
        own.chain(self.headers.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<OpenAiOptions> {
        let value = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        OpenAiOptions::read(value)
    }

    #[test]
    fn the_environment_describes_the_provider() {
        let options = read(&[
            ("OPENAI_API_KEY", " sk-1\n"),
            ("OPENAI_BASE_URL", "https://api.groq.com/openai/v1"),
            ("OPENAI_ORG_ID", "org"),
            ("OPENAI_PROJECT_ID", ""),
        ]);
        let options = options.unwrap();
        assert_eq!((options.provider.as_str(), options.project.as_deref()), ("groq", None));
        let headers = [("authorization", "Bearer sk-1"), ("openai-organization", "org")];
        assert_eq!(options.all_headers(), headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn an_environment_without_a_key_says_which_variable_is_missing() {
        let error = read(&[("OPENAI_API_KEY", " ")]).unwrap_err();
        assert_eq!(error.kind(), &crate::ErrorKind::Auth);
        assert!(error.to_string().contains("OPENAI_API_KEY"), "{error}");
    }

    #[test]
    fn azures_older_surface_has_its_version_in_the_query_and_the_deployment_in_the_path() {
        let options = OpenAiOptions::azure("https://x.openai.azure.com/", "k", Some("2024-10-21"));
        assert_eq!(options.url(), "https://x.openai.azure.com/openai?api-version=2024-10-21");
        assert!(options.model_in_path);
        let options = OpenAiOptions::azure("https://x.openai.azure.com", "k", None);
        assert_eq!(options.url(), "https://x.openai.azure.com/openai/v1");
        assert!(!options.model_in_path);
    }
}
