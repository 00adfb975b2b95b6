//! Where the provider is, who asks it, and how its models are asked.

use std::collections::BTreeMap;
use std::fmt;

use loomwork_core::Secret;

use crate::history::{ForeignReasoning, UnreadableFiles};
use crate::http::{Names, address};
use crate::{Error, ErrorKind, HttpOptions, Result};

/// Where Anthropic itself is.
const ANTHROPIC: &str = "https://api.anthropic.com";

/// How often an answer that pauses is continued, where the options don't say.
const MOST_CONTINUATIONS: u32 = 10;

/// Where the provider is, and who asks it.
///
/// New fields may come; `..AnthropicOptions::new(key)` is ready for them.
#[derive(Clone)]
pub struct AnthropicOptions {
    /// The provider's name in errors and in usage: `anthropic`. Parts and requests keep what concerns this
    /// protocol under that name too.
    pub provider: String,
    /// The address in front of `/v1/messages`; it may end in `/v1`.
    pub base_url: String,
    /// The key, and the header that carries it.
    pub key: AnthropicKey,
    /// The betas that each request takes part in, for the header `anthropic-beta`.
    pub betas: Vec<String>,
    /// More headers for each request.
    pub headers: BTreeMap<String, String>,
    /// Waits, limits and the proxy.
    pub http: HttpOptions,
}

/// Shows names alone of what may hold a key.
impl fmt::Debug for AnthropicOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AnthropicOptions")
            .field("provider", &self.provider)
            .field("base_url", &address(&self.base_url))
            .field("key", &self.key)
            .field("betas", &self.betas)
            .field("headers", &Names(&self.headers))
            .field("http", &self.http)
            .finish()
    }
}

/// A key, and the header that carries it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AnthropicKey {
    /// `x-api-key: KEY`, which all servers of this protocol take.
    ApiKey(Secret),
    /// `authorization: Bearer TOKEN`, as the newest official clients send it.
    Bearer(Secret),
}

impl AnthropicOptions {
    /// Returns Anthropic with this key.
    pub fn new(key: impl Into<Secret>) -> Self {
        Self {
            provider: super::BAG.to_owned(),
            base_url: ANTHROPIC.to_owned(),
            key: AnthropicKey::ApiKey(key.into()),
            betas: Vec::new(),
            headers: BTreeMap::new(),
            http: HttpOptions::default(),
        }
    }

    /// Returns a server that speaks Anthropic's protocol at this address.
    pub fn compatible(base_url: impl Into<String>, key: impl Into<Secret>) -> Self {
        Self { base_url: base_url.into(), ..Self::new(key) }
    }

    /// Returns Anthropic as these variables describe it; a key goes before a token.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let variable =
            |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let key = variable("ANTHROPIC_API_KEY").map(|key| AnthropicKey::ApiKey(key.into()));
        let token = || variable("ANTHROPIC_AUTH_TOKEN").map(|token| AnthropicKey::Bearer(token.into()));
        let key = key.or_else(token).ok_or_else(|| {
            let text = "there is no key: set the variable ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN, or give \
                        a key to the constructor";
            Error::new(ErrorKind::Auth, super::BAG, "*", text)
        })?;
        let base_url = variable("ANTHROPIC_BASE_URL").unwrap_or_else(|| ANTHROPIC.to_owned());
        Ok(Self { key, ..Self::compatible(base_url, "") })
    }

    /// Returns the path of messages behind the base URL.
    pub(super) fn path(&self) -> &'static str {
        if self.base_url.trim_end_matches('/').ends_with("/v1") { "messages" } else { "v1/messages" }
    }

    /// Returns the headers that tell who asks.
    pub(super) fn headers(&self) -> Vec<(String, String)> {
        let (name, value) = match &self.key {
            AnthropicKey::ApiKey(key) => ("x-api-key", key.expose().to_owned()),
            AnthropicKey::Bearer(token) => ("authorization", format!("Bearer {}", token.expose())),
        };
        let more = self.headers.iter().map(|(name, value)| (name.clone(), value.clone()));
        std::iter::once((name.to_owned(), value)).chain(more).collect()
    }
}

