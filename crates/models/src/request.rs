//! What a language model is asked.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::http::Names;
use crate::{Message, ProviderData};

/// What a language model is asked: the conversation, the tools at hand, and how to answer.
///
/// ```
/// use loomwork_models::{Message, Request, Settings};
///
/// let request = Request::new([Message::system("Be brief."), Message::user("What is a loom?")])
///     .with_settings(Settings { max_output_tokens: Some(200), ..Settings::default() });
/// assert_eq!(request.messages.len(), 2);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// The tools that the model may call.
    pub tools: Vec<ToolSpec>,
    /// Whether it may, must or must not call one.
    pub tool_choice: ToolChoice,
    /// The form of the answer.
    pub format: Format,
    /// Limits, sampling and transport.
    pub settings: Settings,
    /// What single providers shall do with the call, by provider: fields of their own request.
    pub provider_options: ProviderData,
    /// Calls the answer off from elsewhere; dropping the stream does so too.
    pub cancel: CancellationToken,
}

impl Request {
    /// Returns a request with these messages and default settings.
    pub fn new(messages: impl IntoIterator<Item = Message>) -> Self {
        Self { messages: messages.into_iter().collect(), ..Self::default() }
    }

    /// Sets the tools that the model may call.
    pub fn with_tools(self, tools: impl IntoIterator<Item = ToolSpec>) -> Self {
        Self { tools: tools.into_iter().collect(), ..self }
    }

    /// Sets whether the model may, must or must not call a tool.
    pub fn with_tool_choice(self, tool_choice: ToolChoice) -> Self {
        Self { tool_choice, ..self }
    }

    /// Sets the form of the answer.
    pub fn with_format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// Sets limits, sampling and transport.
    pub fn with_settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }
}

/// Limits, sampling and transport of a call; what is `None` is left to the provider.
///
/// What a provider or model does not support is left out of its request, with a warning in the reply.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// The most tokens that the answer may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// How far sampling departs from the likeliest, usually 0 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Samples among the likeliest tokens that together have this probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Samples among this many likeliest tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Makes tokens that have appeared less likely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    /// Makes tokens less likely the more often they have appeared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// Texts that end the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop_sequences: Vec<String>,
    /// Makes sampling repeatable where a provider can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// How long the model thinks before it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<ReasoningEffort>,
    /// Headers for this call.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The longest that the whole call may take, its retries included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How often a call that failed before its first part is made again; 2 where it is `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<u32>,
    /// Whether the reply shall hold the body of the request as it was sent, for a log of raw exchanges.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep_request_body: bool,
}

/// Shows the names of the headers alone, since any of them may hold a key.
impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("max_output_tokens", &self.max_output_tokens)
            .field("temperature", &self.temperature)
            .field("top_p", &self.top_p)
            .field("top_k", &self.top_k)
            .field("presence_penalty", &self.presence_penalty)
            .field("frequency_penalty", &self.frequency_penalty)
            .field("stop_sequences", &self.stop_sequences)
            .field("seed", &self.seed)
            .field("reasoning_effort", &self.reasoning_effort)
            .field("headers", &Names(&self.headers))
            .field("timeout", &self.timeout)
            .field("max_retries", &self.max_retries)
            .field("keep_request_body", &self.keep_request_body)
            .finish()
    }
}

/// How long a model thinks before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ReasoningEffort {
    /// Not at all.
    None,
    /// As little as it can.
    Minimal,
    /// Briefly.
    Low,
    /// As usual.
    Medium,
    /// Long.
    High,
    /// Longer.
    XHigh,
    /// As long as it can.
    Max,
}

/// A tool that a model may call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum ToolSpec {
    /// A tool that the program runs.
    Function {
        /// Its name: letters, digits, `_` and `-`, at most 64.
        name: String,
        /// What it does and when to use it, for the model.
        description: String,
        /// The JSON schema of its arguments, an object.
        input_schema: Value,
        /// Whether the provider shall hold the model to the schema; `None` leaves it to the provider.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        strict: Option<bool>,
        /// What single providers shall do with the tool.
        #[serde(default, skip_serializing_if = "ProviderData::is_empty")]
        provider_options: ProviderData,
    },
    /// A tool that the provider runs, such as a search of the web.
    Provider {
        /// Provider and tool: `openai.web_search`.
        id: String,
        /// The provider's own fields for it.
        args: Value,
    },
}

impl ToolSpec {
    /// Returns a tool that the program runs.
    pub fn function(name: impl Into<String>, description: impl Into<String>, input_schema: Value) -> Self {
        let (name, description) = (name.into(), description.into());
        Self::Function {
            name,
            description,
            input_schema,
            strict: None,
            provider_options: ProviderData::new(),
        }
    }
}

/// Whether a model may, must or must not call a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ToolChoice {
    /// It may.
    #[default]
    Auto,
    /// It must not.
    None,
    /// It must call one.
    Required,
    /// It must call this one.
    Tool {
        /// The name of the tool.
        name: String,
    },
}

/// The form of an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Format {
    /// Text.
    #[default]
    Text,
    /// JSON of any shape.
    Json,
    /// JSON that fits a schema.
    Schema(OutputSchema),
}

/// The schema of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputSchema {
    /// Its name: letters, digits, `_` and `-`, at most 64.
    pub name: String,
    /// What the answer is, for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The JSON schema.
    pub schema: Value,
    /// Whether the provider shall hold the model to the schema.
    pub strict: bool,
}
