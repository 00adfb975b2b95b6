//! The providers that have names.

/// A provider that wants a key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) provider: &'static str,
    /// The variables that may hold the key; the first that is set counts.
    pub(super) variables: &'static [&'static str],
    /// Where the provider is.
    pub(super) address: &'static str,
    /// A quick and cheap model of it. None where each account names its own.
    pub(super) model: Option<&'static str>,
}

/// The providers that want a key, in the order in which they are looked for.
pub(super) const KEYS: &[Key] = &[
    Key {
        provider: "openai",
        variables: &["OPENAI_API_KEY"],
        address: "https://api.openai.com/v1",
        model: Some("gpt-4o-mini"),
    },
    Key {
        provider: "anthropic",
        variables: &["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"],
        address: "https://api.anthropic.com",
        model: Some("claude-haiku-4-5"),
    },
    Key {
        provider: "gemini",
        variables: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        address: "https://generativelanguage.googleapis.com/v1beta/openai",
        model: Some("gemini-2.5-flash"),
    },
    Key {
        provider: "openrouter",
        variables: &["OPENROUTER_API_KEY"],
        address: "https://openrouter.ai/api/v1",
        model: Some("openrouter/auto"),
    },
    Key {
        provider: "groq",
        variables: &["GROQ_API_KEY"],
        address: "https://api.groq.com/openai/v1",
        model: Some("llama-3.3-70b-versatile"),
    },
    Key {
        provider: "deepseek",
        variables: &["DEEPSEEK_API_KEY"],
        address: "https://api.deepseek.com",
        model: Some("deepseek-chat"),
    },
    Key { provider: "azure", variables: &["AZURE_OPENAI_API_KEY"], address: "", model: None },
];

/// The providers that want none.
pub(super) const KEYLESS: [&str; 3] = ["lmstudio", "offline", "ollama"];

/// The variables that say more of a provider than its key.
pub(super) const DETAILS: [&str; 9] = [
    "LOOMWORK_MODEL",
    "ANTHROPIC_BASE_URL",
    "AZURE_OPENAI_ENDPOINT",
    "LMSTUDIO_HOST",
    "OLLAMA_HOST",
    "OPENAI_API_VERSION",
    "OPENAI_BASE_URL",
    "OPENAI_ORG_ID",
    "OPENAI_PROJECT_ID",
];

/// Returns the names of all providers, in their order.
pub(super) fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = KEYS.iter().map(|key| key.provider).chain(KEYLESS).collect();
    names.sort_unstable();
    names
}