/// How one model is asked.
///
/// New fields may come; `..MessagesOptions::default()` is ready for them.
#[derive(Clone, Debug)]
pub struct MessagesOptions {
    /// The version of the protocol. Default: [`AnthropicVersion::V2023_06_01`], which all servers speak.
    pub version: AnthropicVersion,
    /// The most tokens of an answer where a request sets no limit, since the protocol wants one. Default:
    /// what the model's family can do, 8,192 for families that this version does not know.
    pub max_tokens: Option<u64>,
    /// How the model is told to think. Default: what the model's family knows.
    pub thinking: Option<ThinkingForm>,
    /// Whether the model takes the schema of an answer with the request. Default: what the model's family
    /// can do.
    pub native_schemas: Option<bool>,
    /// Where the cache breaks. Default: where parts, tools and messages say so.
    pub cache: PromptCache,
    /// The betas that this model takes part in, besides those of the provider.
    pub betas: Vec<String>,
    /// Whether answers are streamed. Default: yes; some gateways can't.
    pub streams: bool,
    /// How often an answer that pauses for its own tools is continued. Default: 10.
    pub most_continuations: u32,
    /// What becomes of other models' reasoning. Default: it is left out.
    pub foreign_reasoning: ForeignReasoning,
    /// What becomes of files that the model doesn't read. Default: they are refused.
    pub unreadable_files: UnreadableFiles,
}

impl Default for MessagesOptions {
    fn default() -> Self {
        Self {
            version: AnthropicVersion::default(),
            max_tokens: None,
            thinking: None,
            native_schemas: None,
            cache: PromptCache::default(),
            betas: Vec::new(),
            streams: true,
            most_continuations: MOST_CONTINUATIONS,
            foreign_reasoning: ForeignReasoning::default(),
            unreadable_files: UnreadableFiles::default(),
        }
    }
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AnthropicVersion {
    /// `2023-06-01`, which most clients and all other servers speak.
    #[default]
    V2023_06_01,
    /// `2026-10-21`, which knows no sampling, no documents of assistants and no citations of users.
    V2026_10_21,
}

impl AnthropicVersion {
    /// Returns the value of the header `anthropic-version`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2023_06_01 => "2023-06-01",
            Self::V2026_10_21 => "2026-10-21",
        }
    }
}

/// How a model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThinkingForm {
    /// With a budget of tokens.
    Budget,
    /// As it sees fit, with an effort.
    Adaptive,
    /// It can't think.
    None,
}

/// Where the prompt's cache breaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PromptCache {
    /// Where `cacheControl` in the provider options of parts, tools and messages says so.
    #[default]
    Manual,
    /// There, and where it helps a conversation that grows: behind the tools, the system messages, and the
    /// last two turns of the user.
    Automatic(CacheTtl),
}

/// How long the cache keeps a prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheTtl {
    /// Five minutes after its last use.
    #[default]
    FiveMinutes,
    /// An hour after its last use; writing it costs more.
    Hour,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<AnthropicOptions> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        AnthropicOptions::read(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_environment_describes_the_provider() {
        let options = read(&[("ANTHROPIC_API_KEY", " key\n"), ("ANTHROPIC_AUTH_TOKEN", "token")]).unwrap();
        assert_eq!(options.headers(), [("x-api-key".to_owned(), "key".to_owned())]);
        assert_eq!((options.base_url.as_str(), options.path()), (ANTHROPIC, "v1/messages"));

        let url = "https://gateway.example.com/anthropic/v1/";
        let options = read(&[("ANTHROPIC_AUTH_TOKEN", "token"), ("ANTHROPIC_BASE_URL", url)]).unwrap();
        assert_eq!(options.headers(), [("authorization".to_owned(), "Bearer token".to_owned())]);
        assert_eq!((options.base_url.as_str(), options.path()), (url, "messages"));
    }

    #[test]
    fn a_missing_key_is_told_by_its_names() {
        let error = read(&[("ANTHROPIC_API_KEY", " ")]).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Auth);
        assert!(error.message().contains("ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN"), "{error}");
    }

    #[test]
    fn keys_are_not_shown() {
        let shown = format!("{:?}", read(&[("ANTHROPIC_API_KEY", "sk-ant-1")]).unwrap());
        assert!(!shown.contains("sk-ant-1"), "{shown}");
    }
}
